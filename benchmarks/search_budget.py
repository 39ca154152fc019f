"""What search.budget_minutes promises, and what the stages that it covers take: search, train, quantize, evaluate.

python benchmarks/search.py budget --set clothing --minutes 3 10 30

`automl-cnn run` in a project of its own, without any cache, with the preset that fits the promise. The clock is this
benchmark's: from DVC's line that it runs the stage search to its line that it runs the stage report, so that starting
Python, loading TensorFlow and DVC's own hashing count. Ingest, features, audit and split come before it and are told
beside it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import Result, Target
from search_course import source_digest
from search_project import REPOSITORY, environment, make_project, preset_of
from search_sets import ImageSet

MINUTES = (3.0, 10.0, 30.0)
COVERED, AFTER = ("search", "train", "quantize", "evaluate"), "report"
TOLERANCE = 0.10


@dataclass(frozen=True)
class Kept:
    """One promise, and what came of it.

    Attributes:
        minutes: promised.
        preset: that was run.
        seconds: by stage, as DVC began one and the next.
        accuracy: of the file that ships, on the project's own test split.
        own: what the pipeline itself says of its budget, artifacts/search/budget.json; empty where it says nothing.
        ended: "well", or what went wrong.
    """

    minutes: float
    preset: str
    seconds: dict[str, float]
    accuracy: float
    own: dict[str, Any]
    ended: str

    @property
    def actual_min(self) -> float:
        if self.ended != "well":
            return float("nan")
        return sum(self.seconds[stage] for stage in COVERED) / 60


def run(images: ImageSet, work: Path, minutes: tuple[float, ...], fresh: bool = False) -> Result:
    """Run the pipeline once a promise.

    Args:
        images: training and validation images; the pipeline splits them by itself.
        work: what is kept goes to <work>/budget; projects are temporary, because DVC wants them outside a checkout.
        minutes: promises.
        fresh: measure again what was measured before.
    """
    result = Result(
        "search-budget", {"set": f"{images.name}, {len(images.table):,} images", "minutes": minutes, "covered": COVERED}
    )
    found = []
    for number, promised in enumerate(sorted(minutes)):
        left = sum(sorted(minutes)[number:])
        print(f"promise of {promised:g} minutes; about {left:g} min and the stages before the search to go", flush=True)
        found.append(_kept(images, work / "budget", promised, fresh))
    result.table(
        "Promised and actual, in minutes",
        ("preset", "promised", "actual", "actual / promised", *COVERED, "before the search", "test accuracy", "ended"),
        [_row(kept) for kept in found],
    )  # fmt: skip
    for kept in found:
        ratio = kept.actual_min / kept.minutes
        name = f"actual / promised, {kept.minutes:g} min"
        result.targets += [Target(name, ratio, at_most=1 + TOLERANCE), Target(name, ratio, at_least=1 - TOLERANCE)]
    result.settings["the pipeline's own account"] = {f"{kept.minutes:g} min": kept.own for kept in found}
    return result


def _kept(images: ImageSet, folder: Path, minutes: float, fresh: bool) -> Kept:
    source = source_digest(REPOSITORY / "automl_cnn", REPOSITORY / "pipelines", Path(__file__))
    path = folder / f"{images.name}-{len(images.table)}-{minutes:g}min-{source}.json"
    if fresh or not path.exists():
        kept = _measure(images, minutes)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(kept), indent=1, default=float), encoding="utf-8")
    return Kept(**json.loads(path.read_text(encoding="utf-8")))


def _measure(images: ImageSet, minutes: float) -> Kept:
    preset = preset_of(minutes)
    with tempfile.TemporaryDirectory(prefix="automl-cnn-budget-") as temporary:
        project = Path(temporary) / "project"
        make_project(
            project,
            {"data.root": images.root.resolve(), "data.labels": "images.csv", "data.group_column": "group",
             "search.preset": preset, "search.budget_minutes": minutes},
        )  # fmt: skip
        images.table[["path", "label", "group"]].to_csv(project / "images.csv", index=False)
        seconds, code = _run(project, minutes)
        own = _json(project / "artifacts" / "search" / "budget.json")
        metrics = _json(project / "artifacts" / "evaluation" / "metrics.json")
        ended = "well" if not code and AFTER in seconds else _failure(project, code)
        accuracy = float(metrics["test"]["accuracy"]) if metrics else float("nan")
        return Kept(minutes, preset, seconds, accuracy, own, ended)


def _run(project: Path, minutes: float) -> tuple[dict[str, float], int]:
    """`automl-cnn run` to its end: seconds by stage, and its exit code; what it prints is kept in printed.txt."""
    process = subprocess.Popen(
        [sys.executable, "-c", "from automl_cnn.cli import main; main()", "run"],
        cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8", errors="replace",
        env={**environment(project), "PYTHONUNBUFFERED": "1", "COLUMNS": "200", **_quiet()},
    )  # fmt: skip
    begun: list[tuple[str, float]] = []
    assert process.stdout is not None
    with (project / "printed.txt").open("w", encoding="utf-8") as printed:
        for text in process.stdout:
            printed.write(text)
            if stage := re.search(r"Running stage '(\w+)'", text):
                begun.append((stage[1], time.perf_counter()))
                print(f"  {minutes:g} min: {stage[1]} begins", flush=True)
    code = process.wait()
    ends = [at for _, at in begun[1:]] + [time.perf_counter()]
    return {name: round(end - at, 2) for (name, at), end in zip(begun, ends, strict=True)}, code


def _quiet() -> dict[str, str]:
    return {} if "TF_CPP_MIN_LOG_LEVEL" in os.environ else {"TF_CPP_MIN_LOG_LEVEL": "3"}


def _failure(project: Path, code: int) -> str:
    lines = [line.strip() for line in (project / "printed.txt").read_text(encoding="utf-8").splitlines()]
    last = next((line for line in reversed(lines) if line), "it printed nothing")
    return f"code {code}: {last[:200]}"


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _row(kept: Kept) -> tuple[Any, ...]:
    covered = (round(kept.seconds.get(stage, float("nan")) / 60, 2) for stage in COVERED)
    names = list(kept.seconds)
    before = names[: names.index(COVERED[0])] if COVERED[0] in names else names
    return (
        kept.preset, kept.minutes, kept.actual_min, kept.actual_min / kept.minutes, *covered,
        sum(kept.seconds[name] for name in before) / 60, kept.accuracy, kept.ended,
    )  # fmt: skip
