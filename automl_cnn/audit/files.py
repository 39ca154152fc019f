"""What is wrong with single files: broken, blank, dark, blurry, animated. One pass over the stored pixels."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import ISSUES
from automl_cnn.config import AuditParams, Resize
from automl_cnn.data.decode import content_box
from automl_cnn.data.store import ImageStore
from automl_cnn.progress import Progress, silent

BLOCK_IMAGES = 64  # some 13 MB of float32 a copy at 224 px: stays near the cache
# Blurry is below blur_below and below this share of the set's median: 49 of ELPV's 2,624 solar cells instead of the 610
# that blur_below alone would name, for a smooth surface is not a blurred one.
BLURRED_SHARE = 0.25
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's mode L


def find_file_issues(
    manifest: pd.DataFrame, store: ImageStore, params: AuditParams, progress: Progress = silent
) -> pd.DataFrame:
    """List broken and unusable-looking images.

    Args:
        manifest: MANIFEST table.
        store: its decoded images.
        params: thresholds dark_below, blank_std_below (grey levels, 0 to 255) and blur_below (squared grey levels).
        progress: told after every block.
    Returns:
        ISSUES table: broken (block), blank, dark, blurry (warn), animated (info). `score` is what was measured,
        `threshold` what it was held against; both NaN where nothing is measured.
    """
    issues = [
        issue_row(row, "broken", "block", f"{row['status']}: {row['error']}")
        for row in manifest[manifest["status"] != "ok"].to_dict("records")
    ]
    usable, thresholds = manifest[manifest["status"] == "ok"], params.thresholds
    measured = measure_pixels(usable, store, progress)
    median = float(np.median(measured[:, 2])) if len(measured) else 0.0
    blur_below = min(thresholds.blur_below, BLURRED_SHARE * median)
    for row, (brightness, contrast, sharpness) in zip(usable.to_dict("records"), measured.tolist(), strict=True):
        if contrast < thresholds.blank_std_below:
            issues.append(
                issue_row(row, "blank", "warn", f"grey levels vary by {contrast:.1f} only",
                          contrast, thresholds.blank_std_below)
            )  # fmt: skip
        elif sharpness < blur_below:
            issues.append(
                issue_row(row, "blurry", "warn", f"variance of the Laplacian {sharpness:.1f} at {store.size_px} px; "
                          f"the set's median is {median:.1f}", sharpness, blur_below)
            )  # fmt: skip
        if brightness < thresholds.dark_below:
            issues.append(
                issue_row(
                    row, "dark", "warn", f"mean brightness {brightness:.1f} of 255", brightness, thresholds.dark_below
                )
            )
        if row["frames"] > 1:
            issues.append(issue_row(row, "animated", "info", f"{row['frames']} frames; the first one is used"))
    return issues_table(issues)


def issue_row(
    row: dict[Any, Any], issue: str, severity: str, evidence: str, score: float = np.nan, threshold: float = np.nan
) -> dict[str, Any]:
    """One row of ISSUES for the image of a manifest row."""
    return {
        "image_id": row["image_id"], "path": row["path"], "issue": issue, "severity": severity,
        "score": float(score), "threshold": float(threshold), "evidence": evidence,
    }  # fmt: skip


def issues_table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Rows as an ISSUES table with fixed types, worst severity first, then by issue and path."""
    frame = pd.DataFrame(rows, columns=list(ISSUES.columns))
    frame = frame.astype({name: "float64" if name in ("score", "threshold") else "str" for name in ISSUES.columns})
    order = frame["severity"].map({"block": 0, "warn": 1, "info": 2})
    frame = frame.assign(_order=order).sort_values(["_order", "issue", "path"], kind="stable")
    return frame.drop(columns="_order").reset_index(drop=True)


def add_issues(issues: pd.DataFrame, rows: list[dict[str, Any]]) -> pd.DataFrame:
    """An ISSUES table with more rows, in order."""
    return issues_table([*issues.to_dict("records"), *rows])  # type: ignore[list-item]


def measure_pixels(usable: pd.DataFrame, store: ImageStore, progress: Progress = silent) -> NDArray[np.float64]:
    """Mean brightness, contrast and sharpness of the pictures without their letterbox.

    Args:
        usable: manifest rows with status ok.
        store: their decoded images.
        progress: told after every block.
    Returns:
        float64 [n, 3]: mean and standard deviation of the grey levels (0 to 255), variance of the Laplacian.
    Source: Pech-Pacheco et al. 2000 (variance of the Laplacian).
    """
    rows = usable["store_row"].to_numpy(np.int64)
    boxes = content_boxes(usable, store)
    measured = np.empty((len(rows), 3))
    for start in range(0, len(rows), BLOCK_IMAGES):
        part = slice(start, start + BLOCK_IMAGES)
        grey = store.read(rows[part]).astype(np.float32) @ _LUMA  # [n, S, S]
        measured[part] = _measure(grey, boxes[part])
        progress("pixels", min(start + BLOCK_IMAGES, len(rows)), len(rows))
    return measured


def content_boxes(usable: pd.DataFrame, store: ImageStore) -> NDArray[np.int64]:
    """Where each picture lies in its stored square: int64 [n, 4], left, top, right, bottom in pixels."""
    resize = cast(Resize, store.resize)
    sizes = zip(usable["width"].tolist(), usable["height"].tolist(), strict=True)
    boxes = [content_box(width, height, store.size_px, resize) for width, height in sizes]
    return np.array(boxes, np.int64).reshape(-1, 4)


def _measure(grey: NDArray[np.float32], boxes: NDArray[np.int64]) -> NDArray[np.float64]:
    inside = _inside(grey.shape[1], boxes)
    mean, variance = _moments(grey, inside)
    laplacian = (
        grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:] - 4 * grey[:, 1:-1, 1:-1]
    )
    # one pixel in from the picture's edge, or the black of the letterbox would count as an outline
    inner = boxes + np.array([1, 1, -1, -1])
    sharpness = _moments(laplacian, _inside(grey.shape[1], inner)[:, 1:-1, 1:-1])[1]
    return np.stack([mean, np.sqrt(variance), sharpness], axis=1)


def _inside(size_px: int, boxes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Masks, bool [n, size, size]."""
    pixel = np.arange(size_px)
    across = (pixel >= boxes[:, :1]) & (pixel < boxes[:, 2:3])
    down = (pixel >= boxes[:, 1:2]) & (pixel < boxes[:, 3:])
    masks: NDArray[np.bool_] = down[:, :, None] & across[:, None, :]
    return masks


def _moments(values: NDArray[np.float32], inside: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance of each image's pixels inside its mask; 0 where the mask is empty."""
    count = np.maximum(inside.sum(axis=(1, 2)), 1)
    mean = np.where(inside, values, 0).sum(axis=(1, 2), dtype=np.float64) / count
    centred = np.where(inside, values - mean[:, None, None].astype(np.float32), 0)
    return mean, np.square(centred).sum(axis=(1, 2), dtype=np.float64) / count
