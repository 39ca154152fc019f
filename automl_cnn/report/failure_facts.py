"""What the report shows of failures: the image, where the model looked in it, and the training images most like it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl_cnn.artifacts import PREDICTIONS, Files, read_table
from automl_cnn.data.decode import content_box
from automl_cnn.evaluate.explain import EXPLANATIONS, load_heat
from automl_cnn.evaluate.failures import FAILURES
from automl_cnn.report.thumbnails import Picture, Thumbnails
from automl_cnn.report.wording import percent

NEIGHBOURS = 3
NEIGHBOUR_PX, HEAT_PX = 64, 40  # a heat map has some 7 by 7 numbers in it; the browser smooths what it enlarges
_HEAT_RGB, _HEAT_MOST, _HEAT_STEPS = (255, 64, 0), 165, 15
_KINDS = {"mistake": 24, "unsure_hit": 12, "flipped": 24}  # how many are shown


@dataclass(frozen=True)
class Failure:
    """One test image.

    Attributes:
        picture: with what is said under it.
        answer_heat, label_heat: data URIs of see-through pictures of what spoke for the answer and for the label;
            empty where no explanation was made.
        neighbours: training images, the most alike first, with their label under each.
    """

    picture: Picture
    answer_heat: str
    label_heat: str
    neighbours: tuple[Picture, ...]


@dataclass(frozen=True)
class FailureFacts:
    """Mistakes and hits with the most and the least confidence, answers that quantization turned round.

    Attributes:
        all_flipped: answers that quantization turned round on the whole test split; as many as are shown, or more.
    """

    mistakes: tuple[Failure, ...]
    unsure: tuple[Failure, ...]
    flipped: tuple[Failure, ...]
    explained: bool
    all_flipped: int


def read_failures(files: Files, thumbnails: Thumbnails) -> FailureFacts | None:
    """Read failures.parquet and the explanations beside it.

    Args:
        files: evaluation/ and, if there, explanations/.
        thumbnails: of the same files.
    Returns:
        None where an earlier release evaluated.
    Raises:
        ArtifactError: a table is damaged.
    """
    path = files.evaluation / "failures.parquet"
    if not path.exists():
        return None
    table = read_table(path, FAILURES)
    heat = _Heat.read(files)
    shown: dict[str, tuple[Failure, ...]] = {}
    for kind, most in _KINDS.items():
        rows = table[table["kind"] == kind].sort_values("rank")[:most].to_dict("records")
        shown[kind] = tuple(_failure(kind, row, thumbnails, heat) for row in rows)
    said = read_table(files.evaluation / "predictions.parquet", PREDICTIONS)
    turned = int((said["predicted"] != said["float_predicted"]).sum()) if "float_predicted" in said else 0
    return FailureFacts(
        shown["mistake"], shown["unsure_hit"], shown["flipped"], bool(heat.places),
        max(turned, len(shown["flipped"])),
    )  # fmt: skip


def _failure(kind: str, row: dict[Any, Any], thumbnails: Thumbnails, heat: _Heat) -> Failure:
    lines = [f"labelled {row['label']}", f"model, {percent(row['probability'], 0)}: {row['predicted']}"]
    if kind == "flipped":
        lines.append(f"float model: {row['float_predicted']}")
    if row["label_suspected"]:
        lines.append(f"the audit doubts the label: {row['suggested_label']}?")
    neighbours = zip(row["neighbours"], row["neighbour_labels"], strict=True)
    width, height = thumbnails.size_of(row["image_id"])
    return Failure(
        picture=thumbnails.picture(row["image_id"], lines, bool(row["label_suspected"])),
        answer_heat=heat.overlay("predicted", row["image_id"], width, height, thumbnails.resize),
        label_heat=heat.overlay("label", row["image_id"], width, height, thumbnails.resize)
        if kind == "mistake"
        else "",
        neighbours=tuple(
            thumbnails.picture(image_id, [str(label)], bool(label != row["label"]), side_px=NEIGHBOUR_PX)
            for image_id, label in list(neighbours)[:NEIGHBOURS]
        ),
    )


@dataclass(frozen=True)
class _Heat:
    """The heat maps: image_id → row of uint8 [n, S, S], by what they explain."""

    places: dict[str, int]
    maps: dict[str, NDArray[np.uint8]]

    @classmethod
    def read(cls, files: Files) -> _Heat:
        if not (files.explanations / "index.parquet").exists():
            return cls({}, {})
        index = read_table(files.explanations / "index.parquet", EXPLANATIONS)
        return cls(dict(zip(index["image_id"], index["row"].astype(int), strict=True)), load_heat(files.explanations))

    def overlay(self, what: str, image_id: str, width: int, height: int, resize: Any) -> str:
        """A PNG as a data URI, as wide and high in proportion as the thumbnail."""
        place = self.places.get(image_id)
        if place is None:
            return ""
        square = self.maps[what][place]
        left, top, right, bottom = content_box(width, height, len(square), resize)
        return _tinted(square[top:bottom, left:right])


def _tinted(heat: NDArray[np.uint8]) -> str:
    """Heat uint8 [h, w] as a palette PNG whose colour is the same everywhere and whose opacity grows with the heat."""
    image = Image.fromarray(np.ascontiguousarray(heat))
    image.thumbnail((HEAT_PX, HEAT_PX), Image.Resampling.BOX)
    steps = (np.asarray(image, np.float32) / 255 * _HEAT_STEPS).round().astype(np.uint8)
    small = Image.fromarray(steps, "P")
    small.putpalette(list(_HEAT_RGB) * (_HEAT_STEPS + 1))
    opacity = bytes(round(_HEAT_MOST * step / _HEAT_STEPS) for step in range(_HEAT_STEPS + 1))
    buffer = io.BytesIO()
    small.save(buffer, "PNG", transparency=opacity, bits=4, optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
