"""Write report/: the page, its charts as files, the model card."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from automl_cnn.artifacts import Files, replacing_folder
from automl_cnn.config import Params
from automl_cnn.progress import Progress, silent
from automl_cnn.report import wording
from automl_cnn.report.card import write_card
from automl_cnn.report.charts.plot import standalone
from automl_cnn.report.charts.scores import accuracy_strip
from automl_cnn.report.facts import Facts, collect_facts
from automl_cnn.report.snippet import python_snippet
from automl_cnn.report.trust_facts import CoverageLevel
from automl_cnn.report.verdict import ALONE


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
        (folder / "model_card.md").write_text(write_card(facts, params.report.license), encoding="utf-8")
        (folder / "figures").mkdir()
        for name, svg in facts.charts().items():
            (folder / "figures" / f"{name}.svg").write_text(standalone(svg), encoding="utf-8")
    return files.report / "report.html"


def render_page(facts: Facts) -> str:
    """The page as HTML: one file, nothing loaded from anywhere, every name of the user escaped.

    Its one script is named by its hash in the page's content security policy, so that no other can run.
    """
    environment = Environment(
        loader=PackageLoader("automl_cnn", "report/sections"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, finalize=_tamed,
    )  # fmt: skip
    verbs = (
        wording.percent, wording.percent_range, wording.points, wording.points_range, wording.file_size,
        wording.milliseconds, wording.duration, wording.counted, wording.listed, wording.bounds,
    )  # fmt: skip
    environment.filters |= {verb.__name__: verb for verb in verbs}
    here = resources.files("automl_cnn.report")
    sheets = (resources.files("automl_cnn") / "palette.css", here / "style.css")
    style = "\n".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
    script = (here / "page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii")
    return environment.get_template("page.html").render(
        # Our own style sheet, script and charts: the only texts not escaped here; charts escape what they hold.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        script_hash=f"sha256-{digest}",
        strip=Markup(_strip(facts)),  # noqa: S704
        charts={name: Markup(svg) for name, svg in facts.charts().items()},  # noqa: S704
        snippet=python_snippet(facts.use),
        alone=_alone(facts),
        usual_precision=ALONE,
        **{name: getattr(facts, name) for name in facts.__dataclass_fields__},
    )


def _tamed(value: object) -> object:
    """What a template puts into the page; our own texts are Markup."""
    return wording.tame(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _strip(facts: Facts) -> str:
    test, scores = facts.scores.test, facts.scores
    others = [("always the most frequent class", scores.majority_share), ("float model", scores.twin["accuracy"])]
    return accuracy_strip(test["accuracy"], test["accuracy_ci95"], others)


def _alone(facts: Facts) -> CoverageLevel | None:
    """What it can answer at the precision by which it abstains; None where that is nothing, or not known."""
    return next((level for level in facts.coverage if level.wanted == ALONE and level.answered), None)
