"""A million rows in a hundred thousand groups: seconds and peak memory, each side in a process of its own."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import warnings

import numpy as np
import pandas as pd
from harness import Result, Target

ROWS, GROUPS, CLASSES, FOLDS, SEED = 1_000_000, 100_000, 20, 7, 1
_LIMIT_S = 900  # for StratifiedGroupKFold; ours has no limit but its target


def run() -> Result:
    """Both on the same rows; time without, memory with the making of the rows."""
    result = Result("split-million", {"rows": ROWS, "groups": GROUPS, "classes": CLASSES, "seed": SEED})
    found = {side: _in_a_process(side) for side in ("ours", "sklearn")}
    columns = ("seconds", "peak GiB", "leaks", "missing", "ratio error", "distance")
    result.table(
        f"{ROWS:,} rows in {GROUPS:,} groups of {CLASSES} classes", ("split", *columns),
        [(side, *([told[name] for name in columns] if told else ["over the limit"] * len(columns)))
         for side, told in found.items()],
    )  # fmt: skip
    ours = found["ours"] or {}
    result.targets += [
        Target("seconds", ours["seconds"], at_most=60),
        Target("peak GiB", ours["peak GiB"], at_most=4),
        Target("leaks", ours["leaks"], at_most=0),
        Target("missing classes", ours["missing"], at_most=0),
        Target("ratio error", ours["ratio error"], at_most=0.01),
    ]
    return result


def rows() -> tuple[np.ndarray, np.ndarray]:
    """Group and class of each row, in random order; Pareto group sizes, one to four classes a group, rare classes."""
    rng = np.random.default_rng(SEED)
    weight = rng.pareto(1.3, GROUPS) + 0.05
    group = np.concatenate([np.arange(GROUPS), rng.choice(GROUPS, ROWS - GROUPS, p=weight / weight.sum())])
    share = 0.8 ** np.arange(CLASSES)
    own = rng.choice(CLASSES, (GROUPS, 4), p=share / share.sum())
    label = own[group, rng.choice(4, ROWS, p=[0.7, 0.15, 0.1, 0.05])]
    order = rng.permutation(ROWS)
    return group[order], label[order]


def _in_a_process(side: str) -> dict[str, float] | None:
    try:
        done = subprocess.run(
            [sys.executable, __file__, side], capture_output=True, text=True, timeout=_LIMIT_S, check=True
        )
    except subprocess.TimeoutExpired:
        return None
    told: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return told


def _split(side: str) -> None:
    """Split, measure, and print one line of JSON."""
    from split_instances import WANTED, measure

    group, label = rows()
    side_of, seconds, leaks = (_ours if side == "ours" else _sklearn)(group, label)
    counts = np.zeros((GROUPS, CLASSES), np.int64)
    np.add.at(counts, (group, label), 1)
    found = measure(counts, side_of, leaks, seconds)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({
        "seconds": seconds, "peak GiB": peak, "leaks": leaks, "missing": found.missing,
        "ratio error": found.ratio_error, "distance": found.distance, "wanted": WANTED.tolist(),
    }))  # fmt: skip


def _ours(group: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, float, int]:
    from split_instances import WANTED

    from automl_cnn.artifacts import DUPLICATES
    from automl_cnn.config import Ratios, SplitParams
    from automl_cnn.split.assign import split_images
    from automl_cnn.split.proof import SIDES

    ids = np.char.add("images/", np.char.zfill(np.arange(len(group)).astype(str), 7))
    decided = pd.DataFrame({
        "image_id": ids, "path": ids, "label": np.char.add("class ", label.astype(str)), "status": "ok",
        "excluded": False,
    })  # fmt: skip
    groups = pd.DataFrame({"image_id": ids, "group": np.char.add("group ", group.astype(str)), "reason": ""})
    ratios = Ratios(**dict(zip(SIDES, WANTED.tolist(), strict=True)))
    started = time.perf_counter()
    split = split_images(decided, groups, pd.DataFrame(columns=list(DUPLICATES.columns)), SplitParams(ratios=ratios))
    seconds = time.perf_counter() - started
    side = split.table["split"].map({name: number for number, name in enumerate(SIDES)}).to_numpy(int)
    leaks = int((pd.Series(side).groupby(group).nunique() > 1).sum())
    side_of = np.zeros(GROUPS, int)
    side_of[group] = side
    return side_of, seconds, leaks


def _sklearn(group: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, float, int]:
    from sklearn.model_selection import StratifiedGroupKFold

    started = time.perf_counter()
    side_of = np.zeros(GROUPS, int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for fold, (_, held_out) in enumerate(StratifiedGroupKFold(FOLDS).split(label, label, group)):
            side_of[group[held_out]] = {0: 2, 1: 1}.get(fold, 0)
    return side_of, time.perf_counter() - started, 0


if __name__ == "__main__":
    _split(sys.argv[1])
