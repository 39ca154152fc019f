"""The gate: which of the measured files ships, decided on validation alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from automl_cnn.evaluate.paired import IN_WORDS

FLOAT32, FLOAT16, QAT_INT8 = "float32", "float16", "qat_int8"
PTQ_INT8, AI_EDGE_INT8 = "ptq_int8", "ai_edge_int8"  # post training: by TensorFlow's converter, by ai-edge-quantizer
FLOAT_HEAD, WEIGHT_ONLY = "qat_float_head", "weight_only_int8"
INT8_RUNGS = (QAT_INT8, PTQ_INT8, AI_EDGE_INT8)  # int8 throughout: the smallest and fastest
FALLBACKS = (FLOAT_HEAD, WEIGHT_ONLY)  # made where none of those passes, the cheaper to run in front
Z_95 = 1.959964


@dataclass(frozen=True)
class Rung:
    """One file and what it is worth; the values are None where `error` says why there is no file.

    Attributes:
        rung: name, such as qat_int8.
        path: file name inside the folder.
        val_accuracy: share of validation images whose label comes first, 0 to 1.
        val_log_loss: mean −ln p of the label in nats.
        val_ece: expected calibration error on validation, 0 to 1.
        val_drop_ci95: 95 % interval of the accuracy lost against float32 on the same images; negative where it gained.
            Over groups of images where some belong together.
        objective: what the search maximized: accuracy, balanced_accuracy or macro_f1.
        val_score: the objective on validation, 0 to 1.
        val_score_drop_ci95: as val_drop_ci95, of the objective.
        agreement: share of validation images on which it answers as float32 does.
        flipped: validation images on which it does not.
        class_drops: class → recall lost against float32, −1 to 1; classes without a validation image are left out.
        size_bytes: of the file.
        latency_ms: median of single images on one thread of this machine.
        latency_all_ms: the same on all its cores.
        peak_mib: memory that loading and running it takes; None where it could not be measured.
        float_tensors: float32 tensors in the file; 0 in one that is int8 throughout.
        partitions: pieces of the graph that XNNPACK runs; 1 is best, None where it is not in use.
        shipped: it became model.tflite.
        reason: why it ships or does not.
        error: why it could not be made.
    """

    rung: str
    path: str | None = None
    val_accuracy: float | None = None
    val_log_loss: float | None = None
    val_drop_ci95: tuple[float, float] | None = None
    agreement: float | None = None
    size_bytes: int | None = None
    latency_ms: float | None = None
    float_tensors: int | None = None
    partitions: int | None = None
    val_ece: float | None = None
    flipped: int | None = None
    class_drops: dict[str, float] | None = None
    latency_all_ms: float | None = None
    peak_mib: float | None = None
    objective: str = "accuracy"
    val_score: float | None = None
    val_score_drop_ci95: tuple[float, float] | None = None
    shipped: bool = False
    reason: str = ""
    error: str | None = None


def judge(rungs: Sequence[Rung], max_drop: float) -> list[Rung]:
    """Pick the rung that ships: the cheapest that is not shown to lose more than `max_drop`; float32 loses nothing.

    A file is refused when the whole paired interval of its loss, in accuracy or in the objective of the search, lies
    above `max_drop`: on 400 images a loss of four can be chance, and where it can the reason says how large it may be.
    Files that are int8 throughout cost the same: among them the higher objective on validation wins, then the lower log
    loss, then the smaller file. After them come FALLBACKS in their order.

    Args:
        rungs: measured; float32 among them.
        max_drop: of accuracy and of the objective an int8 file may lose on validation, 0 to 1.
    Returns:
        The same rungs in the same order with `shipped` and `reason` set; exactly one is shipped.
    """
    baseline = next(rung for rung in rungs if rung.rung == FLOAT32)
    refusals = {rung.rung: _refusal(rung, baseline, max_drop) for rung in rungs}
    passing = passing_int8(rungs, max_drop)
    fallbacks = [rung for name in FALLBACKS for rung in rungs if rung.rung == name and not refusals[name]]
    refused = "; ".join(f"{rung.rung} {refusals[rung.rung]}" for rung in rungs if refusals[rung.rung])
    if passing:
        winner = min(passing, key=_rank)
        rivals = [rung.rung for rung in passing if rung is not winner]
        why = f"best on validation, ahead of {', '.join(rivals)}" if rivals else "the int8 file that passes the gate"
        why += _left_open(winner, max_drop)
    elif fallbacks:
        winner = fallbacks[0]
        why = f"the cheapest file that passes the gate{_left_open(winner, max_drop)}: {refused}"
    else:
        whole = FLOAT16 if any(rung.rung == FLOAT16 and not refusals[FLOAT16] for rung in rungs) else FLOAT32
        winner = next(rung for rung in rungs if rung.rung == whole)
        why = f"no int8 file passes the gate: {refused}"
    return [
        replace(
            rung,
            shipped=rung is winner,
            reason=why if rung is winner else refusals[rung.rung] or _beaten(rung, winner),
        )
        for rung in rungs
    ]


def over_target(rung: Rung, max_latency_ms: float | None, max_size_mb: float | None) -> str:
    """Which of the limits of params.yaml a measured file exceeds, in words; empty where none."""
    measured = (
        ("max_latency_ms", rung.latency_ms, max_latency_ms),
        ("max_size_mb", None if rung.size_bytes is None else rung.size_bytes / 1e6, max_size_mb),
    )
    over = [
        f"{value:.2f} is over target.{name} {most:g}"
        for name, value, most in measured
        if value is not None and most is not None and value > most
    ]
    return " and ".join(over)


def passing_int8(rungs: Sequence[Rung], max_drop: float) -> list[Rung]:
    """The rungs that are int8 throughout and are not shown to lose more than `max_drop`."""
    baseline = next(rung for rung in rungs if rung.rung == FLOAT32)
    return [rung for rung in rungs if rung.rung in INT8_RUNGS and not _refusal(rung, baseline, max_drop)]


def _refusal(rung: Rung, baseline: Rung, max_drop: float) -> str:
    """Why a file may not ship; empty when it may."""
    if rung.error:
        return f"could not be made: {rung.error}"
    if rung.rung == FLOAT32:
        return ""
    if rung.rung in INT8_RUNGS and rung.float_tensors:
        return f"has {rung.float_tensors} float tensors, so it is not int8 throughout"
    for (name, score, (low, high)), (_, before, _) in zip(_losses(rung), _losses(baseline), strict=True):
        if low > max_drop + 1e-9:
            return (
                f"loses {before - score:.4f} of validation {name} (95 % interval {low:.4f} to {high:.4f}), "
                f"more than quantize.max_drop {max_drop:g}"
            )
    return ""


def _left_open(winner: Rung, max_drop: float) -> str:
    """What the validation images are too few to rule out."""
    name, _, (_, high) = max(_losses(winner), key=lambda loss: loss[2][1])
    if high <= max_drop:
        return ""
    return f"; too few validation images to rule out a loss of {high:.4f} in {name}"


def _losses(rung: Rung) -> list[tuple[str, float, tuple[float, float]]]:
    """(name, value on validation, 95 % interval of what was lost) of accuracy and of the objective."""
    assert rung.val_accuracy is not None
    assert rung.val_drop_ci95 is not None
    assert rung.val_score is not None
    assert rung.val_score_drop_ci95 is not None
    found = [("accuracy", rung.val_accuracy, rung.val_drop_ci95)]
    if rung.objective != "accuracy":
        found.append((IN_WORDS[rung.objective], rung.val_score, rung.val_score_drop_ci95))
    return found


def paired_drop(reference_right: NDArray[np.bool_], right: NDArray[np.bool_]) -> tuple[float, float]:
    """95 % interval of the accuracy that a file loses against another on the same images.

    Args:
        reference_right: bool [n], where the other file's answer is the label.
        right: bool [n], where this file's is.
    Returns:
        Low and high end, within −1 and 1; negative where this file gains.
    Source: Agresti and Min 2005, half a case added to each cell of the 2 × 2 table.
    """
    lost = float(np.sum(reference_right & ~right)) + 0.5
    gained = float(np.sum(~reference_right & right)) + 0.5
    total = len(right) + 2.0
    difference = (lost - gained) / total
    margin = Z_95 * math.sqrt(lost + gained - (lost - gained) ** 2 / total) / total
    return max(-1.0, difference - margin), min(1.0, difference + margin)


def _rank(rung: Rung) -> tuple[float, float, int]:
    assert rung.val_score is not None
    assert rung.val_log_loss is not None
    assert rung.size_bytes is not None
    return -rung.val_score, rung.val_log_loss, rung.size_bytes


def _beaten(rung: Rung, winner: Rung) -> str:
    if rung.rung in INT8_RUNGS:
        return f"{winner.rung} is better on validation"
    if winner.rung in (*INT8_RUNGS, *FALLBACKS):
        return f"{winner.rung} passes the gate and is cheaper"
    return f"{winner.rung} is as good and smaller"
