"""The findings as one HTML file: no network, no script, light and dark, every name of the user escaped."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from automl_cnn.artifacts import replacing
from automl_cnn.errors import DataError
from automl_cnn.monitor import words
from automl_cnn.monitor.charts import course_chart, histogram_chart
from automl_cnn.monitor.checks import Check
from automl_cnn.monitor.watch import Findings

_SHEETS = ("palette.css", "report/style.css", "monitor/style.css")


def write_page(found: Findings, name: str, path: Path) -> None:
    """Write the page, replacing what was there.

    Args:
        found: by `watch`.
        name: of the log, for the heading.
    Raises:
        DataError: it cannot be written there.
    """
    page = render_page(found, name)
    try:
        with replacing(path) as temporary:
            temporary.write_text(page, encoding="utf-8")
    except OSError as error:
        raise DataError(
            str(path), expected="a file that can be written", received=error.strerror or str(error),
            action="Give another place with --html.",
        ) from None  # fmt: skip


def render_page(found: Findings, name: str) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=PackageLoader("automl_cnn", "monitor"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    package = resources.files("automl_cnn")
    least = found.alpha / 100
    return environment.get_template("page.html").render(
        # Our own style sheet and charts: the only texts that are not escaped here; charts escape what they hold.
        style=Markup("\n".join((package / sheet).read_text(encoding="utf-8") for sheet in _SHEETS)),  # noqa: S704
        found=found, name=name, headline=words.headline(found), advice=words.advice(found),
        caveat=words.caveat(found),
        named=words.NAMES, meanings=words.MEANINGS, least=least,
        by_name={check.name: check for check in found.checks},
        value=words.value, chance=lambda p: words.chance(p, least), stability=words.stability,
        histograms=[(check, _histogram(check)) for check in _alarms_first(found) if check.histogram and check.varies],
        courses=_courses(found),
    )  # fmt: skip


def _alarms_first(found: Findings) -> list[Check]:
    return sorted(found.checks, key=lambda check: not check.alarm)


def _histogram(check: Check) -> Markup:
    assert check.histogram is not None
    return Markup(histogram_chart(check.histogram, words.NAMES[check.name]))  # noqa: S704


def _courses(found: Findings) -> list[tuple[str, Markup]]:
    """Charts by heading, of what can be seen over several windows."""
    if len(found.course) < 2:
        return []
    usual = {check.name: check.reference for check in found.checks}
    told = [
        ("Strange images", "strangers", [one.strangers for one in found.course]),
        ("Abstentions", "abstentions", [one.abstentions for one in found.course]),
        ("Mean confidence", "confidence", [one.confidence for one in found.course]),
    ]
    notes = [f"{one.since:%Y-%m-%d %H:%M}, {one.images:,} images" for one in found.course]
    charts = [
        (title, course_chart(shares, _notes(notes, shares), usual.get(key), title, from_zero=key != "confidence"))
        for title, key, shares in told
    ]
    scored = [(note, one.accuracy) for note, one in zip(notes, found.course, strict=True) if one.accuracy is not None]
    if len(scored) > 1 and found.quality is not None:
        shares = [share for _, share in scored]
        labelled = _notes([note for note, _ in scored], shares)
        before = found.quality.reference_accuracy
        charts.append(("Accuracy", course_chart(shares, labelled, before, "Accuracy", from_zero=False)))
    return [(title, Markup(svg)) for title, svg in charts]  # noqa: S704


def _notes(notes: list[str], shares: list[float]) -> list[str]:
    return [f"{note}: {100 * share:.1f} %" for note, share in zip(notes, shares, strict=True)]
