"""What is a picture's own, once what all pictures of its set have in common is taken out.

On a homogeneous set (solar cells, digits, tiles) all pictures share most of what a hash or an embedding sees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from threadpoolctl import threadpool_limits

from automl_cnn.audit.embeddings import unit_rows
from automl_cnn.audit.thumbnails import orientations

_LEARNED_FROM = 1024  # images that stand for the set; each is seen in all orientations
_PRIOR_IMAGES = 50  # weight of what natural pictures have in common, against that of the set's images
_PRIOR_CORRELATION = 0.95  # between neighbours of 32 in a row of a natural picture
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class SetLook:
    """The mean of a set's pictures and the directions in which they vary.

    Attributes:
        mean: float32 [d], d the number of pixels.
        whiten: float32 [d, d]; makes all directions of variation alike.
    """

    mean: Floats
    whiten: Floats

    @classmethod
    def learn(cls, small: Floats, noise: float, seed: int) -> SetLook:
        """Estimate from pictures, shrunk towards natural pictures where the set is small.

        Args:
            small: float32 [n, T, T], grey levels.
            noise: share of the strongest component; weaker ones are taken for noise and not amplified further.
            seed: which images are looked at where there are more than 1,024.
        Source: Ledoit and Wolf 2004 for shrinking towards a fixed covariance; whitening as in Husain and Bober 2017.
        """
        if len(small) > _LEARNED_FROM:
            chosen = np.random.default_rng(seed).choice(len(small), _LEARNED_FROM, replace=False)
            small = small[np.sort(chosen)]
        side = small.shape[1]
        seen = np.concatenate([_flat(turned) for turned in orientations(small)])
        trust = len(small) / (len(small) + _PRIOR_IMAGES)
        mean = trust * seen.mean(axis=0)
        seen = seen - mean
        with threadpool_limits(1):  # on a busy machine BLAS threads wait for each other: 2.6 s against 0.5 s
            covariance = (seen.T @ seen).astype(np.float64) / len(seen)
        neighbour = _PRIOR_CORRELATION ** (32 / side)
        distance = np.abs(np.subtract.outer(np.arange(side), np.arange(side)))
        prior = np.kron(neighbour**distance, neighbour**distance)
        covariance = trust * covariance + (1 - trust) * prior
        covariance += noise * _largest_eigenvalue(covariance) * np.eye(len(covariance))
        # any root of the inverse gives the same similarities; this one is the quickest
        with threadpool_limits(1):
            root = solve_triangular(np.linalg.cholesky(covariance), np.eye(len(covariance)), lower=True)
        return cls(mean.astype(np.float32), np.ascontiguousarray(root.T, np.float32))

    def own(self, small: Floats) -> Floats:
        """What is a picture's own, as unit vectors: float32 [n, d]; their products are similarities."""
        white = np.asarray((_flat(small) - self.mean) @ self.whiten, np.float32)
        return unit_rows(white)


def _largest_eigenvalue(covariance: NDArray[np.float64]) -> float:
    """By power iteration: no result depends on its last digits."""
    vector = np.random.default_rng(1).normal(size=len(covariance))
    for _ in range(50):
        vector = covariance @ (vector / np.linalg.norm(vector))
    return float(np.linalg.norm(vector))


def _flat(small: Floats) -> Floats:
    """Brightness and contrast taken out; the 4 grey levels keep noise from being blown up."""
    flat = small.reshape(len(small), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    scaled: Floats = centred / (centred.std(axis=1, keepdims=True) + 4)
    return scaled
