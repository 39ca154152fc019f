"""A reviewer's verdicts survive every round trip, and a wrong line is named and costs itself alone."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automl_cnn.audit.decisions import COLUMNS, LINE, Decisions, read_decisions, write_decisions
from automl_cnn.audit.problems import read_problems, write_problems
from automl_cnn.errors import DataError

A, B, C, D = ("a" * 64, "b" * 64, "c" * 64, "d" * 64)
HEADER = ",".join(COLUMNS)
anything = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=12).map(str.strip)
names = anything.filter(lambda text: text not in ("", "new:") and text.splitlines() == [text])
verdicts = st.one_of(
    st.tuples(st.sampled_from(["keep", "exclude", "split_group", "keep_one"]), st.just("")),
    st.tuples(st.just("relabel"), names),
    st.tuples(st.just("merge_group"), st.just(D)),
)
rest = st.tuples(anything, st.sampled_from(["", "2026-11-21T10:00:00Z", "2026-11-21"]), anything)
numbers = st.one_of(st.just(""), st.floats(allow_nan=False, allow_infinity=False).map(str))


def read(tmp_path: Path, text: str) -> Decisions:
    path = tmp_path / "decisions.csv"
    path.write_text(text, encoding="utf-8", newline="")
    return read_decisions(path)


def made(decisions: Decisions) -> list[tuple[str, str, str]]:
    return [(row["sha256"][0], row["decision"], row["new_label"]) for row in decisions.rows()]


def test_a_class_of_two_lines_and_the_line_it_stands_in_are_told_also_below_blank_lines(tmp_path: Path) -> None:
    found = read(tmp_path, f'\n\nsha256,decision,new_label\n{A},keep,\n{B},relabel,"new:a\u2028b"\n')
    assert made(found) == [("a", "keep", "")]
    assert [(problem.line, problem.expected) for problem in found.problems] == [(5, "a class on one line in new_label")]


def test_no_file_means_no_decisions(tmp_path: Path) -> None:
    decisions = read_decisions(tmp_path / "decisions.csv")
    assert (len(decisions), decisions.problems) == (0, ())
    assert tuple(decisions.table.columns[:-1]) == COLUMNS


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(
    st.dictionaries(
        st.text("0123456789abcdef", min_size=64, max_size=64),
        st.tuples(anything, verdicts, rest, numbers, anything), max_size=4,
    )
)  # fmt: skip
def test_what_is_written_is_read_again_and_gives_the_same_bytes(tmp_path: Path, decided: dict[str, tuple]) -> None:
    given_rows = {
        key: [key, issue, *verdict, *others, score, seen]
        for key, (issue, verdict, others, score, seen) in decided.items()
    }
    frame = pd.DataFrame([*given_rows.values()], columns=list(COLUMNS), dtype="str").assign(
        **{LINE: range(2, 2 + len(decided))}
    )
    first, second = tmp_path / "first.csv", tmp_path / "second.csv"
    write_decisions(first, Decisions(frame.sample(frac=1, random_state=1)))
    again = read_decisions(first, checked=True)
    write_decisions(second, again)
    assert again.problems == ()
    assert first.read_bytes() == second.read_bytes()
    assert {row["sha256"]: [row[name] for name in COLUMNS] for row in again.rows()} == given_rows


def test_an_empty_copy_is_the_header_alone(tmp_path: Path) -> None:
    write_decisions(tmp_path / "copy.csv", read_decisions(tmp_path / "absent.csv"))
    assert (tmp_path / "copy.csv").read_text() == f"{HEADER},{LINE}\n"


def test_a_file_of_the_first_release_is_read(tmp_path: Path) -> None:
    decisions = read(
        tmp_path, f'sha256,decision,new_label,reviewer,note\n{A},relabel,cat,ana,"far, far"\n{B},keep,,,\n'
    )
    assert made(decisions) == [("a", "relabel", "cat"), ("b", "keep", "")]
    assert decisions.rows()[0] == dict.fromkeys(COLUMNS, "") | {
        "sha256": A, "decision": "relabel", "new_label": "cat", "reviewer": "ana", "note": "far, far",
    }  # fmt: skip


WRONG = [
    (f"{C},,maybe,,,,,,", "keep, relabel, exclude", "'maybe'"),
    (f"{C},,relabel,,,,,,", "a class in new_label", "''"),
    ("123,,keep,,,,,,", "64 hexadecimal digits", "'123'"),
    (f"{C},,keep", "9 cells", "3"),
    (f"{C},,keep,,,,,,,more", "9 cells", "10"),
    (f"{C},,keep,,,yesterday,,,", "ISO 8601", "'yesterday'"),
    (f"{C},,keep,,,,,high,", "a number in score_seen", "'high'"),
    (f"{C},,keep,,,,,nan,", "a number in score_seen", "'nan'"),
    (f"{C},,merge_group,cat,,,,,", "the sha256 of the other image", "'cat'"),
    (f"{C},,merge_group,{C.upper()},,,,,", "the sha256 of the other image", "the image itself"),
    (f"{C},,keep,cat,,,,,dog", "no new_label", "keep with 'cat'"),
    (f"{C},,exclude,cat,,,,,cat", "no new_label", "exclude with 'cat'"),
    (f"{C},,split_group,{D},,,,,", "no new_label", "split_group with 'ddd"),
    (f"{C},,keep_one,new:,,,,,", "a class in new_label", "keep_one with 'new:'"),
    (f'{C},,keep,,"ana,,not closed,,', "well-formed CSV", "not closed"),
    (f'{C},,keep,,"an"a,,,,', "well-formed CSV", "in the wrong place"),
    ("<<<<<<< HEAD", "9 cells", "1"),
]


@pytest.mark.parametrize(("line", "expected", "received"), WRONG)
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_a_damaged_line_is_named_and_its_neighbours_are_read(
    tmp_path: Path, line: str, expected: str, received: str, ending: str
) -> None:
    good = [f'{A},,keep,,,,"two', 'lines",,', f'{B},,exclude,,,,"a ""quoted"" note",,']
    decisions = read(tmp_path, ending.join([HEADER, *good[:2], line, "", good[2], ""]))
    assert made(decisions) == [("a", "keep", ""), ("b", "exclude", "")]
    assert decisions.lines() == [2, 6]
    (problem,) = decisions.problems
    assert (problem.line, problem.text) == (4, line)
    assert expected in problem.expected
    assert received in problem.received
    assert str(problem).startswith("decisions.csv, line 4: expected ")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text('",;\n\r ax', max_size=40), st.text('",\n x', max_size=10))
def test_whatever_stands_between_two_good_lines_both_are_read(tmp_path: Path, junk: str, last: str) -> None:
    decisions = read(tmp_path, f"{HEADER}\n{A},,keep,,,,,,\n{junk}\n{B},,exclude,,,,,,\n{last}")
    assert made(decisions) == [("a", "keep", ""), ("b", "exclude", "")]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f"{A},,keep,", f"{A},,exclude,"),
        (f"{A},suspect_label,relabel,cat", f"{A},suspect_label,relabel,dog"),
        (f"{A},suspect_label,relabel,cat", f"{A},near_duplicate,exclude,"),
        (f"{A},near_duplicate,keep_one,", f"{A},blurry,exclude,"),
        (f"{A},suspect_label,keep,", f"{A},,relabel,cat"),
        (f"{A},near_duplicate,keep_one,", f"{A},,split_group,"),
        (f"{A},blurry,keep,", f"{A},blurry,keep,"),
    ],
)
def test_of_two_decisions_for_one_image_the_first_stands_and_both_lines_are_said(
    tmp_path: Path, first: str, second: str
) -> None:
    decisions = read(tmp_path, f"{HEADER}\n{first},,,,,\n{B},,keep,,,,,,\n{second},,,,,\n")
    assert decisions.lines() == [2, 3]
    (problem,) = decisions.problems
    assert problem.line == 4
    assert "line 2" in problem.received
    assert "line 4" in problem.received
    assert "Line 2 stands" in problem.action


def test_a_keep_may_name_the_label_that_it_keeps(tmp_path: Path) -> None:
    decisions = read(tmp_path, f"{HEADER}\n{A},,keep,cat,,,,,cat\n")
    assert (made(decisions), decisions.problems) == ([("a", "keep", "cat")], ())


def test_decisions_about_different_things_stand_together(tmp_path: Path) -> None:
    lines = ["suspect_label,keep,", "near_duplicate,exclude,", "blurry,keep,", f"same patient,merge_group,{B}"]
    decisions = read(tmp_path, "\n".join([HEADER, *(f"{A},{line},,,,," for line in lines)]))
    assert len(decisions) == 4
    assert decisions.problems == ()


@pytest.mark.parametrize(
    "content",
    [
        "sha256,decision".encode("utf-16"),
        "sha256,decision\n".encode("utf-16-be"),
        b"hash,decision\nx,keep\n",
        b'sha256,"decision\n',
    ],
)
def test_only_a_file_that_cannot_be_read_at_all_stops(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "decisions.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"decisions\.csv"):
        read_decisions(tmp_path / "decisions.csv")


def test_a_cell_of_another_encoding_costs_its_own_line_alone(tmp_path: Path) -> None:
    lines = [f"{A},,keep,,,,,,,", f"{B},,exclude,,André,,,,,", f"{C},,relabel,café,,,,,,", f"{D},,keep,,,,two,,,"]
    (tmp_path / "decisions.csv").write_bytes("\r\n".join([f"{HEADER},prénom", *lines]).encode("latin-1"))
    decisions = read_decisions(tmp_path / "decisions.csv")
    assert made(decisions) == [("a", "keep", ""), ("d", "keep", "")]
    assert [problem.line for problem in decisions.problems] == [3, 4]
    assert decisions.problems[0].received == r"reviewer in another encoding: 'Andr\xe9'"
    assert decisions.problems[1].text == rf"{C},,relabel,caf\xe9,,,,,,"
    write_decisions(tmp_path / "copy.csv", decisions)
    write_problems(tmp_path / "problems.json", decisions.problems)
    assert read_problems(tmp_path / "problems.json") == decisions.problems


@pytest.mark.parametrize("start", ["\ufeff", ""])
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_spreadsheet_s_csv_is_read_and_its_own_columns_are_kept(tmp_path: Path, start: str, separator: str) -> None:
    rows = [["sha256", "decision", "new_label", "mine"], [A.upper(), "relabel", "cat", "x", ""], ["", "", "", ""]]
    decisions = read(tmp_path, start + "\r\n".join(separator.join(row) for row in rows))
    assert made(decisions) == [("a", "relabel", "cat")]
    write_decisions(tmp_path / "copy.csv", decisions)
    assert read_decisions(tmp_path / "copy.csv", checked=True).rows()[0]["mine"] == "x"


def test_no_cell_of_the_copy_is_a_formula_and_classes_keep_their_names(tmp_path: Path) -> None:
    names = ["=cmd()", "+1", "-x", "@a", "'=b", "''-c", "'plain"]
    text = io.StringIO()
    csv.writer(text).writerows(
        [
            ["sha256", "decision", "new_label"],
            *([f"{i:064x}", "relabel", f"'{name}"] for i, name in enumerate(names[:6])),
        ]
    )
    decisions = read(tmp_path, text.getvalue())
    assert [row["new_label"] for row in decisions.rows()] == names[:6]
    write_decisions(tmp_path / "copy.csv", decisions)
    with (tmp_path / "copy.csv").open(newline="") as file:
        cells = [cell for row in csv.reader(file) for cell in row]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))]
    assert [row["new_label"] for row in read_decisions(tmp_path / "copy.csv", checked=True).rows()] == names[:6]


def test_a_reviewer_s_own_columns_keep_their_names_through_every_copy(tmp_path: Path) -> None:
    text = f"{HEADER},'=own,line\n{A},,keep,,,,,,,mine,7\n{B},,keep,,,,,,,,=9\n"
    decisions = read(tmp_path, text)
    assert decisions.own_columns() == ["=own", "line"]
    write_decisions(tmp_path / "copy.csv", decisions)
    again = read_decisions(tmp_path / "copy.csv", checked=True)
    assert again.own_columns() == ["=own", "line"]
    assert [(row["=own"], row["line"]) for row in again.rows()] == [("mine", "7"), ("", "=9")]
    assert again.lines() == [2, 3]
    assert "'=own" in (tmp_path / "copy.csv").read_text()


def test_the_copy_names_the_lines_of_the_reviewer_s_file_and_the_problems_go_beside_it(tmp_path: Path) -> None:
    decisions = read(tmp_path, f"{HEADER}\n\n{B},,keep,,,,,,\nnonsense\n{A},,exclude,,,,,,\n")
    write_decisions(tmp_path / "copy.csv", decisions)
    write_problems(tmp_path / "problems.json", decisions.problems)
    again = read_decisions(tmp_path / "copy.csv", checked=True)
    assert [(row["sha256"], line) for row, line in zip(again.rows(), again.lines(), strict=True)] == [(B, 3), (A, 5)]
    assert read_problems(tmp_path / "problems.json") == decisions.problems
    assert [problem.line for problem in decisions.problems] == [4]
