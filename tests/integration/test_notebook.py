"""notebooks/: they run from top to bottom on the artifacts of a run, whatever it found, and are kept stripped."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from report_run import write_report_run

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "from_folder_to_model.ipynb"


def run_notebook(folder: Path) -> list[dict[str, object]]:
    """Execute in `folder`; give all outputs. An error in a cell is raised."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def text_of(outputs: list[dict[str, object]]) -> str:
    return "".join(str(output.get("text", "")) for output in outputs)


def test_it_walks_a_run_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, files = write_report_run(tmp_path / "project", ["red", "green", "blue $x$"])
    monkeypatch.setenv("AUTOML_CNN_ARTIFACTS", str(files.root))
    outputs = run_notebook(tmp_path)
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]  # type: ignore[operator]
    assert len(pictures) == 8
    said = text_of(outputs)
    assert "3 of 36 labels look wrong" in said
    assert "groups on two sides: 0" in said
    assert "3 of 9 test images" in said


def test_it_finds_the_run_above_it_also_where_the_audit_found_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_report_run(tmp_path, ["functional", "defective"], faultless=True)
    monkeypatch.delenv("AUTOML_CNN_ARTIFACTS", raising=False)
    (tmp_path / "notebooks").mkdir()
    assert "0 of 24 labels look wrong\nNone." in text_of(run_notebook(tmp_path / "notebooks"))


def test_it_is_kept_without_outputs() -> None:
    cells = [cell for cell in nbformat.read(NOTEBOOK, as_version=4).cells if cell.cell_type == "code"]
    assert cells
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)
