"""Run `dvc repro` so that it works in a git checkout and without one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from automl_cnn.config import load_params
from automl_cnn.stage import USER_ERROR


def run_pipeline(project: Path) -> int:
    """Run the stages that changed.

    Args:
        project: the folder that holds dvc.yaml and params.yaml.
    Returns:
        0 when all went well, 2 when a stage ended with a mistake of the user's, else DVC's own exit code.
    Raises:
        ConfigError: params.yaml is wrong; nothing was run.
    """
    load_params(project / "params.yaml")
    _prepare_dvc(project)
    drop_stale_locks(project / ".dvc" / "tmp" / "rwlock")
    marker = project / USER_ERROR
    marker.unlink(missing_ok=True)
    code = _dvc(project, "repro")
    if code and marker.exists():
        print(marker.read_text(encoding="utf-8"), file=sys.stderr)
        return 2
    return code


def _prepare_dvc(project: Path) -> None:
    """Make DVC work here: it must be told where there is no git."""
    in_git = any((folder / ".git").exists() for folder in [project.resolve(), *project.resolve().parents])
    if not (project / ".dvc").is_dir():
        _dvc(project, "init", "--quiet", *([] if in_git else ["--no-scm"]))
    elif not in_git:
        # an unpacked archive brings .dvc/config from a git checkout
        local = project / ".dvc" / "config.local"
        if not local.exists() or "no_scm" not in local.read_text(encoding="utf-8"):
            with local.open("a", encoding="utf-8") as file:
                file.write("[core]\n    no_scm = true\n")


def drop_stale_locks(path: Path) -> None:
    """Remove DVC's lock file if every process named in it has ended.

    DVC itself takes a killed process that nobody has collected yet for a living one, and refuses to run.
    """
    try:
        holders = {int(pid) for pid in re.findall(r'"pid":\s*(\d+)', path.read_text(encoding="utf-8"))}
    except OSError:
        return
    if not any(_is_running(pid) for pid in holders):
        path.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except (OSError, IndexError):  # not ours to signal, or a system without /proc: it is there
        return True
    return state != "Z"


def _dvc(project: Path, *arguments: str) -> int:
    """Run DVC with this interpreter's folder first on PATH, so that `python` in dvc.yaml is this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "dvc", *arguments], cwd=project, env=environment, check=False
    ).returncode
