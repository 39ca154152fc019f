"""What split/report.json says: everything is counted on the finished table, nothing is taken from the solver's word."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from automl_cnn.split.solver import Assignment
from automl_cnn.split.tally import class_distance, tally

SIDES = ("train", "validation", "test")
QUARANTINE = "quarantine"
NO_FOLD = -1


def prove_split(
    table: pd.DataFrame, duplicates: pd.DataFrame, wanted: dict[str, float], found: Assignment
) -> dict[str, Any]:
    """Count leaks, sizes and classes.

    Args:
        table: SPLITS table.
        duplicates: DUPLICATES table, to count that no cluster is torn apart.
        wanted: share of each side.
        found: how the solver came to it.
    """
    used = table[table["split"] != QUARANTINE]
    told = tally(used["split"], used["label"], rows=list(SIDES))
    copies = used[used["image_id"].isin(duplicates["image_id"])]
    cluster = copies["image_id"].map(dict(zip(duplicates["image_id"], duplicates["cluster"], strict=True)))
    torn_groups = _torn(used["split"], used["group"])
    torn_clusters = _torn(copies["split"], cluster)
    sizes = used["group"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    images = told.counts.sum(axis=1)
    return {
        "leaks": torn_groups + torn_clusters,
        "leaking_groups": torn_groups,
        "leaking_duplicate_clusters": torn_clusters,
        "images": {side: int(n) for side, n in table["split"].value_counts().sort_index().items()},
        "ratios": {
            "wanted": wanted,
            "got": _by_name(SIDES, [round(share, 4) for share in (images / images.sum()).tolist()]),
        },
        "class_counts": {
            side: dict(zip(told.labels, row, strict=True))
            for side, row in zip(SIDES, told.counts.tolist(), strict=True)
        },
        "class_distance": _by_name(SIDES, [round(d, 4) for d in class_distance(told.counts).tolist()]),
        "missing_classes": [
            {"class": label, "split": side}
            for side, row in zip(SIDES, told.counts, strict=True)
            for label, count in zip(told.labels, row.tolist(), strict=True) if not count
        ],
        "missing_classes_unavoidable": found.unavoidable,
        "groups": len(sizes),
        "largest_group": {"group": str(sizes.index[0]), "images": int(sizes.max())},
        "solver": found.solver,
        "objective": round(found.objective, 6),
    }  # fmt: skip


def prove_folds(table: pd.DataFrame, count: int, found: Assignment) -> dict[str, Any]:
    """Count the same of the cross-validation folds.

    Args:
        table: SPLITS table with the column fold.
        count: of folds.
        found: how the solver came to them.
    """
    dealt = table[table["fold"] != NO_FOLD]
    told = tally(dealt["fold"].astype(str), dealt["label"], rows=[str(fold) for fold in range(count)])
    groups_with = dealt.groupby("label")["group"].nunique()
    return {
        "count": count,
        "leaks": _torn(dealt["fold"], dealt["group"]),
        "images": told.counts.sum(axis=1).tolist(),
        "class_distance": [round(d, 4) for d in class_distance(told.counts).tolist()],
        "missing_classes": [
            {"class": label, "fold": fold, "groups": int(groups_with[label])}
            for fold, row in enumerate(told.counts)
            for label, images in zip(told.labels, row.tolist(), strict=True) if not images
        ],
        "missing_classes_unavoidable": found.unavoidable,
        "solver": found.solver,
        "objective": round(found.objective, 6),
    }  # fmt: skip


def tell_leaks(report: dict[str, Any]) -> list[str]:
    """A sentence where a group or a cluster of duplicates is torn; it takes what `prove_split` returned."""
    if not report["leaks"]:
        return []
    groups, clusters = report["leaking_groups"], report["leaking_duplicate_clusters"]
    return [
        f"The split leaks: {groups:,} group{'' if groups == 1 else 's'} and {clusters:,} "
        f"cluster{'' if clusters == 1 else 's'} of duplicates stand on more than one side. Accuracy will be overstated."
    ]


def _torn(place: pd.Series, together: pd.Series) -> int:
    """Groups or clusters that stand in more than one place."""
    place_of, places = pd.factorize(place)
    one_of, ones = pd.factorize(together)
    stands = np.zeros((len(ones), len(places)), bool)
    stands[one_of, place_of] = True
    return int((stands.sum(axis=1) > 1).sum())


def _by_name(names: tuple[str, ...], values: list[float]) -> dict[str, float]:
    return dict(zip(names, values, strict=True))
