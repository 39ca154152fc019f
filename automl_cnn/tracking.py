"""The record in MLflow: one run a pipeline run, one child a trial, the data sets, the files, the registered model.

The sole module that imports mlflow. Autologging stays off: it iterates whole data sets and logs a model a fit.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import os
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_cnn.artifacts import MANIFEST, SPLITS, TRIALS, Files, read_json, read_table, write_json
from automl_cnn.config import Params
from automl_cnn.errors import ArtifactError
from automl_cnn.progress import Progress, silent
from automl_cnn.serve.bundle import bundle_serving_code

if TYPE_CHECKING:
    import pandas as pd

SERVED = ("model.tflite", "labels.txt", "preprocessing.json")
REQUIREMENTS = ("mlflow", "numpy", "pandas", "pillow", "ai-edge-litert")
PARAM_CHARS = 500
TEMPLATE = Path(__file__).parent / "templates" / "serve_model.py"
# Small files that stand beside the numbers in MLflow; data and weights stay with DVC.
SMALL_FILES = (
    "evaluation/metrics.json", "evaluation/method.json", "evaluation/latency.json", "evaluation/confusion.csv",
    "evaluation/calibration.csv", "quantized/ladder.json", "search/best.yaml", "split/report.json",
    "audit/summary.json", "report/report.html", "report/model_card.md",
)  # fmt: skip


@dataclass(frozen=True)
class Registration:
    """Where a pipeline run went in MLflow; the content of registered/registration.json."""

    run_id: str
    experiment: str
    model_name: str
    version: str
    model_uri: str
    aliases: tuple[str, ...]
    champion: str
    content_digest: str
    data_digest: str
    reused: bool

    def sentence(self) -> str:
        """What the register stage prints."""
        how = "is registered already as" if self.reused else "is now"
        return f"The model {how} {self.model_name} version {self.version} ({', '.join(self.aliases)}); {self.champion}."


def record_run(params: Params, files: Files, project: Path = Path(), progress: Progress = silent) -> Registration:
    """Record a finished pipeline run and register its model; the same results are recorded only once.

    Args:
        params: params.yaml; tracking.uri, .experiment and .model_name say where.
        files: the artifacts of all stages before this one.
        project: the folder of params.yaml and dvc.lock; a new SQLite experiment keeps its files in mlartifacts/ there.
        progress: told part by part.
    Returns:
        The run and the model version, new or found. Alias challenger points to it. Alias champion does when there is
        no champion yet, or when it is no less accurate than the champion on the same test images; otherwise the
        champion stays and the sentence says why.
    Raises:
        ArtifactError: an artifact is missing, or the experiment's files belong to another folder.
    """
    metrics = read_json(files.evaluation / "metrics.json")
    splits = _splits_with_pixels(files)
    content, data = _content_digest(files, metrics), _table_digest(splits)
    progress("starting MLflow", 0, 1)
    with _quiet_mlflow(params.tracking.uri) as mlflow:
        client = mlflow.MlflowClient()
        name = params.tracking.model_name
        found = _find_version(client, name, content)
        if found is None:
            experiment = _experiment_id(client, params, project)
            with mlflow.start_run(experiment_id=experiment, tags=_lineage(project, content, data)) as run:
                _log_numbers(client, run.info.run_id, params, metrics, files)
                _log_data(mlflow, splits)
                _log_files(client, run.info.run_id, files, project)
                _log_trials(client, experiment, run.info.run_id, files, progress)
                tags = {
                    "content_digest": content,
                    "data_digest": data,
                    "test.accuracy": repr(metrics["test"]["accuracy"]),
                    "test.macro_f1": repr(metrics["test"]["macro_f1"]),
                }
                progress("storing the model", 0, 1)
                made = _register_model(mlflow, client, name, run.info.run_id, files, tags)
        else:
            made = found
        aliases, champion = _point_aliases(client, name, made)
    progress("in MLflow", 1, 1, f"{name} version {made.version}")
    registration = Registration(
        run_id=made.run_id, experiment=params.tracking.experiment, model_name=name, version=str(made.version),
        model_uri=f"models:/{name}/{made.version}", aliases=aliases, champion=champion,
        content_digest=content, data_digest=data, reused=found is not None,
    )  # fmt: skip
    write_json(files.registered / "registration.json", asdict(registration))
    return registration


@contextlib.contextmanager
def _quiet_mlflow(uri: str) -> Iterator[Any]:
    """MLflow pointed at `uri`, saying only what is wrong, and without reports to its makers."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    loud = {name: logging.getLogger(name).level for name in ("mlflow", "alembic")}
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    for name in loud:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # About its own internals and an input example that would run the model; none is for the analyst.
            warnings.simplefilter("ignore")
            yield mlflow
    finally:
        mlflow.set_tracking_uri(before)
        for name, level in loud.items():
            logging.getLogger(name).setLevel(level)


def _experiment_id(client: Any, params: Params, project: Path) -> str:
    """The experiment, made on first use. MLflow keeps absolute places of files: a moved project is refused."""
    tracking = params.tracking
    local = tracking.uri.startswith("sqlite:")
    place = (project.resolve() / "mlartifacts").as_posix()
    experiment = client.get_experiment_by_name(tracking.experiment)
    if experiment is None:
        made: str = client.create_experiment(tracking.experiment, artifact_location=place if local else None)
        return made
    if experiment.lifecycle_stage != "active":
        raise ArtifactError(
            "tracking.experiment",
            expected="an active experiment",
            received=f"{tracking.experiment!r}, which was deleted in MLflow",
            action="Restore it in MLflow, or name another one in params.yaml.",
        )
    if local and experiment.artifact_location != place:
        raise ArtifactError(
            tracking.uri,
            expected=f"an experiment whose files lie in {place}",
            received=experiment.artifact_location,
            action="The project was copied or moved: name another tracking.experiment in params.yaml.",
        )
    return str(experiment.experiment_id)


def _log_numbers(client: Any, run_id: str, params: Params, metrics: dict[str, Any], files: Files) -> None:
    """Parameters, metrics and seconds a stage, in as few calls as MLflow's limits allow."""
    from mlflow.entities import Metric, Param

    now = _now_ms()
    numbers = _flatten({key: metrics[key] for key in ("test", "float", "difference", "model") if key in metrics})
    for timing in sorted(files.timings.glob("*.json")):
        numbers[f"seconds.{timing.stem}"] = read_json(timing)["seconds"]
    logged = [Metric(key, float(value), now, 0) for key, value in numbers.items() if _is_number(value)]
    flat = _flatten(params.model_dump())
    given = [Param(key, str(value)[:PARAM_CHARS]) for key, value in flat.items()]
    for start in range(0, len(given), 100):  # MLflow takes 100 parameters a call
        client.log_batch(run_id, params=given[start : start + 100])
    client.log_batch(run_id, metrics=logged)


def _log_data(mlflow: Any, splits: pd.DataFrame) -> None:
    """One MLflow data set a side of the split: its rows' digest, its columns, how many images."""
    for side in ("train", "validation", "test"):
        rows = splits[splits["split"] == side].reset_index(drop=True)
        if len(rows):
            dataset = mlflow.data.from_pandas(
                rows, source="artifacts/split/splits.parquet", targets="label", name=side, digest=_table_digest(rows)
            )
            mlflow.log_input(dataset, context=side)


def _log_files(client: Any, run_id: str, files: Files, project: Path) -> None:
    present = [(files.root / path, path.partition("/")[0]) for path in SMALL_FILES]
    present += [(project / name, "") for name in ("params.yaml", "dvc.lock")]
    present += [(figure, "report/figures") for figure in sorted((files.report / "figures").glob("*.*"))]
    for path, folder in present:
        if path.is_file():
            client.log_artifact(run_id, str(path), folder or None)


def _log_trials(client: Any, experiment: str, parent: str, files: Files, progress: Progress) -> None:
    """One child run a trial, with the same parameter keys throughout; the search itself knows nothing of MLflow."""
    from mlflow.entities import Metric, Param

    path = files.search / "trials.parquet"
    if not path.exists():
        return
    trials = read_table(path, TRIALS)
    hyperparameters = [c for c in trials.columns if c not in ("trial_id", "status", "message", "score", "seconds")]
    for done, trial in enumerate(trials.to_dict("records"), 1):
        tags = {"mlflow.parentRunId": parent, "trial_message": str(trial.get("message", ""))}
        run = client.create_run(experiment, tags=tags, run_name=f"trial {trial['trial_id']}")
        now = _now_ms()
        logged = [Metric(k, float(trial[k]), now, 0) for k in ("score", "seconds") if _is_number(trial[k])]
        given = [Param(column, str(trial[column])[:PARAM_CHARS]) for column in hyperparameters]
        client.log_batch(run.info.run_id, metrics=logged, params=given)
        client.set_terminated(run.info.run_id, "FINISHED" if trial["status"] == "completed" else "FAILED")
        progress("trials", done, len(trials))


def _register_model(mlflow: Any, client: Any, name: str, run_id: str, files: Files, tags: dict[str, str]) -> Any:
    """Log the pyfunc with its three files and its own code, then make a version of it."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    outputs = Schema([ColSpec("string", "label"), ColSpec("double", "probability"), ColSpec("string", "probabilities")])
    signature = ModelSignature(inputs=Schema([ColSpec(DataType.binary, "image")]), outputs=outputs)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "quantized"
        folder.mkdir()
        for served in SERVED:
            (folder / served).write_bytes((files.quantized / served).read_bytes())
        model = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(TEMPLATE),
            artifacts={"quantized": str(folder)},
            code_paths=[str(bundle_serving_code(Path(temporary)))],
            signature=signature,
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
        )
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description="Made by automl-cnn; takes image bytes.")
    return client.create_model_version(name, model.model_uri, run_id=run_id, tags=tags, model_id=model.model_id)


def _find_version(client: Any, name: str, content: str) -> Any:
    """The newest version registered from the same results, or None."""
    versions = client.search_model_versions(f"name = '{name}'")
    same = [version for version in versions if version.tags.get("content_digest") == content]
    return max(same, key=lambda version: int(version.version), default=None)


def _point_aliases(client: Any, name: str, made: Any) -> tuple[tuple[str, ...], str]:
    """Point challenger, and champion where that is fair; the aliases of `made` and a clause that says why.

    Each comparison looks at the test split once more: after many, the champion's accuracy is an optimistic one.
    """
    client.set_registered_model_alias(name, "challenger", made.version)
    holder = client.get_registered_model(name).aliases.get("champion")
    if holder is None:
        client.set_registered_model_alias(name, "champion", made.version)
        return ("challenger", "champion"), "it is the first champion"
    if str(holder) == str(made.version):
        return ("challenger", "champion"), "it remains the champion"
    champion = client.get_model_version(name, holder).tags
    if champion.get("data_digest") != made.tags["data_digest"]:
        return ("challenger",), f"version {holder} remains champion, judged on other images: compare them yourself"
    own, best = float(made.tags["test.accuracy"]), float(champion["test.accuracy"])
    if own < best:
        return ("challenger",), f"version {holder} remains champion with test accuracy {best:.3f} against {own:.3f}"
    client.set_registered_model_alias(name, "champion", made.version)
    return ("challenger", "champion"), f"it follows version {holder} as champion: {own:.3f} against {best:.3f}"


def _splits_with_pixels(files: Files) -> pd.DataFrame:
    """The split with each image's content digest: what a data set is, without its pictures."""
    splits = read_table(files.split / "splits.parquet", SPLITS)[["image_id", "path", "label", "group", "split"]]
    manifest = read_table(files.manifest, MANIFEST)[["image_id", "pixel_sha"]]
    return splits.merge(manifest, on="image_id", how="left").sort_values("image_id", ignore_index=True)


def _table_digest(table: pd.DataFrame) -> str:
    """32 hex digits over the rows; MLflow takes up to 36 characters."""
    return hashlib.sha256(table.to_csv(index=False, lineterminator="\n").encode()).hexdigest()[:32]


def _content_digest(files: Files, metrics: dict[str, Any]) -> str:
    """Digest of the served files and their scores. Latency is left out: it differs each time it is measured."""
    digest = hashlib.sha256()
    for served in SERVED:
        path = files.quantized / served
        if not path.is_file():
            raise ArtifactError(str(path), expected="a file", received="none there", action="Run `dvc repro` first.")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(repr(sorted(_flatten({key: metrics[key] for key in ("test", "float")}).items())).encode())
    return digest.hexdigest()[:32]


def _lineage(project: Path, content: str, data: str) -> dict[str, str]:
    """Tags by which a run is found again: digests, git commit, DVC's hashes of every stage's outs."""
    tags = {"content_digest": content, "data_digest": data}
    commit = _git(project, "rev-parse", "HEAD")
    if commit is not None:
        tags["git.commit"] = commit
        tags["git.dirty"] = str(bool(_git(project, "status", "--porcelain", "--untracked-files=no"))).lower()
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


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; an interval becomes two, a list of classes is left to its file."""
    if isinstance(value, dict):
        return {k: v for key, inner in value.items() for k, v in _flatten(inner, f"{prefix}.{key}".lstrip(".")).items()}
    if isinstance(value, list) and len(value) == 2 and all(_is_number(v) for v in value):
        return {f"{prefix}_low": value[0], f"{prefix}_high": value[1]}
    return {prefix: value}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _now_ms() -> int:
    return int(time.time() * 1000)
