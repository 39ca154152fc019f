"""Write an export: the files that were asked for, what they need beside them, and golden images to check them by."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from automl_cnn.artifacts import Files, replacing_folder, write_json
from automl_cnn.errors import ArtifactError, AutoMLError, ExportError
from automl_cnn.export.formats import FORMATS, LISTING, Format
from automl_cnn.export.golden import FOLDER as GOLDEN
from automl_cnn.export.golden import golden_of, write_golden
from automl_cnn.progress import Progress, silent
from automl_cnn.reference.record import REFERENCE
from automl_cnn.tflite_metadata import COMPANIONS


def write_export(
    files: Files, formats: Sequence[Format], folder: Path, progress: Progress = silent
) -> dict[str, AutoMLError]:
    """Write an export folder, in one piece.

    Args:
        files: artifacts of a finished run.
        formats: what to write, at least one.
        folder: an earlier export, which is replaced, an empty folder, or none yet.
        progress: told of every format.
    Returns:
        Format name → why it could not be written; the others are.
    Raises:
        ArtifactError: the run is not finished.
        ExportError: the folder holds something else, or no format could be written. It stays as it was then.
    """
    _require_replaceable(folder)
    for needed in (files.quantized / "model.tflite", files.model / "spec.json"):
        if not needed.exists():
            raise ArtifactError(
                str(needed), expected="a finished run", received="none", action="Run `automl-cnn run` first."
            )
    golden = golden_of(files)
    failed: dict[str, AutoMLError] = {}
    with replacing_folder(folder) as temporary:
        for done, each in enumerate(formats):
            progress("formats", done, len(formats), each.name)
            if (problem := _write_format(files, each, temporary)) is not None:
                failed[each.name] = problem
        written = [each for each in formats if each.name not in failed]
        if not written:
            raise next(iter(failed.values()))
        for name in (*COMPANIONS, REFERENCE):
            if (path := files.quantized / name).exists():
                shutil.copyfile(path, temporary / name)
        write_golden(golden, temporary)
        listed = [{"format": each.name, "file": each.file, "shipped": each.shipped} for each in written]
        write_json(temporary / LISTING, {"files": listed})
    progress("formats", len(formats), len(formats))
    return failed


def _require_replaceable(folder: Path) -> None:
    """Whatever is in the folder is gone afterwards: nothing but an export may be."""
    if not folder.is_dir():
        return
    written = {LISTING, REFERENCE, GOLDEN, "model.bin", *COMPANIONS, *(each.file for each in FORMATS.values())}
    own = written if (folder / LISTING).exists() else set()
    if found := sorted(path.name for path in folder.iterdir() if path.name not in own):
        raise ExportError(
            str(folder), expected="an earlier export, an empty folder or none",
            received=f"a folder with {', '.join(found[:3])}{' and more' if len(found) > 3 else ''}",
            action="Give another folder with --out: this one would be replaced.",
        )  # fmt: skip


def _write_format(files: Files, kind: Format, folder: Path) -> AutoMLError | None:
    """Write one format whole or not at all; the problem where it cannot be written."""
    place = folder / f".{kind.name}"
    place.mkdir()
    try:
        kind.write(files, place / kind.file)
        for path in place.iterdir():
            path.rename(folder / path.name)
    except AutoMLError as error:
        return error
    except Exception as error:  # noqa: BLE001 - converters of four packages raise whatever they like
        said = str(error).strip().splitlines()
        return ExportError(
            f"format {kind.name}", expected="a file that its package can write",
            received=f"{type(error).__name__}{f': {said[0][:200]}' if said else ''}",
            action="Export the other formats without it.",
        )  # fmt: skip
    finally:
        shutil.rmtree(place)
    return None
