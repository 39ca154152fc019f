"""cleanlab's own score beside ours; the only import of cleanlab."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from automl_cnn.errors import AutoMLError, ConfigError


def require_cleanlab() -> None:
    """Say at once, before minutes of work, that the package for the second opinion is missing.

    Raises:
        ConfigError: cleanlab is not installed.
    """
    if find_spec("cleanlab") is None:
        raise ConfigError([
            AutoMLError(
                "audit.second_opinion", expected="the package cleanlab for a second opinion",
                received="true, but cleanlab is not installed",
                action="Run `pip install 'automl-cnn[cleanlab]'`, or set audit.second_opinion to false.",
            )
        ])  # fmt: skip


def cleanlab_scores(given: NDArray[np.int64], probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    """cleanlab's label quality (normalised margin) on our out-of-fold probabilities.

    Args:
        given: int64 [n], 0 to K − 1.
        probabilities: float64 [n, K].
    Returns:
        float64 [n], 0 to 1; lower is more suspicious.
    """
    from cleanlab.rank import get_label_quality_scores

    scores: NDArray[np.float64] = get_label_quality_scores(given, probabilities, method="normalized_margin")
    return np.round(scores, 6)
