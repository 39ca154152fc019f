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
from automl_cnn.split.proof import QUARANTINE

_NAMED = 3


@dataclass(frozen=True)
class Audited:
    """What the audit left of a set of images: MANIFEST, DUPLICATES, NEAR_PAIRS, GROUPS and JOINS, and the decisions."""

    manifest: pd.DataFrame
    duplicates: pd.DataFrame
    near_pairs: pd.DataFrame
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
    apart = _pairs_apart(split.table, decided, audited)
    warnings = [*split.report["warnings"], *_warnings(relabels_of_test(decided, side_of), apart)]
    report = {
        **split.report, "near_copies_apart": apart, "ledger": stand.report(split.table), "leak_price": asdict(price),
        "warnings": warnings,
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


def _pairs_apart(table: pd.DataFrame, decided: pd.DataFrame, audited: Audited) -> int:
    """Near-copies between clusters that stand on two sides, less those that a reviewer has called no copies."""
    used = table[table["split"] != QUARANTINE]
    side = dict(zip(used["image_id"], used["split"], strict=True))
    freed = {row["sha256"] for row in audited.decisions.rows() if row["decision"] == "split_group"}
    no_copies = set(decided.loc[decided["sha256"].isin(freed), "image_id"])
    ends = audited.near_pairs[["image_id", "other_image_id"]].itertuples(index=False, name=None)
    return sum(
        first in side and second in side and side[first] != side[second] and not {first, second} & no_copies
        for first, second in ends
    )


def _warnings(relabelled: list[str], apart: int) -> list[str]:
    """What may spoil a score or a comparison with earlier runs, a sentence each."""
    said = []
    if relabelled:
        some = ", ".join(relabelled[:_NAMED]) + (" …" if len(relabelled) > _NAMED else "")
        said.append(
            f"A reviewer changed the labels of {len(relabelled):,} test images, and so what is measured: {some}."
        )
    if apart:
        stand = "pair of near-copies stands" if apart == 1 else "pairs of near-copies stand"
        said.append(
            f"{apart:,} {stand} on two sides: links of chains whose ends are no copies. "
            "Where such a chain is one series or film, keep it together by split.group_by."
        )
    return said
