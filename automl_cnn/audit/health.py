"""How sound the labels are: the share of wrong ones with an interval, how many to look at, and each class by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.audit.noise import NoiseModel, fit_noise

FLAG_FROM = 0.25  # probability of being wrong from which on an image is worth a look
# Single errors follow no pattern from which they could be told: so large a part of the ranking is worth a look wherever
# the picture speaks for another class. Of the first 40 labels of a third of clothing, where no pattern is found, about
# ten were judged wrong by eye.
LEAST_SHARE = 0.01
FLAG_SCORE = round(float(np.log(FLAG_FROM / (1 - FLAG_FROM))), 6)  # the same as a score
RATES = (0.0, 0.005, 0.01, 0.02, 0.03, 0.045, 0.06, 0.08, 0.1, 0.13, 0.16, 0.2, 0.25, 0.3, 0.4)
# A rate is inside the interval when the labels' log-likelihood falls short of the best by at most FIXED and SHARE of
# the images times this; the first is a 95 % interval of a true model, the second allows for one that is not.
FIXED = 1.92
SHARE = 0.004
_INTERVAL_ROUNDS = 20
_NORMAL = 1.96


def label_report(
    model: NoiseModel | None,
    probabilities: NDArray[np.float64],
    given: NDArray[np.int64],
    judged: NDArray[np.bool_],
    classes: list[str],
) -> dict[str, Any]:
    """Put the state of the labels in numbers.

    Args:
        model: of the judged images; None where no label can be judged.
        probabilities: float64 [judged, K], out-of-fold.
        given: int64 [n], the written class.
        judged: bool [n].
        classes: names, K of them.
    Returns:
        judged: images; noise: rate, low and high, share of wrong labels; cutoff: images to look at, from the top of the
        ranking, with expected_precision and expected_recall there; classes: one dict a class with label, images,
        flagged_share, noise {rate, low, high}, confused_with, confidence. None where nothing can be said.
    """
    if model is None:
        return {"judged": 0, "noise": None, "cutoff": None,
                "classes": [_unknown(name, int((given == k).sum())) for k, name in enumerate(classes)]}  # fmt: skip
    own = given[judged]
    wrong, chosen = model.p_wrong(own), worth_a_look(model, own)
    rate, low, high = estimate_noise(probabilities, own)
    return {
        "judged": len(own),
        "noise": {"rate": round(rate, 4), "low": round(low, 4), "high": round(high, 4)},
        "cutoff": _cutoff(wrong, chosen),
        "classes": [
            _class_health(classes, k, given, own, wrong, chosen, model, (rate, low, high)) for k in range(len(classes))
        ],
    }


def estimate_noise(probabilities: NDArray[np.float64], given: NDArray[np.int64]) -> tuple[float, float, float]:
    """Share of wrong labels, with the interval of shares that explain the labels nearly as well.

    Args:
        probabilities: float64 [n, K], out-of-fold.
        given: int64 [n].
    Returns:
        rate, low, high; each 0 to 1.
    """
    best = fit_noise(probabilities, given, lowest_rate=0.0)
    learned = float(best.p_wrong(given).mean())
    rates = np.unique(np.r_[RATES, learned])
    likelihood = np.array([
        best.log_likelihood if rate == learned
        else fit_noise(probabilities, given, total_rate=float(rate), rounds=_INTERVAL_ROUNDS).log_likelihood
        for rate in rates
    ])  # fmt: skip
    short = likelihood.max() - likelihood
    allowed = FIXED + SHARE * len(given)
    at = int(likelihood.argmax())
    rate = float(rates[at])
    low = _crossing(rates[at::-1], short[at::-1], allowed)
    high = _crossing(rates[at:], short[at:], allowed)
    return rate, min(low, rate), max(high, rate)


def _crossing(rates: NDArray[np.float64], short: NDArray[np.float64], allowed: float) -> float:
    """The rate at which the shortfall reaches what is allowed, going away from the best; linear between grid points."""
    for k in range(1, len(rates)):
        if short[k] > allowed:
            inside = max(allowed - short[k - 1], 0.0)
            return float(rates[k - 1] + (rates[k] - rates[k - 1]) * inside / (short[k] - short[k - 1]))
    return float(rates[-1])


def worth_a_look(model: NoiseModel, given: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which labels a person should look at: bool [n].

    Args:
        model: of these images.
        given: int64 [n], the written class.
    """
    wrong = np.round(model.p_wrong(given), 6)
    chosen: NDArray[np.bool_] = wrong >= FLAG_FROM
    first = np.argsort(-wrong, kind="stable")[: round(LEAST_SHARE * len(given))]
    chosen[first] |= model.clean[first].argmax(axis=1) != given[first]
    return chosen


def _cutoff(wrong: NDArray[np.float64], chosen: NDArray[np.bool_]) -> dict[str, Any]:
    """How many are worth a look; what to expect there follows from the probabilities."""
    found, total = float(wrong[chosen].sum()), float(wrong.sum())
    images = int(chosen.sum())
    return {
        "images": images,
        "expected_precision": round(found / images, 3) if images else None,
        "expected_recall": round(found / total, 3) if total > 0 else None,
    }


def _class_health(
    classes: list[str],
    k: int,
    given: NDArray[np.int64],
    own: NDArray[np.int64],
    wrong: NDArray[np.float64],
    chosen: NDArray[np.bool_],
    model: NoiseModel,
    overall: tuple[float, float, float],
) -> dict[str, Any]:
    rows = own == k
    if not rows.any():
        return _unknown(classes[k], int((given == k).sum()))
    rate, low, high = overall
    mean = float(wrong[rows].mean())
    # what is uncertain of all labels, in proportion, and which of this class's images it is
    spread = _NORMAL * float(np.sqrt((wrong[rows] * (1 - wrong[rows])).sum())) / int(rows.sum())
    scale_low, scale_high = (low / rate, high / rate) if rate > 0 else (0.0, 1.0)
    others = model.belief[rows].sum(axis=0)
    others[k] = -1
    return {
        "label": classes[k],
        "images": int((given == k).sum()),
        "flagged_share": round(float(chosen[rows].mean()), 4),
        "noise": {
            "rate": round(mean, 4),
            "low": round(max(mean * scale_low - spread, 0.0), 4),
            "high": round(min(mean * scale_high + spread, 1.0), 4),
        },
        "confused_with": classes[int(others.argmax())],
        "confidence": round(float(model.clean[rows, k].mean()), 4),
    }


def _unknown(name: str, images: int) -> dict[str, Any]:
    return {"label": name, "images": images, "flagged_share": None, "noise": None, "confused_with": None,
            "confidence": None}  # fmt: skip
