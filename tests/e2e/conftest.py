"""A project of one's own: a copy of this repository's files in a folder without git, pointed at handwritten digits."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

REPOSITORY = Path(__file__).parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium: apt-get install chromium (or Google Chrome), then make test"
)
COPIED = ("dvc.yaml", "params.yaml", "pyproject.toml", ".dvcignore", "decisions.csv")
EVERY = 3  # digit that the projects have
SMALL = (
    "data.root=data/digits",
    "data.working_size_px=64",
    "search.budget_minutes=60",
    "search.max_trials=5",
    "search.max_fine_tunings=1",
    "search.backbones=[efficientnet-lite0]",
    "search.objective=accuracy",
    "search.augmentations=[none]",
    "train.epochs=2",
    "quantize.steps=2",
    "quantize.calibration_images=64",
    "evaluate.bootstrap=200",
    "evaluate.latency_runs=20",
)


LONGEST_FIRST = (  # files; each is one worker's, and what begins late keeps the others waiting
    "test_pipeline.py", "test_quantize_files.py", "test_tracking_interrupted.py", "test_search_run.py",
    "test_train_finetune.py", "test_decisions.py", "test_backbones_parity.py", "test_evaluate_gradcam.py",
    "test_models_quantize.py", "test_user_mistakes.py", "test_tracking_servers.py", "test_split_stage.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files so that all workers end at about the same time."""
    place = {name: index for index, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.path.name, len(place)))


class Project:
    """A folder with the pipeline in it, and the commands a user types there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def command(self, *arguments: str) -> list[str]:
        """`automl-cnn …` as this Python runs it."""
        return [sys.executable, "-c", "from automl_cnn.cli import main; main()", *arguments]

    def run(self, *arguments: str, timeout_s: float = 600) -> subprocess.CompletedProcess[str]:
        """Run `automl-cnn …` to its end."""
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=timeout_s, check=False
        )

    def dvc(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `dvc …` to its end, with this Python first on PATH."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            [sys.executable, "-m", "dvc", *arguments],
            cwd=self.folder, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path},
        )  # fmt: skip

    def initialise(self) -> None:
        """Let plain `dvc …` work here, where there is no git."""
        done = self.dvc("config", "--local", "core.no_scm", "true")
        assert done.returncode == 0, done.stderr

    def kill_when(self, reached: Callable[[], bool], timeout_s: float = 400) -> None:
        """Start `automl-cnn run` and `kill -9` everything of it as soon as `reached` says so."""
        with (self.folder / "killed.log").open("ab") as log:
            process = subprocess.Popen(
                self.command("run"), cwd=self.folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            deadline = time.monotonic() + timeout_s
            while not reached():
                ended = process.poll() is not None
                if ended or time.monotonic() > deadline:
                    text = (self.folder / "killed.log").read_text(errors="replace")[-3000:]
                    pytest.fail(f"{'it ended' if ended else 'time ran out'} before there was anything to kill:\n{text}")
                time.sleep(0.05)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def stages_run(printed: str) -> list[str]:
    """Names of the stages that DVC says it ran, or would run."""
    return [line.split("'")[1] for line in printed.splitlines() if line.startswith("Running stage")]


def copy_project(folder: Path, engines: Path | None = None) -> Project:
    """The files of this repository that the pipeline is made of, in a folder without git.

    Args:
        folder: where.
        engines: of frozen networks, shared by all projects of a session: making one takes ten seconds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        if (REPOSITORY / name).exists():
            shutil.copy(REPOSITORY / name, folder / name)
    for name in ("automl_cnn", "pipelines", ".dvc"):
        ignored = shutil.ignore_patterns("__pycache__", "cache", "tmp", "config.local")
        shutil.copytree(REPOSITORY / name, folder / name, ignore=ignored)
    if engines is not None:
        (folder / ".automl-cnn").mkdir()
        (folder / ".automl-cnn" / "engines").symlink_to(engines, target_is_directory=True)
    return Project(folder)


def sample_digits(project: Project) -> None:
    """A third of the handwritten digits, 599 images, into data/digits."""
    assert project.run("sample", "digits", "data/digits").returncode == 0
    pictures = sorted((project.folder / "data" / "digits").rglob("*.png"))
    for place, path in enumerate(pictures):
        if place % EVERY:
            path.unlink()


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all projects of a session keep their frozen networks; the workers of a run share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "engines"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def fresh(tmp_path: Path, engines: Path) -> Project:
    """A project in which nothing has been run."""
    return copy_project(tmp_path / "project", engines)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory, engines: Path) -> Project:
    """A project pointed at handwritten digits, not yet run."""
    made = copy_project(tmp_path_factory.mktemp("pipeline") / "project", engines)
    sample_digits(made)
    assert made.run("set", *SMALL).returncode == 0
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium for the pages that people look at."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()
