"""A set that grows, and what a random split would pretend, on real images: python benchmarks/split.py growth."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from harness import Result, Target, parser
from numpy.typing import NDArray
from prepared import SETS, Prepared, prepare

from automl_cnn.audit.duplicates import find_copies
from automl_cnn.audit.thumbnails import grey_thumbnails
from automl_cnn.config import AuditParams, SplitParams
from automl_cnn.curate.leak_price import measure_leak_price
from automl_cnn.split.assign import Split, split_images
from automl_cnn.split.groups import build_groups
from automl_cnn.split.ledger import Stand, extend_ledger, find_stand, read_ledger

START, GROWTH, STEPS = 0.6, 1.1, 5  # share of the images at first; by how much it grows, how often
# images: one by one at random; groups: all images of a sender or tile at once; re-sent: as images, and for every twenty
# new images one old one comes once more, in another sender's name
ARRIVALS = ("images", "groups", "re-sent")
RESENT = 0.05
SEEDS = (1, 2)
SIDES = ("train", "validation", "test")
_COLUMNS = (
    "set", "arrival", "seed", "images", "new", "old moved", "leaks", "bridging, left out", "old, left out",
    "missing classes", "class distance, grown", "class distance, fresh", "ratio error, grown", "ratio error, fresh",
)  # fmt: skip


@dataclass(frozen=True)
class Step:
    """One size of a growing set: split with the ledger, and afresh as if no image had stood anywhere."""

    stand: Stand
    grown: Split
    fresh: Split
    old_moved: int


def run(data: Path) -> Result:
    """Grow each set five times by a tenth, each time splitting with the ledger; measure the price of a leak.

    Args:
        data: the folder that holds clothing and magnetic-tile.
    """
    result = Result("growth", {"start": START, "growth": GROWTH, "steps": STEPS, "seeds": SEEDS, "re-sent": RESENT})
    found = [prepared for name in SETS if (prepared := prepare(name, data)) is not None]
    rows: list[tuple[Any, ...]] = []
    for prepared in found:
        thumbnails = grey_thumbnails(prepared.images, prepared.store)
        for arrival, seed in product(ARRIVALS, SEEDS):
            steps = grow(prepared, thumbnails, arrival, seed)
            rows += [(prepared.name, arrival, seed, *_row(step)) for step in steps]
    result.table("Grown by 10 % five times from 60 %; one row a size", _COLUMNS, list(rows))
    prices = [_price(prepared) for prepared in found]
    result.table(
        "What a random split would have pretended, probe on frozen embeddings, train and validation images",
        ("set", "images", "groups", "random folds", "grouped folds", "points", "low", "high", "seconds"), list(prices),
    )  # fmt: skip
    if rows:
        table = pd.DataFrame(rows, columns=list(_COLUMNS))
        plain = table[table["arrival"] != "re-sent"]
        # an image that is left out at one size is, as a rule, at the next: the most at one time count
        left_out = plain.groupby(["set", "arrival", "seed"])["old, left out"].max()
        result.targets += [
            Target("old images moved", int(table["old moved"].sum()), at_most=0),
            # of a set that is re-sent in other names old images do have to go: the table tells how many
            Target("old images left out, no image re-sent", int(left_out.sum()), at_most=0),
            Target("leaks", int(table["leaks"].sum()), at_most=0),
        ]
    return result


def grow(prepared: Prepared, thumbnails: NDArray[np.uint8], arrival: str, seed: int) -> Iterator[Step]:
    """Let images arrive and split at each size."""
    rng = np.random.default_rng(seed)
    order = _order(prepared, arrival, rng)
    ledger, before = read_ledger(Path("no-ledger-yet")), pd.Series(dtype="str")
    again: list[tuple[int, str]] = []  # row of an old image, the name under which it comes once more
    senders = prepared.images[prepared.group_column].to_numpy(np.object_)
    size = 0
    for number in range(STEPS + 1):
        old, size = size, round(len(order) * START * GROWTH**number)
        if arrival == "re-sent" and old:
            repeated = rng.choice(order[:old], round(RESENT * (size - old)), replace=False)
            again += [(int(row), str(senders[rng.choice(order[:old])])) for row in repeated]
        images, rows = _arrived(prepared, np.sort(order[:size]), again)
        duplicates = find_copies(images, thumbnails[rows], prepared.embeddings[rows], AuditParams()).table
        groups = build_groups(images, duplicates, ["column", "duplicates"], prepared.group_column)
        stand = find_stand(images, groups.table, groups.joins, ledger)
        params = SplitParams()
        grown = split_images(images, stand.groups, duplicates, params, stand.earlier, stand.left_out)
        fresh = split_images(images, groups.table, duplicates, params)
        now = grown.table.set_index("image_id")["split"]
        both = now.index.intersection(before.index)
        placed = now[both].isin(SIDES) & before[both].isin(SIDES)
        yield Step(stand, grown, fresh, int((now[both] != before[both])[placed].sum()))
        ledger = extend_ledger(ledger, images, grown.table["split"].tolist())
        # what was left out once is compared with the side it had before that
        before = now.where(now.isin(SIDES), before.reindex(now.index))


def _order(prepared: Prepared, arrival: str, rng: np.random.Generator) -> NDArray[np.intp]:
    if arrival != "groups":
        return rng.permutation(len(prepared.images))
    group, names = pd.factorize(prepared.images[prepared.group_column])
    return np.argsort(rng.permutation(len(names))[group], kind="stable")


def _arrived(
    prepared: Prepared, rows: NDArray[np.intp], again: list[tuple[int, str]]
) -> tuple[pd.DataFrame, NDArray[np.intp]]:
    """The manifest of what has arrived, and which image of the set each row shows."""
    copies = prepared.images.iloc[[row for row, _ in again]].reset_index(drop=True)
    copies["image_id"] = [f"{name}-{number}" for number, name in enumerate(copies["image_id"])]
    copies["path"] = [f"again/{number}-{path}" for number, path in enumerate(copies["path"])]
    copies[prepared.group_column] = [name for _, name in again]
    images = pd.concat([prepared.images.iloc[rows], copies.astype(prepared.images.dtypes)], ignore_index=True)
    return images, np.concatenate([rows, np.array([row for row, _ in again], np.intp)])


def _row(step: Step) -> tuple[Any, ...]:
    grown, fresh, counts = step.grown.report, step.fresh.report, step.stand.counts
    return (
        counts["known"] + counts["new"], counts["new"], step.old_moved, grown["leaks"],
        counts["bridging"], counts["conflicts"], len(grown["missing_classes"]),
        max(grown["class_distance"].values()), max(fresh["class_distance"].values()),
        _ratio_error(grown), _ratio_error(fresh),
    )  # fmt: skip


def _ratio_error(report: dict[str, Any]) -> float:
    ratios = report["ratios"]
    return max(abs(ratios["got"][side] - ratios["wanted"][side]) for side in SIDES)


def _price(prepared: Prepared) -> tuple[Any, ...]:
    """On the development images of a fresh split, groups by the set's own column alone."""
    nothing = pd.DataFrame({"cluster": [], "image_id": []}, dtype="str")
    groups = build_groups(prepared.images, nothing, ["column"], prepared.group_column)
    table = split_images(prepared.images, groups.table, nothing, SplitParams()).table
    inside = np.flatnonzero(table["split"].isin(SIDES[:2]))
    labels, group = (table[column].iloc[inside].to_numpy(np.object_) for column in ("label", "group"))
    started = time.perf_counter()
    price = measure_leak_price(lambda rows: prepared.embeddings[inside[rows]], labels, group, SplitParams().seed)
    print(f"{prepared.name}: {price.sentence}")
    return (
        prepared.name, price.images, price.groups, price.accuracy_random, price.accuracy_grouped, price.points,
        price.low, price.high, time.perf_counter() - started,
    )  # fmt: skip


def main() -> None:
    arguments = parser(__doc__).parse_args()
    run(arguments.data).write(arguments.out)


if __name__ == "__main__":
    main()
