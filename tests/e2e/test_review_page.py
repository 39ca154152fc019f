"""The review page in a real Chromium: keys decide, nothing is lost, nothing leaves the page, names are only names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import needs_chromium
from playwright.sync_api import Browser, Page, expect
from review_set import ReviewSet, sha_of

from automl_cnn.audit.decisions import COLUMNS, read_decisions

HOSTILE = ("<script>alert(1)</script>", "=cmd()", 'a, "b"', "</style><img src=x onerror=alert(2)>")

pytestmark = needs_chromium


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab in which every word on the console, every dialog and every request off the page is a failure."""
    context = browser.new_context(viewport={"width": 1280, "height": 860}, accept_downloads=True)
    context.add_init_script("delete window.showSaveFilePicker")  # a native dialog, which nobody is there to answer
    tab, heard = context.new_page(), []
    tab.on("console", lambda message: heard.append(f"console: {message.text}"))
    tab.on("pageerror", lambda error: heard.append(f"error: {error}"))
    tab.on("dialog", lambda dialog: (heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    tab.on(
        "request",
        lambda request: None if request.url.startswith(("file:", "data:", "blob:")) else heard.append(request.url),
    )
    yield tab
    context.close()
    assert heard == []


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def save(page: Page, audited: ReviewSet) -> list[list[str]]:
    """Save decisions.csv where the project expects it: sha256 … of every row, without time."""
    with page.expect_download() as download:
        press(page, "Control+s")
    assert download.value.suggested_filename == "decisions.csv"
    download.value.save_as(audited.decisions_path)
    decisions = read_decisions(audited.decisions_path)
    assert decisions.problems == ()
    return [[row[name] for name in ("sha256", "issue", "decision", "new_label")] for row in decisions.rows()]


def test_keys_decide_and_the_saved_file_is_what_the_audit_applies(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(
        tmp_path, 16, suspected=4, clusters=(("pixels", (4, 5)), ("phash", (6, 9, 12)), ("embedding", (7, 10))),
        faults=((13, "blurry"), (13, "dark")),
    )  # fmt: skip
    written = audited.write_page()
    assert written["open"] == {"cluster": 2, "conflict": 1, "fault": 1, "label": 4}
    page.goto(audited.page.as_uri())
    page.get_by_label("Reviewer").fill("Ana")
    page.locator(".card.current").click()
    press(page, "ArrowRight", "o")  # the conflict: image 5 is the one
    press(page, "r", "k", "x")  # suspected labels 0, 1, 2
    press(page, "c")
    page.get_by_placeholder("type to find a class").fill("wolf")
    press(page, "Enter")  # 3: a new class
    press(page, "s", "k")  # of the copies 6, 9, 12 the first is none, the others are
    press(page, "m")
    page.get_by_label("Path or sha256").fill(sha_of(15))
    press(page, "Enter", "k")  # 7 belongs with 15; 7 and 10 are right
    press(page, "x")  # blurry and dark
    assert page.locator("#count").inner_text() == "8 of 8 decided"

    assert sorted(save(page, audited)) == sorted([
        [sha_of(5), "exact_duplicate", "keep_one", "fox"],
        [sha_of(4), "exact_duplicate", "exclude", ""],
        [sha_of(0), "suspect_label", "relabel", "dog"],
        [sha_of(1), "suspect_label", "keep", ""],
        [sha_of(2), "suspect_label", "exclude", ""],
        [sha_of(3), "suspect_label", "relabel", "new:wolf"],
        [sha_of(6), "near_duplicate", "split_group", ""],
        [sha_of(9), "near_duplicate", "keep", ""],
        [sha_of(12), "near_duplicate", "keep", ""],
        [sha_of(7), "group", "merge_group", sha_of(15)],
        [sha_of(7), "near_duplicate", "keep", ""],
        [sha_of(10), "near_duplicate", "keep", ""],
        [sha_of(13), "blurry", "exclude", ""],
        [sha_of(13), "dark", "exclude", ""],
    ])  # fmt: skip
    row = next(row for row in read_decisions(audited.decisions_path).rows() if row["sha256"] == sha_of(0))
    assert (row["reviewer"], row["score_seen"], row["label_seen"]) == ("Ana", "2", "cat")
    resolved, problems = audited.resolved()
    table = resolved.decided
    assert problems == []
    assert table.index[table["excluded"]].tolist() == [2, 4, 13]
    assert table.index[table["label"] != table["given_label"]].tolist() == [0, 3]
    assert [join[:2] for join in resolved.joins] == [("id0007", "id0015")]
    assert resolved.duplicates.groupby("cluster")["image_id"].apply(list).tolist()[1] == ["id0009", "id0012"]
    assert audited.items() == []


def test_a_reload_loses_nothing_and_undo_goes_back(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 9, suspected=5)
    audited.write_page()
    page.goto(audited.page.as_uri())
    page.get_by_label("Reviewer").fill("Ana")
    page.locator(".card.current").click()
    press(page, "k", "r", "x", "u")
    page.reload()
    expect(page.get_by_label("Reviewer")).to_have_value("Ana")
    assert page.locator("#count").inner_text() == "2 of 5 decided"
    assert page.locator("#precision").inner_text() == "of the last 2 suspected labels 1 wrong"
    assert "pictures/0002.jpg" in page.locator(".card.current").inner_text()
    press(page, "b", "u")
    assert page.locator("#count").inner_text() == "1 of 5 decided"
    assert [row[2] for row in save(page, audited)] == ["keep"]


def test_hostile_names_are_only_names_and_come_back_whole(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 9, classes=HOSTILE, suspected=4)
    audited.write_page()
    page.goto(audited.page.as_uri())
    assert page.locator(".card h2").first.inner_text() == f"Labelled {HOSTILE[0]}, looks like {HOSTILE[1]}"
    press(page, "r", "r", "r", "2")  # the second class in alphabetical order
    press(page, "b", "n")
    page.get_by_role("textbox", name="Note").fill('=1+1, "twice"\nand a second line')
    page.get_by_role("button", name="Keep the note").click()
    rows = save(page, audited)
    assert {row[3] for row in rows} == set(HOSTILE)
    assert "\n'=cmd()" not in audited.decisions_path.read_text()
    assert ",'=cmd()," in audited.decisions_path.read_text()
    notes = [row["note"] for row in read_decisions(audited.decisions_path).rows()]
    assert '=1+1, "twice"\nand a second line' in notes
    assert audited.resolved()[0].decided["label"].tolist()[:4] == [*HOSTILE[1:], HOSTILE[0]]
    audited.write_page()  # the note and the names now stand in the page itself
    page.goto(audited.page.as_uri())
    assert page.locator("#end").inner_text() == "Nothing waits for a decision."


def test_a_relabel_in_the_test_split_is_asked_for_twice(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 9, suspected=2, sides=((0, "test"), (1, "train")))
    audited.write_page()
    page.goto(audited.page.as_uri())
    assert page.locator(".card.current .side").inner_text() == "test"
    press(page, "r")
    dialog = page.get_by_role("dialog")
    assert "changes what the test measures" in dialog.inner_text()
    press(page, "Escape")
    assert page.locator("#count").inner_text() == "0 of 2 decided"
    press(page, "r")
    dialog.get_by_role("button", name="Relabel it").click()
    press(page, "r")  # in train it is not asked
    assert page.locator("#count").inner_text() == "2 of 2 decided"


def test_saving_keeps_what_the_file_held_even_what_could_not_be_read(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 9, suspected=3)
    far, mine = "f" * 64, f"{sha_of(1)},suspect_label,keep,,Ben,2026-01-01T00:00:00Z,,9,dog,my cell"
    lines = [
        ",".join([*COLUMNS, "mine"]),
        f"{far},,exclude,,,,elsewhere,,,",
        mine,
        "no, decision",
        f"{far},,keep,,,,,,,",
    ]
    audited.decisions_path.write_text("\n".join(lines) + "\n")
    audited.write_page()
    page.goto(audited.page.as_uri())
    assert "Decided before: keep by Ben; its score was 9 and is now 2." in page.inner_text("main")
    assert "3 lines of decisions.csv cannot be applied" in page.inner_text("body")
    press(page, "j", "x")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save decisions.csv").click()
    download.value.save_as(audited.decisions_path)
    saved = audited.decisions_path.read_text().splitlines()
    assert saved[:2] == lines[:2]
    assert saved[2].startswith(f"{sha_of(1)},suspect_label,exclude,")
    assert saved[3:] == ["no, decision", f"{far},,keep,,,,,,,"]


def test_of_two_decisions_that_contradict_each_other_the_page_saves_the_newer(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 9, suspected=1, faults=((0, "blurry"),))
    audited.write_page()
    page.goto(audited.page.as_uri())
    press(page, "r", "x")  # the same image: another label, then of no use
    assert "It replaces" in page.locator("#toast").inner_text()
    assert save(page, audited) == [[sha_of(0), "blurry", "exclude", ""]]


def test_what_is_decided_again_elsewhere_stands_against_what_this_browser_saved(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 9, suspected=1, faults=((0, "blurry"),))
    header, earlier = ",".join(COLUMNS), f"{sha_of(0)},suspect_label,relabel,dog,Ben,2020-01-01T00:00:00Z,,,cat"
    audited.decisions_path.write_text(f"{header}\n{earlier}\n")
    audited.write_page()
    page.goto(audited.page.as_uri())
    press(page, "x")
    assert save(page, audited) == [[sha_of(0), "blurry", "exclude", ""]]
    audited.decisions_path.write_text(f"{header}\n{earlier.replace('2020', '2099')}\n")
    audited.write_page()
    page.reload()
    assert save(page, audited) == [[sha_of(0), "suspect_label", "relabel", "dog"]]


def test_of_copies_under_two_labels_one_is_kept_and_those_that_were_shown_are_left_out(
    page: Page, tmp_path: Path
) -> None:
    audited = ReviewSet(tmp_path, 12, suspected=0, clusters=(("phash", (0, 1, 3)),))
    audited.write_page()
    page.goto(audited.page.as_uri())
    press(page, "ArrowRight", "x", "ArrowRight", "o", "u", "o")
    save(page, audited)
    table = audited.resolved()[0].decided
    assert table.index[table["excluded"]].tolist() == [1, 3]
    assert audited.items() == []
    grown = ReviewSet(tmp_path / "grown", 12, suspected=0, clusters=(("phash", (0, 1, 3, 4)),))
    audited.decisions_path.rename(grown.decisions_path)
    assert [(item.kind, [one.id for one in item.images]) for item in grown.items()] == [
        ("conflict", ["id0004", "id0000"])  # what is not judged comes first
    ]


def test_right_as_it_is_means_the_label_that_is_shown(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 12, suspected=2)
    seen = [f"{sha_of(n)},suspect_label,relabel,new:wolf,,2020-01-01T00:00:00Z,,,mouse" for n in (0, 1)]
    audited.decisions_path.write_text("\n".join([",".join(COLUMNS), *seen]) + "\n")
    audited.write_page()
    page.goto(audited.page.as_uri())
    assert page.locator(".card h2").first.inner_text() == "Labelled wolf, looks like dog"
    press(page, "k", "c")
    page.get_by_placeholder("type to find a class").fill("wolf")
    press(page, "Enter")
    assert [row[2:] for row in save(page, audited)] == [["relabel", "new:wolf"]] * 2
    assert audited.resolved()[0].decided["label"].tolist()[:2] == ["wolf", "wolf"]


def test_a_merge_stands_beside_what_is_decided_of_the_image_and_a_second_says_what_it_replaces(
    page: Page, tmp_path: Path
) -> None:
    audited = ReviewSet(tmp_path, 15, suspected=0, clusters=(("phash", (0, 3)),))
    audited.write_page()
    page.goto(audited.page.as_uri())
    for other in (13, 14):
        press(page, "m")
        page.get_by_label("Path or sha256").fill(sha_of(other))
        press(page, "Enter")
    assert "It replaces “merged into a group”" in page.locator("#toast").inner_text()
    assert page.locator("#count").inner_text() == "0 of 1 decided"
    press(page, "o")
    assert sorted(save(page, audited)) == sorted([
        [sha_of(0), "group", "merge_group", sha_of(14)],
        [sha_of(0), "near_duplicate", "keep_one", ""],
        [sha_of(3), "near_duplicate", "exclude", ""],
    ])  # fmt: skip
    assert [join[:2] for join in audited.resolved()[0].joins] == [("id0000", "id0014")]


def test_undo_after_a_reload_brings_back_the_line_that_was_replaced(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 9, suspected=1, faults=((0, "blurry"),))
    line = f"{sha_of(0)},suspect_label,relabel,dog,Ben,2020-01-01T00:00:00Z,,,cat"
    audited.decisions_path.write_text(f"{','.join(COLUMNS)}\n{line}\n")
    audited.write_page()
    page.goto(audited.page.as_uri())
    press(page, "x")
    page.reload()
    press(page, "u")
    assert save(page, audited) == [[sha_of(0), "suspect_label", "relabel", "dog"]]


def test_what_was_saved_and_then_taken_out_of_the_file_does_not_come_back(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 9, suspected=3)
    audited.write_page()
    page.goto(audited.page.as_uri())
    press(page, "r", "r")
    save(page, audited)
    lines = audited.decisions_path.read_text().splitlines()
    audited.decisions_path.write_text("\n".join(lines[:2]) + "\n")
    audited.write_page()
    page.goto(audited.page.as_uri())
    assert not page.locator("#kept").is_visible()
    press(page, "j", "k")
    assert [row[0] for row in save(page, audited)] == [sha_of(0), sha_of(2)]


def test_decisions_that_the_file_does_not_hold_are_told_and_may_be_forgotten(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 9, suspected=3)
    audited.write_page()
    page.goto(audited.page.as_uri())
    press(page, "r", "r")
    save(page, audited)
    audited.decisions_path.unlink()
    audited.write_page()
    page.reload()
    assert "2 decisions in this browser are not in the decisions.csv" in page.locator("#kept").inner_text()
    page.get_by_role("button", name="Forget").click()
    assert page.locator("#count").inner_text() == "0 of 3 decided"
    press(page, "k")
    assert [row[2] for row in save(page, audited)] == ["keep"]


def test_an_image_more_loses_no_unsaved_decision_and_another_set_gets_none(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path / "set", 9, suspected=3)
    audited.write_page()
    page.goto(audited.page.as_uri())
    press(page, "r")
    more = ReviewSet(tmp_path / "more", 10, suspected=3)
    more.write_page()
    more.page.replace(audited.page)
    page.reload()
    assert page.locator("#count").inner_text() == "1 of 3 decided"
    other = ReviewSet(tmp_path / "other", 9, suspected=3)
    other.manifest["sha256"] = [sha_of(100 + number) for number in range(9)]
    other.write_page()
    other.page.replace(audited.page)
    page.reload()
    assert page.locator("#count").inner_text() == "0 of 3 decided"
    press(page, "k")
    assert [row[0] for row in save(page, other)] == [sha_of(100)]


def test_below_the_cutoff_one_may_go_on(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 12, suspected=2)
    audited.write_page()
    page.goto(audited.page.as_uri())
    press(page, "r", "r")
    assert page.locator("#count").inner_text() == "2 of 2 decided"
    page.get_by_role("button", name="Further down 10").click()
    press(page, "k", "r")
    assert [row[0] for row in save(page, audited)] == [sha_of(number) for number in range(4)]
    assert page.locator("#precision").inner_text() == "of the last 4 suspected labels 3 wrong"


def test_it_says_when_to_stop(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 70, suspected=60)
    audited.write_page()
    page.goto(audited.page.as_uri())
    press(page, *["r"] * 4, *["k"] * 46)
    assert page.locator("#stop").inner_text().startswith("You can stop: only 4 of the last 50")
    save(page, audited)
    written = audited.write_page()
    assert (written["decided"], written["last_fifty_precision"], written["stop"]) == (50, 0.08, True)


def test_with_six_hundred_questions_a_key_is_answered_at_once(page: Page, tmp_path: Path) -> None:
    audited = ReviewSet(tmp_path, 620, suspected=600)
    assert audited.write_page()["bytes"] < 15_000_000
    page.goto(audited.page.as_uri())
    assert page.locator(".card").count() < 100
    seconds = page.evaluate(
        """() => { const start = performance.now();
        const press = () => document.body.dispatchEvent(new KeyboardEvent("keydown", { key: "k", bubbles: true }));
        for (let i = 0; i < 20; i++) press();
        return (performance.now() - start) / 20000; }"""
    )
    assert seconds < 0.1
    assert page.locator("#count").inner_text() == "20 of 600 decided"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut_off_and_everything_has_a_name(page: Page, tmp_path: Path, scheme: str) -> None:
    audited = ReviewSet(
        tmp_path, 12, classes=("c" * 80, "dog"), suspected=4, clusters=(("phash", tuple(range(4, 10))),)
    )
    audited.write_page()
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=scheme)
    page.goto(audited.page.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    press(page, "?")
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, input, select, textarea, img")].filter((one) => !(
        one.getAttribute("aria-label") || one.getAttribute("alt") || one.textContent.trim() || one.closest("label")
        )).length"""
    )
    assert unnamed == 0
