"""Our search on the same images, as a process with a clock: decoding, engine, features, search, training.

Run by search_recipe.py. It runs the pipeline's stages ingest, features, search and train, each in a process of its own
as DVC does, in a project without any cache; the stages audit and split are left out, because the split is given.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import pandas as pd
from search_project import make_project, preset_of, run_stage
from search_sets import ImageSet

from automl_cnn.artifacts import MANIFEST, SPLITS, Files, read_table, write_table

LISTED = "images.csv"


def prepare(
    images: ImageSet, folder: Path, minutes: float, size_px: int, epochs: int, seed: int, backbone: str
) -> None:
    """Make the project; nothing that is timed.

    Args:
        images: training and validation images; the table is kept as CSV, from which ingest reads paths and labels.
        folder: of the project.
        minutes: search.budget_minutes; nothing of it is reserved for quantization-aware training, which no rival does.
        size_px: of the network's input and of the decoded images.
        epochs: of fine-tuning.
        seed: of search and training.
        backbone: the one that is searched.
    """
    make_project(
        folder,
        {
            "data.root": images.root.resolve(), "data.labels": LISTED, "data.working_size_px": size_px,
            "audit.input_size_px": size_px, "search.backbones": [backbone], "search.input_sizes_px": [size_px],
            "search.preset": preset_of(minutes), "search.objective": "accuracy", "search.budget_minutes": minutes,
            "search.seed": seed, "train.epochs": epochs, "train.seed": seed, "quantize.steps": 0,
        },
    )  # fmt: skip
    images.table.to_csv(folder / LISTED, index=False)


def search(folder: Path, events: Path) -> None:
    """Run the stages; write every trial's validation accuracy, and the trained model's, as soon as it is known.

    Args:
        folder: as `prepare` made it.
        events: receives a line of JSON a trial.
    """
    files = Files(folder / "artifacts")
    run_stage(folder, "ingest")
    _write_split(folder, files)
    run_stage(folder, "features")
    trials = Trials(folder / ".automl-cnn" / "search")

    def tell() -> bool:
        for trial in trials.new():
            if trial.get("accuracy") is not None:
                what = {key: trial[key] for key in ("trial_id", "phase") if key in trial}
                _tell(events, trial["accuracy"], **what)
        return True

    run_stage(folder, "search", tell)
    run_stage(folder, "train")
    result = json.loads((files.model / "result.json").read_text(encoding="utf-8"))
    _tell(events, result["validation_accuracy"], trial_id="trained")


class Trials:
    """The lines of a study's log as they are written."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._seen = folder, 0

    def new(self) -> list[dict[str, object]]:
        """The finished trials that have not been given before."""
        lines = [
            line
            for log in sorted(self._folder.glob("*.jsonl"))
            for line in log.read_text(encoding="utf-8").splitlines(keepends=True)
            if line.endswith("\n")
        ]
        fresh, self._seen = lines[self._seen :], len(lines)
        return [json.loads(line) for line in fresh]


def _write_split(folder: Path, files: Files) -> None:
    """What the stage split would write, from the sides that are given."""
    manifest = read_table(files.manifest, MANIFEST)
    given = pd.read_csv(folder / LISTED).set_index("path")
    usable = manifest[manifest["status"] == "ok"]
    table = usable[["image_id", "path", "label"]].assign(
        group=usable["path"].map(given["group"]).astype(str),
        split=usable["path"].map(given["side"]),
        reason="given",
    )
    write_table(files.split / "splits.parquet", table.reset_index(drop=True), SPLITS)


def _tell(events: Path, accuracy: object, **what: object) -> None:
    with events.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"time": time.time(), "accuracy": accuracy, **what}) + "\n")


def main() -> None:
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("folder", type=Path)
    line.add_argument("events", type=Path)
    search(**vars(line.parse_args()))


if __name__ == "__main__":
    main()
