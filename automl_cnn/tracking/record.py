"""Record a finished pipeline run in MLflow: one run, a child a trial, the data sets, the files, a model version.

Every step looks first at what MLflow holds of it already. A record that was cut off, by a server that went away or a
killed process, is therefore completed by the same call, and nothing stands in MLflow twice.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automl_cnn.artifacts import Files, read_json, write_json
from automl_cnn.config import Params
from automl_cnn.errors import ArtifactError, TrackingError
from automl_cnn.progress import Progress, silent
from automl_cnn.tracking.connection import connected
from automl_cnn.tracking.datasets import log_datasets
from automl_cnn.tracking.finished import MOST_CLASSES, PARAM_CHARS, Finished, numbers_of, read_finished, table_digest
from automl_cnn.tracking.lineage import lineage_tags
from automl_cnn.tracking.load import log_load
from automl_cnn.tracking.logged_model import DIGEST, find_version, log_model, make_version
from automl_cnn.tracking.places import Places, find_places, is_database
from automl_cnn.tracking.promotion import CHALLENGER, CHAMPION
from automl_cnn.tracking.snapshot import IMAGES
from automl_cnn.tracking.sources import LATEST_RUN
from automl_cnn.tracking.trials import log_trials

# Small files that stand beside the numbers; data and weights stay with DVC. They lie in the run as under artifacts/.
SMALL_FILES = (
    "decisions.csv", "audit/summary.json", "split/report.json", "search/best.yaml", "search/budget.json",
    "quantized/ladder.json", "evaluation/*", "report/report.html", "report/model_card.md", "report/figures/*.*",
    "timings/*",
)  # fmt: skip
PAUSES_S = (1.0, 4.0)  # before a record that was cut off is tried again
_RESUME = (
    "Everything is on disk: see to MLflow, then run `dvc repro`; it goes on where this stopped and doubles nothing."
)


@dataclass(frozen=True)
class Registration:
    """Where a pipeline run went in MLflow; the content of registered/registration.json.

    Attributes:
        run_id, experiment: the parent run; not the one that the version was made of, where the same results are
            recorded again on another server, in another experiment or under other parameters.
        model_name, version, model_uri: the model version.
        aliases: of this version, at that time.
        champion: a clause about the champion at that time.
        content_digest, data_digest, split_digest: as in `Finished`.
        reused: the same results were registered before.
        places: a sentence about the servers and where their addresses came from.
    """

    run_id: str
    experiment: str
    model_name: str
    version: str
    model_uri: str
    aliases: tuple[str, ...]
    champion: str
    content_digest: str
    data_digest: str
    split_digest: str
    reused: bool
    places: str

    def sentence(self) -> str:
        """What the register stage prints."""
        how = "is registered already as" if self.reused else "is now"
        named = f"{self.model_name} version {self.version} ({', '.join(self.aliases)})"
        return f"The model {how} {named}; {self.champion}. {self.places}"


def record_run(
    params: Params,
    files: Files,
    project: Path = Path(),
    progress: Progress = silent,
    pauses_s: Sequence[float] = PAUSES_S,
) -> Registration:
    """Record a finished pipeline run and register its model.

    The same results under the same parameters are recorded once an experiment; the same model is registered once.

    Args:
        params: params.yaml; its tracking section says where, unless the environment does.
        files: the artifacts of all stages before this one.
        project: the folder of params.yaml and dvc.lock; a new experiment without a server keeps its files in
            mlartifacts/ there.
        progress: told part by part.
        pauses_s: how often, and after how long, it goes on by itself where MLflow did not answer.
    Returns:
        The run and the model version, new or found. Alias challenger points to it; champion is moved by
        `automl-cnn promote` alone.
    Raises:
        ArtifactError: an artifact is missing, or the experiment's files belong to another folder.
        TrackingError: MLflow cannot be reached or refuses; calling again completes the record.
    """
    finished, lineage = read_finished(params, files), lineage_tags(project)
    places = find_places(params.tracking, os.environ)
    for pause_s in (*pauses_s, None):
        try:
            registration = _record(params, files, project, finished, lineage, places, progress)
            break
        except TrackingError:
            if pause_s is None:
                raise
            progress("MLflow does not answer; trying again", 0, 1)
            time.sleep(pause_s)
    write_json(files.registered / "registration.json", asdict(registration))
    return registration


def _record(
    params: Params,
    files: Files,
    project: Path,
    finished: Finished,
    lineage: Mapping[str, str],
    places: Places,
    progress: Progress,
) -> Registration:
    """Make, or complete, what MLflow holds of the run."""
    name = params.tracking.model_name
    progress("starting MLflow", 0, 1)
    with connected(places, _RESUME) as mlflow:
        client = mlflow.MlflowClient()
        made = find_version(client, name, finished.content_digest)
        reused, tags = made is not None, _version_tags(finished, lineage)
        run_id = _find_whole_run(client, params.tracking.experiment, finished) if reused else None
        if run_id is None:
            experiment = _experiment_id(client, params.tracking.experiment, places.tracking, project)
            run_id = _find_or_create_run(client, experiment, finished, lineage)
            _log_params(client, run_id, finished)
            log_trials(client, experiment, run_id, files, progress)
            progress("storing data and files", 0, 1)
            log_datasets(client, client.get_run(run_id), finished)
            _log_files(client, run_id, files, finished, project)
            log_load(client, client.get_run(run_id), files)
            progress("storing the model", 0, 1)
            model = log_model(mlflow, client, client.get_run(run_id), files, tags)
            _log_numbers(client, client.get_run(run_id), model.model_id, finished, files)
            client.set_terminated(run_id, "FINISHED")
            progress("registering", 0, 1)
            if made is None:
                made = make_version(client, name, model, places, tags)
        if made.run_id != run_id:
            client.set_model_version_tag(name, str(made.version), LATEST_RUN, run_id)
        aliases, champion = _point_challenger(client, name, str(made.version))
    progress("in MLflow", 1, 1, f"{name} version {made.version}")
    return Registration(
        run_id=run_id, experiment=params.tracking.experiment, model_name=name, version=str(made.version),
        model_uri=f"models:/{name}/{made.version}", aliases=aliases, champion=champion,
        content_digest=finished.content_digest, data_digest=finished.data_digest, split_digest=finished.split_digest,
        reused=reused, places=places.sentence(),
    )  # fmt: skip


def _experiment_id(client: Any, name: str, tracking: str, project: Path) -> str:
    """The experiment, made on first use. MLflow keeps absolute places of files: a moved project is refused."""
    local = is_database(tracking)
    place = (project.resolve() / "mlartifacts").as_posix()
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        made: str = client.create_experiment(name, artifact_location=place if local else None)
        return made
    if experiment.lifecycle_stage != "active":
        raise ArtifactError(
            "tracking.experiment",
            expected="an active experiment",
            received=f"{name!r}, which was deleted in MLflow",
            action="Restore it in MLflow, or name another one in params.yaml.",
        )
    if tracking.startswith("sqlite:") and experiment.artifact_location != place:
        raise ArtifactError(
            tracking,
            expected=f"an experiment whose files lie in {place}",
            received=experiment.artifact_location,
            action="The project was copied or moved: name another tracking.experiment in params.yaml.",
        )
    return str(experiment.experiment_id)


def _find_whole_run(client: Any, experiment: str, finished: Finished) -> str | None:
    """The run of these results and parameters in the experiment of that name, if nothing is left to be recorded."""
    held = client.get_experiment_by_name(experiment)
    run = None if held is None else _find_run(client, held.experiment_id, finished)
    whole = run is not None and run.info.status == "FINISHED" and set(run.data.params) == set(finished.params)
    return str(run.info.run_id) if run is not None and whole else None


def _find_or_create_run(client: Any, experiment: str, finished: Finished, lineage: Mapping[str, str]) -> str:
    """The run of these results, whether complete or cut off; a new one where there is none."""
    found = _find_run(client, experiment, finished)
    if found is not None:
        return str(found.info.run_id)
    tags = {**lineage, **_digests(finished), "mlflow.source.name": "automl-cnn", "mlflow.source.type": "PROJECT"}
    if (classes := len(finished.metrics["test"]["per_class"])) > MOST_CLASSES:
        tags["mlflow.note.content"] = f"The scores of its {classes:,} classes are in evaluation/metrics.json alone."
    return str(client.create_run(experiment, tags=tags).info.run_id)


def _find_run(client: Any, experiment: str, finished: Finished) -> Any:
    """The run of these results whose parameters, as far as it has any yet, are these; or None."""
    wanted = _shown(finished.params)
    for run in client.search_runs([experiment], f"tags.{DIGEST} = '{finished.content_digest}'"):
        if all(wanted.get(key) == value for key, value in run.data.params.items()):
            return run
    return None


def _shown(params: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(value)[:PARAM_CHARS] for key, value in params.items()}


def _log_params(client: Any, run_id: str, finished: Finished) -> None:
    """Parameters, in as few calls as MLflow's limit of a hundred allows."""
    from mlflow.entities import Param

    held = client.get_run(run_id).data.params
    given = [Param(key, value) for key, value in _shown(finished.params).items() if key not in held]
    for start in range(0, len(given), 100):
        client.log_batch(run_id, params=given[start : start + 100])


def _log_numbers(client: Any, run: Any, model_id: str, finished: Finished, files: Files) -> None:
    """Scores and seconds a stage, in one call; those on the test split name their model and their data set.

    MLflow stores them with the run first, then with the model; what one of them lacks is logged again. The same value
    of the same moment, which is why it is the run's, is kept once.
    """
    from mlflow.entities import Metric

    of_model = {metric.key for metric in client.get_logged_model(model_id).metrics or ()}
    test = finished.images[finished.images["split"] == "test"]
    scored = {"model_id": model_id, "dataset_name": "test", "dataset_digest": table_digest(test)}
    numbers = numbers_of(finished.metrics)
    for timing in sorted(files.timings.glob("*.json")):
        numbers[f"seconds.{timing.stem}"] = float(read_json(timing)["seconds"])
    metrics = [
        Metric(key, value, run.info.start_time, 0, **(scored if key.startswith("test.") else {}))
        for key, value in numbers.items()
        if key not in run.data.metrics or (key.startswith("test.") and key not in of_model)
    ]
    if metrics:
        client.log_batch(run.info.run_id, metrics=metrics)


def _log_files(client: Any, run_id: str, files: Files, finished: Finished, project: Path) -> None:
    """The small files, params.yaml, dvc.lock and the list of images; a second time they replace themselves."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        present = [(path, path.relative_to(files.root)) for kind in SMALL_FILES for path in files.root.glob(kind)]
        present += [(project / name, Path(name)) for name in ("params.yaml", "dvc.lock")]
        for path, place in present:
            if path.is_file() and not path.name.startswith("."):
                (folder / place).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, folder / place)
        (folder / IMAGES).parent.mkdir()
        finished.images.to_parquet(folder / IMAGES, index=False, compression="zstd")
        client.log_artifacts(run_id, str(folder))


def _digests(finished: Finished) -> dict[str, str]:
    return {
        DIGEST: finished.content_digest,
        "data_digest": finished.data_digest,
        "split_digest": finished.split_digest,
    }


def _version_tags(finished: Finished, lineage: Mapping[str, str]) -> dict[str, str]:
    """What a model version can be found by: digests, git and DVC, and its two best known scores."""
    test = finished.metrics["test"]
    scores = {f"test.{key}": repr(test[key]) for key in ("accuracy", "macro_f1")}
    found = {key: value for key, value in lineage.items() if key.startswith(("git.", "dvc.exp.", "dvc.quantize."))}
    return {**_digests(finished), **scores, **found}


def _point_challenger(client: Any, name: str, version: str) -> tuple[tuple[str, ...], str]:
    """Point challenger at this version; its aliases, and a clause about the champion, which is left alone."""
    client.set_registered_model_alias(name, CHALLENGER, version)
    champion = client.get_registered_model(name).aliases.get(CHAMPION)
    if champion is None:
        return (CHALLENGER,), "there is no champion yet: `automl-cnn promote` makes it one"
    if str(champion) == version:
        return (CHALLENGER, CHAMPION), "it is the champion"
    return (CHALLENGER,), f"version {champion} remains champion until `automl-cnn promote` shows that this is better"
