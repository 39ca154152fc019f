"""Images as the monitor sees them, drawn from known distributions."""

from __future__ import annotations

import numpy as np

from automl_cnn.monitor.sample import Sample

SHARED = 1.645  # the score above which an image is strange: 5 % of those drawn here are


def sample(n: int, seed: int, *, group_size: int = 1) -> Sample:
    """n images of three classes that are all alike but for chance; those of one group are more alike."""
    rng = np.random.default_rng(seed)
    groups = np.arange(n) // group_size

    def drawn(width: int) -> np.ndarray:
        common, own = rng.normal(size=(n, width))[groups], rng.normal(size=(n, width))
        return (np.sqrt(0.9) * common + np.sqrt(0.1) * own) if group_size > 1 else own

    evidence = drawn(3)
    probabilities = np.exp(2 * evidence) / np.exp(2 * evidence).sum(axis=1, keepdims=True)
    sketches = drawn(8)
    truth = (probabilities.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return Sample(
        statistics=drawn(7),
        sketches=sketches.astype(np.float32),
        probabilities=probabilities.astype(np.float32),
        ood_scores=drawn(1)[:, 0],
        abstained=probabilities.max(axis=1) < 0.6,
        answers=truth,
        groups=groups,
    )
