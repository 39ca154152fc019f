"""Rows of the ISSUES table: what the scan of the folder and every part of the audit say about files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from automl_cnn.artifacts import ISSUES

SEVERITIES = ("block", "warn", "info")  # the file is not used; look at it; good to know


@dataclass(frozen=True)
class Finding:
    """Something that is known of a name or a folder before any picture is opened.

    Attributes:
        path: below the root, POSIX; of a folder, a class, a link or a file.
        issue: its name, in snake case.
        severity: block, warn or info.
        evidence: a few words for the analyst.
    """

    path: str
    issue: str
    severity: str
    evidence: str


def findings_table(findings: Iterable[Finding], image_ids: Mapping[str, str]) -> pd.DataFrame:
    """Findings as an ISSUES table; image_id is empty for what is no image of the manifest.

    Args:
        findings: in any order.
        image_ids: by path, of the images that are in the manifest.
    """
    return issues_table([
        issue_row({"image_id": image_ids.get(found.path, ""), "path": found.path}, found.issue, found.severity,
                  found.evidence)
        for found in findings
    ])  # fmt: skip


def issue_row(
    row: Mapping[Any, Any], issue: str, severity: str, evidence: str, score: float = np.nan, threshold: float = np.nan
) -> dict[str, Any]:
    """One row of ISSUES for the image of a manifest row.

    Args:
        row: has image_id and path.
        issue: name of the fault, in snake case.
        severity: block, warn or info.
        evidence: a few words for the analyst.
        score: what was measured; NaN where nothing is measured.
        threshold: what the score was held against.
    """
    return {
        "image_id": row["image_id"], "path": row["path"], "issue": issue, "severity": severity,
        "score": float(score), "threshold": float(threshold), "evidence": evidence,
    }  # fmt: skip


def issues_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as an ISSUES table with fixed types, worst severity first, then by issue and path."""
    frame = pd.DataFrame(rows, columns=list(ISSUES.columns))
    frame = frame.astype({name: "float64" if name in ("score", "threshold") else "str" for name in ISSUES.columns})
    order = frame["severity"].map({severity: rank for rank, severity in enumerate(SEVERITIES)})
    frame = frame.assign(_order=order).sort_values(["_order", "issue", "path"], kind="stable")
    return frame.drop(columns="_order").reset_index(drop=True)


def add_issues(issues: pd.DataFrame, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """An ISSUES table with more rows, in order."""
    return issues_table([*issues.to_dict("records"), *rows])  # type: ignore[list-item]
