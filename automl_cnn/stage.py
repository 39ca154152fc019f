"""What every script in pipelines/ starts with: parameters in, progress on the screen, user errors as exit code 2."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from automl_cnn.artifacts import Files, replacing, write_json
from automl_cnn.config import Params, load_params
from automl_cnn.console import screen_progress
from automl_cnn.errors import FULL_DISK, ArtifactError, AutoMLError
from automl_cnn.progress import Progress
from automl_cnn.system_load import sampled_load

CACHE = Path(".automl-cnn")
USER_ERROR = CACHE / "user-error.txt"  # DVC ends with 255 whatever a stage ends with; this says that it was a 2


@dataclass(frozen=True)
class Stage:
    """What a stage function receives.

    Attributes:
        params: params.yaml, checked, the preset's values filled in.
        files: the places under artifacts/.
        cache: folder for what only saves time; survives DVC's removal of outs, may be deleted at will.
        progress: where long work reports itself.
    """

    params: Params
    files: Files
    cache: Path
    progress: Progress


def run_stage(name: str, work: Callable[[Stage], None]) -> None:
    """Run one stage of the pipeline and end the process: 0, or 2 with one clear message for a user's mistake.

    Args:
        name: as in dvc.yaml; its seconds are written to artifacts/timings/<name>.json, what it took of the machine to
            <name>.system.csv.
        work: does the stage.
    """
    started = time.perf_counter()
    try:
        params = load_params()
        files, cache = Files(Path("artifacts")), CACHE
        with screen_progress(name) as progress, sampled_load(files.timings / f"{name}.system.csv"):
            work(Stage(params, files, cache, progress))
        write_json(files.timings / f"{name}.json", {"seconds": round(time.perf_counter() - started, 2)})
    except (AutoMLError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in FULL_DISK:
            raise
        told = error if isinstance(error, AutoMLError) else _full_disk(error)
        message = f"{name}: {told}"
        print(message, file=sys.stderr)
        with suppress(OSError), replacing(USER_ERROR) as temporary:
            temporary.write_text(message, encoding="utf-8")
        sys.exit(2)


def _full_disk(error: OSError) -> ArtifactError:
    free = shutil.disk_usage(".").free
    return ArtifactError(
        str(error.filename or "artifacts"), expected="room on the disk", received=f"{free / 1e6:,.0f} MB free",
        action="Free some, then run again: what is finished is kept. `automl-cnn cache` shows what may go.",
    )  # fmt: skip
