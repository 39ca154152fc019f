"""What a reviewer is asked comes in the order in which it pays, once, and in a page of bounded size."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from review_set import ReviewSet, sha_of

from automl_cnn.audit.decisions import COLUMNS
from automl_cnn.audit.review import page as review_page
from automl_cnn.audit.review.items import Item


def everything(tmp_path: Path, *decisions: str) -> ReviewSet:
    audited = ReviewSet(
        tmp_path, 14, suspected=2, clusters=(("phash", (3, 6)), ("pixels", (4, 5))), faults=((8, "dark"), (9, "cmyk"))
    )
    audited.decisions_path.write_text("\n".join([",".join(COLUMNS), *decisions]))
    return audited


def asked(items: list[Item]) -> list[tuple[str, list[str]]]:
    return [(item.kind, [image.id[-2:] for image in item.images]) for item in items]


def test_conflicts_come_first_then_suspected_labels_then_copies_then_odd_pictures(tmp_path: Path) -> None:
    items = everything(tmp_path).items()
    assert asked(items) == [
        ("conflict", ["04", "05"]), ("label", ["00"]), ("label", ["01"]), ("cluster", ["03", "06"]), ("fault", ["08"]),
    ]  # fmt: skip
    assert [near.id for near in items[1].neighbours] == ["id0011", "id0012", "id0013"]


@pytest.mark.parametrize(
    ("lines", "left"),
    [
        ([f"{sha_of(0)},suspect_label,keep,,,,,,"], "conflict label cluster fault"),
        ([f"{sha_of(4)},exact_duplicate,keep_one,dog,,,,,"], "label label cluster fault"),
        ([f"{sha_of(4)},,exclude,,,,,,"], "label label cluster fault"),
        ([f"{sha_of(3)},near_duplicate,keep,,,,,,"], "conflict label label cluster fault"),
        ([f"{sha_of(n)},near_duplicate,keep,,,,,," for n in (3, 6)], "conflict label label fault"),
        ([f"{sha_of(n)},exact_duplicate,keep,,,,,," for n in (3, 6)], "conflict label label fault"),
        ([f"{sha_of(3)},near_duplicate,split_group,,,,,,"], "conflict label label fault"),
        ([f"{sha_of(8)},dark,keep,,,,,4.1,"], "conflict label label cluster"),
        ([f"{sha_of(8)},dark,keep,,,,,,"], "conflict label label cluster"),
    ],
)
def test_what_is_decided_is_not_asked_again(tmp_path: Path, lines: list[str], left: str) -> None:
    assert " ".join(item.kind for item in everything(tmp_path, *lines).items()) == left


def test_what_has_changed_since_is_asked_again_and_says_why(tmp_path: Path) -> None:
    seen = [f"{sha_of(8)},dark,keep,,,,,8.0,", f"{sha_of(3)},,keep,,,,,,mouse", f"{sha_of(6)},,keep,,,,,,cat"]
    items = everything(tmp_path, *seen).items()
    again = {item.kind: item.again for item in items if item.again}
    assert again == {
        "cluster": "Decided before: keep; its label was mouse and is now cat.",
        "fault": "Decided before: keep; its score was 8 and is now 4.",
    }


def test_of_a_large_cluster_those_that_were_not_judged_come_first(tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 15, classes=("cat",), suspected=0, clusters=(("phash", tuple(range(14))),))
    (before,) = audited.items()
    assert (len(before.images), before.more) == (12, 2)
    seen = [f"{image.sha256},near_duplicate,keep,,,,,," for image in before.images]
    audited.decisions_path.write_text("\n".join([",".join(COLUMNS), *seen]))
    assert [image.id for image in audited.items()[0].images[:2]] == ["id0012", "id0013"]
    assert len(audited.items()[0].images) == 12


def test_the_same_findings_give_the_same_page_and_no_name_ends_its_script(tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 6, classes=("</script><b>", "<!--", "&amp;"))
    audited.write_page()
    first = audited.page.read_bytes()
    audited.write_page()
    assert audited.page.read_bytes() == first
    text = first.decode()
    assert text.count("<script") == text.count("</script>") == 2
    data = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["classes"] == ["&amp;", "<!--", "</script><b>"]
    assert "<" not in data[1]
    assert not re.search(r"(src|href)=\"?(https?:)?//", text)


def test_a_page_that_would_grow_too_large_shows_the_first_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(review_page, "PICTURE_BYTES", 12_000)
    written = ReviewSet(tmp_path, 40, suspected=30).write_page()
    assert 0 < written["shown"] < written["items"]
    assert f"shows the first {written['shown']} of {written['items']}" in (tmp_path / "review.html").read_text()
