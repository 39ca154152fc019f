"""Single two-sample tests, to choose between them: the monitor's own and those that it could have had."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from automl_cnn.monitor.permutation import (
    Assignments,
    Measure,
    assign,
    design_effect,
    energy_distance,
    euclidean,
    kolmogorov_smirnov,
    p_value,
    stability_index,
)
from automl_cnn.monitor.sample import Sample
from automl_cnn.reference.statistics import STATISTICS

LOOKS = STATISTICS[:5]
SINGLE_TESTS = (
    *(f"{name}, {test}" for name in LOOKS for test in ("KS", "PSI", "Anderson-Darling")),
    "sketches, energy", "sketches, MMD (median width)", "sketches, distance of means",
    "strangeness, KS", "strangeness, mean",
)  # fmt: skip


def single_p_values(reference: Sample, live: Sample, permutations: int, seed: int) -> list[float]:
    """p of each of SINGLE_TESTS."""
    shuffled = assign(len(reference), len(live), permutations, seed)
    found = []
    for column in range(len(LOOKS)):
        pooled = np.concatenate([reference.statistics[:, column], live.statistics[:, column]])
        effect = _effect(rankdata(reference.statistics[:, column])[:, None], reference)
        bins = np.searchsorted(np.unique(np.quantile(pooled, np.arange(1, 10) / 10)), pooled)
        for measure, root in ((kolmogorov_smirnov(pooled), 2), (stability_index(bins), 1), (anderson(pooled), 1)):
            found.append(p_value(measure(shuffled), effect ** (1 / root)))
    distances = euclidean(np.concatenate([reference.sketches, live.sketches]))
    own = distances[: len(reference), : len(reference)]
    effect = design_effect(own, reference.groups)
    width = np.median(distances[distances > 0])
    kernel = 1 - np.exp(-((distances / width) ** 2) / 2)
    matrices = (distances, kernel, distances**2 / 2)
    found += [p_value(energy_distance(matrix.astype(np.float32))(shuffled), effect) for matrix in matrices]
    scores = np.concatenate([reference.ood_scores, live.ood_scores])
    effect = _effect(rankdata(reference.ood_scores)[:, None], reference)
    found.append(p_value(kolmogorov_smirnov(scores)(shuffled), effect**0.5))
    ranks = rankdata(scores)
    away = np.abs((shuffled @ ranks) / len(live) - ranks.mean())
    found.append(p_value(away, effect**0.5))
    return found


def anderson(pooled: NDArray[np.float64]) -> Measure:
    """Squared distance of the two distribution functions, weighted so that the tails count as much as the middle.

    Source: Pettitt 1976.
    """
    order = np.argsort(pooled, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(pooled[order]) > 0, True))[:-1]
    share = (ends + 1) / len(pooled)
    weight = np.diff(np.append(0, ends + 1)) / (share * (1 - share))

    def measure(live: Assignments) -> NDArray[np.float64]:
        n_live = int(live[0].sum())
        cumulated = live[:, order].cumsum(axis=1, dtype=np.int32)[:, ends]
        return np.asarray((((cumulated - (ends + 1) * n_live / len(pooled)) ** 2) * weight).sum(axis=1))

    return measure


def _effect(values: NDArray[np.float64], sample: Sample) -> float:
    return design_effect(((values - values.T) ** 2).astype(np.float32), sample.groups)
