"""Data that grows by a tenth five times: does any old image change sides, and what does that cost?"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from harness import Result, Target

from automl_cnn.artifacts import DUPLICATES
from automl_cnn.config import SplitParams
from automl_cnn.split.assign import Split, split_images
from automl_cnn.split.groups import build_groups
from automl_cnn.split.ledger import extend_ledger, find_stand

STEPS, GROWTH, SEED = 5, 0.1, 1
_SETS = (("clothing", "sender_id"), ("magnetic-tile", "group"))


def run(data: Path) -> Result:
    """Grow each set through the ledger; beside it, every size split afresh, as a tool without a memory does."""
    result = Result("split-growth", {"steps": STEPS, "growth": GROWTH, "seed": SEED})
    rows, moved = [], 0
    for name, column, images in [("generated", "group", _generated()), *_real(data)]:
        for step, told in enumerate(_grow(images, column)):
            rows.append((name, step, *told))
            moved += told[2]
    result.table(
        "Growth by a tenth at a time",
        ("set", "step", "images", "quarantined", "old images moved", "moved when split afresh", "ratio error",
         "ratio error afresh", "distance", "distance afresh", "missing"), rows,
    )  # fmt: skip
    result.targets.append(Target("old images moved", moved, at_most=0))
    return result


def _grow(images: pd.DataFrame, column: str) -> list[tuple[object, ...]]:
    """Images come in random order, so that new ones belong to old groups and to new ones."""
    order = np.random.default_rng(SEED).permutation(len(images))
    sizes = [round(len(images) / (1 + GROWTH) ** (STEPS - step)) for step in range(STEPS + 1)]
    ledger = pd.DataFrame({name: pd.Series([], dtype="str") for name in ("sha256", "pixel_sha", "path", "split")})
    ledger["generation"] = pd.Series([], dtype="int64")
    before, before_afresh, told = {}, {}, []
    for size in sizes:
        decided = images.iloc[np.sort(order[:size])].reset_index(drop=True)
        groups = build_groups(decided, _no_duplicates(), ["column"], column)
        stand = find_stand(decided, groups.table, groups.joins, ledger)
        ids = decided["image_id"]
        earlier = {name: side for name, side in zip(ids, stand.side, strict=True) if side}
        left_out = {name: why for name, why in zip(ids, stand.quarantined, strict=True) if why}
        split = split_images(decided, stand.groups, _no_duplicates(), SplitParams(seed=SEED), earlier, left_out)
        afresh = split_images(decided, groups.table, _no_duplicates(), SplitParams(seed=SEED))
        now, now_afresh = (dict(zip(ids, each.table["split"], strict=True)) for each in (split, afresh))
        told.append((
            size, split.report["images"].get("quarantine", 0), sum(now[name] != side for name, side in before.items()),
            sum(now_afresh[name] != side for name, side in before_afresh.items()), *_errors(split, afresh),
            len(split.report["missing_classes"]),
        ))  # fmt: skip
        ledger = extend_ledger(ledger, decided, split.table["split"].tolist())
        before, before_afresh = now, now_afresh
    return told


def _errors(split: Split, afresh: Split) -> tuple[float, ...]:
    """Largest ratio error of each, then mean class distance of each."""
    reports = [split.report, afresh.report]
    ratios = [
        max(abs(report["ratios"]["got"][side] - share) for side, share in report["ratios"]["wanted"].items())
        for report in reports
    ]
    return (*ratios, *(float(np.mean(list(report["class_distance"].values()))) for report in reports))


def _generated() -> pd.DataFrame:
    """Ten thousand images in a thousand groups of heavy-tailed size, eight classes."""
    rng = np.random.default_rng(SEED)
    weight = rng.pareto(1.5, 1000) + 0.05
    group = rng.choice(1000, 10_000, p=weight / weight.sum())
    own = rng.choice(8, (1000, 2), p=0.7 ** np.arange(8) / (0.7 ** np.arange(8)).sum())
    label = own[group, (rng.random(10_000) < 0.3).astype(int)]
    return _manifest([f"c{k}/{n}" for n, k in enumerate(label)], [f"c{k}" for k in label], "group", group.astype(str))


def _real(data: Path) -> list[tuple[str, str, pd.DataFrame]]:
    found = []
    for name, column in _SETS:
        if not (data / name / "metadata.csv").exists():
            print(f"{data / name} is absent: skipped")
            continue
        table = pd.read_csv(data / name / "metadata.csv", dtype="str")
        found.append((name, column, _manifest(table["path"].tolist(), table["label"].tolist(), column, table[column])))
    return found


def _manifest(paths: list[str], labels: list[str], column: str, values: object) -> pd.DataFrame:
    """What build_groups, the ledger and the split read of a manifest after decisions; no two images are copies."""
    return pd.DataFrame({
        "image_id": paths, "path": paths, "label": labels, "sha256": paths, "pixel_sha": paths, "status": "ok",
        "excluded": False, "capture_time": None, "camera": None, column: values,
    })  # fmt: skip


def _no_duplicates() -> pd.DataFrame:
    return pd.DataFrame(columns=list(DUPLICATES.columns))
