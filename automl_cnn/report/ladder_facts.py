"""What the report says of the files that competed to be shipped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automl_cnn.artifacts import Files, read_json
from automl_cnn.report.charts.search import CostPoint, frontier_chart

RUNG_NAMES = {
    "float32": "float32", "float16": "float16", "ptq_int8": "int8, after training",
    "ai_edge_int8": "int8, after training, by ai-edge", "qat_float_head": "int8, head in float32",
    "qat_int8": "int8, quantization-aware training", "weight_only_int8": "int8 weights only",
}  # fmt: skip
WORST_DROPS = 5


@dataclass(frozen=True)
class RungLine:
    """One file that could have shipped; numbers are None where it could not be made or nobody measured them.

    Attributes:
        name: of the rung, in words.
        val_score: what the search maximized, on validation.
        val_drop_ci95, val_score_drop_ci95: accuracy and score that it lost against float32, 95 % intervals.
        val_ece, val_log_loss: on validation.
        latency_ms, latency_all_ms: of one image on one core and on all.
        peak_mib: memory while it runs.
        float_tensors, partitions: of its graph; an int8 file throughout has none of the first and one of the second.
        flipped: validation images that it answers otherwise than float32.
        drops: class and how much of its recall was lost, the most first, WORST_DROPS at most.
        reason: why it ships or not.
    """

    rung: str
    name: str
    val_accuracy: float | None
    val_drop_ci95: tuple[float, float] | None
    val_score: float | None
    val_score_drop_ci95: tuple[float, float] | None
    val_ece: float | None
    val_log_loss: float | None
    size_bytes: int | None
    latency_ms: float | None
    latency_all_ms: float | None
    peak_mib: float | None
    float_tensors: int | None
    partitions: int | None
    flipped: int | None
    drops: tuple[tuple[str, float], ...]
    shipped: bool
    reason: str


def read_ladder(files: Files) -> tuple[RungLine, ...]:
    """The files that competed, in the order of ladder.json.

    Raises:
        ArtifactError: ladder.json is missing or damaged.
    """
    return tuple(_line(rung) for rung in read_json(files.quantized / "ladder.json"))


def ladder_charts(ladder: Sequence[RungLine], objective: str) -> dict[str, str]:
    """The objective on validation against latency and size as SVG, by name; none where fewer than two were made.

    Args:
        ladder: the files.
        objective: in words.
    """
    charts = {}
    for name, cost, unit in (("ladder_latency", "latency_ms", 1.0), ("ladder_size", "size_bytes", 1e6)):
        points = [
            CostPoint(rung.name, getattr(rung, cost) / unit, rung.val_score, "ships" if rung.shipped else "")
            for rung in ladder
            if getattr(rung, cost) is not None and rung.val_score is not None
        ]
        if len(points) > 1:
            axis_name = "latency on one core, ms" if cost == "latency_ms" else "size, MB"
            charts[name] = frontier_chart(points, f"validation {objective}", axis_name)
    return charts


def _line(rung: Mapping[str, Any]) -> RungLine:
    drops = sorted((rung.get("class_drops") or {}).items(), key=lambda item: (-item[1], item[0]))
    measured = (
        "val_accuracy", "val_ece", "val_log_loss", "size_bytes", "latency_ms", "latency_all_ms", "peak_mib",
        "float_tensors", "partitions", "flipped",
    )  # fmt: skip
    return RungLine(
        rung=rung["rung"],
        name=RUNG_NAMES.get(rung["rung"], rung["rung"]),
        val_score=rung.get("val_score", rung.get("val_accuracy")),
        val_drop_ci95=_drop(rung, "val_drop_ci95"),
        val_score_drop_ci95=_drop(rung, "val_score_drop_ci95") or _drop(rung, "val_drop_ci95"),
        drops=tuple((str(label), float(lost)) for label, lost in drops[:WORST_DROPS]),
        shipped=bool(rung.get("shipped")),
        reason=str(rung.get("error") or rung.get("reason") or ""),
        **{name: rung.get(name) for name in measured},
    )


def _drop(rung: Mapping[str, Any], name: str) -> tuple[float, float] | None:
    """An interval of ladder.json; none of float32, with which the others are compared."""
    found = rung.get(name) if rung["rung"] != "float32" else None
    return (found[0], found[1]) if found else None
