"""A reviewer's verdicts survive every round trip, and every wrong line is named at once."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automl_cnn.audit.decisions import COLUMNS, apply_decisions, read_decisions, write_decisions
from automl_cnn.errors import DataError

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=12).map(str.strip)
verdicts = st.one_of(
    st.tuples(st.sampled_from(["keep", "exclude"]), words, words, words),
    st.tuples(st.just("relabel"), words.filter(bool), words, words),
)


def read(tmp_path: Path, text: str) -> pd.DataFrame:
    path = tmp_path / "decisions.csv"
    path.write_text(text, encoding="utf-8")
    return read_decisions(path)


def test_no_file_means_no_decisions(tmp_path: Path) -> None:
    decisions = read_decisions(tmp_path / "decisions.csv")
    assert len(decisions) == 0
    assert tuple(decisions.columns) == COLUMNS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.dictionaries(st.text("0123456789abcdef", min_size=64, max_size=64), verdicts, max_size=5))
def test_what_is_written_is_read_again_and_gives_the_same_bytes(
    tmp_path: Path, decided: dict[str, tuple[str, str, str, str]]
) -> None:
    frame = pd.DataFrame([(key, *rest) for key, rest in decided.items()], columns=list(COLUMNS), dtype="str")
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    write_decisions(first, frame.sample(frac=1, random_state=1))
    again = read_decisions(first)
    write_decisions(second, again)
    assert first.read_bytes() == second.read_bytes()
    assert {row[0]: tuple(row[1:]) for row in again.itertuples(index=False)} == decided


def test_an_empty_copy_is_the_header_alone(tmp_path: Path) -> None:
    write_decisions(tmp_path / "copy.csv", read_decisions(tmp_path / "absent.csv"))
    assert (tmp_path / "copy.csv").read_text() == "sha256,decision,new_label,reviewer,note\n"


def test_all_wrong_lines_are_named_by_number(tmp_path: Path) -> None:
    lines = [
        "sha256,decision,new_label", f"{A},keep,", f"{B},maybe,", f"{C},relabel,", "123,keep,", f"{A},exclude,",
    ]  # fmt: skip
    with pytest.raises(DataError) as caught:
        read(tmp_path, "\n".join(lines))
    message = str(caught.value)
    assert "line 3: unknown decision 'maybe'" in message
    assert "line 4: relabel without new_label" in message
    assert "line 5: '123' is not a sha256" in message
    assert "line 6: the same sha256 as line 2" in message


def test_missing_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no sha256"):
        read(tmp_path, "hash,decision\nx,keep\n")


@pytest.mark.parametrize("start", ["\ufeff", ""])
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_spreadsheet_s_csv_is_read(tmp_path: Path, start: str, separator: str) -> None:
    rows = [["sha256", "decision", "new_label", "mine"], [A.upper(), "relabel", "cat", "x"], ["", "", "", ""]]
    decisions = read(tmp_path, start + "\r\n".join(separator.join(row) for row in rows))
    assert decisions[["sha256", "decision", "new_label"]].to_numpy().tolist() == [[A, "relabel", "cat"]]


def test_a_decision_is_about_every_file_with_those_bytes_and_leaves_the_manifest_as_it_is(tmp_path: Path) -> None:
    manifest = pd.DataFrame({"sha256": [A, A, B, ""], "label": ["dog", "cow", "dog", "dog"]})
    decisions = read(tmp_path, f"sha256,decision,new_label\n{A},relabel,cat\n{B},exclude,\n{C},keep,\n")
    decided, unknown = apply_decisions(manifest, decisions)
    assert decided["label"].tolist() == ["cat", "cat", "dog", "dog"]
    assert decided["excluded"].tolist() == [False, False, True, False]
    assert unknown == [C]
    assert manifest["label"].tolist() == ["dog", "cow", "dog", "dog"]


def test_without_decisions_nothing_changes(tmp_path: Path) -> None:
    manifest = pd.DataFrame({"sha256": [A], "label": ["dog"]})
    decided, unknown = apply_decisions(manifest, read_decisions(tmp_path / "absent.csv"))
    assert decided["label"].tolist() == ["dog"]
    assert not decided["excluded"].any()
    assert unknown == []
