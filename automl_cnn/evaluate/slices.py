"""Where the model is weaker than elsewhere: by group, by how a picture looks, by every column of the user's CSV.

Many slices are looked at, so some look weak by chance: a slice is called weak only where a test says so after the
correction for all looks. Images of one group count as the fewer the more alike they are answered: intervals and tests
take a slice's effective number of images. That needs no resampling and holds for slices of any size.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

LEAST_IMAGES = 10  # in a slice, and outside of it
QUANTILES = 4
MOST_VALUES = 50  # of a text column; one with more is a name, not a kind
MOST_GROUPS = 20  # are told, the worst; all are tested
FALSE_DISCOVERY_RATE = 0.05
Z = 1.959964  # of a 95 % interval
PROPERTIES_SLICED = ("megapixels", "brightness", "sharpness")
FILE_FACTS_SLICED = ("format", "camera")


@dataclass(frozen=True)
class Slice:
    """One part of the test split against the rest of it.

    Attributes:
        kind: group, property (of the picture or its file) or column (of the user's CSV).
        name: of the column or property; `group`.
        value: which part, in words: the group's name, the column's value, or the bounds of a quantile.
        low, high: the bounds as numbers, both within the slice; None where it is not one of quantiles.
        images, groups: in the slice.
        accuracy: 0…1, with accuracy_ci95.
        expected: the accuracy that the slice would have if every class were answered here as in the whole test split.
        rest_accuracy: of all other images.
        difference: accuracy − rest_accuracy, −1…1, with difference_ci95.
        p_value: of the hypothesis that the slice is no weaker than the rest, one-sided.
        p_adjusted: the same, corrected for all slices that were looked at.
        weak: whether p_adjusted is at most FALSE_DISCOVERY_RATE.
    """

    kind: str
    name: str
    value: str
    low: float | None
    high: float | None
    images: int
    groups: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    expected: float
    rest_accuracy: float
    difference: float
    difference_ci95: tuple[float, float]
    p_value: float
    p_adjusted: float
    weak: bool


@dataclass(frozen=True)
class _Part:
    kind: str
    name: str
    value: str
    rows: NDArray[np.int64]
    low: float | None = None
    high: float | None = None


def find_weak_slices(
    hit: NDArray[np.bool_], labels: NDArray[np.int64], group_names: NDArray[np.object_], facts: pd.DataFrame,
    columns: pd.DataFrame,
) -> dict[str, Any]:  # fmt: skip
    """Score every slice of the test split.

    Args:
        hit: bool [n], whether the image was answered rightly.
        labels: int64 [n].
        group_names: text [n].
        facts: n rows; of its columns those of PROPERTIES_SLICED (float) and FILE_FACTS_SLICED (text) are looked at as
            far as they are there.
        columns: n rows, the columns of the user's CSV, text. One whose values are numbers is cut into quantiles when
            it has many.
    Returns:
        What slices.json holds: accuracy of all images; looks, the number of slices that were tested; correlation of
        hits within a group (0…1); least_images; false_discovery_rate; and slices, a list of `Slice` as objects, the
        weakest (by p_adjusted, then difference) first. Of groups the MOST_GROUPS weakest are listed.
    Source: Wilson 1927 and Newcombe 1998 (method 10) for the intervals; Fisher's exact test; Rao and Scott 1992 for the
        effective number of images; Benjamini and Hochberg 1995.
    """
    group_of = np.unique(group_names.astype(str), return_inverse=True)[1].reshape(-1)
    parts = [
        part
        for part in (*_groups(group_names), *_properties(facts), *_columns(columns))
        if LEAST_IMAGES <= len(part.rows) <= len(hit) - LEAST_IMAGES
    ]
    correlation = _correlation(hit, group_of)
    class_accuracy = _class_accuracy(hit, labels)
    measured = [_measure(part.rows, hit, group_of, correlation) for part in parts]
    p_values = _fisher(np.array([worth for _, worth in measured]).reshape(-1, 4))
    adjusted = stats.false_discovery_control(p_values) if measured else p_values
    slices = [
        Slice(
            kind=part.kind, name=part.name, value=part.value, low=part.low, high=part.high,
            expected=float(class_accuracy[labels[part.rows]].mean()),
            p_value=float(p_value), p_adjusted=float(p), weak=bool(p <= FALSE_DISCOVERY_RATE), **one,
        )
        for part, (one, _), p_value, p in zip(parts, measured, p_values, adjusted, strict=True)
    ]  # fmt: skip
    slices.sort(key=lambda one: (one.p_adjusted, one.difference, one.kind, one.name, one.value))
    worst = [one.value for one in slices if one.kind == "group"][:MOST_GROUPS]
    return {
        "accuracy": float(hit.mean()),
        "looks": len(slices),
        "correlation": correlation,
        "least_images": LEAST_IMAGES,
        "false_discovery_rate": FALSE_DISCOVERY_RATE,
        "slices": [asdict(one) for one in slices if one.kind != "group" or one.value in worst],
    }


def _groups(names: NDArray[np.object_]) -> Iterator[_Part]:
    order = np.argsort(names.astype(str), kind="stable")
    values, starts = np.unique(names.astype(str)[order], return_index=True)
    for name, rows in zip(values, np.split(order, starts[1:]), strict=True):
        yield _Part("group", "group", str(name), rows)


def _properties(facts: pd.DataFrame) -> Iterator[_Part]:
    for name in PROPERTIES_SLICED:
        if name in facts:
            yield from _quantiles("property", name, facts[name].to_numpy(np.float64))
    for name in FILE_FACTS_SLICED:
        if name in facts:
            yield from _values("property", name, facts[name])


def _columns(columns: pd.DataFrame) -> Iterator[_Part]:
    for name in columns.columns.astype(str):
        texts = columns[name].fillna("").astype(str)
        numbers = pd.to_numeric(texts.where(texts != "", None), errors="coerce").to_numpy(np.float64)
        numeric = np.isfinite(numbers) | (texts == "").to_numpy()
        if numeric.all() and len(np.unique(numbers[np.isfinite(numbers)])) > 2 * QUANTILES:
            yield from _quantiles("column", name, numbers)
        else:
            yield from _values("column", name, texts)


def _quantiles(kind: str, name: str, values: NDArray[np.float64]) -> Iterator[_Part]:
    """Parts of about as many images, equal values together; none where all values are the same."""
    known = np.isfinite(values)
    if not known.any():
        return
    inner = np.unique(np.quantile(values[known], np.arange(1, QUANTILES) / QUANTILES))
    place = np.where(known, np.searchsorted(inner, values, side="left"), -1)
    for number in range(len(inner) + 1):
        rows = np.flatnonzero(place == number)
        if 0 < len(rows) < known.sum():
            low, high = float(values[rows].min()), float(values[rows].max())
            yield _Part(kind, name, f"{low:.4g} to {high:.4g}", rows, low, high)


def _values(kind: str, name: str, column: pd.Series) -> Iterator[_Part]:
    texts = column.fillna("").astype(str).to_numpy(np.object_)
    values = np.unique(texts.astype(str))
    if 1 < len(values) <= MOST_VALUES:
        for value in values:
            yield _Part(kind, name, str(value), np.flatnonzero(texts == value))


def _correlation(hit: NDArray[np.bool_], group_of: NDArray[np.int64]) -> float:
    """How alike the images of one group are answered: the mean product of two hits, centred and scaled; at least 0."""
    apart = hit - hit.mean()
    sizes = np.bincount(group_of)
    pairs = float((sizes * (sizes - 1)).sum())
    if not pairs or not apart.any():
        return 0.0
    products = float((np.bincount(group_of, apart) ** 2).sum() - (apart**2).sum())
    return float(np.clip(products / pairs / np.mean(apart**2), 0, 1))


def _class_accuracy(hit: NDArray[np.bool_], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    counts = np.bincount(labels)
    return np.asarray(np.bincount(labels, hit) / np.maximum(counts, 1))


def _measure(
    rows: NDArray[np.int64], hit: NDArray[np.bool_], group_of: NDArray[np.int64], correlation: float
) -> tuple[dict[str, Any], list[float]]:
    """The figures of one slice, and what the test needs: share of hits and effective images, of slice and rest."""
    sizes = [np.bincount(group_of[rows], minlength=group_of.max() + 1)]
    sizes.append(np.bincount(group_of) - sizes[0])
    right = [int(hit[rows].sum())]
    right.append(int(hit.sum()) - right[0])
    shares = [hits / int(size.sum()) for hits, size in zip(right, sizes, strict=True)]
    counts = [_effective(size, correlation) for size in sizes]
    wilson = [_wilson(share, count) for share, count in zip(shares, counts, strict=True)]
    difference = shares[0] - shares[1]
    below = math.hypot(shares[0] - wilson[0][0], wilson[1][1] - shares[1])
    above = math.hypot(wilson[0][1] - shares[0], shares[1] - wilson[1][0])
    figures = {
        "images": len(rows),
        "groups": int((sizes[0] > 0).sum()),
        "accuracy": shares[0],
        "accuracy_ci95": wilson[0],
        "rest_accuracy": shares[1],
        "difference": difference,
        "difference_ci95": (max(-1.0, difference - below), min(1.0, difference + above)),
    }
    return figures, [*shares, *counts]


def _effective(sizes: NDArray[np.int64], correlation: float) -> float:
    """How many independent images there are: n / (1 + (m − 1) ρ), m the mean size of an image's own group."""
    images = sizes.sum()
    return float(images / (1 + ((sizes**2).sum() / images - 1) * correlation))


def _wilson(share: float, count: float) -> tuple[float, float]:
    centre = (share + Z**2 / (2 * count)) / (1 + Z**2 / count)
    reach = Z / (1 + Z**2 / count) * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    return min(share, max(0.0, centre - reach)), max(share, min(1.0, centre + reach))


def _fisher(worth: NDArray[np.float64]) -> NDArray[np.float64]:
    """One-sided p values: how likely so few hits fall into a slice when it is like the rest; worth [slices, 4]."""
    images = np.maximum(1, worth[:, 2:].round()).astype(np.int64)
    hits = (worth[:, :2] * images).round().astype(np.int64)
    return np.asarray(stats.hypergeom.cdf(hits[:, 0], images.sum(axis=1), hits.sum(axis=1), images[:, 0]), np.float64)
