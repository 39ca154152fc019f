"""The sets of the accuracy benchmark: where their images are, and which of them the test side holds."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copy2, copytree, rmtree

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from automl_cnn.artifacts import MANIFEST, SPLITS, Files, read_table, write_table
from automl_cnn.data.samples import write_elpv
from automl_cnn.params_file import assign

CHECKOUT = Path(__file__).resolve().parents[1]
VALIDATION_SHARE = 0.15


@dataclass(frozen=True)
class AccuracySet:
    """One set under one protocol.

    Attributes:
        images: folder of the data: clothing, magnetic-tile or elpv.
        protocol: what the test side is, in words.
        objective: of the search, and the figure that is promised.
        sides: (rows of the manifest that are ok, seed) → side of every row; None where the project splits by group.
        group_column: that the project's split keeps together.
        at_least: promised of the shipped file on the test side; None for a figure that nobody has promised.
    """

    images: str
    protocol: str
    objective: str = "accuracy"
    sides: Callable[[pd.DataFrame, int], pd.Series] | None = None
    group_column: str | None = None
    at_least: float | None = None


def _published(manifest: pd.DataFrame, seed: int) -> pd.Series:
    return manifest["official_split"]


def _paper(manifest: pd.DataFrame, seed: int) -> pd.Series:
    """Deitsch et al. 2019: a quarter is the test side, drawn within each defect probability and cell type."""
    strata = manifest["probability"].astype(str) + manifest["cell_type"].astype(str)
    rest, test = train_test_split(manifest.index, test_size=0.25, stratify=strata, random_state=seed)
    train, validation = train_test_split(rest, test_size=VALIDATION_SHARE, stratify=strata[rest], random_state=seed)
    sides = pd.Series(index=manifest.index, dtype="str")
    for name, chosen in (("train", train), ("validation", validation), ("test", test)):
        sides[chosen] = name
    return sides


SETS = {
    "elpv": AccuracySet(
        "elpv", "the paper's: 25 % test, stratified by defect probability and cell type, drawn anew by every seed",
        sides=_paper, at_least=0.902,
    ),
    "clothing": AccuracySet("clothing", "published split", sides=_published, at_least=0.90),
    "clothing-by-sender": AccuracySet("clothing", "this project's split by sender, seed 1", group_column="sender_id"),
    "magnetic-tile": AccuracySet(
        "magnetic-tile", "this project's split by tile, seed 1", "balanced_accuracy", group_column="group",
        at_least=0.60,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Project:
    """A folder in which the stages run, as `automl-cnn` would run them."""

    folder: Path
    files: Files = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "files", Files(self.folder / "artifacts"))

    def stage(self, name: str) -> None:
        """Run one script of pipelines/; its progress goes to the screen."""
        print(f"  {self.folder.name}: {name}", flush=True)
        subprocess.run([sys.executable, f"pipelines/{name}.py"], cwd=self.folder, check=True)

    def set(self, **values: object) -> None:
        """Change params.yaml; section__key for section.key."""
        assignments = [(key.replace("__", "."), _yaml(value)) for key, value in values.items()]
        assign(self.folder / "params.yaml", assignments)


def prepared(name: str, data: Path, work: Path) -> Project | None:
    """The project of a set after the audit, and after the split where the project splits; None where it is absent.

    Args:
        name: of SETS.
        data: the folder that holds clothing and magnetic-tile.
        work: projects are kept there between runs.
    """
    wanted = SETS[name]
    project = Project(work / name / "base")
    last = project.files.audit / "labels.parquet" if wanted.sides else project.files.split / "splits.parquet"
    if last.exists():
        return project
    root, listed = data / wanted.images / "images", data / wanted.images / "metadata.csv"
    if wanted.images == "elpv":
        root, listed = work / "elpv-images", work / "elpv-images" / "metadata.csv"
        write_elpv(root)
    if not root.is_dir():
        print(f"{name}: no {root}, passed over")
        return None
    _new_project(project.folder)
    project.set(data__root=root.resolve(), data__labels=listed.resolve(), data__group_column=wanted.group_column)
    # evaluate reads what the audit says and sees, also where the sides are given
    for stage in ["ingest", "features", "audit", *([] if wanted.sides else ["split"])]:
        project.stage(stage)
    return project


def seeded(name: str, seed: int, base: Project, work: Path) -> Project:
    """A project of its own for one seed: images and features are shared with the base, all else is new."""
    wanted = SETS[name]
    project = Project(work / name / f"seed-{seed}")
    if project.folder.exists():
        return project  # a run that was cut off goes on where its own checkpoints say
    half_made = project.folder.with_suffix(".new")
    rmtree(half_made, ignore_errors=True)
    _new_project(half_made, base.folder / "params.yaml")
    made = Project(half_made)
    (half_made / "artifacts").mkdir()
    (base.folder / ".automl-cnn").mkdir(exist_ok=True)
    (half_made / ".automl-cnn").symlink_to(base.folder / ".automl-cnn")
    for path in (base.files.manifest, base.files.images, base.files.audit, base.files.embeddings):
        (half_made / "artifacts" / path.name).symlink_to(path)
    if wanted.sides is None:
        copytree(base.files.split, made.files.split)
    else:
        _write_split(base.files, made.files, wanted.sides, seed)
    half_made.rename(project.folder)
    return project


def _new_project(folder: Path, params: Path = CHECKOUT / "params.yaml") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    copytree(CHECKOUT / "pipelines", folder / "pipelines", dirs_exist_ok=True)
    copy2(params, folder / "params.yaml")


def _write_split(base: Files, made: Files, sides: Callable[[pd.DataFrame, int], pd.Series], seed: int) -> None:
    manifest = read_table(base.manifest, MANIFEST)
    usable = manifest[manifest["status"] == "ok"].reset_index(drop=True)
    table = pd.DataFrame(
        {
            "image_id": usable["image_id"], "path": usable["path"], "label": usable["label"],
            "group": np.arange(len(usable)).astype(str), "split": sides(usable, seed), "reason": "benchmark",
        }
    )  # fmt: skip
    write_table(made.split / "splits.parquet", table.sort_values("image_id", ignore_index=True), SPLITS)


def _yaml(value: object) -> str:
    return "null" if value is None else str(value)
