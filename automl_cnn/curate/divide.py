"""The split as a whole: old images where they were, new ones in groups, and what a random split would have cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.audit.decisions import Decisions
from automl_cnn.audit.settled import relabels_of_test
from automl_cnn.audit.verdicts import apply_decisions, apply_to_duplicates
from automl_cnn.config import SplitParams
from automl_cnn.curate.leak_price import measure_leak_price
from automl_cnn.progress import Progress, silent
from automl_cnn.split.assign import split_images
from automl_cnn.split.ledger import extend_ledger, find_stand

_NAMED = 3


@dataclass(frozen=True)
class Audited:
    """What the audit left of a set of images: MANIFEST, DUPLICATES, GROUPS and JOINS tables, and the decisions."""

    manifest: pd.DataFrame
    duplicates: pd.DataFrame
    groups: pd.DataFrame
    joins: pd.DataFrame
    decisions: Decisions


@dataclass(frozen=True)
class Division:
    """What `divide` made.

    Attributes:
        table: SPLITS, one row an image of the manifest, and beside it `fold`.
        report: what split/report.json holds.
        ledger: LEDGER, the old rows first.
        lines: what an analyst should be told.
    """

    table: pd.DataFrame
    report: dict[str, Any]
    ledger: pd.DataFrame
    lines: tuple[str, ...]


def divide(
    audited: Audited,
    ledger: pd.DataFrame,
    embed: Callable[[pd.DataFrame], NDArray[np.floating]],
    params: SplitParams,
    progress: Progress = silent,
) -> Division:
    """Split a set of images under the ledger of earlier splits.

    Args:
        audited: the set.
        ledger: LEDGER; no rows before the first split.
        embed: gives the embeddings of manifest rows, float [n, d]; asked only where groups make a difference.
        params: ratios, folds, seed.
        progress: told along the way.
    Raises:
        SplitError: as `split_images`.
    """
    decided, _ = apply_decisions(audited.manifest, audited.decisions)
    resolved = apply_to_duplicates(decided, audited.duplicates, audited.decisions)
    decided = resolved.decided
    stand = find_stand(decided, audited.groups, audited.joins, ledger)
    split = split_images(
        decided, stand.groups, resolved.duplicates, params, stand.earlier, stand.left_out, audited.joins
    )
    inside = split.table["split"].isin(["train", "validation"]).to_numpy()
    developed = split.table[inside]
    price = measure_leak_price(
        lambda rows: embed(decided[inside].iloc[rows]),
        developed["label"].to_numpy(np.object_), developed["group"].to_numpy(np.object_), params.seed, progress,
    )  # fmt: skip
    sides = sorted(zip(split.table["split"] == "test", decided["sha256"], split.table["split"], strict=True))
    side_of = {sha256: side for _, sha256, side in sides}  # of equal files the one on the test side counts
    warnings = [*split.report["warnings"], *_warnings(relabels_of_test(decided, side_of))]
    report = {
        **split.report, "ledger": stand.report(split.table), "leak_price": asdict(price), "warnings": warnings,
    }  # fmt: skip
    leaks = report["leaks"]
    sizes = ", ".join(f"{name} {count:,}" for name, count in report["images"].items())
    return Division(
        table=split.table,
        report=report,
        ledger=extend_ledger(ledger, decided, split.table["split"].tolist()),
        lines=(
            *stand.lines(), *warnings,
            f"{sizes}; {report['groups']:,} groups, {leaks:,} leak{'' if leaks == 1 else 's'}", price.sentence,
        ),
    )  # fmt: skip


def _warnings(relabelled: list[str]) -> list[str]:
    """What may spoil a comparison with earlier runs, a sentence each."""
    if not relabelled:
        return []
    some = ", ".join(relabelled[:_NAMED]) + (" …" if len(relabelled) > _NAMED else "")
    return [f"A reviewer changed the labels of {len(relabelled):,} test images, and so what is measured: {some}."]
