"""The contract on time: `search.budget_minutes` is wall clock for search, train, quantize and evaluate together.

What the later stages will take is estimated from three things that are measured when the search begins: how long
TensorFlow takes to load, how fast the frozen network runs in LiteRT, and how many images there are. The factors
were measured once (docs/search.md); how far they were off in the last run of this project corrects them in the next.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from automl_cnn.reference.build import MOST_TRAINING

STAGES = ("search", "train", "quantize", "evaluate")

# Seconds of a stage's fixed work (building, converting, writing) for every second that loading TensorFlow takes.
TRAIN_WORK = 1.2
QUANTIZE_WORK = 10.0  # seven conversions, building and tracing what is trained, memory measured in processes
EVALUATE_S = 7.0  # of them 4 for the learning curve, slices, curves and failures
# One image against one image through LiteRT in batches on all cores.
SINGLE_IMAGES = 1.1  # one at a time, as files are measured
CALIBRATION = 28.0  # two converters look at every layer's output, Keras does twice
QAT = 4.8  # a training image of quantization-aware training, from block 4 up
REFERENCE = 1.3  # probabilities, features and looks for reference.npz
TUNING = {8: 1.2, 7: 1.4, 6: 1.7, 5: 2.3, 4: 2.9, 3: 3.3, 2: 3.6, 1: 4.0}  # of fine-tuning, by the lowest block
FILES_MEASURED = 7  # five rungs, up to three checkpoints
LATENCY_RUNS = 220  # of single images, both files together
TUNING_WORK = 1.5  # fixed work of a fine-tuning, as TRAIN_WORK
WORST_CORRECTION = 4.0


class Clock:
    """Seconds of a search, those of killed runs counted in.

    Args:
        budget_s: when all stages have to be over.
        started: `time.perf_counter()` when this run began.
    Attributes:
        now_s: when the last trial ended; what a climb decides by.
    """

    def __init__(self, budget_s: float, started: float) -> None:
        self.budget_s, self.now_s = budget_s, 0.0
        self._zero = started

    def go_on_after(self, spent_s: float) -> None:
        """Count in what earlier runs took."""
        self._zero -= spent_s

    def read(self) -> float:
        """The time now."""
        return time.perf_counter() - self._zero


@dataclass(frozen=True)
class Pace:
    """How fast this machine is.

    Attributes:
        import_s: loading TensorFlow.
        image_s: one image through the frozen network in LiteRT, in batches on all cores.
        latency_s: the same, one image on one core.
    """

    import_s: float
    image_s: float
    latency_s: float


@dataclass(frozen=True)
class Work:
    """How much there is to do after the search.

    Attributes:
        training, validation, test: images.
        calibration: images that set the ranges of int8.
        batch_size: images a step of quantization-aware training.
    """

    training: int
    validation: int
    test: int
    calibration: int
    batch_size: int


@dataclass(frozen=True)
class Reserve:
    """Seconds that the later stages take; quantization-aware training comes on top, a step at a time."""

    train_s: float
    quantize_s: float
    step_s: float
    evaluate_s: float

    def total_s(self, steps: int) -> float:
        """All of it with so many steps."""
        return self.train_s + self.quantize_s + steps * self.step_s + self.evaluate_s


def reserve(pace: Pace, work: Work, corrections: Mapping[str, float] | None = None) -> Reserve:
    """Estimate what the stages after the search take.

    Args:
        pace: of the network that wins.
        work: what is done with it.
        corrections: stage → factor, from `corrections_of`.
    """
    factor = {stage: (corrections or {}).get(stage, 1.0) for stage in STAGES}
    images = (
        FILES_MEASURED * work.validation * SINGLE_IMAGES
        + work.calibration * CALIBRATION
        + (work.validation + min(work.training, MOST_TRAINING)) * REFERENCE
    )
    return Reserve(
        train_s=factor["train"] * (1 + TRAIN_WORK) * pace.import_s,
        quantize_s=factor["quantize"] * ((1 + QUANTIZE_WORK) * pace.import_s + images * pace.image_s),
        step_s=factor["quantize"] * work.batch_size * (QAT + SINGLE_IMAGES) * pace.image_s,
        evaluate_s=factor["evaluate"]
        * (EVALUATE_S + 2 * work.test * SINGLE_IMAGES * pace.image_s + LATENCY_RUNS * pace.latency_s),
    )


def steps_within(left_s: float, reserved: Reserve, most: int) -> int:
    """Steps of quantization-aware training, at most `most`, that leave room for all else in `left_s` seconds."""
    return max(0, min(most, int((left_s - reserved.total_s(0)) / reserved.step_s)))


def tuning_seconds(pace: Pace, training: int, validation: int, depth: int) -> tuple[float, float]:
    """What a fine-tuning takes before its first epoch, and every epoch.

    Args:
        pace: of its network.
        training, validation: images.
        depth: the lowest block that learns, 1 to 8; what lies below is computed once for two views of every image.
    """
    below = 2 * training + validation
    return TUNING_WORK * pace.import_s + below * pace.image_s, (TUNING[depth] * training + validation) * pace.image_s


def corrections_of(
    promised: Mapping[str, float], actual: Mapping[str, float], before: Mapping[str, float]
) -> dict[str, float]:
    """Factors for the next promise from how the last one was kept.

    Args:
        promised: stage → seconds.
        actual: stage → seconds; a stage that was not run since is left as it was.
        before: the factors that the last promise was made with.
    Returns:
        Stage → factor, within 1/WORST_CORRECTION and WORST_CORRECTION.
    """
    found = dict(before)
    for stage in STAGES[1:]:
        if stage in actual and promised.get(stage, 0) > 0:
            factor = before.get(stage, 1.0) * actual[stage] / promised[stage]
            found[stage] = min(max(factor, 1 / WORST_CORRECTION), WORST_CORRECTION)
    return found
