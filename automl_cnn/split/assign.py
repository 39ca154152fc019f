"""Train, validation, test and quarantine: the split of the images, and the counted proof that nothing leaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from automl_cnn.artifacts import SPLITS
from automl_cnn.config import SplitParams
from automl_cnn.errors import SplitError
from automl_cnn.split.solver import assign_groups

SIDES = ("train", "validation", "test")
QUARANTINE = "quarantine"
_CLASSES_SHOWN = 10


@dataclass(frozen=True)
class Split:
    """What `split_images` returns.

    Attributes:
        table: SPLITS, one row an image of the manifest, in its order.
        report: what split/report.json holds.
    """

    table: pd.DataFrame
    report: dict[str, Any]


def split_images(decided: pd.DataFrame, groups: pd.DataFrame, duplicates: pd.DataFrame, params: SplitParams) -> Split:
    """Split the images so that no group stands on two sides and every class stands on each.

    Args:
        decided: MANIFEST table after the reviewer's decisions: labels replaced, `excluded` (bool) beside them.
        groups: GROUPS table of the same images.
        duplicates: DUPLICATES table, to count on the result that no cluster is torn apart.
        params: ratios and seed.
    Raises:
        SplitError: fewer than two classes; a class with fewer than three groups; groups so entangled that no split has
            every class on every side.
    """
    by_image = groups.set_index("image_id")
    table = pd.DataFrame({
        "image_id": decided["image_id"], "path": decided["path"], "label": decided["label"],
        "group": decided["image_id"].map(by_image["group"]), "split": QUARANTINE,
        "reason": decided["image_id"].map(by_image["reason"]),
    }, columns=list(SPLITS.columns)).astype("str").reset_index(drop=True)  # fmt: skip
    broken = (decided["status"] != "ok").to_numpy()
    excluded = decided["excluded"].to_numpy(bool) & ~broken
    table.loc[excluded, "reason"] = "excluded by a reviewer"
    table.loc[broken, "reason"] = [f"broken: {status}" for status in decided.loc[broken, "status"]]
    used = ~(broken | excluded)

    counts = pd.crosstab(table.loc[used, "group"], table.loc[used, "label"])
    _check_classes(counts)
    ratios = [params.ratios.train, params.ratios.validation, params.ratios.test]
    names = counts.index.astype(str).tolist()
    sides = assign_groups(names, counts.to_numpy(np.int64), ratios, params.seed)
    if sides is None:
        raise SplitError(
            "split", expected="every class in train, validation and test",
            received=f"{len(counts):,} groups that hold {counts.shape[1]} classes so entangled that no split has them",
            action="Merge classes, collect more groups, or take another split.group_by.",
        )  # fmt: skip
    side_of = {name: SIDES[side] for name, side in zip(names, sides.tolist(), strict=True)}
    table.loc[used, "split"] = table.loc[used, "group"].map(side_of)
    return Split(table, _report(table, duplicates, dict(zip(SIDES, ratios, strict=True))))


def _check_classes(counts: pd.DataFrame) -> None:
    if counts.shape[1] < 2:
        raise SplitError(
            "split", expected="at least two classes of usable images",
            received=", ".join(map(str, counts.columns)) or "no usable image",
            action="Look at audit/issues.parquet and decisions.csv, or add images of another class.",
        )  # fmt: skip
    groups, images = (counts > 0).sum(), counts.sum()
    scarce = [label for label in counts.columns if groups[label] < len(SIDES)]
    if scarce:
        told = [f"{label} ({_plural(images[label], 'image')} in {_plural(groups[label], 'group')})" for label in scarce]
        more = f" and {len(told) - _CLASSES_SHOWN} more" if len(told) > _CLASSES_SHOWN else ""
        raise SplitError(
            "split", expected="at least three groups a class, one each for train, validation and test",
            received=", ".join(told[:_CLASSES_SHOWN]) + more,
            action="Merge the class with another or exclude its images (decisions.csv), collect more of it, or take "
            "another split.group_by.",
        )  # fmt: skip


def _report(table: pd.DataFrame, duplicates: pd.DataFrame, wanted: dict[str, float]) -> dict[str, Any]:
    """Everything is counted on the finished table, not taken from the solver."""
    used = table[table["split"] != QUARANTINE]
    counts = pd.crosstab(used["split"], used["label"]).reindex(SIDES, fill_value=0)
    cluster = used["image_id"].map(dict(zip(duplicates["image_id"], duplicates["cluster"], strict=True)))
    torn_groups = int((used.groupby("group")["split"].nunique() > 1).sum())
    torn_clusters = int((used["split"].groupby(cluster).nunique() > 1).sum())
    sizes = used["group"].value_counts()
    per_side = counts.to_numpy(float)
    got = per_side.sum(axis=1) / per_side.sum()
    distance = np.abs(per_side / per_side.sum(axis=1, keepdims=True) - per_side.sum(axis=0) / per_side.sum()).sum(
        axis=1
    )
    return {
        "leaks": torn_groups + torn_clusters,
        "leaking_groups": torn_groups,
        "leaking_duplicate_clusters": torn_clusters,
        "images": {side: int(n) for side, n in table["split"].value_counts().sort_index().items()},
        "ratios": {
            "wanted": wanted,
            "got": {side: round(share, 4) for side, share in zip(SIDES, got.tolist(), strict=True)},
        },
        "class_counts": {
            side: dict(zip(map(str, counts.columns), row, strict=True))
            for side, row in zip(SIDES, counts.to_numpy().tolist(), strict=True)
        },
        "class_distance": {side: round(d / 2, 4) for side, d in zip(SIDES, distance.tolist(), strict=True)},
        "missing_classes": [
            {"class": str(label), "split": side}
            for side in SIDES for label in counts.columns if not counts.loc[side, label]
        ],
        "groups": len(sizes),
        "largest_group": {"group": str(sizes.index[0]), "images": int(sizes.max())},
    }  # fmt: skip


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
