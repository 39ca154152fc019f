"""Accuracy, latency and size at once: which candidates no other beats in all three, and which meet the target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from automl_cnn.search.space import Arm, arm_of
from automl_cnn.search.trial_log import TrialRecord

COLUMNS = (
    "trial_id", "backbone", "input_size_px", "pooling", "fidelity", "score", "accuracy", "latency_ms", "size_mb",
    "within_target", "on_frontier",
)  # fmt: skip


@dataclass(frozen=True)
class ArmCost:
    """What an arm costs whoever uses it.

    Attributes:
        latency_ms: one image, one thread, the float network in LiteRT on this machine.
        size_mb: of the int8 file, estimated from the float one (search.arms says how).
    """

    latency_ms: float
    size_mb: float


@dataclass(frozen=True)
class Target:
    """What the shipped file may cost; None where it may cost anything."""

    max_latency_ms: float | None = None
    max_size_mb: float | None = None

    def meets(self, cost: ArmCost) -> bool:
        """Whether a network of this cost may ship."""
        fast = self.max_latency_ms is None or cost.latency_ms <= self.max_latency_ms
        return fast and (self.max_size_mb is None or cost.size_mb <= self.max_size_mb)


def frontier(
    records: Sequence[TrialRecord], costs: Mapping[Arm, ArmCost], target: Target, images: int
) -> list[dict[str, Any]]:
    """The best trial of every arm and fidelity, the frontier marked; columns COLUMNS.

    Args:
        records: of the study.
        costs: of every arm that a record names.
        target: marks who meets it.
        images: of the training side; trials on fewer are judged too roughly to stand here.
    Returns:
        One row each, the best score first. `on_frontier` is true where no other row is at least as good in score,
        latency and size and better in one of them.
    """
    best: dict[tuple[Arm, str], TrialRecord] = {}
    for record in records:
        if record.score is None or record.images < images:
            continue
        key = (arm_of(record.values), record.fidelity)
        if key not in best or record.score > (best[key].score or 0.0):
            best[key] = record
    rows = []
    for (arm, fidelity), record in best.items():
        cost = costs[arm]
        rows.append(
            {
                "trial_id": record.trial_id, **arm.values(), "fidelity": fidelity, "score": record.score,
                "accuracy": record.accuracy, **asdict(cost), "within_target": target.meets(cost),
            }
        )  # fmt: skip
    points = [(row["score"], -row["latency_ms"], -row["size_mb"]) for row in rows]
    for row, on_frontier in zip(rows, undominated(points), strict=True):
        row["on_frontier"] = on_frontier
    return sorted(rows, key=lambda row: (-row["score"], row["latency_ms"], row["trial_id"]))


def undominated(points: Sequence[tuple[float, ...]]) -> list[bool]:
    """For every point, whether no other is at least as great in all coordinates and greater in one."""
    return [
        not any(other != point and all(o >= p for o, p in zip(other, point, strict=True)) for other in points)
        for point in points
    ]
