"""Would more labels help: a linear head on frozen features learns from growing parts of the training side.

The head is judged on validation, so that the test split stays unseen, and on features of a frozen network, because
those of the fine-tuned one have been shaped by the labels. Where its curve still rises, so in general does that of the
fine-tuned network, from a higher place; the figures are the head's, not the model's.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from automl_cnn.audit.ensemble import principal_components
from automl_cnn.audit.folds import rows_of_groups
from automl_cnn.evaluate.intervals import share_interval
from automl_cnn.progress import Progress, silent

COMPONENTS = 256
# C of the head. On ELPV it names .80, .82, .83, .83 and .84 of validation rightly, from a tenth of the training images
# to all of them; shrinkage LDA .73, .75, .77, .80 and .81, ridge regression .79, .81, .81, .80 and .79.
REGULARIZATION = 0.003
SIZES = 5  # training sets from SMALLEST_SHARE of the images to all of them, each larger by the same factor
SMALLEST_SHARE = 0.1
SEEDS = 5
LARGEST = 6000  # training images, and validation images, that are looked at
LEAST_A_CLASS = 10  # training images, on average, without which nothing is said
RESAMPLES = 500
TIMES = 2  # how many times as many labels are looked ahead to
MOST_TIMES = 10.0  # further ahead a curve is not believed
OVERALL_GAIN, CLASS_GAIN = 0.01, 0.05  # what "how many more labels" is asked for
WORTH_IT = 0.005  # more labels help when the lower end of the gain by TIMES as many is at least this …
LEAST_GROUPS = 5  # … and there are as many groups to be sure by
_FLOORS = np.linspace(0.0, 0.9, 10)  # of the error that no label removes, as shares of the least error that was seen
_LEAST_ERROR = 1e-4
_TOO_FEW = "too few images for a curve: collect more first"


@dataclass(frozen=True)
class Embedded:
    """One side of the split.

    Attributes:
        embeddings: float [n, d].
        labels: int64 [n].
        groups: text [n].
    """

    embeddings: NDArray[np.floating]
    labels: NDArray[np.int64]
    groups: NDArray[np.object_]


def measure_learning_curve(
    training: Embedded, validation: Embedded, class_names: list[str], seed: int, progress: Progress = silent
) -> dict[str, Any]:
    """Let a head learn from more and more images, and look ahead.

    Args:
        training, validation: features that no label has shaped.
        class_names: in the order of the labels.
        seed: of what is drawn; whole groups are, class by class.
        progress: told after every fit.
    Returns:
        What learning_curve.json holds: sentence; validation_images; seeds; overall (accuracy) and classes (recall; a
        list in the order of class_names), each with label (classes alone), points, a list of images (of the class, on
        average over the seeds), score and score_ci95; ahead, with images (TIMES as many), score, score_ci95, gain and
        gain_ci95; gain_wanted; images_wanted, how many more images that takes, None where not even MOST_TIMES as many
        are enough; and helps. left_out lists the classes that no smallest training set holds, or that validation lacks:
        label, training_images, validation_images and note. overall is None where there are too few images of all
        classes. Every draw behind the intervals takes validation groups and seeds anew and fits all points but one.
    Source: Hestness et al. 2017 for the power law with a floor.
    """
    counts = np.bincount(training.labels, minlength=len(class_names))
    if len(training.labels) < LEAST_A_CLASS * len(class_names) or not len(validation.labels):
        sentence = f"{len(training.labels):,} training images of {len(class_names)} classes are too few to tell."
        return {
            "sentence": sentence, "validation_images": len(validation.labels), "overall": None, "classes": [],
            "left_out": [],
        }  # fmt: skip
    rng = np.random.default_rng(seed)
    judged = np.sort(rng.permutation(len(validation.labels))[:LARGEST])
    wrong, images = _learn(training, validation, judged, len(class_names), rng, progress)
    labels, groups = validation.labels[judged], validation.groups[judged]
    errors, drawn = _errors(wrong, labels, groups, len(class_names), rng)
    kept = _all_but_one(drawn.shape[-1], rng)
    overall = _look_ahead(
        images.sum(axis=1), errors[:, -1], drawn[:, -1], kept, len(training.labels), OVERALL_GAIN,
        len(np.unique(groups)),
    )  # fmt: skip
    units = [len(np.unique(groups[labels == i])) for i in range(len(class_names))]
    has_curve = [bool(np.isfinite(errors[:, i]).all() and images[0, i] > 0) for i in range(len(class_names))]
    classes = [
        {
            "label": name,
            **_look_ahead(images[:, i], errors[:, i], drawn[:, i], kept, int(counts[i]), CLASS_GAIN, units[i]),
        }
        for i, name in enumerate(class_names)
        if has_curve[i]
    ]
    left_out = [
        {
            "label": name, "training_images": int(counts[i]), "validation_images": int((validation.labels == i).sum()),
            "note": _TOO_FEW,
        }
        for i, name in enumerate(class_names)
        if not has_curve[i]
    ]  # fmt: skip
    return {
        "sentence": _sentence(overall, classes), "validation_images": len(judged), "seeds": SEEDS, "overall": overall,
        "classes": classes, "left_out": left_out,
    }  # fmt: skip


def _learn(
    training: Embedded, validation: Embedded, judged: NDArray[np.int64], n_classes: int, rng: np.random.Generator,
    progress: Progress,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Whether each seed answers wrongly, [sizes, seeds, validation], and training images, [sizes, classes]."""
    used = np.sort(_growing(training.labels, training.groups, rng)[:LARGEST])
    given, groups = training.labels[used], training.groups[used]
    sizes = np.geomspace(SMALLEST_SHARE * len(used), len(used), SIZES).round().astype(int)
    wrong, images = np.zeros((SIZES, SEEDS, len(judged))), np.zeros((SIZES, n_classes))
    with threadpool_limits(1):  # the same sums on any number of cores
        both = np.concatenate([training.embeddings[used], validation.embeddings[judged]]).astype(np.float32)
        values = principal_components(both, COMPONENTS)
        for number in range(SEEDS):
            order = _growing(given, groups, rng)
            for step, size in enumerate(sizes):
                rows = order[:size]
                said = _fit(values[rows], given[rows], values[len(used) :])
                wrong[step, number] = said != validation.labels[judged]
                images[step] += np.bincount(given[rows], minlength=n_classes) / SEEDS
                progress("learning curve", number * SIZES + step + 1, SEEDS * SIZES)
    return wrong, images


def _growing(labels: NDArray[np.int64], groups: NDArray[np.object_], rng: np.random.Generator) -> NDArray[np.int64]:
    """All rows in an order whose every beginning holds whole groups (but for the last) and each class's share."""
    parts = rows_of_groups(groups)
    main = np.array([np.bincount(labels[rows]).argmax() for rows in parts])
    place = np.empty(len(parts))
    for label in np.unique(main):
        members = rng.permutation(np.flatnonzero(main == label))
        sizes = np.array([len(parts[group]) for group in members])
        place[members] = (np.cumsum(sizes) - sizes / 2) / sizes.sum()
    return np.concatenate([parts[group] for group in np.argsort(place, kind="stable")])


def _fit(values: NDArray[np.float32], labels: NDArray[np.int64], asked: NDArray[np.float32]) -> NDArray[np.int64]:
    if len(np.unique(labels)) < 2:
        return np.full(len(asked), labels[0])
    head = LogisticRegression(C=REGULARIZATION, class_weight="balanced", max_iter=100, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # near enough for counting
        return np.asarray(head.fit(values, labels).predict(asked), np.int64)


def _errors(
    wrong: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.object_], n_classes: int,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # fmt: skip
    """Error of each class and, last, of all images: [sizes, classes + 1]; and in draws of groups, [.., draws]."""
    group_of = np.unique(groups.astype(str), return_inverse=True)[1].reshape(-1)
    n_groups = int(group_of.max()) + 1
    times = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), RESAMPLES).T  # (groups, draws)
    times = np.concatenate([np.ones((n_groups, 1)), times], axis=1)  # the images as they are come first
    shape = (n_classes, n_groups)

    seeds = rng.multinomial(SEEDS, np.full(SEEDS, 1 / SEEDS), RESAMPLES).T / SEEDS  # (seeds, draws)
    seeds = np.concatenate([np.full((SEEDS, 1), 1 / SEEDS), seeds], axis=1)

    def summed(values: NDArray[np.float64]) -> NDArray[np.float64]:
        classes = sparse.coo_array((values, (labels, group_of)), shape=shape).tocsr() @ times
        return np.concatenate([classes, classes.sum(axis=0, keepdims=True)])

    counts = summed(np.ones(len(labels)))
    with np.errstate(invalid="ignore", divide="ignore"):  # a class that a draw leaves out has no error there
        errors = np.array([
            sum(summed(row) * weight for row, weight in zip(rows, seeds, strict=True)) / counts for rows in wrong
        ])  # fmt: skip
    return errors[..., 0], errors[..., 1:]


def _all_but_one(draws: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which points each draw keeps, [sizes, draws]."""
    return np.asarray(rng.integers(0, SIZES, draws) != np.arange(SIZES)[:, None], np.bool_)


def _look_ahead(
    images: NDArray[np.float64],
    error: NDArray[np.float64],
    drawn: NDArray[np.float64],
    kept: NDArray[np.bool_],
    now: int,
    wanted: float,
    n_groups: int,
) -> dict[str, Any]:
    """Points and extrapolation of one curve: images and error [sizes]; draws, and what each keeps [sizes, draws]."""
    known = np.isfinite(drawn).all(axis=0)
    drawn, kept = drawn[:, known], kept[:, known]
    every = np.ones((len(images), 1), bool)
    power = fit_power_law(
        images, np.concatenate([error[:, None], drawn], axis=1), np.concatenate([every, kept], axis=1)
    )
    here, ahead = (power.error_at(count) for count in (float(now), float(TIMES * now)))
    enough = power.images_for(np.maximum(here - wanted, 0.0))[0]
    gains = here - ahead
    gain_ci95 = _interval(gains[1:])
    points = [
        {"images": round(float(n)), "score": 1 - e, "score_ci95": share_interval(1 - draws, 1 - e, n_groups, 0.95)}
        for n, e, draws in zip(images.tolist(), error.tolist(), drawn, strict=True)
    ]
    return {
        "points": points,
        "ahead": {
            "images": TIMES * now,
            "score": float(1 - ahead[0]),
            "score_ci95": _interval(1 - ahead[1:]),
            "gain": float(gains[0]),
            "gain_ci95": gain_ci95,
        },
        "gain_wanted": wanted,
        "images_wanted": int(np.ceil(enough - now)) if enough <= MOST_TIMES * now else None,
        "helps": n_groups >= LEAST_GROUPS and gain_ci95[0] >= WORTH_IT,
    }


@dataclass(frozen=True)
class PowerLaw:
    """error = floor + scale · images^slope, several of them: float64 [k] each, slope ≤ 0."""

    floor: NDArray[np.float64]
    scale: NDArray[np.float64]
    slope: NDArray[np.float64]

    def error_at(self, images: float) -> NDArray[np.float64]:
        """Error after learning from so many images, float64 [k]."""
        return self.floor + self.scale * images**self.slope

    def images_for(self, error: NDArray[np.float64]) -> NDArray[np.float64]:
        """How many images it takes, float64 [k]; infinity where no number is enough."""
        reachable = (error > self.floor) & (self.slope < 0)
        share = np.where(reachable, (error - self.floor) / np.maximum(self.scale, 1e-300), 1.0)
        with np.errstate(over="ignore"):
            return np.where(reachable, share ** (1 / np.where(reachable, self.slope, -1.0)), np.inf)


def fit_power_law(
    images: NDArray[np.float64], errors: NDArray[np.float64], kept: NDArray[np.bool_] | None = None
) -> PowerLaw:
    """Least squares in the error, over a grid of floors; scale and slope of each from a line through the logarithms.

    Args:
        images: float64 [sizes], ascending.
        errors: float64 [sizes, k] in 0…1, one curve a column.
        kept: bool [sizes, k], the points that count; None: all.
    """
    weight = np.ones_like(errors) if kept is None else kept.astype(np.float64)
    weight /= weight.sum(axis=0)
    x = np.log(np.maximum(images, 1.0))[:, None]
    around = x - (weight * x).sum(axis=0)
    spread = np.maximum((weight * around**2).sum(axis=0), 1e-12)
    best = np.full((4, errors.shape[1]), np.inf)  # squares, floor, scale, slope
    for share in _FLOORS:
        floor = share * errors.min(axis=0)
        y = np.log(np.maximum(errors - floor, _LEAST_ERROR))
        slope = np.minimum((weight * around * y).sum(axis=0) / spread, 0.0)
        scale = np.exp((weight * (y - slope * x)).sum(axis=0))
        squares = (weight * (floor + scale * np.exp(slope * x) - errors) ** 2).sum(axis=0)
        found = np.array([squares, floor, scale, slope])
        best = np.where(squares < best[0], found, best)
    return PowerLaw(best[1], best[2], best[3])


def _interval(samples: NDArray[np.float64]) -> list[float]:
    if not len(samples):
        return [0.0, 1.0]
    low, high = np.quantile(samples, [0.025, 0.975])
    return [float(low), float(high)]


def _sentence(overall: dict[str, Any], classes: list[dict[str, Any]]) -> str:
    ahead = overall["ahead"]
    low, high = (100 * end for end in ahead["gain_ci95"])
    gain = f"{100 * ahead['gain']:.1f} points of accuracy (95 % interval {low:.1f} to {high:.1f})"
    doubled = f"twice as many give a linear head about {gain}"
    if overall["helps"]:
        said = [f"More labels help: {doubled}"]
    elif high <= 100 * OVERALL_GAIN:
        said = [f"More labels of all classes hardly help: {doubled}"]
    else:
        said = [f"Whether more labels of all classes help cannot be told yet: {doubled}"]
    if overall["images_wanted"] is not None:
        said.append(f"one point takes about {_two_digits(overall['images_wanted']):,} more images")
    worth = sorted((one for one in classes if one["helps"]), key=lambda one: -float(one["ahead"]["gain"]))[:3]
    if worth:
        said.append(f"most is to be had for {', '.join(one['label'] for one in worth)}")
    return "; ".join(said) + "."


def _two_digits(images: int) -> int:
    """All that such an estimate is good for."""
    return round(float(f"{images:.2g}"))
