"""What the report says of how the run was made: commit, data digest, seeds, versions, times."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from automl_cnn.artifacts import Files, read_json, read_lines
from automl_cnn.config import Params
from automl_cnn.tracking.finished import read_images, table_digest
from automl_cnn.tracking.lineage import lineage_tags

STAGES = ("ingest", "features", "audit", "split", "search", "train", "quantize", "evaluate", "explain")
# Places of this machine, and addresses that may hold a password: the page is passed around.
_HIDDEN = ("data.root", "tracking.uri", "tracking.registry_uri")
_PATHS = ("data.labels", "audit.decisions", "search.weights_dir")  # only their last part is told
_PACKAGES = ("automl-cnn", "tensorflow", "keras", "tf-keras", "keras-tuner", "ai-edge-litert", "numpy", "scikit-learn")


@dataclass(frozen=True)
class UseFacts:
    """What one needs to know to run the file."""

    labels: tuple[str, ...]
    input_size_px: int
    working_size_px: int
    resize: str


@dataclass(frozen=True)
class RunFacts:
    """How the run was made.

    Attributes:
        stage_seconds: seconds by stage, only those that are known.
        seeds: by section of params.yaml.
        parameters: key path and value as text; addresses and places of this machine are left out.
        commit: of the project's git checkout; empty outside one.
        uncommitted: whether the checkout differed from it, so that the commit alone is not what ran.
        data_digest: 32 hex digits over path, label and pixels of every image, as the record in MLflow has it.
        versions: of Python and of the packages that decide results.
    """

    preset: str
    stage_seconds: tuple[tuple[str, float], ...]
    seeds: tuple[tuple[str, int], ...]
    parameters: tuple[tuple[str, str], ...]
    commit: str
    uncommitted: bool
    data_digest: str
    versions: tuple[tuple[str, str], ...]


def read_use(files: Files) -> UseFacts:
    """What preprocessing.json and labels.txt say.

    Raises:
        ArtifactError: one of them is missing or damaged.
    """
    how = read_json(files.quantized / "preprocessing.json")
    labels = tuple(read_lines(files.quantized / "labels.txt"))
    return UseFacts(labels, int(how["input_size_px"]), int(how["working_size_px"]), str(how["resize"]))


def read_run(params: Params, files: Files) -> RunFacts:
    """Gather what it takes to repeat the run.

    Args:
        params: of the run.
        files: its project's git commit is that of the folder that holds artifacts/.
    Raises:
        ArtifactError: the manifest or the split is missing or damaged.
    """
    seconds = []
    for stage in STAGES:
        path = files.timings / f"{stage}.json"
        if path.exists():
            seconds.append((stage, float(read_json(path)["seconds"])))
    sections, lineage = params.model_dump(mode="json"), lineage_tags(files.root.parent)
    return RunFacts(
        preset=params.search.preset,
        stage_seconds=tuple(seconds),
        seeds=tuple((name, values["seed"]) for name, values in sections.items() if "seed" in values),
        parameters=tuple(
            (f"{section}.{key}", _as_text(f"{section}.{key}", value))
            for section, values in sections.items()
            for key, value in values.items()
            if f"{section}.{key}" not in _HIDDEN
        ),
        commit=lineage.get("git.commit", ""),
        uncommitted=lineage.get("git.dirty") == "true",
        data_digest=table_digest(read_images(files)[["image_id", "label", "pixel_sha"]]),
        versions=(("python", platform.python_version()), *_versions()),
    )


def _versions() -> list[tuple[str, str]]:
    known = []
    for name in _PACKAGES:
        try:
            known.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return known


def _as_text(key: str, value: object) -> str:
    if isinstance(value, list):
        return ", ".join(str(part) for part in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {part}" for name, part in value.items())
    if value is None:
        return "–"
    return Path(str(value)).name if key in _PATHS else str(value)
