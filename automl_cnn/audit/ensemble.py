"""Two classifiers on frozen embeddings, each asked only about images of groups that it has not seen.

A logistic regression on principal components, fold by fold, finds labels that are far from their class; a kernel ridge
regression, leaving out one group at a time, is better between similar classes. Their mean is better than either
(docs/audit.md). The ridge has a closed form: the prediction without a group follows from the prediction with it and
the group's block of the hat matrix, so a new set of labels costs one matrix product.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from automl_cnn.audit.calibration import calibrate
from automl_cnn.audit.embeddings import unit_rows
from automl_cnn.audit.folds import grouped_folds, rows_of_groups
from automl_cnn.audit.search import blocks
from automl_cnn.progress import Progress, silent

COMPONENTS = 256  # principal components that the logistic regression is given
REGULARIZATION = 0.001  # C of the logistic regression
LANDMARKS = 1000  # images that span the kernel; all of a smaller set
RIDGE = 1.0  # on the kernel's coordinates; average precision is flat between 1 and 3
_LIGHTEST = 1e-3  # weight of an image whose label is surely wrong; 0 would take a class away where all are
_PAIRS = 600  # images whose distances set the kernel's width


class LabelEnsemble:
    """What does not depend on the labels, prepared once, so that labels can be judged in several rounds.

    Args:
        embeddings: float [n, d].
        given: int64 [n], class of each image, 0 to K − 1; its folds spread these classes.
        groups: text [n]; images of one group never judge each other.
        folds: of the logistic regression, at least 2.
        seed: of the folds and the landmarks.
    """

    def __init__(
        self,
        embeddings: NDArray[np.floating],
        given: NDArray[np.int64],
        groups: NDArray[np.object_],
        folds: int,
        seed: int,
    ) -> None:
        self._given, self._classes, self._folds = given, int(given.max()) + 1, folds
        with threadpool_limits(1):  # products this small: BLAS threads wait for each other
            self._components = principal_components(np.asarray(embeddings, np.float32), COMPONENTS)
            self._ridge = LeaveGroupOutRidge(_kernel_coordinates(embeddings, seed), rows_of_groups(groups))
        self._fold_of = grouped_folds(given, groups, folds, seed)

    def predict(
        self,
        targets: NDArray[np.float64],
        weights: NDArray[np.float64],
        progress: Progress = silent,
        label: str = "label folds",
    ) -> NDArray[np.float64]:
        """Class probabilities of each image from what was learned on other groups.

        Args:
            targets: float64 [n, K], what the ridge learns: one-hot labels, or probabilities of the true class.
            weights: float64 [n], 0 to 1, how far the logistic regression trusts an image's given label.
            progress: told after every fold.
            label: what the progress is called.
        Returns:
            float64 [n, K]; rows add up to 1.
        """
        with threadpool_limits(1):
            ridge = calibrate(self._ridge.predict(targets), self._given)
            logistic = self._logistic(np.maximum(weights, _LIGHTEST), progress, label)
        known = np.isfinite(logistic)  # a fold may have learned nothing of the image's class
        return np.where(known, (np.where(known, logistic, 0) + ridge) / 2, ridge)

    def _logistic(self, weights: NDArray[np.float64], progress: Progress, label: str) -> NDArray[np.float64]:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        probabilities = np.full((len(self._given), self._classes), np.nan)
        for fold in range(self._folds):
            test, train = np.flatnonzero(self._fold_of == fold), np.flatnonzero(self._fold_of != fold)
            learned = np.unique(self._given[train])
            judged = test[np.isin(self._given[test], learned)]
            if len(judged) and len(learned) > 1:
                model = LogisticRegression(C=REGULARIZATION, max_iter=200, tol=1e-3)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", ConvergenceWarning)  # near enough for a ranking
                    model.fit(self._components[train], self._given[train], sample_weight=weights[train])
                probabilities[judged] = 0
                probabilities[np.ix_(judged, learned)] = model.predict_proba(self._components[judged])
            progress(label, fold + 1, self._folds)
        return probabilities


class LeaveGroupOutRidge:
    """Ridge regression that answers for each group as if it had never seen it.

    Args:
        coordinates: float [n, d].
        groups: rows of each group.

    The coordinates, with a one for the intercept, are turned and scaled so that the regression's matrix is the
    identity: then they alone are all that must be held, float64 [n, d + 1], and H = Z Zᵀ.

    Source: Allen 1974 (PRESS), for blocks: y − ŷ₋g = (I − H_gg)⁻¹ (y − ŷ) on the rows of g.
    """

    def __init__(self, coordinates: NDArray[np.floating], groups: list[NDArray[np.int64]]) -> None:
        n, width = coordinates.shape
        gram = np.diag(np.r_[np.full(width, RIDGE), RIDGE * 1e-3])  # the intercept is hardly held back
        for block in blocks(n):
            x = _with_one(coordinates[block])
            gram += x.T @ x
        whiten = np.linalg.inv(np.linalg.cholesky(gram)).T
        self._z = np.empty((n, width + 1))
        for block in blocks(n):
            self._z[block] = _with_one(coordinates[block]) @ whiten
        self._groups = groups

    def predict(self, targets: NDArray[np.float64]) -> NDArray[np.float64]:
        """Predictions for each row by a regression without its group.

        Args:
            targets: float64 [n, K].
        Returns:
            float64 [n, K].
        """
        weights = self._z.T @ targets
        residual = targets - self._z @ weights
        predicted = np.empty_like(targets)
        for rows in self._groups:
            z = self._z[rows]
            if len(rows) == 1:
                predicted[rows] = targets[rows] - residual[rows] / (1 - float(z[0] @ z[0]))
            elif len(rows) <= z.shape[1]:
                predicted[rows] = targets[rows] - np.linalg.solve(np.eye(len(rows)) - z @ z.T, residual[rows])
            else:  # fewer unknowns than images: fit again without them
                predicted[rows] = z @ np.linalg.solve(np.eye(z.shape[1]) - z.T @ z, weights - z.T @ targets[rows])
        return predicted


def _with_one(coordinates: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.concatenate([coordinates, np.ones((len(coordinates), 1))], axis=1, dtype=np.float64)


def principal_components(values: NDArray[np.float32], components: int) -> NDArray[np.float32]:
    """Columns brought to mean 0 and variance 1, then turned to their principal axes; labels play no part here.

    Args:
        values: float32 [n, d].
        components: how many axes are kept at most.
    Returns:
        float32 [n, min(components, n, d)].
    """
    from sklearn.decomposition import PCA

    spread = values.std(axis=0)
    scaled: NDArray[np.float32] = (values - values.mean(axis=0)) / np.where(spread > 1e-6, spread, 1)
    kept = min(components, *scaled.shape)
    if kept == scaled.shape[1]:
        return scaled
    turned: NDArray[np.float32] = PCA(kept, svd_solver="covariance_eigh").fit_transform(scaled)
    return turned


def directions(embeddings: NDArray[np.floating]) -> NDArray[np.float32]:
    """Embeddings around their mean, scaled to length 1, so that a product is a similarity from −1 to 1.

    Args:
        embeddings: float [n, d].
    Returns:
        float32 [n, d].
    """
    centred = np.asarray(embeddings, np.float32) - np.asarray(embeddings, np.float32).mean(axis=0)
    return unit_rows(centred)


def _kernel_coordinates(embeddings: NDArray[np.floating], seed: int) -> NDArray[np.float32]:
    """Coordinates whose products are a Gaussian kernel, spanned by landmarks (Williams and Seeger 2001)."""
    unit = directions(embeddings)
    rows = np.random.default_rng(seed).permutation(len(unit))
    landmarks = unit[rows[:LANDMARKS]]
    sample = unit[rows[:_PAIRS]].astype(np.float64)
    apart = np.maximum(2 - 2 * sample @ sample.T, 0)[np.triu_indices(len(sample), 1)]
    width = max(float(np.median(apart)), 1e-3) if len(apart) else 1.0
    values, vectors = np.linalg.eigh(_kernel(landmarks, landmarks, width))
    kept = values > 1e-3
    turn = vectors[:, kept] / np.sqrt(values[kept])
    coordinates = np.empty((len(unit), turn.shape[1]), np.float32)
    for block in blocks(len(unit)):  # in one piece and float64 it takes several GB at 100,000 images
        coordinates[block] = _kernel(unit[block], landmarks, width) @ turn
    return coordinates


def _kernel(one: NDArray[np.float32], other: NDArray[np.float32], width: float) -> NDArray[np.float64]:
    return np.exp(-np.maximum(2 - 2 * (one @ other.T).astype(np.float64), 0) / width)
