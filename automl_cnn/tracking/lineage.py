"""Tags by which git, DVC and MLflow find each other's record of the same run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

# DVC sets them for the stages of `dvc exp run`.
_EXPERIMENT = {"DVC_EXP_NAME": "dvc.exp.name", "DVC_EXP_BASELINE_REV": "dvc.exp.baseline"}


def lineage_tags(project: Path) -> dict[str, str]:
    """Git's commit, the name of a DVC experiment, and DVC's hash of every stage's outs.

    Args:
        project: the folder of dvc.lock.
    Returns:
        git.commit and git.dirty in a checkout; the run itself writes dvc.lock, which makes nothing dirty.
        dvc.<stage>.<out> where there is a dvc.lock: `dvc checkout` brings back what the hash names, and nothing that
        DVC holds need be copied into MLflow.
    """
    tags = {tag: os.environ[name] for name, tag in _EXPERIMENT.items() if os.environ.get(name)}
    commit = _git(project, "rev-parse", "HEAD")
    if commit is not None:
        tags["git.commit"] = commit
        changed = _git(project, "status", "--porcelain", "--untracked-files=no", "--", ":/", ":(exclude)dvc.lock")
        tags["git.dirty"] = str(bool(changed)).lower()
    lock = project / "dvc.lock"
    if lock.is_file():
        from ruamel.yaml import YAML

        for name, stage in (YAML(typ="safe").load(lock).get("stages") or {}).items():
            for out in stage.get("outs", []):
                if "md5" in out:
                    tags[f"dvc.{name}.{Path(out['path']).name}"] = out["md5"]
    return tags


def _git(project: Path, *arguments: str) -> str | None:
    """What git prints, or None outside a checkout or without git."""
    try:
        done = subprocess.run(["git", *arguments], cwd=project, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
