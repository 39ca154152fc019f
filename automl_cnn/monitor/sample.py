"""A set of images as the monitor sees it: the same figures of what the model was judged on and of what it meets now."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from automl_cnn.errors import DataError
from automl_cnn.reference.record import Reference
from automl_cnn.reference.statistics import STATISTICS

UNKNOWN, FOREIGN = -1, -2  # no true label yet; one that is no class of the model


@dataclass(frozen=True)
class Sample:
    """n images, one row of every array each.

    Attributes:
        statistics: float64 [n, 7], in the order of STATISTICS; rounded to float32 as reference.npz does.
        sketches: float32 [n, k], rounded to float16 as the log does.
        probabilities: float32 [n, classes].
        ood_scores: float64 [n]; larger is stranger.
        abstained: bool [n].
        answers: int64 [n], the true class; UNKNOWN or FOREIGN.
        groups: int64 [n]; images of one group are no independent evidence.
    """

    statistics: NDArray[np.float64]
    sketches: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    ood_scores: NDArray[np.float64]
    abstained: NDArray[np.bool_]
    answers: NDArray[np.int64]
    groups: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The most probable class, int64 [n]."""
        return np.asarray(self.probabilities.argmax(axis=1))

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Its probability, float64 [n]."""
        return np.asarray(self.probabilities.max(axis=1), np.float64)

    def rows(self, chosen: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Sample:
        """Some of the images."""
        return replace(self, **{field.name: getattr(self, field.name)[chosen] for field in fields(self)})


def sample_of_reference(reference: Reference) -> Sample:
    """The validation images that travel with a model."""
    answered = zip(reference.probabilities.argmax(axis=1), reference.probabilities.max(axis=1), strict=True)
    return Sample(
        statistics=_single(reference.statistics),
        sketches=_half(reference.sketches),
        probabilities=reference.probabilities,
        ood_scores=reference.ood_scores(reference.sketches),
        abstained=np.array([reference.abstains(reference.labels[best], float(p)) for best, p in answered], np.bool_),
        answers=reference.answers,
        groups=reference.groups,
    )


def examined_rows(table: pa.Table) -> pa.Table:
    """The rows of a log that were logged with reference.npz at hand, and so with statistics, sketch and strangeness.

    Raises:
        DataError: there are rows, and none is such a one.
    """
    needed = (*STATISTICS, "sketch", "ood_score", "abstain")
    found = table.filter(reduce(pc.and_, (pc.is_valid(table[name]) for name in needed)))
    if table.num_rows and not found.num_rows:
        raise _unfit("rows with statistics and a sketch", "none but rows that were logged without reference.npz")
    return found


def sample_of_log(table: pa.Table, labels: tuple[str, ...]) -> Sample:
    """Rows of a log, each image a group of its own.

    Args:
        table: from `examined_rows`, of one model.
        labels: its classes.
    Raises:
        DataError: rows with other classes.
    """
    n, classes = table.num_rows, len(labels)
    flat = table["probabilities"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    if flat.size != n * classes:
        raise _unfit(f"{classes} probabilities a row, as the model has classes", f"{flat.size / max(n, 1):.1f}")
    sketches = table["sketch"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    index = {label: number for number, label in enumerate(labels)} | {None: UNKNOWN}
    answers = [index.get(label, FOREIGN) for label in table["true_label"].to_pylist()]
    return Sample(
        statistics=_single(np.stack([table[name].to_numpy() for name in STATISTICS], axis=1)),
        sketches=sketches.reshape(n, sketches.size // n if n else 1).astype(np.float32),
        probabilities=flat.reshape(n, classes).astype(np.float32),
        ood_scores=table["ood_score"].to_numpy().astype(np.float64),
        abstained=table["abstain"].to_numpy(zero_copy_only=False).astype(np.bool_),
        answers=np.array(answers, np.int64),
        groups=np.arange(n),
    )


def _single(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    return statistics.astype(np.float32).astype(np.float64)


def _half(sketches: NDArray[np.float32]) -> NDArray[np.float32]:
    return sketches.astype(np.float16).astype(np.float32)


def _unfit(expected: str, received: str) -> DataError:
    return DataError(
        "log", expected=expected, received=received,
        action="Monitor with the model that wrote the log, and keep reference.npz beside it when predicting.",
    )  # fmt: skip
