"""The report in a real Chromium: values on hover and on focus, tables as CSV, phone, dark, paper, no network."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import needs_chromium
from playwright.sync_api import Browser, BrowserContext, Page
from report_run import write_report_run

from automl_cnn.artifacts import Files, read_json
from automl_cnn.report.page import write_report

HOSTILE = ["=1+1", "<script>document.title='run'</script>", '@SUM(A1), "b"', "\u202egnp.exe", "-2+3|cmd", "שלום"]
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 860}

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Files:
    params, files = write_report_run(tmp_path_factory.mktemp("plain"), ["red", "green", "blue"])
    write_report(params, files)
    return files


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Files:
    params, files = write_report_run(tmp_path_factory.mktemp("hostile"), HOSTILE)
    write_report(params, files)
    return files


@pytest.fixture
def heard(browser: Browser) -> Iterator[tuple[BrowserContext, list[str]]]:
    """A browser in which every word on the console, every dialog and every request off the page is a failure."""
    context, said = browser.new_context(viewport=DESKTOP), []
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.on("console", lambda message: said.append(f"console: {message.text}"))
    context.on("weberror", lambda error: said.append(f"error: {error.error}"))
    context.on("dialog", lambda dialog: (said.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    context.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else said.append(request.url)
    )
    yield context, said
    context.close()
    assert said == []


@pytest.fixture
def page(heard: tuple[BrowserContext, list[str]], plain: Files) -> Page:
    tab = heard[0].new_page()
    tab.goto((plain.report / "report.html").as_uri())
    return tab


def overflow_px(page: Page) -> int:
    """By how much the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def copied(page: Page, section: str) -> list[list[str]]:
    """The first table of a section, as its button copies it."""
    page.locator(f"#{section} .copy button").first.click()
    page.locator(f"#{section} .copy [role=status]").first.filter(has_text="copied").wait_for()
    text = page.evaluate("navigator.clipboard.readText()")
    return list(csv.reader(io.StringIO(text)))


def test_the_pointer_near_a_point_is_told_its_values(page: Page) -> None:
    chart = page.locator("#training svg").first
    chart.scroll_into_view_if_needed()
    page.wait_for_timeout(200)
    point = chart.locator(".best").bounding_box()
    assert point is not None
    page.mouse.move(point["x"] - 8, point["y"] - 6)  # beside it
    assert page.locator(".tip").inner_text() == "epoch 2: 0.9500, which was kept"
    page.mouse.move(point["x"] - 8, point["y"] - 300)
    assert page.locator(".tip").is_hidden()


def test_the_keyboard_reaches_every_value_of_a_chart(page: Page) -> None:
    chart = page.locator("#training svg").first
    chart.focus()
    said = []
    for key in ("Home", "ArrowRight", "ArrowRight", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
        said.append(page.locator(".tip").inner_text())
    assert [words.partition(":")[0] for words in said] == ["epoch 0", "epoch 1", "epoch 2", "epoch 3", "epoch 0"]
    page.keyboard.press("Escape")
    assert page.locator(".tip").is_hidden()


def test_a_line_of_the_parallel_coordinates_tells_its_trial(page: Page) -> None:
    chart = page.locator("#search svg.wide")
    chart.focus()
    page.keyboard.press("End")
    said = page.locator(".tip").inner_text()
    assert said.startswith("trial 4: macro F1 0.9100 (the winner)")
    assert "dropout 0.4" in said


def test_a_copied_table_holds_the_numbers_in_full(page: Page, plain: Files) -> None:
    test = read_json(plain.evaluation / "metrics.json")["test"]
    rows = copied(page, "test")
    assert rows[0] == ["score", "shipped file", "95 % interval", "float model"]
    assert float(rows[1][1]) == test["accuracy"]
    assert rows[1][2] == f"[{test['accuracy_ci95'][0]}, {test['accuracy_ci95'][1]}]"


def test_a_copied_name_runs_in_no_spreadsheet_and_the_page_says_so(
    heard: tuple[BrowserContext, list[str]], hostile: Files
) -> None:
    tab = heard[0].new_page()
    tab.goto((hostile.report / "report.html").as_uri())
    names = {row[0] for row in copied(tab, "data")[1:]}
    assert names == {"'=1+1", HOSTILE[1], '\'@SUM(A1), "b"', "\ufffdgnp.exe", "'-2+3|cmd", "שלום"}
    said = tab.locator("#data .copy [role=status]").first.inner_text()
    assert said == "7 lines copied; an apostrophe stands before 3 of the cells, which a spreadsheet would run"
    assert "behind an apostrophe" in tab.locator("footer").inner_text()


def test_hostile_names_run_nothing(heard: tuple[BrowserContext, list[str]], hostile: Files) -> None:
    tab = heard[0].new_page()
    tab.goto((hostile.report / "report.html").as_uri())
    assert tab.title() == "tiles: image classifier"
    assert tab.locator("script").count() == 1
    assert tab.locator("#data td.name").all_inner_texts()
    assert HOSTILE[1] in tab.locator("#data td.name").all_inner_texts()


def test_a_script_that_found_its_way_into_the_page_would_not_run(
    browser: Browser, plain: Files, tmp_path: Path
) -> None:
    text = (plain.report / "report.html").read_text(encoding="utf-8")
    (tmp_path / "report.html").write_text(text.replace("</main>", "<script>document.title='run'</script></main>"))
    tab = browser.new_page()
    tab.goto((tmp_path / "report.html").as_uri())
    assert tab.title() == "tiles: image classifier"
    tab.close()


def test_the_switch_shows_where_the_model_looked_without_any_script(browser: Browser, plain: Files) -> None:
    context = browser.new_context(viewport=DESKTOP, java_script_enabled=False)
    tab = context.new_page()
    tab.goto((plain.report / "report.html").as_uri())
    heat, picture = tab.locator("#failures .heat.answer").first, tab.locator("#failures .frame img").first
    assert heat.evaluate("element => getComputedStyle(element).opacity") == "0"
    tab.get_by_label("what spoke for its answer").check()
    assert heat.evaluate("element => getComputedStyle(element).opacity") == "1"
    assert heat.bounding_box() == picture.bounding_box()
    context.close()


def test_without_script_marks_keep_their_titles_and_there_is_no_dead_button(browser: Browser, plain: Files) -> None:
    context = browser.new_context(viewport=DESKTOP, java_script_enabled=False)
    tab = context.new_page()
    tab.goto((plain.report / "report.html").as_uri())
    assert tab.locator("button").count() == 0
    assert "copied as CSV" not in tab.locator("footer").inner_text()
    assert tab.locator("#training svg .mark title").first.text_content() == "epoch 0: 0.9100"
    tab.locator("#search details summary").first.click()
    assert tab.locator("#search details table").first.is_visible()
    context.close()


@pytest.mark.parametrize("kind", ["plain", "hostile"])
@pytest.mark.parametrize("width", [360, 390, 768, 1280])
def test_no_width_makes_the_page_scroll_sideways(
    heard: tuple[BrowserContext, list[str]], request: pytest.FixtureRequest, kind: str, width: int
) -> None:
    files: Files = request.getfixturevalue(kind)
    tab = heard[0].new_page()
    tab.set_viewport_size({"width": width, "height": 844})
    tab.goto((files.report / "report.html").as_uri())
    tab.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert overflow_px(tab) == 0


def test_the_first_screen_has_the_scores_and_all_advice(page: Page) -> None:
    last = page.locator(".advice li").last.bounding_box()
    assert last is not None
    assert last["y"] + last["height"] <= DESKTOP["height"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_the_paper_in_light_and_dark(browser: Browser, plain: Files, scheme: str) -> None:
    tab = browser.new_page(color_scheme=scheme)
    tab.goto((plain.report / "report.html").as_uri())
    paper = luminance(tab.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert paper < 0.05 if scheme == "dark" else paper > 0.9
    for selector, property_name in (
        ("p", "color"), (".note", "color"), (".advice b", "color"), ("svg text", "fill"), ("summary", "color"),
        (".copy button", "color"), ("td", "color"),
    ):  # fmt: skip
        ink = luminance(
            tab.locator(f"main {selector}, header {selector}").first.evaluate(
                f"element => getComputedStyle(element).{property_name}"
            )
        )
        lighter, darker = max(ink, paper), min(ink, paper)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5, selector  # WCAG AA
    tab.close()


def test_on_paper_folded_parts_are_open_and_buttons_are_gone(page: Page) -> None:
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("details:not([open])").count() == 0
    assert page.locator(".copy").first.is_hidden()
    assert page.locator("#search details table").first.is_visible()
    assert overflow_px(page) == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("details[open]").count() == 0
    assert page.pdf(format="A4").startswith(b"%PDF")


def luminance(colour: str) -> float:
    """Relative luminance of rgb(…), 0…1. Source: WCAG 2.1."""
    parts = [float(part) / 255 for part in colour.partition("(")[2].rstrip(")").split(",")[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
