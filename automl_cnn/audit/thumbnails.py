"""Small grey versions of the pictures, and two ways of comparing them: perceptual hashes, and what is their own.

On a homogeneous set (solar cells, digits, tiles) all pictures share most of what a hash or an embedding sees. `SetLook`
learns what a set's pictures have in common and compares what remains.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn
from scipy.linalg import solve_triangular
from threadpoolctl import threadpool_limits

from automl_cnn.audit.properties import content_boxes
from automl_cnn.data.store import ImageStore
from automl_cnn.progress import Progress, silent

SIZE_PX = 64
HASH_BITS = 64
ORIENTATIONS = 8
_COARSE_PX = 32  # of the hash and of SetLook
_LEARNED_FROM = 1024  # images that stand for the set; each is seen in all orientations
_PRIOR_IMAGES = 50  # weight of what natural pictures have in common, against that of the set's images
_PRIOR_CORRELATION = 0.95  # between neighbouring pixels of a natural picture
_NOISE = 0.003  # of the strongest component: weaker ones are taken for noise and not amplified further
_BLOCK_IMAGES = 256
Floats = NDArray[np.float32]


def grey_thumbnails(usable: pd.DataFrame, store: ImageStore, progress: Progress = silent) -> Floats:
    """Shrink the pictures, without their letterbox, to one square size.

    Args:
        usable: manifest rows with status ok.
        store: their decoded images.
        progress: told after every block.
    Returns:
        float32 [n, 64, 64], grey levels 0 to 255.
    """
    rows, boxes = usable["store_row"].to_numpy(np.int64), content_boxes(usable, store)
    thumbnails = np.empty((len(rows), SIZE_PX, SIZE_PX), np.float32)
    for start in range(0, len(rows), _BLOCK_IMAGES):
        pictures = store.read(rows[start : start + _BLOCK_IMAGES])
        for offset, (picture, box) in enumerate(zip(pictures, boxes[start : start + _BLOCK_IMAGES], strict=True)):
            left, top, right, bottom = (int(edge) for edge in box)
            grey = Image.fromarray(np.ascontiguousarray(picture[top:bottom, left:right])).convert("L")
            thumbnails[start + offset] = np.asarray(grey.resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX))
        progress("thumbnails", min(start + _BLOCK_IMAGES, len(rows)), len(rows))
    return thumbnails


def coarse(thumbnails: Floats) -> Floats:
    """Half the size: float32 [n, 32, 32]."""
    halved: Floats = thumbnails.reshape(len(thumbnails), _COARSE_PX, 2, _COARSE_PX, 2).mean(axis=(2, 4))
    return halved


def orientations(thumbnails: Floats) -> Iterator[Floats]:
    """The eight ways to turn and mirror a square, the picture as it is first: float32 [n, T, T] each."""
    for turned in (thumbnails, thumbnails.transpose(0, 2, 1)):
        for down in (1, -1):
            for across in (1, -1):
                yield turned[:, ::down, ::across]


def perceptual_hashes(small: Floats) -> Floats:
    """pHash: the signs of 64 low frequencies against their median.

    Args:
        small: float32 [n, 32, 32], from `coarse`.
    Returns:
        float32 [n, 64] of −1 and 1: (64 − a @ b) / 2 bits differ, and a matrix product compares blocks of images.
    Source: Zauner 2010; the same hash as imagehash.phash of a 32-pixel picture.
    """
    low = dctn(small, axes=(1, 2))[:, :8, :8].reshape(len(small), HASH_BITS)
    hashes: Floats = np.where(low > np.median(low, axis=1, keepdims=True), 1, -1).astype(np.float32)
    return hashes


@dataclass(frozen=True)
class SetLook:
    """What the pictures of a set have in common: their mean and the directions in which they vary.

    Attributes:
        mean: float32 [1024].
        whiten: float32 [1024, 1024]; makes all directions of variation alike.
    """

    mean: Floats
    whiten: Floats

    @classmethod
    def learn(cls, small: Floats, seed: int) -> SetLook:
        """Estimate from thumbnails, shrunk towards natural pictures where the set is small.

        Args:
            small: float32 [n, 32, 32], from `coarse`.
            seed: which images are looked at where there are more than 1,024.
        Source: Ledoit and Wolf 2004 for shrinking towards a fixed covariance; whitening as in Husain and Bober 2017.
        """
        if len(small) > _LEARNED_FROM:
            chosen = np.random.default_rng(seed).choice(len(small), _LEARNED_FROM, replace=False)
            small = small[np.sort(chosen)]
        seen = np.concatenate([_flat(turned) for turned in orientations(small)])
        trust = len(small) / (len(small) + _PRIOR_IMAGES)
        mean = trust * seen.mean(axis=0)
        seen = seen - mean
        with threadpool_limits(1):  # on a busy machine BLAS threads wait for each other: 2.6 s against 0.5 s
            covariance = (seen.T @ seen).astype(np.float64) / len(seen)
        distance = np.abs(np.subtract.outer(np.arange(_COARSE_PX), np.arange(_COARSE_PX)))
        prior = np.kron(_PRIOR_CORRELATION**distance, _PRIOR_CORRELATION**distance)
        covariance = trust * covariance + (1 - trust) * prior
        covariance += _NOISE * _largest_eigenvalue(covariance) * np.eye(len(covariance))
        # any root of the inverse gives the same similarities; this one is the quickest
        with threadpool_limits(1):
            root = solve_triangular(np.linalg.cholesky(covariance), np.eye(len(covariance)), lower=True)
        return cls(mean.astype(np.float32), np.ascontiguousarray(root.T, np.float32))

    def own(self, small: Floats) -> Floats:
        """What is a picture's own, as unit vectors: float32 [n, 1024]; their products are similarities."""
        white = (_flat(small) - self.mean) @ self.whiten
        unit: Floats = white / np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-6)
        return unit


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
