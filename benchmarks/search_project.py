"""A project of its own in a temporary folder, and the pipeline's stages run there as DVC runs them."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from automl_cnn.params_file import assign

REPOSITORY = Path(__file__).resolve().parents[1]
COPIED = ("dvc.yaml", "params.yaml", "pyproject.toml", ".dvcignore", "decisions.csv")
PRESETS = {"quick": 7.0, "balanced": 20.0, "best": float("inf")}  # up to how many minutes


def preset_of(minutes: float) -> str:
    """The preset that a user with so many minutes would name."""
    return next(name for name, most in PRESETS.items() if minutes <= most)


@dataclass(frozen=True)
class StageRun:
    """One run of one stage.

    Attributes:
        seconds: from the start of its process to its end.
        peak_mib: largest resident memory of its largest process.
    """

    seconds: float
    peak_mib: float


def make_project(folder: Path, values: Mapping[str, object]) -> None:
    """Make a project anew: this repository's pipeline, its params.yaml with other values.

    Args:
        folder: replaced where it is there.
        values: by key path, such as search.seed.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in COPIED:
        shutil.copy(REPOSITORY / name, folder / name)
    for name in ("automl_cnn", "pipelines"):  # dvc.yaml names their files
        shutil.copytree(REPOSITORY / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    # the sample's decisions are about other images
    (folder / "decisions.csv").write_text(_header(REPOSITORY / "decisions.csv"), encoding="utf-8")
    assign(folder / "params.yaml", [(key, _yaml(value)) for key, value in values.items()])


def run_stage(folder: Path, name: str, meanwhile: Callable[[], bool] = lambda: True) -> StageRun:
    """Run a stage's script in a project.

    Args:
        folder: of the project.
        name: of the stage.
        meanwhile: called ten times a second and once more at the end; False ends the stage.
    Raises:
        RuntimeError: it failed; with the last lines that it printed.
    """
    printed = folder / f"{name}.txt"
    with printed.open("wb") as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, str(folder / "pipelines" / f"{name}.py")],
            cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=environment(folder),
        )  # fmt: skip
        wanted = True
        try:
            while True:
                # wait4 and not wait: it tells the memory of this process and of those that it has waited for
                pid, status, usage = os.wait4(process.pid, os.WNOHANG)
                if pid:
                    break
                if wanted and not meanwhile():
                    wanted = False
                    process.terminate()
                time.sleep(0.1)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            raise
        process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - started
    meanwhile()
    if process.returncode and wanted:
        last = printed.read_text(encoding="utf-8", errors="replace").splitlines()[-3:]
        raise RuntimeError(f"stage {name} ended with {process.returncode}: {' / '.join(last)}")
    return StageRun(seconds, usage.ru_maxrss / 1024)


def environment(folder: Path) -> dict[str, str]:
    """Of a project's processes: they run the project's copy of the package, whatever changes outside."""
    return {**os.environ, "PYTHONPATH": str(folder), "PYTHONIOENCODING": "utf-8"}


def _header(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0] + "\n"


def _yaml(value: object) -> str:
    if value is None:
        return "null"
    return f"[{', '.join(str(item) for item in value)}]" if isinstance(value, list | tuple) else str(value)
