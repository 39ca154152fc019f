"""A review from end to end: what is open, the page that asks it, and what the audit's summary says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from automl_cnn.artifacts import DUPLICATES, ISSUES, LABELS, MANIFEST, Files, read_table
from automl_cnn.audit.decisions import Decisions, read_decisions
from automl_cnn.audit.problems import Problem
from automl_cnn.audit.review.items import collect_items
from automl_cnn.audit.review.page import write_review
from automl_cnn.audit.settled import Settled, read_sides, review_progress, settle_labels
from automl_cnn.audit.verdicts import apply_decisions, apply_to_duplicates
from automl_cnn.data.store import ImageStore
from automl_cnn.progress import Progress, silent


def prepare_review(
    path: Path,
    decided: pd.DataFrame,
    issues: pd.DataFrame,
    labels: pd.DataFrame,
    duplicates: pd.DataFrame,
    decisions: Decisions,
    problems: Sequence[Problem],
    sides: Mapping[str, str],
    store: ImageStore,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Write the page and say how far the review is.

    Args:
        path: of the page.
        decided: of `apply_to_duplicates`.
        issues: ISSUES table.
        labels: LABELS table, after `settle_labels`.
        duplicates: of `apply_to_duplicates`.
        decisions: what decisions.csv holds.
        problems: its lines that are not applied.
        sides: of `read_sides`, for the page to show; none where the split is a later stage.
        store: the decoded images.
        progress: told as the page grows.
    Returns:
        What `review_progress` and `write_review` return, and `open` (questions by kind).
    """
    items = collect_items(decided, issues, labels, duplicates, Settled(decided, decisions), sides)
    kinds = [item.kind for item in items]
    written = write_review(path, items, decided, labels, decisions, problems, store, progress)
    return {
        **review_progress(labels, decided, decisions),
        **written,
        "open": {kind: kinds.count(kind) for kind in sorted(set(kinds) - {"further"})},
    }


def renew_review(files: Files, decisions_path: Path, page: Path, progress: Progress = silent) -> dict[str, Any]:
    """Write the page anew from the last audit, with decisions.csv and the split as they stand now.

    Args:
        files: of a project whose audit has run.
        decisions_path: the reviewer's decisions.csv.
        page: where to write.
        progress: told as the page grows.
    Raises:
        ArtifactError: the audit has not run.
        DataError: decisions.csv cannot be read.
    """
    manifest = read_table(files.manifest, MANIFEST)
    issues, labels, duplicates = (
        read_table(files.audit / f"{table.name}.parquet", table) for table in (ISSUES, LABELS, DUPLICATES)
    )
    decisions = read_decisions(decisions_path)
    decided, unfit = apply_decisions(manifest, decisions)
    resolved = apply_to_duplicates(decided, duplicates, decisions, again=True)
    problems = sorted([*decisions.problems, *unfit, *resolved.problems], key=lambda problem: problem.line)
    labels = settle_labels(labels, resolved.decided, Settled(resolved.decided, decisions))
    return prepare_review(
        page, resolved.decided, issues, labels, resolved.duplicates, decisions, problems,
        read_sides(files), ImageStore.open(files.images), progress,
    )  # fmt: skip
