"""What the report says of the data: what was there, what was wrong with it, how it was split."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from automl_cnn.artifacts import DUPLICATES, ISSUES, LABELS, MANIFEST, SPLITS, Files, read_json, read_table
from automl_cnn.config import Params
from automl_cnn.report.label_facts import LabelFacts, read_label_facts
from automl_cnn.report.thumbnails import Picture, Thumbnails

SAMPLES, SAMPLES_A_CLASS = 24, 6
SUSPECTS, CLUSTERS = 12, 4
SIDES = ("train", "validation", "test")
CLASSES_BY_SIDE = 6  # more columns than that do not fit beside the others
_OWN_SECTION = ("suspect_label", "exact_duplicate", "near_duplicate")  # shown with pictures further down
_SEVERITIES = {"block": "left out", "warn": "look at it", "info": "for information"}


@dataclass(frozen=True)
class ClassCount:
    """One class: images after the reviewer's decisions, and their share of the largest class."""

    label: str
    images: int
    bar: float


@dataclass(frozen=True)
class DataFacts:
    """What was there. `samples` holds the largest classes, label and pictures each."""

    images: int
    usable: int
    classes: tuple[ClassCount, ...]
    samples: tuple[tuple[str, tuple[Picture, ...]], ...]
    working_size_px: int
    resize: str


@dataclass(frozen=True)
class IssueLine:
    """All images with one fault; `example` and `evidence` are of the first."""

    issue: str
    severity: str
    advice: str
    images: int
    example: str
    evidence: str


@dataclass(frozen=True)
class FaultFacts:
    """What was wrong.

    Attributes:
        issues: worst severity first.
        clusters: groups of images that show the same thing; `in_clusters` is how many images they hold,
            `conflicts` how many clusters bear more than one label.
        cluster_pictures: a few of the clusters, those with conflicts first.
        checked: images whose label was checked; `suspected` of them look wrong.
        suspects: the most suspicious.
        labels: the state of the labels as a whole; None where none could be judged.
        decisions: the reviewer's verdicts by kind.
        warnings: the audit's own sentences.
    """

    issues: tuple[IssueLine, ...]
    clusters: int
    in_clusters: int
    conflicts: int
    cluster_pictures: tuple[tuple[Picture, ...], ...]
    checked: int
    suspected: int
    suspects: tuple[Picture, ...]
    labels: LabelFacts | None
    decisions: dict[str, int]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class SideLine:
    """One side of the split; `by_class` in the order of the classes, empty where there are many."""

    side: str
    images: int
    share: float
    groups: int
    classes: int
    by_class: tuple[int, ...]


@dataclass(frozen=True)
class SplitFacts:
    """How images were kept apart. Leaks are counted again here, on the tables as they are.

    `leak_price` is one sentence, `warnings` are some; `ledger` counts by name: known, new, bridging, conflicts, moved;
    empty where it is not kept.
    """

    sides: tuple[SideLine, ...]
    labels: tuple[str, ...]
    groups: int
    largest_group: int
    sources: tuple[str, ...]
    leaking_groups: int
    leaking_clusters: int
    quarantined: dict[str, int]
    leak_price: str
    warnings: tuple[str, ...]
    ledger: dict[str, int]
    folds: int


def read_data(files: Files, params: Params, thumbnails: Thumbnails) -> DataFacts:
    """Count classes and choose sample pictures.

    Raises:
        ArtifactError: the manifest or the split is missing or damaged.
    """
    manifest = read_table(files.manifest, MANIFEST)
    used = _used(read_table(files.split / "splits.parquet", SPLITS))
    counts = used["label"].value_counts().sort_index().sort_values(ascending=False, kind="stable")
    each = max(1, min(SAMPLES_A_CLASS, SAMPLES // len(counts)))
    samples = []
    for label in counts.index[:SAMPLES]:
        # image ids are digests, so their order is a shuffle that stays the same
        chosen = used.loc[used["label"] == label, "image_id"].sort_values()[:each]
        samples.append((str(label), tuple(thumbnails.picture(image_id) for image_id in chosen)))
    return DataFacts(
        images=len(manifest),
        usable=int((manifest["status"] == "ok").sum()),
        classes=tuple(ClassCount(str(label), int(n), float(n / counts.max())) for label, n in counts.items()),
        samples=tuple(samples),
        working_size_px=params.data.working_size_px,
        resize=params.data.resize,
    )


def read_faults(files: Files, thumbnails: Thumbnails) -> FaultFacts:
    """Sum up the audit.

    Raises:
        ArtifactError: a table of the audit is missing or damaged.
    """
    duplicates = read_table(files.audit / "duplicates.parquet", DUPLICATES)
    labels = read_table(files.audit / "labels.parquet", LABELS)
    flagged = labels[labels["flagged"].astype(bool)].sort_values("rank")
    suspects = [
        thumbnails.picture(
            row["image_id"], (f"labelled {row['label']}", f"looks like {row['suggested_label']}"), marked=True
        )
        for row in flagged[:SUSPECTS].to_dict("records")
    ]
    summary = read_json(files.audit / "summary.json")
    return FaultFacts(
        issues=_issue_lines(read_table(files.audit / "issues.parquet", ISSUES)),
        clusters=int(duplicates["cluster"].nunique()),
        in_clusters=int(duplicates["image_id"].nunique()),
        conflicts=int(duplicates.loc[duplicates["label_conflict"].astype(bool), "cluster"].nunique()),
        cluster_pictures=_cluster_pictures(duplicates, labels, thumbnails),
        checked=int(labels["score"].notna().sum()),  # a label that no other group bears cannot be judged
        suspected=len(flagged),
        suspects=tuple(suspects),
        labels=read_label_facts(summary),
        decisions=_count_decisions(files),
        warnings=tuple(str(warning) for warning in summary.get("warnings", [])),
    )


def read_split(files: Files, params: Params) -> SplitFacts:
    """Count the sides of the split, its groups, and its leaks.

    Raises:
        ArtifactError: the split, its report or the audit's duplicates are missing or damaged.
    """
    splits, report = read_table(files.split / "splits.parquet", SPLITS), read_json(files.split / "report.json")
    used, quarantine = _used(splits), splits[splits["split"] == "quarantine"]
    labels = sorted(used["label"].unique())
    duplicates = read_table(files.audit / "duplicates.parquet", DUPLICATES).merge(used, on="image_id")
    sides = []
    for side in SIDES:
        rows = used[used["split"] == side]
        by_class = tuple(int((rows["label"] == label).sum()) for label in labels)
        sides.append(
            SideLine(side, len(rows), len(rows) / len(used), int(rows["group"].nunique()),
                     int(rows["label"].nunique()), by_class if len(labels) <= CLASSES_BY_SIDE else ())
        )  # fmt: skip
    column = params.data.group_column
    names = {
        "column": f"share the column {column}" if column else "", "folder": "share a folder",
        "pattern": f"agree in the pattern {params.split.pattern}", "duplicates": "are duplicates",
        "session": f"one camera took within {params.split.session_gap_minutes:g} minutes",
    }  # fmt: skip
    return SplitFacts(
        sides=tuple(sides),
        labels=tuple(str(label) for label in labels) if len(labels) <= CLASSES_BY_SIDE else (),
        groups=int(used["group"].nunique()),
        largest_group=int(used["group"].value_counts().max()),
        sources=tuple(filter(None, (names[source] for source in params.split.group_by))),
        leaking_groups=int((used.groupby("group")["split"].nunique() > 1).sum()),
        leaking_clusters=int((duplicates.groupby("cluster")["split"].nunique() > 1).sum()),
        quarantined={str(reason): int(n) for reason, n in quarantine["reason"].value_counts().items()},
        leak_price=str(report.get("leak_price", {}).get("sentence", "")),
        warnings=tuple(report.get("warnings", [])),
        ledger=report.get("ledger", {}),
        folds=int((report.get("folds") or {}).get("count", 0)),
    )


def _used(splits: pd.DataFrame) -> pd.DataFrame:
    return splits[splits["split"].isin(SIDES)]


def _issue_lines(issues: pd.DataFrame) -> tuple[IssueLine, ...]:
    order = {name: number for number, name in enumerate(_SEVERITIES)}
    lines = []
    issues = issues[~issues["issue"].isin(_OWN_SECTION)]
    for (issue, severity), rows in issues.groupby(["issue", "severity"], sort=False):
        first = rows.iloc[0]
        lines.append(
            IssueLine(
                str(issue).replace("_", " "), str(severity), _SEVERITIES.get(str(severity), str(severity)),
                int(rows["path"].nunique()), str(first["path"]), str(first["evidence"]),
            )
        )  # fmt: skip
    return tuple(sorted(lines, key=lambda line: (order.get(line.severity, 9), -line.images, line.issue)))


def _cluster_pictures(
    duplicates: pd.DataFrame, labels: pd.DataFrame, thumbnails: Thumbnails
) -> tuple[tuple[Picture, ...], ...]:
    """Two images each of a few clusters, conflicts and large ones first; of a conflict two with different labels."""
    given = duplicates.merge(labels[["image_id", "label"]], on="image_id", how="left").fillna({"label": ""})
    clusters = given.groupby("cluster").agg(conflict=("label_conflict", "max"), size=("image_id", "size"))
    shown = []
    for cluster in clusters.sort_values(["conflict", "size"], ascending=False, kind="stable").index[:CLUSTERS]:
        rows = given[given["cluster"] == cluster].sort_values("path")
        first = rows.iloc[0]
        others = rows[rows["label"] != first["label"]] if first["label_conflict"] else rows[1:]
        pair = [first.to_dict(), *others[:1].to_dict("records")]
        shown.append(
            tuple(thumbnails.picture(row["image_id"], (row["label"],), bool(row["label_conflict"])) for row in pair)
        )
    return tuple(shown)


def _count_decisions(files: Files) -> dict[str, int]:
    if not files.decisions.exists():
        return {}
    decisions = pd.read_csv(files.decisions, dtype=str)
    return {str(kind): int(n) for kind, n in decisions["decision"].value_counts().sort_index().items()}
