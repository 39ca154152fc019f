"""What the audit found, in numbers and in sentences: audit/summary.json and the rows of issues that join its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from automl_cnn.audit.clusters import EXACT
from automl_cnn.audit.health import FLAG_SCORE
from automl_cnn.audit.problems import Problem
from automl_cnn.data.issues import issue_row

LARGE_CLUSTER_SHARE = 0.05
SMALL_CLASS_IMAGES = 20
IMBALANCE = 10  # largest class over smallest


def duplicate_issues(duplicates: pd.DataFrame, images: int) -> list[dict[str, Any]]:
    """Rows of ISSUES for copies: a warning where labels disagree or a cluster is very large, else information.

    Args:
        duplicates: DUPLICATES table.
        images: usable images of the set.
    """
    rows = []
    for cluster, members in duplicates.groupby("cluster", sort=True):
        for row in members.to_dict("records"):
            exact = row["method"] in EXACT
            words = f"{'one picture' if exact else 'nearly one picture'} in {len(members)} files"
            if row["label_conflict"]:
                words += " under different labels"
            rows.append(
                issue_row(row, "exact_duplicate" if exact else "near_duplicate",
                          "warn" if row["label_conflict"] else "info", f"{words}, cluster {cluster}", row["distance"])
            )  # fmt: skip
        if images and len(members) > max(2, LARGE_CLUSTER_SHARE * images):
            rows.append(
                issue_row(members.iloc[0].to_dict(), "large_cluster", "warn",
                          f"cluster {cluster} holds {len(members):,} of {images:,} images",
                          len(members) / images, LARGE_CLUSTER_SHARE)
            )  # fmt: skip
    return rows


def label_issues(labels: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of ISSUES for flagged labels."""
    flagged = labels[labels["flagged"]]
    threshold = min([FLAG_SCORE, *flagged["score"].tolist()])
    return [
        issue_row(row, "suspect_label", "warn", f"labelled {row['label']}, looks like {row['suggested_label']} "
                  f"({row['p_suggested']:.0%} against {row['p_given']:.0%})", row["score"], threshold)
        for row in flagged.to_dict("records")
    ]  # fmt: skip


def summarise(
    decided: pd.DataFrame,
    issues: pd.DataFrame,
    duplicates: pd.DataFrame,
    labels: pd.DataFrame,
    label_report: dict[str, Any],
    unnamed: dict[str, int],
    problems: Sequence[Problem],
    review: dict[str, Any],
) -> dict[str, Any]:
    """Put the audit in numbers.

    Args:
        decided: manifest after decisions, with `decision` and `excluded`.
        issues: ISSUES table.
        duplicates: DUPLICATES table.
        labels: LABELS table.
        label_report: of `find_label_issues`.
        unnamed: images that a group source gives no group, by source.
        problems: lines of decisions.csv that are not applied.
        review: of `prepare_review`.
    Returns:
        Plain JSON values; `warnings` are sentences.
    """
    usable = decided[(decided["status"] == "ok") & ~decided["excluded"]]
    classes = _counts(usable["label"])
    conflicts = duplicates.loc[duplicates["label_conflict"], "cluster"].nunique()
    summary: dict[str, Any] = {
        "images": {"total": len(decided), "usable": len(usable), "by_status": _counts(decided["status"])},
        "classes": {"count": len(classes), "images": classes},
        "issues": {
            "by_kind": _counts(issues["issue"]),
            "by_severity": {name: int((issues["severity"] == name).sum()) for name in ("block", "warn", "info")},
        },
        "duplicates": {
            "clusters": int(duplicates["cluster"].nunique()),
            "images": len(duplicates),
            "by_method": _counts(duplicates["method"]),
            "label_conflicts": int(conflicts),
            "largest_cluster": int(duplicates["cluster"].value_counts().max()) if len(duplicates) else 0,
        },
        "labels": _label_summary(labels, label_report),
        "decisions": {
            "applied": _counts(decided.loc[decided["decision"] != "", "decision"]),
            "problems": [problem.summary() for problem in problems],
        },
        "groups": {"without_a_value": dict(sorted(unnamed.items()))},
    }
    summary["review"] = review
    summary["warnings"] = _warnings(summary, decided, unnamed)
    return summary


def _label_summary(labels: pd.DataFrame, report: dict[str, Any]) -> dict[str, Any]:
    judged, flagged = report["judged"], int(labels["flagged"].sum())
    return {**report, "flagged": flagged, "flagged_share": round(flagged / judged, 4) if judged else 0.0}


def _warnings(summary: dict[str, Any], decided: pd.DataFrame, unnamed: dict[str, int]) -> list[str]:
    classes, kinds = summary["classes"]["images"], summary["issues"]["by_kind"]
    said = []
    if broken := int((decided["status"] != "ok").sum()):
        said.append(f"Files that cannot be used: {broken:,} of {len(decided):,}; issues.parquet says why.")
    if len(classes) < 2:
        said.append("There are fewer than two classes; nothing can be learned.")
    if small := [name for name, images in classes.items() if images < SMALL_CLASS_IMAGES]:
        said.append(
            f"Fewer than {SMALL_CLASS_IMAGES} images: {', '.join(small[:10])}{' …' if len(small) > 10 else ''}."
        )
    if classes and max(classes.values()) > IMBALANCE * min(classes.values()):
        ratio = max(classes.values()) / min(classes.values())
        said.append(f"The largest class has {ratio:.0f} times the images of the smallest.")
    if conflicts := summary["duplicates"]["label_conflicts"]:
        said.append(f"Duplicates under different labels: {_plural(conflicts, 'cluster')}.")
    if kinds.get("large_cluster"):
        said.append(
            f"The largest cluster of duplicates holds {summary['duplicates']['largest_cluster']:,} images, more than "
            f"{LARGE_CLUSTER_SHARE:.0%} of the set: look whether they are copies."
        )
    if flagged := summary["labels"]["flagged"]:
        said.append(
            f"Labels that look wrong: {flagged:,} ({summary['labels']['flagged_share']:.1%}); see labels.parquet."
        )
    if summary["review"]["stop"]:
        said.append("Reviewing can stop: under 10 % of the last fifty suspected labels were wrong.")
    if problems := summary["decisions"]["problems"]:
        said.append(f"Not applied: {_plural(len(problems), 'line')} of decisions.csv; summary.json says which and why.")
    said += [
        f"Without a {source}, and so in a group of their own: {_plural(count, 'image')}."
        for source, count in unnamed.items()
        if count and source != "folder"
    ]
    return said


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _counts(values: pd.Series) -> dict[str, int]:
    return {str(name): int(count) for name, count in values.value_counts().sort_index().items()}
