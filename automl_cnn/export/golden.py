"""Golden images: pictures with the answers that a file has to give, for every runtime and every language.

They travel with an export as PNG files and one JSON file, so that a port to Android or a browser can be checked without
Python: golden/00.png, … and golden/expected.json.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl_cnn.artifacts import Files, read_lines, write_json
from automl_cnn.errors import ExportError
from automl_cnn.litert import LiteModel

FOLDER, EXPECTED = "golden", "expected.json"
FLOAT, SHIPPED = "float", "shipped"


@dataclass(frozen=True)
class Golden:
    """Images and answers.

    Attributes:
        images: uint8 RGB [n, H, W, 3] of the network's input size.
        classes: names, in the order of the answers.
        answers: float32 [n, classes] of the float network and of the shipped file, by FLOAT and SHIPPED.
    """

    images: NDArray[np.uint8]
    classes: list[str]
    answers: dict[str, NDArray[np.float32]]


def golden_of(files: Files) -> Golden:
    """The golden images of the train stage, with what the shipped file makes of them.

    Raises:
        ArtifactError: golden.npz is missing or damaged.
        ModelFileError: the shipped file is.
    """
    from automl_cnn.quantize.twin import load_golden  # verifying an export needs none of what it imports

    images, float_answers = load_golden(files.model / "golden.npz")
    model = LiteModel(files.quantized / "model.tflite")
    shipped = np.concatenate([model.run(image[None]) for image in images])
    return Golden(images, read_lines(files.model / "labels.txt"), {FLOAT: float_answers, SHIPPED: shipped})


def write_golden(golden: Golden, export: Path) -> None:
    """Write them into a folder."""
    folder = export / FOLDER
    folder.mkdir()
    listed = []
    for number, image in enumerate(golden.images):
        name = f"{number:02d}.png"
        Image.fromarray(image).save(folder / name)
        answers = {kind: [round(float(p), 6) for p in rows[number]] for kind, rows in golden.answers.items()}
        listed.append({"file": name, **answers})
    write_json(folder / EXPECTED, {"classes": golden.classes, "images": listed})


def read_golden(export: Path) -> Golden:
    """Read what `write_golden` wrote.

    Raises:
        ExportError: the folder holds no golden images, or they are damaged.
    """
    path = export / FOLDER / EXPECTED
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        images = [np.asarray(Image.open(path.with_name(each["file"])).convert("RGB")) for each in stored["images"]]
        answers = {
            kind: np.array([each[kind] for each in stored["images"]], np.float32) for kind in (FLOAT, SHIPPED)
        }  # fmt: skip
        return Golden(np.stack(images), list(stored["classes"]), answers)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(
            str(path), expected="the golden images of an export", received=f"{type(error).__name__}: {error}",
            action="Give the folder that `automl-cnn export` wrote.",
        ) from None  # fmt: skip
