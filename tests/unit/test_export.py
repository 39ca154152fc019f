"""What `export` writes is whole and costs nothing that lay there before; `verify` tells a file that is not whole."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from colour_export import SIZE_PX, export_of_colours, finished_run
from colour_model import LABELS, colour_model
from PIL import Image

from automl_cnn.cli import main
from automl_cnn.errors import ExportError
from automl_cnn.export import verify as verifying
from automl_cnn.export.formats import chosen_formats
from automl_cnn.export.verify import Check, Runtime, describe, verify_export
from automl_cnn.export.write import write_export
from automl_cnn.tflite_metadata import with_metadata

EXPORT_PAGE = Path(__file__).parents[2] / "docs" / "export.md"


def _checks(folder: Path) -> dict[str, Check]:
    return {check.runtime.split()[0]: check for check in verify_export(folder)}


def test_a_folder_that_holds_anything_but_an_export_is_not_replaced(tmp_path: Path) -> None:
    files, data = finished_run(tmp_path), tmp_path / "data"
    data.mkdir()
    write_export(files, chosen_formats("tflite"), data)  # empty: nothing is lost
    write_export(files, chosen_formats("tflite"), data)  # an earlier export
    (data / "model.cc").write_text("made of model.tflite by hand")
    with pytest.raises(ExportError, match=r"received a folder with model\.cc\. Give"):
        write_export(files, chosen_formats("tflite"), data)
    (data / "model.cc").unlink()
    (data / "export.json").unlink()
    with pytest.raises(ExportError, match=r"received a folder with golden, labels\.txt, model\.tflite and more"):
        write_export(files, chosen_formats("tflite"), data)
    assert (data / "model.tflite").exists()


def test_a_format_that_cannot_be_written_costs_the_others_nothing(tmp_path: Path) -> None:
    files = finished_run(tmp_path)  # without the float network that the keras format is
    failed = write_export(files, chosen_formats("keras,tflite"), tmp_path / "export")
    assert "expected a file that its package can write; received FileNotFoundError" in str(failed["keras"])
    assert _checks(tmp_path / "export")["ai-edge-litert"].passed
    assert not list((tmp_path / "export").glob(".*"))
    with pytest.raises(ExportError, match="format keras"):
        write_export(files, chosen_formats("keras"), tmp_path / "export")
    assert (tmp_path / "export" / "model.tflite").exists()


def test_the_command_writes_what_it_can_and_ends_with_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished_run(tmp_path)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, ["export", "--format", "tflite,keras"])
    assert done.exit_code == 2
    assert "model.tflite in ai-edge-litert" in done.output
    assert "automl-cnn: format keras: expected" in done.output


def test_a_file_without_its_labels_and_one_cut_short_do_not_verify(tmp_path: Path) -> None:
    file = export_of_colours(tmp_path) / "model.tflite"
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])  # the network is whole, the zip behind it is not
    check = _checks(file.parent)["ai-edge-litert"]
    assert check.passed is False
    assert describe(check).endswith("NOT as expected: labels.txt and preprocessing.json missing inside the file")
    file.write_bytes(with_metadata(whole, LABELS[::-1], {"input_size_px": SIZE_PX}))
    assert _checks(file.parent)["ai-edge-litert"].fault == "labels.txt inside the file names other classes"
    file.write_bytes(whole[:200])
    assert _checks(file.parent)["ai-edge-litert"].passed is False
    assert CliRunner().invoke(main, ["verify", str(file.parent)]).exit_code == 2


@pytest.mark.parametrize(("package", "name"), [("onnxruntime", "model.onnx"), ("openvino", "model.xml")])
def test_a_damaged_file_of_another_format_is_a_check_that_did_not_pass(tmp_path: Path, package: str, name: str) -> None:
    pytest.importorskip(package)
    folder = export_of_colours(tmp_path)
    (folder / name).write_bytes(b"half a file")
    assert _checks(folder)[package].passed is False


def test_a_lost_file_and_a_damaged_list_are_found_out(tmp_path: Path) -> None:
    folder = tmp_path / "export"
    write_export(finished_run(tmp_path), chosen_formats("tflite"), folder)
    assert "export.json" not in _checks(folder)
    named = {"files": [{"file": "model.tflite"}, {"file": "model.onnx"}]}
    (folder / "export.json").write_text(json.dumps(named))
    found = next(check for check in verify_export(folder) if check.file == "model.onnx")
    assert describe(found) == "model.onnx in export.json: NOT as expected: it is not there"
    (folder / "export.json").write_text("{half")
    with pytest.raises(ExportError, match="Export again"):
        verify_export(folder)


@pytest.mark.parametrize(("quantized", "tolerance"), [(True, 2.5 / 256), (False, 1e-4)])
def test_the_shipped_file_is_held_to_what_its_arithmetic_allows(
    tmp_path: Path, quantized: bool, tolerance: float
) -> None:
    folder = export_of_colours(tmp_path, quantized=quantized)
    assert _checks(folder)["ai-edge-litert"].tolerance == tolerance
    slightly_other = colour_model(SIZE_PX, quantized=quantized, sharpness=0.0505)
    (folder / "model.tflite").write_bytes(with_metadata(slightly_other, LABELS, {"input_size_px": SIZE_PX}))
    assert _checks(folder)["ai-edge-litert"].passed is quantized


def test_an_export_that_nothing_here_can_run_is_not_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = export_of_colours(tmp_path)
    absent = Runtime("a-package-that-is-not-installed", "tflite", lambda *_: np.zeros((6, 3), np.float32))
    monkeypatch.setattr(verifying, "RUNTIMES", (absent,))
    done = CliRunner().invoke(main, ["verify", str(folder)])
    assert done.exit_code == 2
    assert "expected a runtime that runs one of its files" in done.output


@pytest.mark.parametrize("quantized", [True, False])
def test_the_lines_for_litert_alone_run_and_give_the_golden_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantized: bool
) -> None:
    section = EXPORT_PAGE.read_text(encoding="utf-8").partition("\nWith LiteRT alone")[2]
    lines = re.match(r"[^\n]*((?:\n+    [^\n]*)+)", section)
    assert lines is not None
    folder = export_of_colours(tmp_path, quantized=quantized)
    Image.open(folder / "golden" / "02.png").save(folder / "photo.jpg", quality=100)
    monkeypatch.chdir(folder)
    found: dict[str, np.ndarray] = {}
    exec(re.sub("^    ", "", lines[1], flags=re.MULTILINE), found)
    assert found["probabilities"].shape == (3,)
    assert found["probabilities"] == pytest.approx(verifying.read_golden(folder).answers["shipped"][2], abs=0.02)
