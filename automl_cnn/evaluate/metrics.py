"""How good a classifier's probabilities are: accuracy and its kin, a score a class, log loss, Brier, calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

# Half a step of the uint8 probabilities of an int8 file, whose "0" means anything below it. The float model is clipped
# at the same value, so that the two log losses can be compared.
PROBABILITY_FLOOR = 1 / 512
MOST_TOP_K = 5


@dataclass(frozen=True)
class ClassScore:
    """One class.

    Attributes:
        label: its name.
        precision: 0…1, None where no image was answered with this class.
        recall, f1: 0…1, None where no image bears the label.
        support: images that bear the label.
        precision_ci95, recall_ci95, f1_ci95: low and high of the 95 % interval; None where the score is.
        roc_auc, average_precision: as of `curves.class_curves`.
        All five are None where nobody asked for them.
    """

    label: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    precision_ci95: list[float] | None = None
    recall_ci95: list[float] | None = None
    f1_ci95: list[float] | None = None
    roc_auc: float | None = None
    average_precision: float | None = None


@dataclass(frozen=True)
class Scores:
    """One classifier on one set of n images; all in 0…1 but log_loss (nats) and brier (0…2).

    Attributes:
        n: images.
        top_k: k → share of images whose label is among the k most probable classes, k from 2 to 5, below the number of
            classes.
    """

    n: int
    accuracy: float
    balanced_accuracy: float
    macro_f1: float
    log_loss: float
    brier: float
    ece: float
    top_k: dict[str, float]
    per_class: tuple[ClassScore, ...]


def score_probabilities(
    labels: NDArray[np.int64], probabilities: NDArray[np.float32], class_names: list[str], bins: int
) -> Scores:
    """Score predicted probabilities against the labels.

    Args:
        labels: int64 [n], indices into `class_names`; n ≥ 1.
        probabilities: float32 [n, classes] in 0…1; rows of a quantized model add up to one only nearly.
        class_names: one a column.
        bins: equal-width bins of confidence for the expected calibration error.
    Returns:
        balanced_accuracy is the mean recall of the classes that occur in `labels`; macro_f1 the mean F1 of the classes
        that occur there or among the predictions, one of the predictions alone counting 0; log_loss has
        PROBABILITY_FLOOR as the least probability of a label; brier adds up over the classes.
    Source: Guo et al. 2017, equation 3, for the calibration error; Brier 1950, equation 2.
    """
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=np.arange(len(class_names)), zero_division=0
    )
    occurs, answered = support > 0, np.isin(np.arange(len(class_names)), predicted)
    table = calibration_table(labels, probabilities, bins)
    ranks = label_ranks(labels, probabilities)
    return Scores(
        n=len(labels),
        accuracy=float(accuracy_score(labels, predicted)),
        balanced_accuracy=float(recall[occurs].mean()),
        macro_f1=float(f1[occurs | answered].mean()),
        log_loss=float(label_losses(labels, probabilities).mean()),
        brier=float(brier_losses(labels, probabilities).mean()),
        ece=float(((table["accuracy"] - table["confidence"]).abs() * table["count"]).sum() / len(labels)),
        top_k={str(k): float((ranks < k).mean()) for k in top_ks(len(class_names))},
        per_class=tuple(
            ClassScore(
                name,
                precision=float(precision[i]) if answered[i] else None,
                recall=float(recall[i]) if occurs[i] else None,
                f1=float(f1[i]) if occurs[i] else None,
                support=int(support[i]),
            )
            for i, name in enumerate(class_names)
        ),
    )


def top_ks(n_classes: int) -> range:
    """The k of top-k accuracy: 2 to 5, below the number of classes, where every answer would be a hit."""
    return range(2, min(MOST_TOP_K, n_classes - 1) + 1)


def calibration_table(labels: NDArray[np.int64], probabilities: NDArray[np.float32], bins: int) -> pd.DataFrame:
    """Confidence against accuracy, bin by bin.

    Args:
        labels, probabilities, bins: as in `score_probabilities`.
    Returns:
        One row a bin that holds an image: bin (1 is the least confident), confidence and accuracy (means, 0…1), count.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    frame = pd.DataFrame(
        {
            "bin": confidence_bins(confidence, bins) + 1,
            "confidence": confidence,
            "accuracy": (probabilities.argmax(axis=1) == labels).astype(np.float64),
        }
    )
    grouped = frame.groupby("bin")
    return grouped.mean().assign(count=grouped.size()).reset_index()


def confidence_bins(confidence: NDArray[np.float64], bins: int) -> NDArray[np.int64]:
    """The bin of each confidence: 0 … bins − 1, each open below and closed above, as in the source of the ECE."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def label_ranks(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many classes stand before each label, int64 [n]; of equal probabilities the first class stands first."""
    own = probabilities[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(probabilities.shape[1]) < labels[:, None]
    return np.asarray(((probabilities > own) | ((probabilities == own) & earlier)).sum(axis=1), np.int64)


def brier_losses(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """Squared distance of each row from its label's, float64 [n] in 0…2."""
    apart = probabilities.astype(np.float64)
    apart[np.arange(len(labels)), labels] -= 1
    return np.asarray(np.square(apart).sum(axis=1))


def label_losses(labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    """−log of each label's probability in nats, float64 [n], at most −log PROBABILITY_FLOOR."""
    given = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(given, PROBABILITY_FLOOR, 1.0))
