"""What a reviewer has settled and need not see again, what comes back and why, and when to stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from automl_cnn.artifacts import LEDGER, MANIFEST, SPLITS, Files, read_table
from automl_cnn.audit.decisions import NEW_CLASS, SUSPECT_LABEL, Decisions, moment, number

COPIES = ("exact_duplicate", "near_duplicate")
# A score of suspicion is a log-odds: 1.0 is odds 2.7 times as high or low. When half of the 130 most suspicious labels
# were decided, 3 % of the other half moved further than that on clothing, none on ELPV. Distances lie between 0 and 1.
# What is measured in pictures (brightness, sharpness) counts as changed by a tenth of itself.
LABEL_SCORE_MOVED = 1.0
DISTANCE_MOVED = 0.05
MEASURE_MOVED = 0.10
LAST = 50
STOP_BELOW = 0.10


class Settled:
    """Answers, for an image and an issue, whether it is decided and whether it must be looked at again.

    Args:
        decided: what `apply_decisions` returned.
        decisions: what `read_decisions` returned.
    """

    def __init__(self, decided: pd.DataFrame, decisions: Decisions) -> None:
        self._given: dict[str, set[str]] = {}  # the same bytes may lie there under several labels
        for key, label in zip(decided["sha256"].tolist(), decided["given_label"].tolist(), strict=True):
            self._given.setdefault(key, set()).add(str(label))
        self._rows: dict[tuple[str, str], dict[str, str]] = {}
        for row in decisions.rows():
            self._rows[row["sha256"], _family(row["issue"])] = row

    def decision(self, sha256: str, issue: str) -> dict[str, str] | None:
        """The line about this issue of the image, or else about the image as a whole."""
        return self._rows.get((sha256, _family(issue))) or self._rows.get((sha256, ""))

    def why_again(self, sha256: str, issue: str, score: float) -> str | None:
        """None where it is not decided or the decision still holds; else what was decided and what has changed.

        Args:
            sha256: of the image.
            issue: as in ISSUES.
            score: of the issue as the audit sees it now; NaN where it has none.
        """
        row = self.decision(sha256, issue)
        if row is None:
            return None
        changes = []
        given, seen = self._given.get(sha256, set()), row["label_seen"]
        moved_there = row["decision"] == "relabel" and row["new_label"].removeprefix(NEW_CLASS).strip() in given
        if seen and seen not in given and not moved_there:
            changes.append(f"its label was {seen} and is now {' and '.join(sorted(given))}")
        same_scale = _family(row["issue"]) == _family(issue)  # what was said of the whole image has no score of this
        before = number(row["score_seen"]) if row["score_seen"] and same_scale else None
        # a relabel gives the image another label, and with it another score: nothing to compare
        if before is not None and row["decision"] != "relabel" and _moved(issue, before, score):
            changes.append(f"its score was {before:.3g} and is now {score:.3g}")
        by = f" by {row['reviewer']}" if row["reviewer"] else ""
        return f"Decided before: {row['decision']}{by}; {' and '.join(changes)}." if changes else None


def settle_labels(labels: pd.DataFrame, decided: pd.DataFrame, settled: Settled) -> pd.DataFrame:
    """Take the flag from labels that a reviewer has judged, unless label or score have changed since.

    Args:
        labels: LABELS table; its flags know nothing of decisions.
        decided: manifest rows with image_id and sha256.
        settled: of the same decisions.
    Returns:
        The table with `flagged` changed.
    """
    sha256 = dict(zip(decided["image_id"].tolist(), decided["sha256"].tolist(), strict=True))
    flagged = labels["flagged"].to_numpy(bool).copy()
    for row in np.flatnonzero(flagged).tolist():
        image_id, score = labels["image_id"].iloc[row], float(labels["score"].iloc[row])
        key = sha256[image_id]
        if settled.decision(key, SUSPECT_LABEL) is not None:
            flagged[row] = settled.why_again(key, SUSPECT_LABEL, score) is not None
    return labels.assign(flagged=flagged)


def review_progress(labels: pd.DataFrame, decided: pd.DataFrame, decisions: Decisions) -> dict[str, Any]:
    """How well the ranking still finds wrong labels: how many of the last fifty decisions on them were hits.

    Args:
        labels: LABELS table, for the rank.
        decided: what `apply_decisions` returned.
        decisions: taken in the order of their time, those without one first, by rank.
    Returns:
        decided: decisions on suspected labels; last_fifty: how many of them were counted; last_fifty_precision: share
        of relabel and exclude among those, None where there are none; stop: fifty counted, under 10 % of them hits.
    """
    hits = [hit for _, hit in label_history(labels, decided, decisions)]
    last = hits[-LAST:]
    precision = sum(last) / len(last) if last else None
    return {
        "decided": len(hits),
        "last_fifty": len(last),
        "last_fifty_precision": None if precision is None else round(precision, 4),
        "stop": len(last) == LAST and precision is not None and precision < STOP_BELOW,
    }


def label_history(labels: pd.DataFrame, decided: pd.DataFrame, decisions: Decisions) -> list[tuple[str, bool]]:
    """Decisions on suspected labels, earliest first: sha256, and whether the label was found wrong."""
    by_id = dict(zip(labels["image_id"].tolist(), labels["rank"].tolist(), strict=True))
    rank: dict[str, int] = {}
    for key, image_id in zip(decided["sha256"].tolist(), decided["image_id"].tolist(), strict=True):
        if image_id in by_id:
            rank[key] = min(int(by_id[image_id]), rank.get(key, len(labels)))
    present = set(decided["sha256"].tolist())
    counted = []
    for row in decisions.rows():
        about_label = row["issue"] == SUSPECT_LABEL or (not row["issue"] and row["decision"] in ("keep", "relabel"))
        if about_label and row["decision"] in ("keep", "relabel", "exclude") and row["sha256"] in present:
            when = moment(row["time"]) if row["time"] else None
            order = (when is not None, when.timestamp() if when else 0.0, rank.get(row["sha256"], len(labels)))
            counted.append((order, row["sha256"], row["decision"] != "keep"))
    return [(key, hit) for _, key, hit in sorted(counted, key=lambda entry: entry[0])]


def read_sides(files: Files) -> dict[str, str]:
    """sha256 → train, validation, test or quarantine as the last split left it; empty before the first."""
    if files.ledger.exists():
        sides = read_table(files.ledger, LEDGER)
    elif (files.split / "splits.parquet").exists():
        splits = read_table(files.split / "splits.parquet", SPLITS)[["image_id", "split"]]
        sides = read_table(files.manifest, MANIFEST)[["image_id", "sha256"]].merge(splits, on="image_id")
    else:
        return {}
    return dict(zip(sides["sha256"].tolist(), sides["split"].tolist(), strict=True))


def relabels_of_test(decided: pd.DataFrame, sides: Mapping[str, str]) -> list[str]:
    """Paths of test images that a reviewer gave another label."""
    changed = decided[(decided["label"] != decided["given_label"]) & (decided["status"] == "ok")]
    return sorted(p for p, key in zip(changed["path"], changed["sha256"], strict=True) if sides.get(key) == "test")


def _family(issue: str) -> str:
    """Copies are one issue: a near copy of yesterday may be an exact one today."""
    return COPIES[0] if issue in COPIES else issue


def _moved(issue: str, before: float, now: float) -> bool:
    if not np.isfinite(now):
        return False
    if issue == SUSPECT_LABEL:
        return abs(now - before) > LABEL_SCORE_MOVED
    if issue in COPIES:
        return abs(now - before) > DISTANCE_MOVED
    return abs(now - before) > MEASURE_MOVED * max(abs(before), abs(now))
