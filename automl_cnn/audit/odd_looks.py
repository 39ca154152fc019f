"""Pictures that look unusable, or unlike the rest of their set: dark, blank, blurry, of an odd shape or size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.config import Thresholds
from automl_cnn.data.issues import issue_row

_UNUSUAL_ASPECT = 2  # times the set's median: a set of panoramas has no odd ones


def look_issues(usable: pd.DataFrame, properties: pd.DataFrame, thresholds: Thresholds) -> list[dict[str, Any]]:
    """Rows of ISSUES for odd-looking pictures.

    Args:
        usable: manifest rows with status ok.
        properties: PROPERTIES table of the same images, in the same order.
        thresholds: section audit.thresholds.
    Returns:
        blank, dark, bright, blurry, low_information, odd_aspect_ratio, odd_size (warn), grey_among_colour (info).
    """
    if not len(usable):
        return []
    found = _Finder(usable.to_dict("records"))
    value = {name: properties[name].to_numpy(np.float64) for name in properties.columns if name != "image_id"}
    blank = value["contrast"] < thresholds.blank_std_below
    found.where(
        "blank", blank, value["contrast"], thresholds.blank_std_below, lambda v: f"grey levels vary by {v:.1f} only"
    )
    found.where(
        "dark", value["grey_p99"] < thresholds.dark_below, value["grey_p99"], thresholds.dark_below,
        lambda v: f"99 % of the picture is no brighter than {v:.0f} of 255",
    )  # fmt: skip
    found.where(
        "bright", value["grey_p05"] > thresholds.bright_above, value["grey_p05"], thresholds.bright_above,
        lambda v: f"95 % of the picture is at least as bright as {v:.0f} of 255",
    )  # fmt: skip
    # A set of smooth surfaces or of drawings is no set of faults: what is usual in it counts too. blur_below alone
    # would name 610 of ELPV's 2,624 solar cells.
    for issue, name, below, share, unit in (
        ("blurry", "sharpness", thresholds.blur_below, thresholds.blur_share, "variance of the Laplacian"),
        ("low_information", "entropy", thresholds.low_information_below, thresholds.low_information_share,
         "bits a pixel"),
    ):  # fmt: skip
        median = float(np.median(value[name]))
        limit = min(below, share * median)
        found.where(
            issue, (value[name] < limit) & ~blank, value[name], limit,
            lambda v, unit=unit, median=median: f"{v:.1f} {unit}; the set's median is {median:.1f}",  # type: ignore[misc]
        )  # fmt: skip
    _grey_among_colour(found, value["chroma_p99"], thresholds)
    _odd_shapes(found, usable, value["aspect"], thresholds)
    return found.issues


class _Finder:
    """Collects rows of ISSUES for images, by masks."""

    def __init__(self, rows: list[dict[Any, Any]]) -> None:
        self.rows = rows
        self.issues: list[dict[str, Any]] = []

    def where(
        self,
        issue: str,
        mask: NDArray[np.bool_],
        scores: NDArray[np.float64],
        threshold: float | NDArray[np.float64],
        evidence: Callable[[float], str],
        severity: str = "warn",
    ) -> None:
        """Add a row for every image under the mask; `evidence` puts its score in words."""
        thresholds = np.broadcast_to(threshold, scores.shape)
        self.issues += [
            issue_row(self.rows[i], issue, severity, evidence(scores[i]), scores[i], thresholds[i])
            for i in np.flatnonzero(mask)
        ]


def _grey_among_colour(found: _Finder, chroma: NDArray[np.float64], thresholds: Thresholds) -> None:
    grey = chroma < thresholds.grey_chroma_below
    share = float(grey.mean())
    if share < thresholds.grey_share_below:
        found.where(
            "grey_among_colour", grey, chroma, thresholds.grey_chroma_below,
            lambda _: f"without colour, as {share:.1%} of the set is", severity="info",
        )  # fmt: skip


def _odd_shapes(found: _Finder, usable: pd.DataFrame, aspect: NDArray[np.float64], thresholds: Thresholds) -> None:
    limit = max(thresholds.aspect_ratio_above, _UNUSUAL_ASPECT * float(np.median(aspect)))
    found.where("odd_aspect_ratio", aspect > limit, aspect, limit, lambda v: f"one side is {v:.1f} times the other")

    # Doublings of the side, so that half and twice the usual size are equally far from it.
    side = np.sqrt(usable["width"].to_numpy(np.float64) * usable["height"].to_numpy(np.float64))
    doublings = np.log2(np.maximum(side, 1))
    low, high = np.percentile(doublings, [25, 75])
    reach = thresholds.size_iqrs * max(float(high - low), thresholds.size_iqr_floor)
    smallest, largest = 2 ** (low - reach), 2 ** (high + reach)
    usual = f"the middle half of the set has {2**low:.0f} to {2**high:.0f}"
    for mask, bound in ((side < smallest, smallest), (side > largest, largest)):
        found.where("odd_size", mask, side, bound, lambda v: f"sides of {v:.0f} pixels in the mean; {usual}")
