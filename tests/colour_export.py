"""An export of the colour model: golden images whose answers everybody knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from colour_model import LABELS, colour_model

from automl_cnn.artifacts import Files, write_json, write_lines
from automl_cnn.export.formats import chosen_formats
from automl_cnn.export.write import write_export
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.tflite_metadata import with_metadata

SIZE_PX = 32


def export_of_colours(folder: Path, *, quantized: bool = False) -> Path:
    """Write an export of the colour model, which knows what its answers are."""
    write_export(finished_run(folder, quantized=quantized), chosen_formats("tflite"), folder / "export")
    return folder / "export"


def finished_run(folder: Path, *, quantized: bool = False) -> Files:
    """What `export` needs of a run that shipped the colour model; its float network is missing."""
    files, how = Files(folder / "artifacts"), {"input_size_px": SIZE_PX, "working_size_px": SIZE_PX}
    for place in (files.quantized, files.model):
        place.mkdir(parents=True)
        write_lines(place / "labels.txt", LABELS)
        write_json(place / "preprocessing.json", how)
    (files.quantized / "model.tflite").write_bytes(
        with_metadata(colour_model(SIZE_PX, quantized=quantized), LABELS, how)
    )
    ClassifierSpec("smallnet", SIZE_PX, len(LABELS)).save(files.model / "spec.json")
    images = np.full((6, SIZE_PX, SIZE_PX, 3), 20, np.uint8)
    for row in range(6):
        images[row, ..., row % 3] = 150
    np.savez(files.model / "golden.npz", images=images, probabilities=np.zeros((6, 3), np.float32))
    return files
