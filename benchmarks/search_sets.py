"""The images that every side of the search benchmark is given: the same files, labels, sides and none of the test's."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from harness import installed

from automl_cnn.config import SplitParams
from automl_cnn.data.samples import write_elpv
from automl_cnn.split.assign import split_images
from automl_cnn.split.groups import build_groups

SETS = ("clothing", "magnetic-tile", "elpv")
GROUPS = {"clothing": "sender_id", "magnetic-tile": "group"}  # ELPV has no such column
SIDES = ("train", "validation")


@dataclass(frozen=True)
class ImageSet:
    """Training and validation images of one set.

    Attributes:
        name: of the set.
        root: the folder that the paths start from.
        table: path, label, group and side (train or validation); the test images are not in it.
    """

    name: str
    root: Path
    table: pd.DataFrame

    def describe(self) -> str:
        counts = self.table["side"].value_counts()
        return f"{counts['train']:,} training, {counts['validation']:,} validation images"


def image_set(name: str, data: Path, work: Path, at_most: int | None = None) -> ImageSet | None:
    """Find a set and its sides; None, said, where it is absent.

    clothing has its published split. magnetic-tile and elpv are split by this project (70/15/15, seed 1), the tiles by
    group; the test side is left out of the table in all three.

    Args:
        name: of SETS.
        data: the folder that holds clothing and magnetic-tile.
        work: ELPV is written here, from the package elpv-dataset.
        at_most: images of both sides together, drawn with each side and class in proportion; None for all.
    """
    if name == "elpv":
        if not installed("elpv-dataset"):
            print("elpv: the package elpv-dataset is not installed, passed over")
            return None
        root = work / "elpv-images"
        write_elpv(root)
        listed = pd.read_csv(root / "metadata.csv")
    else:
        root = data / name / "images"
        if not root.is_dir():
            print(f"{name}: no {root}, passed over")
            return None
        listed = pd.read_csv(data / name / "metadata.csv")
    listed["group"] = listed[GROUPS[name]].astype(str) if name in GROUPS else listed["path"]
    listed["side"] = listed["official_split"] if "official_split" in listed else _split(listed)
    table = listed.loc[listed["side"].isin(SIDES), ["path", "label", "group", "side"]]
    if at_most is not None and at_most < len(table):
        share = at_most / len(table)
        table = table.groupby(["side", "label"], sort=True).sample(frac=share, random_state=1)
    return ImageSet(name, root, table.sort_values("path").reset_index(drop=True))


def _split(listed: pd.DataFrame) -> pd.Series:
    """The side of every image, by the project's own solver."""
    manifest = listed.assign(
        image_id=listed["path"], sha256=listed["path"], pixel_sha=listed["path"], status="ok", excluded=False
    )
    nothing = pd.DataFrame({"cluster": [], "image_id": []}, dtype="str")
    groups = build_groups(manifest, nothing, ["column"], "group")
    sides = split_images(manifest, groups.table, nothing, SplitParams()).table.set_index("image_id")["split"]
    return listed["path"].map(sides)


def write_folders(images: ImageSet, folder: Path) -> None:
    """Make <folder>/<side>/<class>/ of links, as image_dataset_from_directory reads them.

    An earlier folder is replaced. Both sides get a folder for every class, so that the order of classes is the same.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for side in SIDES:
        for label in np.unique(images.table["label"]):
            (folder / side / str(label)).mkdir(parents=True)
    for row in images.table.itertuples(index=False):
        # the class folder of the original is no part of the name: two classes may hold files of one name
        link = folder / row.side / str(row.label) / str(row.path).replace("/", "-")
        link.symlink_to((images.root / row.path).resolve())
