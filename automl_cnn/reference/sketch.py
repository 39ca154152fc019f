"""Features made short: their directions along the main axes of the training images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SKETCH_LENGTH = 64


@dataclass(frozen=True)
class Sketcher:
    """Projects features onto the principal axes of those it was fitted on.

    Attributes:
        mean: float32 [d].
        axes: float32 [d, k], orthonormal but for rounding, the widest in front.
    """

    mean: NDArray[np.float32]
    axes: NDArray[np.float32]

    @classmethod
    def fit(cls, features: NDArray[np.float32], length: int = SKETCH_LENGTH) -> Sketcher:
        """Find the axes.

        Args:
            features: float32 [n, d], n ≥ 1.
            length: k; fewer where n or d is smaller.
        """
        mean = features.mean(axis=0)
        _, _, rows = np.linalg.svd(features - mean, full_matrices=False)
        axes = rows[:length].T
        signs = np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])  # the same on every machine
        stored = (axes * np.where(signs == 0, 1, signs)).astype(np.float16)  # as reference.npz keeps them
        return cls(mean.astype(np.float32), stored.astype(np.float32))

    def __call__(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sketches of unit length, float32 [n, k]; zero for features that are the mean itself."""
        flat = (features - self.mean) @ self.axes
        lengths = np.linalg.norm(flat, axis=1, keepdims=True)
        return np.asarray(flat / np.where(lengths > 0, lengths, 1), dtype=np.float32)
