"""How many images of each class each group, side or fold holds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from automl_cnn.split.problem import Counts, Floats


@dataclass(frozen=True)
class Tally:
    """A table of counts.

    Attributes:
        rows: names of the rows, ascending where they were not given.
        labels: names of the classes, ascending.
        counts: int64 [rows, labels].
    """

    rows: list[str]
    labels: list[str]
    counts: Counts


def tally(of: pd.Series, label: pd.Series, rows: list[str] | None = None) -> Tally:
    """Count the images of each class.

    Args:
        of: text [n], the group, side or fold of each image.
        label: text [n], its class.
        rows: the rows wanted, in this order, also where they hold nothing; None: all that occur.
    """
    row_of, found = pd.factorize(of, sort=True)
    label_of, labels = pd.factorize(label, sort=True)
    flat = np.bincount(row_of * len(labels) + label_of, minlength=len(found) * len(labels))
    counts = flat.reshape(len(found), len(labels)).astype(np.int64)
    names = [str(name) for name in found]
    if rows is not None:
        place = {name: number for number, name in enumerate(names)}
        none = np.zeros(len(labels), np.int64)
        counts = np.array([counts[place[name]] if name in place else none for name in rows]).reshape(len(rows), -1)
    return Tally(names if rows is None else rows, [str(name) for name in labels], counts)


def class_distance(counts: Counts) -> Floats:
    """Total variation distance of each row's class shares from those of all rows together: float64 [rows], 0 to 1.

    A row without images is as far off as can be: 1.
    """
    sizes = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(sizes, 1)
    whole = counts.sum(axis=0) / max(int(counts.sum()), 1)
    return np.where(sizes[:, 0] > 0, np.abs(shares - whole).sum(axis=1) / 2, 1.0)
