"""Find what a user calls a run: a folder, an id, a version or an alias."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from automl_cnn.errors import TrackingError
from automl_cnn.tracking.snapshot import Snapshot, read_copy, read_folder

LATEST_RUN = "recorded.run_id"  # tag of a version whose results were recorded again; the last run of them
_WANTED = ("data", "evaluation", "audit", "decisions.csv")
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_VERSION = re.compile(r"(?:(?P<name>.+)[/@])?(?P<which>[^/@]+)")


def is_folder(run: str) -> bool:
    """Whether RUN is a folder; a name that could be both is one."""
    return Path(run).is_dir()


def read_source(run: str, client: Any, model_name: str) -> Snapshot:
    """Read what RUN names.

    Args:
        run: a folder, an MLflow run id, NAME/3, NAME@champion, or 3, champion, challenger of `model_name`.
        client: MlflowClient; None where RUN is a folder.
        model_name: tracking.model_name.
    Raises:
        TrackingError: there is no such run or version.
        ArtifactError: the folder, or what MLflow holds, is not a finished run.
    """
    if is_folder(run):
        return read_folder(Path(run))
    if _RUN_ID.fullmatch(run):
        return _read_run(client, run, run, f"run {run}")
    return read_version(client, run, find_named(client, run, model_name))


def read_version(client: Any, name: str, version: Any) -> Snapshot:
    """Read the run behind a model version; where another server has it, the run of the same results on this one."""
    from mlflow.exceptions import MlflowException

    run_id = version.run_id
    try:
        client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST" or LATEST_RUN not in version.tags:
            raise
        run_id = version.tags[LATEST_RUN]
    return _read_run(client, name, run_id, f"{version.name} version {version.version}, run {run_id}")


def find_named(client: Any, run: str, model_name: str) -> Any:
    """The model version that a number or an alias, with or without the model's name, stands for.

    Raises:
        TrackingError: there is none.
    """
    matched = _VERSION.fullmatch(run)
    name, which = (matched["name"] or model_name, matched["which"]) if matched else (model_name, run)
    versions = {str(one.version): one for one in client.search_model_versions(f"name = '{name}'")}
    aliases = _aliases(client, name) if versions else {}
    found = versions.get(aliases.get(which, which))
    if found is None:
        known = ", ".join([*sorted(aliases), *sorted(versions, key=int)]) or "no version"
        raise TrackingError(
            run, expected=f"a folder, a run id, or a version or alias of {name}", received=f"none of {known}",
            action="Name one of these, or run `automl-cnn run` first.",
        )  # fmt: skip
    return found


def _aliases(client: Any, name: str) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}


def _read_run(client: Any, name: str, run_id: str, place: str) -> Snapshot:
    run = client.get_run(run_id)
    with tempfile.TemporaryDirectory() as temporary:
        for held in client.list_artifacts(run_id):
            if held.path in _WANTED:
                client.download_artifacts(run_id, held.path, temporary)
        return read_copy(name, place, run.data.params, Path(temporary))
