"""Stage report as DVC starts it: a process of its own, in the project's folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from report_run import INPUT_PX, WORKING_PX, write_report_run

SCRIPT = Path(__file__).parents[2] / "pipelines" / "report.py"
PARAMS = f"data:\n  root: tiles\n  working_size_px: {WORKING_PX}\nsearch:\n  input_sizes_px: [{INPUT_PX}]\n"


def run_stage(project: Path) -> subprocess.CompletedProcess[str]:
    (project / "params.yaml").write_text(PARAMS)
    return subprocess.run([sys.executable, str(SCRIPT)], cwd=project, capture_output=True, text=True, check=False)


def test_it_writes_the_page_the_card_and_its_own_time(tmp_path: Path) -> None:
    write_report_run(tmp_path, ["red", "green", "blue"])
    done = run_stage(tmp_path)
    assert done.returncode == 0, done.stderr
    assert "report.html" in done.stdout
    for name in ("report/report.html", "report/model_card.md", "timings/report.json"):
        assert (tmp_path / "artifacts" / name).stat().st_size > 0


def test_without_a_run_it_names_the_missing_file_and_ends_with_2(tmp_path: Path) -> None:
    done = run_stage(tmp_path)
    assert done.returncode == 2
    assert "manifest.parquet" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "artifacts" / "report").exists()
