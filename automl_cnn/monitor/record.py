"""One answer of a model as the log keeps it, as a line of text and as a row of a table."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.reference.statistics import STATISTICS

if TYPE_CHECKING:  # pyarrow takes 0.2 s to import, and appending does without it
    import pyarrow as pa

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class LogRecord:
    """One image that was labelled. What a model without reference.npz cannot give is None.

    Attributes:
        id: names the image or the request; true labels are joined by it later, so let it be unique.
        label: the predicted class.
        probability: of that label, 0…1.
        probabilities: of all classes, 0…1, in the order of labels.txt.
        model_sha256: of the .tflite file, 64 hexadecimal digits.
        abstain: the model declined to answer.
        ood_score: how strange the image is; larger is stranger.
        statistics: a number for each of `reference.statistics.STATISTICS`.
        sketch: float [k], the features made short, kept as float16; an empty one is as good as None.
        time: with its time zone; now where none is given.
    """

    id: str
    label: str
    probability: float
    probabilities: Sequence[float]
    model_sha256: str
    abstain: bool | None = None
    ood_score: float | None = None
    statistics: Sequence[float] | None = None
    sketch: NDArray[np.floating] | None = None
    time: datetime = field(default_factory=_now)


def to_line(record: LogRecord) -> bytes:
    """The record as one line of JSON with its line break; `from_lines` reads it.

    Raises:
        ValueError: a statistic is missing, or the time has no time zone.
    """
    statistics = [None] * len(STATISTICS) if record.statistics is None else [float(one) for one in record.statistics]
    if len(statistics) != len(STATISTICS):
        raise ValueError(f"statistics: expected {', '.join(STATISTICS)}; received {len(statistics)} numbers")
    return json.dumps(
        {
            "time": (record.time - _EPOCH) // _MICROSECOND if record.time.tzinfo else _refuse_naive(record.time),
            "id": record.id,
            "label": record.label,
            "probability": float(record.probability),
            "probabilities": [float(value) for value in record.probabilities],
            "abstain": None if record.abstain is None else bool(record.abstain),
            "ood_score": None if record.ood_score is None else float(record.ood_score),
            **dict(zip(STATISTICS, statistics, strict=True)),
            "sketch": None if record.sketch is None or not len(record.sketch) else _packed(record.sketch),
            "model_sha256": record.model_sha256,
        }
    ).encode() + b"\n"  # fmt: skip


def from_lines(content: bytes) -> pa.Table:
    """A table of the lines that `to_line` gave, in their order.

    Args:
        content: of a line file. A last line without its line break was cut by a crash and is left out.
    Raises:
        ValueError: another line cannot be read.
    """
    import pyarrow as pa

    rows: list[dict[str, Any]] = [json.loads(line) for line in content.split(b"\n")[:-1]]
    for row in rows:
        if row["sketch"] is not None:
            row["sketch"] = np.frombuffer(base64.b64decode(row["sketch"]), np.float16)
    try:
        return pa.Table.from_pylist(rows, schema=log_schema())
    except pa.ArrowException as error:
        raise ValueError(str(error)) from None


def log_schema() -> pa.Schema:
    """The columns of the log, but for true_label, which arrives later and lies in a table of its own."""
    import pyarrow as pa

    # a sketch is no list of fixed size: parquet files with a null among such lists cannot be read back (pyarrow 25)
    return pa.schema([
        ("time", pa.timestamp("us", tz="UTC")), ("id", pa.string()), ("label", pa.string()),
        ("probability", pa.float32()), ("probabilities", pa.list_(pa.float32())),
        ("abstain", pa.bool_()), ("ood_score", pa.float64()),
        *((name, pa.float64()) for name in STATISTICS),
        ("sketch", pa.list_(pa.float16())), ("model_sha256", pa.string()),
    ], metadata={"table": "predictions_log", "version": "1"})  # fmt: skip


def _packed(sketch: NDArray[np.floating]) -> str:
    return base64.b64encode(sketch.astype("<f2").tobytes()).decode()


def _refuse_naive(time: datetime) -> int:
    raise ValueError(f"time: expected one with its time zone; received {time}")
