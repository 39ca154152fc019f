"""Folds that keep groups together, and which images can be judged at all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def grouped_folds(
    given: NDArray[np.int64],
    groups: NDArray[np.object_] | NDArray[np.str_],
    folds: int,
    seed: int | np.random.Generator,
) -> NDArray[np.int64]:
    """Deal whole groups to folds so that each class is spread as evenly as its groups allow.

    Large groups first, each to the fold that has least of the group's main class; a class with fewer groups than folds
    is missing from some folds, never in two through one group.

    Args:
        given: int64 [n], class of each image, from 0.
        groups: text [n].
        folds: at least 2.
        seed: decides ties between groups of equal size; of a generator the next numbers do.
    Returns:
        int64 [n], 0 to folds − 1.
    """
    names, group_of = np.unique(groups.astype(str), return_inverse=True)
    classes = int(given.max()) + 1
    counts = np.zeros((len(names), classes), np.int64)
    np.add.at(counts, (group_of, given), 1)
    shuffled = np.random.default_rng(seed).permutation(len(names))
    order = shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]
    filled = np.zeros((folds, classes), np.int64)
    fold_of_group = np.zeros(len(names), np.int64)
    for group in order:
        main = int(counts[group].argmax())
        fold = int(np.lexsort((filled.sum(axis=1), filled[:, main]))[0])
        fold_of_group[group] = fold
        filled[fold] += counts[group]
    chosen: NDArray[np.int64] = fold_of_group[group_of]
    return chosen


def rows_of_groups(groups: NDArray[np.object_]) -> list[NDArray[np.int64]]:
    """Rows of each group, in the order of the groups' names.

    Args:
        groups: text [n].
    Returns:
        One int64 array a group; together they hold 0 to n − 1 once each.
    """
    group_of = np.unique(groups.astype(str), return_inverse=True)[1]
    order = np.argsort(group_of, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group_of[order])) + 1) if len(order) else []


def seen_elsewhere(given: NDArray[np.int64], groups: NDArray[np.object_]) -> NDArray[np.bool_]:
    """Whether another group has the image's class too; where none has, nothing can be said about its label.

    Args:
        given: int64 [n], class of each image, from 0.
        groups: text [n].
    Returns:
        bool [n].
    """
    pairs = np.unique(np.stack([given, np.unique(groups.astype(str), return_inverse=True)[1]], axis=1), axis=0)
    seen: NDArray[np.bool_] = (np.bincount(pairs[:, 0], minlength=int(given.max()) + 1) > 1)[given]
    return seen
