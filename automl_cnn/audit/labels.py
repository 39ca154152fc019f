"""Labels that are probably wrong, ranked, from predictions for images that the predictor has not seen.

Follows Northcutt, Jiang and Chuang 2021 (Confident learning): out-of-fold probabilities, one threshold a class, and
the images that are confidently of another class than their own. Differs in the score, log p(best other) − log p(given),
which ranks confusions between similar classes better than self-confidence (FACTS), and in that folds keep groups
together, so that a near-copy under the same wrong label cannot vouch for it.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import LABELS
from automl_cnn.progress import Progress, silent

# Average precision for 5 % flipped labels: clothing .928, ELPV .607; with all 1,280 columns .931 and .614 in 5 times
# the time; with C = .01 .866 and .511.
COMPONENTS = 256  # principal components kept of the standardised embeddings
REGULARIZATION = 0.001  # C of the logistic regression
_SMALLEST = 1e-6  # probabilities below are not told apart


def find_label_issues(
    images: pd.DataFrame,
    embeddings: NDArray[np.floating],
    groups: NDArray[np.object_],
    folds: int,
    seed: int,
    progress: Progress = silent,
) -> pd.DataFrame:
    """Rank images by how suspicious their label is.

    Args:
        images: rows of the manifest that are usable, with image_id, path, label; `decision` where there is one: a label
            that a reviewer has kept or given is ranked, but not flagged.
        embeddings: float [n, d], one a row of `images`.
        groups: text [n]; images of one group are never on both sides of a fold.
        folds: at least 2.
        seed: decides ties between groups of equal size.
        progress: told after every fold.
    Returns:
        LABELS table, most suspicious first. p_given, p_suggested and score are NaN, and the rows last, where the label
        cannot be judged: no other group has it.
    Source: Northcutt et al. 2021, sections 3.1 and 3.2.
    """
    classes, given = np.unique(images["label"].to_numpy(str), return_inverse=True)
    probabilities = out_of_fold_probabilities(embeddings, given, groups, folds, seed, progress)
    table = _judge(images, classes, given, probabilities)
    decided = images.get("decision", pd.Series("", index=images.index)).isin(["keep", "relabel"]).to_numpy()
    table["flagged"] &= ~decided
    order = np.lexsort((table["image_id"].to_numpy(str), -np.nan_to_num(table["score"].to_numpy(), nan=-np.inf)))
    table = table.iloc[order].reset_index(drop=True)
    table["rank"] = np.arange(1, len(table) + 1)
    return table[list(LABELS.columns)]


def out_of_fold_probabilities(
    embeddings: NDArray[np.floating],
    given: NDArray[np.int64],
    groups: NDArray[np.object_],
    folds: int,
    seed: int,
    progress: Progress = silent,
) -> NDArray[np.float64]:
    """Class probabilities of each image by a multinomial logistic regression that saw no image of its group.

    Args:
        embeddings: float [n, d].
        given: int64 [n], 0 to classes − 1.
        groups: text [n].
        folds: at least 2.
        seed: decides ties.
        progress: told after every fold.
    Returns:
        float64 [n, classes]; rows add up to 1. A row is NaN where its own class was not among those learned from.
    """
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    classes = int(given.max()) + 1 if len(given) else 0
    probabilities = np.full((len(given), classes), np.nan)
    if classes < 2:
        return probabilities
    values = standardise(np.asarray(embeddings, np.float32))
    kept = min(COMPONENTS, *values.shape)
    if kept < values.shape[1]:  # labels play no part here, so all images may
        values = PCA(kept, svd_solver="covariance_eigh", random_state=seed).fit_transform(values)
    fold_of = grouped_folds(given, groups, folds, seed)
    for fold in range(folds):
        test, train = np.flatnonzero(fold_of == fold), np.flatnonzero(fold_of != fold)
        learned = np.unique(given[train])
        judged = test[np.isin(given[test], learned)]
        if len(judged) and len(learned) > 1:
            model = LogisticRegression(C=REGULARIZATION, max_iter=200, tol=1e-3)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # near enough for a ranking
                with threadpool_limits(1):  # products this small: BLAS threads wait for each other (15 s against 1 s)
                    model.fit(values[train], given[train])
            probabilities[judged] = 0
            probabilities[np.ix_(judged, learned)] = model.predict_proba(values[judged])
        progress("label folds", fold + 1, folds)
    return probabilities


def standardise(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean 0 and variance 1 a column; constant columns become 0."""
    spread = values.std(axis=0)
    scaled: NDArray[np.float32] = (values - values.mean(axis=0)) / np.where(spread > 1e-6, spread, 1)
    return scaled


def grouped_folds(given: NDArray[np.int64], groups: NDArray[np.object_], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal whole groups to folds so that each class is spread as evenly as its groups allow.

    Large groups first, each to the fold that has least of the group's main class; a class with fewer groups than folds
    is missing from some folds, never in two through one group.

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


def _judge(
    images: pd.DataFrame, classes: NDArray[np.str_], given: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> pd.DataFrame:
    rows = np.arange(len(given))
    judged = np.asarray(np.isfinite(probabilities).all(axis=1) & (len(classes) > 1))
    p_given = np.full(len(given), np.nan)
    p_suggested, suggested, flagged = p_given.copy(), given.copy(), np.zeros(len(given), bool)
    if judged.any():
        known = np.where(judged[:, None], probabilities, 0)
        p_given[judged] = known[rows, given][judged]
        others = known.copy()
        others[rows, given] = -1
        suggested = np.where(judged, others.argmax(axis=1), given)
        p_suggested[judged] = others.max(axis=1)[judged]
        flagged = judged & _confidently_other(known, given, judged) & (others.max(axis=1) > known[rows, given])
    # six digits are the same on every machine
    p_given, p_suggested = np.round(p_given, 6), np.round(p_suggested, 6)
    score = np.round(np.log(np.maximum(p_suggested, _SMALLEST)) - np.log(np.maximum(p_given, _SMALLEST)), 6)
    return pd.DataFrame({
        "image_id": images["image_id"].to_numpy(), "path": images["path"].to_numpy(),
        "label": classes[given].astype(object), "suggested_label": classes[suggested].astype(object),
        "p_given": p_given, "p_suggested": p_suggested, "score": score, "flagged": flagged,
    }).astype({"label": "str", "suggested_label": "str"})  # fmt: skip


def _confidently_other(
    known: NDArray[np.float64], given: NDArray[np.int64], judged: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Off the diagonal of the confident joint: the likeliest class that reaches its mean self-confidence is another."""
    own = known[np.arange(len(given)), given]
    threshold = np.array([
        own[judged & (given == c)].mean() if (judged & (given == c)).any() else np.inf for c in range(known.shape[1])
    ])  # fmt: skip
    confident = np.where(known >= threshold, known, 0)
    best = confident.argmax(axis=1)
    return np.asarray((confident.max(axis=1) > 0) & (best != given))
