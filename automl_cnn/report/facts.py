"""Everything the report and the model card say, collected from artifacts/ before a word is written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from automl_cnn.artifacts import Files, read_json, read_lines
from automl_cnn.config import Params
from automl_cnn.progress import Progress, silent
from automl_cnn.report.data_facts import DataFacts, FaultFacts, SplitFacts, read_data, read_faults, read_split
from automl_cnn.report.model_facts import (
    RungLine,
    SearchFacts,
    TrainingFacts,
    read_ladder,
    read_search,
    read_training,
)
from automl_cnn.report.score_facts import ScoreFacts, read_scores
from automl_cnn.report.thumbnails import Thumbnails
from automl_cnn.report.verdict import Advice, advise

STAGES = ("ingest", "features", "audit", "split", "search", "train", "quantize", "evaluate", "explain")


@dataclass(frozen=True)
class UseFacts:
    """What one needs to know to run the file."""

    labels: tuple[str, ...]
    input_size_px: int
    working_size_px: int
    resize: str


@dataclass(frozen=True)
class RunFacts:
    """How the run was made: seconds by stage (only those that are known), seeds by section, all parameters."""

    preset: str
    stage_seconds: tuple[tuple[str, float], ...]
    seeds: tuple[tuple[str, int], ...]
    parameters: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Facts:
    """The sections of the report, in its order."""

    name: str
    advice: tuple[Advice, ...]
    data: DataFacts
    faults: FaultFacts
    split: SplitFacts
    search: SearchFacts
    training: TrainingFacts
    ladder: tuple[RungLine, ...]
    scores: ScoreFacts
    use: UseFacts
    run: RunFacts


def collect_facts(params: Params, files: Files, progress: Progress = silent) -> Facts:
    """Read every artifact that the report shows.

    Args:
        params: of the run.
        files: where the artifacts lie; those in timings/ may be missing.
        progress: told section by section.
    Raises:
        ArtifactError: an artifact is missing, damaged or of another version.
    """
    thumbnails = Thumbnails(files, params.data.resize)
    progress("reading", 0, 3, "data")
    faults, split = read_faults(files, thumbnails), read_split(files, params)
    data = read_data(files, params, thumbnails)
    progress("reading", 1, 3, "model")
    search, training, ladder = read_search(files), read_training(files), read_ladder(files)
    progress("reading", 2, 3, "scores")
    scores = read_scores(files, thumbnails)
    progress("reading", 3, 3)
    return Facts(
        name=Path(params.data.root).name or "images",  # never the whole path: the page is passed around
        advice=advise(scores, faults, split),
        data=data,
        faults=faults,
        split=split,
        search=search,
        training=training,
        ladder=ladder,
        scores=scores,
        use=_read_use(files),
        run=_read_run(params, files),
    )


def _read_use(files: Files) -> UseFacts:
    how = read_json(files.quantized / "preprocessing.json")
    labels = tuple(read_lines(files.quantized / "labels.txt"))
    return UseFacts(labels, int(how["input_size_px"]), int(how["working_size_px"]), str(how["resize"]))


def _read_run(params: Params, files: Files) -> RunFacts:
    seconds = []
    for stage in STAGES:
        path = files.timings / f"{stage}.json"
        if path.exists():
            seconds.append((stage, float(read_json(path)["seconds"])))
    sections = params.model_dump(mode="json")
    return RunFacts(
        preset=params.search.preset,
        stage_seconds=tuple(seconds),
        seeds=tuple((name, values["seed"]) for name, values in sections.items() if "seed" in values),
        parameters=tuple(
            (f"{section}.{key}", _as_text(value))
            for section, values in sections.items()
            for key, value in values.items()
            if f"{section}.{key}" != "data.root"
        ),
    )


def _as_text(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{key} {part}" for key, part in value.items())
    return "–" if value is None else str(value)
