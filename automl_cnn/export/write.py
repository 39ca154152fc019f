"""Write an export: the files that were asked for, what they need beside them, and golden images to check them by."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from automl_cnn.artifacts import Files, replacing_folder, write_json
from automl_cnn.errors import ArtifactError
from automl_cnn.export.formats import Format
from automl_cnn.export.golden import golden_of, write_golden
from automl_cnn.progress import Progress, silent
from automl_cnn.reference.record import REFERENCE
from automl_cnn.tflite_metadata import COMPANIONS

LISTING = "export.json"


def write_export(files: Files, formats: Sequence[Format], folder: Path, progress: Progress = silent) -> None:
    """Write an export folder, whole or not at all.

    Args:
        files: artifacts of a finished run.
        formats: what to write, at least one.
        folder: replaced.
        progress: told of every format.
    Raises:
        ArtifactError: the run is not finished.
        ExportError: a format cannot be written.
    """
    for needed in (files.quantized / "model.tflite", files.model / "spec.json"):
        if not needed.exists():
            raise ArtifactError(
                str(needed), expected="a finished run", received="none", action="Run `automl-cnn run` first."
            )
    golden = golden_of(files)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing_folder(folder) as temporary:
        for done, each in enumerate(formats):
            progress("formats", done, len(formats), each.name)
            each.write(files, temporary / each.file)
        for name in (*COMPANIONS, REFERENCE):
            if (path := files.quantized / name).exists():
                shutil.copyfile(path, temporary / name)
        write_golden(golden, temporary)
        written = [{"format": each.name, "file": each.file, "quantized": each.quantized} for each in formats]
        write_json(temporary / LISTING, {"files": written})
    progress("formats", len(formats), len(formats))
