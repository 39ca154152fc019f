"""The record on servers of SQLite and PostgreSQL: register, promote, compare, load back.

The tests run in order on one project a server; each states one thing that a user relies on.
"""

from __future__ import annotations

import io
import json
import runpy
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner, Result
from colour_run import write_colour_run
from conftest import REPOSITORY
from mlflow_server import MlflowServer, postgresql

from automl_cnn.artifacts import PREDICTIONS, Files, read_json, read_table, write_json, write_table
from automl_cnn.cli import main
from automl_cnn.config import load_params
from automl_cnn.evaluate.judge import judge_shipped, write_evaluation

pytestmark = pytest.mark.slow


@dataclass
class Site:
    """A project of 90 test images, a third of them under a wrong label, and the server that it records to."""

    folder: Path
    uri: str
    database: str

    @property
    def files(self) -> Files:
        return Files(self.folder / "artifacts")

    @property
    def client(self) -> Any:
        import mlflow

        return mlflow.MlflowClient(self.uri, self.uri)

    def register(self) -> str:
        """What the stage register prints."""
        printed = io.StringIO()
        with self._entered(), redirect_stdout(printed):
            runpy.run_path(str(REPOSITORY / "pipelines" / "register.py"), run_name="__main__")
        return printed.getvalue()

    def run(self, *arguments: str) -> Result:
        """`automl-cnn …` in the project; in this process, which has MLflow loaded already."""
        with self._entered():
            return CliRunner().invoke(main, arguments)

    def champion(self) -> str | None:
        return self.client.get_registered_model("automl-cnn").aliases.get("champion")

    def answer_rightly(self, images: int) -> None:
        """Let the evaluation say that so many of the wrong answers are right now."""
        path = self.files.evaluation / "predictions.parquet"
        table = read_table(path, PREDICTIONS)
        for row in table.index[table["predicted"] != table["label"]][:images]:
            label, given = table.loc[row, "label"], table.loc[row, "predicted"]
            table.loc[row, ["predicted", f"p_{label}", f"p_{given}"]] = [label, 0.9, 0.05]
        write_table(path, table, PREDICTIONS)
        metrics = read_json(self.files.evaluation / "metrics.json")
        metrics["test"]["accuracy"] = float((table["predicted"] == table["label"]).mean())
        write_json(self.files.evaluation / "metrics.json", metrics)

    @contextmanager
    def _entered(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setenv("MLFLOW_TRACKING_URI", self.uri)
            yield


@pytest.fixture(scope="module", params=[pytest.param("sqlite", marks=pytest.mark.exhaustive), "postgresql"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp(request.param)
    project = folder / "project"
    project.mkdir()
    files = write_colour_run(project, a_class=120)
    write_evaluation(files.evaluation, judge_shipped(files, load_params(project / "params.yaml").evaluate))
    if request.param == "sqlite":
        yield from _served(folder, project, f"sqlite:///{folder}/mlflow.db")
    else:
        with postgresql() as database:
            yield from _served(folder, project, database)


def _served(folder: Path, project: Path, database: str) -> Iterator[Site]:
    server = MlflowServer(folder, database)
    server.start()
    yield Site(project, server.uri, database)
    server.kill()


def test_register_says_where_the_record_went_and_makes_no_champion(site: Site) -> None:
    printed = site.register()
    assert "The model is now automl-cnn version 1 (challenger); there is no champion yet" in " ".join(printed.split())
    assert f"Record: {site.uri} (MLFLOW_TRACKING_URI)." in printed
    assert site.champion() is None
    assert not (site.folder / "mlflow.db").exists()
    assert "already as automl-cnn version 1" in site.register()


def test_promote_makes_the_first_version_champion(site: Site) -> None:
    done = site.run("promote")
    assert (done.exit_code, site.champion()) == (0, "1"), done.stderr
    assert "automl-cnn version 1 is champion now. There was no champion to compare it with." in done.stdout
    assert "is the champion already" in site.run("promote").stdout


def test_a_version_that_is_better_by_chance_is_refused_with_the_sentence(site: Site) -> None:
    site.answer_rightly(1)
    assert "version 2 (challenger); version 1 remains champion" in " ".join(site.register().split())
    done = site.run("promote")
    assert (done.exit_code, site.champion()) == (2, "1")
    assert "expected a model shown to be better than the champion, version 1; received" in done.stderr
    assert "The test set is too small to tell version 2 from version 1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_version_that_is_shown_to_be_better_becomes_champion_and_the_reason_is_recorded(site: Site) -> None:
    site.answer_rightly(20)
    site.register()
    done = site.run("promote")
    assert (done.exit_code, site.champion()) == (0, "3"), done.stderr
    tags = site.client.get_model_version("automl-cnn", "3").tags
    assert tags["promoted.because"].startswith("Version 3 is better than version 1: +23.1 points of macro F1 (95 % ")
    assert (tags["promoted.over"], tags["promoted.forced"]) == ("1", "false")


def test_a_person_may_decide_otherwise_but_has_to_say_why(site: Site) -> None:
    assert "belong together" in site.run("promote", "1", "--force").stderr
    assert "belong together" in site.run("promote", "1", "--reason", "cheaper").stderr
    done = site.run("promote", "1", "--force", "--reason", "version 3 fails on the new camera")
    assert (done.exit_code, site.champion()) == (0, "1"), done.stderr
    assert "after version 3. Forced: version 3 fails on the new camera" in done.stdout
    tags = site.client.get_model_version("automl-cnn", "1").tags
    assert tags["promoted.because"] == "version 3 fails on the new camera"
    assert tags["promoted.forced"] == "true"


def test_a_version_that_does_not_exist_is_told_with_those_that_do(site: Site) -> None:
    done = site.run("promote", "9")
    assert done.exit_code == 2
    assert "received none of challenger, champion, 1, 2, 3" in done.stderr


def test_compare_prints_scores_with_intervals_and_the_answers_that_changed(site: Site) -> None:
    done = site.run("compare", "champion", "challenger")
    assert done.exit_code == 0, done.stderr
    said = " ".join(done.stdout.split())
    assert "Data: the same 360 images" in said
    assert "Parameters: the same" in said
    assert "B is better than A: +23.3 points of accuracy (95 % interval" in said
    assert "Answers: 21 of 90 images changed; 21 are right now, 0 no longer" in said


def test_a_version_a_run_and_a_folder_can_be_compared_and_read_by_machines(site: Site) -> None:
    run_id = read_json(site.files.registered / "registration.json")["run_id"]
    told = json.loads(site.run("compare", run_id, "artifacts", "--json").stdout)
    assert told["data"]["data_digest"]["first"] == told["data"]["data_digest"]["second"]
    assert (told["changed"], told["params"], told["common_test_images"]) == ([], {}, 90)
    told = json.loads(site.run("compare", "automl-cnn/1", "automl-cnn@challenger", "--json").stdout)
    assert len(told["changed"]) == 21
    assert told["paired"]["verdict"] == "better"


def test_the_champion_loads_through_the_server_and_labels_an_image(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", site.uri)
    model = mlflow.pyfunc.load_model("models:/automl-cnn@champion")
    answer = model.predict(pd.DataFrame({"image": [(site.folder / "data" / "green" / "03.png").read_bytes()]}))
    assert answer["label"].tolist() == ["green"]


def test_a_registry_of_its_own_holds_the_versions_of_runs_that_lie_elsewhere(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = f"sqlite:///{tmp_path}/registry.db"
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", registry)
    printed = site.register()
    assert f"registry: {registry} (MLFLOW_REGISTRY_URI)." in printed
    import mlflow

    client = mlflow.MlflowClient(site.uri, registry)
    assert str(client.get_model_version_by_alias("automl-cnn", "challenger").version) == "1"
    assert "is champion now" in site.run("promote").stdout
