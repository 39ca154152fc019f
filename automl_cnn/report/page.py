"""Write report/: the page, its charts as files, the model card."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from automl_cnn.artifacts import Files, replacing_folder
from automl_cnn.config import Params
from automl_cnn.progress import Progress, silent
from automl_cnn.report import wording
from automl_cnn.report.card import write_card
from automl_cnn.report.charts import accuracy_strip, standalone
from automl_cnn.report.facts import Facts, collect_facts
from automl_cnn.report.snippet import python_snippet


def write_report(params: Params, files: Files, progress: Progress = silent) -> Path:
    """Write report/report.html, report/model_card.md and report/figures/*.svg, replacing what was there.

    Args:
        params: of the run.
        files: every stage before this one has written its artifacts.
        progress: told section by section.
    Returns:
        Path of the page.
    Raises:
        ArtifactError: an artifact is missing, damaged or of another version.
    """
    facts = collect_facts(params, files, progress)
    with replacing_folder(files.report) as folder:
        (folder / "report.html").write_text(render_page(facts), encoding="utf-8")
        (folder / "model_card.md").write_text(write_card(facts), encoding="utf-8")
        (folder / "figures").mkdir()
        for name, svg in _figures(facts).items():
            (folder / "figures" / f"{name}.svg").write_text(standalone(svg), encoding="utf-8")
    return files.report / "report.html"


def render_page(facts: Facts) -> str:
    """The page as HTML: one file, no script, nothing loaded from anywhere, every name of the user escaped."""
    loader = PackageLoader("automl_cnn", "report")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    verbs = (
        wording.percent, wording.percent_range, wording.points, wording.file_size, wording.milliseconds,
        wording.duration, wording.counted, wording.listed,
    )  # fmt: skip
    environment.filters |= {verb.__name__: verb for verb in verbs}
    sheets = (resources.files("automl_cnn") / "palette.css", resources.files("automl_cnn.report") / "style.css")
    style = "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    test, scores = facts.scores.test, facts.scores
    strip = accuracy_strip(
        test["accuracy"],
        test["accuracy_ci95"],
        [("always the most frequent class", scores.majority_share), ("float model", scores.twin["accuracy"])],
    )
    return environment.get_template("template.html").render(
        # Our own style sheet and charts: the only texts that are not escaped here; charts escape what they hold.
        style=Markup(style),  # noqa: S704
        strip=Markup(strip),  # noqa: S704
        charts={name: Markup(svg) for name, svg in _figures(facts).items()},  # noqa: S704
        snippet=python_snippet(facts.use),
        **{name: getattr(facts, name) for name in facts.__dataclass_fields__},
    )


def _figures(facts: Facts) -> dict[str, str]:
    """Charts by name."""
    charts = {"trials": facts.search.chart, "calibration": facts.scores.calibration, **dict(facts.training.charts)}
    return {name: svg for name, svg in charts.items() if svg}
