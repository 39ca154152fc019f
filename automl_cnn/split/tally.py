"""How many images of each class each group, side or fold holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.split.problem import Counts, Floats


@dataclass(frozen=True)
class Tally:
    """A table of counts.

    Attributes:
        rows: names of the rows, ascending where they were not given.
        labels: names of the classes, ascending.
        counts: int64 [rows, labels].
        row_of: int64 [n], the row of each image that was counted.
    """

    rows: list[str]
    labels: list[str]
    counts: Counts
    row_of: NDArray[np.intp]


def tally(of: pd.Series, label: pd.Series, rows: list[str] | None = None) -> Tally:
    """Count the images of each class.

    Args:
        of: text [n], the group, side or fold of each image.
        label: text [n], its class.
        rows: the rows wanted, in this order, also where they hold nothing; None: all that occur.
    """
    if rows is None:
        row_of, found = pd.factorize(of, sort=True)
        rows = [str(name) for name in found]
    else:
        row_of = pd.Index(rows).get_indexer(pd.Index(of))
    label_of, found_labels = pd.factorize(label, sort=True)
    labels = [str(name) for name in found_labels]
    flat = np.bincount(row_of * len(labels) + label_of, minlength=len(rows) * len(labels))
    return Tally(rows, labels, flat.reshape(len(rows), len(labels)).astype(np.int64), row_of)


def class_distance(counts: Counts) -> Floats:
    """Total variation distance of each row's class shares from those of all rows together: float64 [rows], 0 to 1.

    A row without images is as far off as can be: 1.
    """
    sizes = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(sizes, 1)
    whole = counts.sum(axis=0) / max(int(counts.sum()), 1)
    return np.where(sizes[:, 0] > 0, np.abs(shares - whole).sum(axis=1) / 2, 1.0)
