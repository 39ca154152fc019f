"""Train, validation, test and quarantine: the split of the images, its folds, and the proof that nothing leaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import SPLITS
from automl_cnn.config import SplitParams
from automl_cnn.errors import ArtifactError, SplitError
from automl_cnn.split.problem import FREE, Sides
from automl_cnn.split.proof import NO_FOLD, QUARANTINE, SIDES, prove_folds, prove_split, tell_leaks
from automl_cnn.split.relax import Relaxations, explain_entangled, explain_scarce, relaxed_groupings, tell_missing
from automl_cnn.split.solver import Assignment, assign_groups
from automl_cnn.split.tally import Tally, tally


@dataclass(frozen=True)
class Split:
    """What `split_images` returns.

    Attributes:
        table: SPLITS, one row an image of the manifest, in its order; `fold` (int64) is -1 where there is none.
        report: what split/report.json holds; `warnings` are sentences.
    """

    table: pd.DataFrame
    report: dict[str, Any]


def split_images(
    decided: pd.DataFrame,
    groups: pd.DataFrame,
    duplicates: pd.DataFrame,
    params: SplitParams,
    earlier: Mapping[str, str] | None = None,
    left_out: Mapping[str, str] | None = None,
    joins: pd.DataFrame | None = None,
) -> Split:
    """Split the images so that no group stands on two sides and every class stands on each.

    Args:
        decided: MANIFEST table after the reviewer's decisions: labels replaced, `excluded` (bool) beside them.
        groups: GROUPS table of the same images.
        duplicates: DUPLICATES table, to count on the result that no cluster is torn apart.
        params: ratios, folds and seed.
        earlier: image_id → side, for images that have stood somewhere before or are joined to such; their groups stay
            there.
        left_out: image_id → why the image must be quarantined.
        joins: JOINS table, to find out what would have to be given up where a split is impossible.
    Raises:
        SplitError: fewer than two classes; a class with fewer than three groups; groups so entangled that no split has
            every class on every side. It names class and groups and offers the smallest relaxation.
        ArtifactError: an image has no group.
    """
    table, used = _table(decided, groups, left_out or {})
    told = tally(table.loc[used, "group"], table.loc[used, "label"])
    relaxations: Relaxations = {}
    if joins is not None:
        relaxations = relaxed_groupings(joins, table.loc[used, "image_id"].tolist())
    _check_classes(table[used], told, relaxations)
    ratios = [params.ratios.train, params.ratios.validation, params.ratios.test]
    fixed = _standing(table, told.rows, earlier or {})
    found = assign_groups(told.rows, told.counts, ratios, params.seed, fixed)
    if found.missing and (fixed == FREE).all():
        raise explain_entangled(table[used], told, ratios, relaxations, found.unavoidable)
    place = np.full(len(table), len(SIDES))
    place[used] = found.sides[told.row_of]
    table["split"] = pd.array([*SIDES, QUARANTINE], dtype="str").take(place)
    report = prove_split(table, duplicates, dict(zip(SIDES, ratios, strict=True)), found)
    report["warnings"] = tell_leaks(report) + tell_missing(told, found.sides, fixed)
    if params.folds:
        table["fold"], dealt = deal_folds(table, params.folds, params.seed)
        report["folds"] = prove_folds(table, params.folds, dealt)
    return Split(table, report)


def deal_folds(table: pd.DataFrame, count: int, seed: int) -> tuple[Sides, Assignment]:
    """Deal the groups of train and validation to cross-validation folds of equal size.

    Args:
        table: SPLITS table.
        count: of folds, at least 2.
        seed: as in `assign_groups`.
    Returns:
        int64 [n], the fold of each image from 0, -1 for test and quarantine; and how the solver came to it.
    Raises:
        SplitError: fewer groups than folds.
    """
    inside = table["split"].isin(SIDES[:2])
    told = tally(table.loc[inside, "group"], table.loc[inside, "label"])
    if len(told.rows) < count:
        raise SplitError(
            "split.folds", expected="at most one fold a group of train and validation",
            received=f"{count} folds, {len(told.rows)} groups", action=f"Set split.folds to {len(told.rows)} or less.",
        )  # fmt: skip
    found = assign_groups(told.rows, told.counts, [1 / count] * count, seed)
    fold = np.full(len(table), NO_FOLD, np.int64)
    fold[inside] = found.sides[told.row_of]
    return fold, found


def _table(
    decided: pd.DataFrame, groups: pd.DataFrame, left_out: Mapping[str, str]
) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """SPLITS table with every image in quarantine, and which images are to be dealt: bool [n]."""
    place = pd.Index(groups["image_id"]).get_indexer(pd.Index(decided["image_id"]))
    if (place < 0).any():
        raise ArtifactError(
            "audit/groups.parquet", expected="a group for every image of the manifest",
            received=f"none for {int((place < 0).sum()):,} images", action="Run `dvc repro` to audit them.",
        )  # fmt: skip
    table = decided[["image_id", "path", "label"]].astype("str").reset_index(drop=True)
    for column in ("group", "reason"):
        table[column] = groups[column].astype("str").array.take(place)
    table = table.assign(split=QUARANTINE).astype("str")[list(SPLITS.columns)].assign(fold=NO_FOLD)
    broken = (decided["status"] != "ok").to_numpy()
    excluded = decided["excluded"].to_numpy(bool) & ~broken
    barred = table["image_id"].isin(list(left_out)).to_numpy() & ~broken & ~excluded
    table.loc[barred, "reason"] = table.loc[barred, "image_id"].map(left_out)
    table.loc[excluded, "reason"] = "excluded by a reviewer"
    table.loc[broken, "reason"] = [f"broken: {status}" for status in decided.loc[broken, "status"]]
    return table, ~(broken | excluded | barred)


def _standing(table: pd.DataFrame, names: list[str], earlier: Mapping[str, str]) -> Sides:
    """The side that each group already has: int64 [groups]; an excluded image still holds its group's place."""
    standing = table["image_id"].isin(list(earlier))
    side_of = dict(zip(table.loc[standing, "group"], table.loc[standing, "image_id"].map(earlier), strict=True))
    place = {side: number for number, side in enumerate(SIDES)}
    return np.array([place.get(side_of.get(name, ""), FREE) for name in names], np.int64)


def _check_classes(used: pd.DataFrame, told: Tally, relaxations: Relaxations) -> None:
    if len(told.labels) < 2:
        raise SplitError(
            "split", expected="at least two classes of usable images",
            received=", ".join(told.labels) or "no usable image",
            action="Look at audit/issues.parquet and decisions.csv, or add images of another class.",
        )  # fmt: skip
    if ((told.counts > 0).sum(axis=0) < len(SIDES)).any():
        raise explain_scarce(used, told, relaxations)
