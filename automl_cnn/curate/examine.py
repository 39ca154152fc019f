"""The audit as a whole: copies, groups, suspect labels and odd pictures of one set, under the decisions in force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import DUPLICATES, GROUPS, ISSUES, JOINS, LABELS, NEAR_PAIRS, PROPERTIES, Table
from automl_cnn.audit.decisions import Decisions
from automl_cnn.audit.duplicates import find_copies
from automl_cnn.audit.files import find_file_issues
from automl_cnn.audit.labels import LabelFindings, find_label_issues
from automl_cnn.audit.problems import Problem
from automl_cnn.audit.properties import measure_properties
from automl_cnn.audit.review.session import prepare_review
from automl_cnn.audit.settled import Settled, settle_labels
from automl_cnn.audit.summary import duplicate_issues, label_issues, summarise
from automl_cnn.audit.thumbnails import grey_thumbnails
from automl_cnn.audit.verdicts import Resolved, apply_decisions, apply_to_duplicates
from automl_cnn.config import Params
from automl_cnn.data.issues import add_issues
from automl_cnn.data.store import ImageStore
from automl_cnn.progress import Progress, silent
from automl_cnn.split.groups import Groups, build_groups


@dataclass(frozen=True)
class Ingested:
    """What the stages before left of a set of images.

    Attributes:
        manifest: MANIFEST table.
        scanned: ISSUES table of folders, links and names.
        decisions: the checked decisions.csv.
        problems: its lines that could not be read.
        store: the decoded images.
        embed: gives the embeddings of manifest rows with status ok, float [n, d].
    """

    manifest: pd.DataFrame
    scanned: pd.DataFrame
    decisions: Decisions
    problems: Sequence[Problem]
    store: ImageStore
    embed: Callable[[pd.DataFrame], NDArray[np.floating]]


@dataclass(frozen=True)
class Examination:
    """What `examine` found.

    Attributes:
        tables: ISSUES, PROPERTIES, LABELS, DUPLICATES, GROUPS and JOINS.
        summary: what audit/summary.json holds.
        problems: every line of decisions.csv that is not applied, in their order.
    """

    tables: tuple[tuple[Table, pd.DataFrame], ...]
    summary: dict[str, Any]
    problems: tuple[Problem, ...]


def examine(ingested: Ingested, params: Params, page: Path, progress: Progress = silent) -> Examination:
    """Audit a set of images.

    Args:
        ingested: the set.
        params: its sections audit, split and data decide.
        page: where the review page is written.
        progress: told along the way.
    Raises:
        ConfigError: cleanlab's opinion is wanted and cleanlab is not installed.
        DataError: the group column or pattern does not fit the set.
    """
    decisions, store = ingested.decisions, ingested.store
    decided, unfit = apply_decisions(ingested.manifest, decisions)
    usable = decided[decided["status"] == "ok"]
    embeddings = ingested.embed(usable)
    thumbnails = grey_thumbnails(usable, store, progress)
    copies = find_copies(usable, thumbnails, embeddings, params.audit, progress)
    resolved = apply_to_duplicates(decided, copies.table, decisions)
    decided, duplicates = resolved.decided, resolved.duplicates
    usable = decided[decided["status"] == "ok"]
    groups = _groups(resolved, params)
    found = _judge_labels(usable, embeddings, groups, params, progress)
    labels = settle_labels(found.table, decided, Settled(decided, decisions))
    properties = measure_properties(usable, store, progress)
    issues = add_issues(
        find_file_issues(decided, properties, ingested.scanned, params.audit.thresholds),
        duplicate_issues(duplicates, len(usable)) + label_issues(labels),
    )
    problems = tuple(sorted([*ingested.problems, *unfit, *resolved.problems], key=lambda problem: problem.line))
    # without the sides of an earlier split: what a later stage wrote is no input of this one
    review = prepare_review(page, decided, issues, labels, duplicates, decisions, problems, {}, store, progress)
    return Examination(
        tables=(
            (ISSUES, issues), (PROPERTIES, properties), (LABELS, labels), (DUPLICATES, duplicates),
            (NEAR_PAIRS, copies.between), (GROUPS, groups.table), (JOINS, groups.joins),
        ),
        summary=summarise(decided, issues, duplicates, labels, found.report, groups.unnamed, problems, review),
        problems=problems,
    )  # fmt: skip


def _groups(resolved: Resolved, params: Params) -> Groups:
    split = params.split
    return build_groups(
        resolved.decided, resolved.duplicates, split.group_by, params.data.group_column, split.pattern,
        split.session_gap_minutes, resolved.joins,
    )  # fmt: skip


def _judge_labels(
    usable: pd.DataFrame, embeddings: NDArray[np.floating], groups: Groups, params: Params, progress: Progress
) -> LabelFindings:
    """Labels of the images that a reviewer has not left out."""
    judged = ~usable["excluded"].to_numpy(bool)
    group_of = groups.table.set_index("image_id")["group"].loc[usable["image_id"]].to_numpy(np.object_)
    return find_label_issues(
        usable[judged], embeddings[judged], group_of[judged], params.audit.folds, params.audit.seed, progress,
        params.audit.second_opinion, params.audit.index_above,
    )  # fmt: skip
