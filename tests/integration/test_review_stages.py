"""decisions.csv through the real stages: said line by line, applied, listed in the summary, asked in the page."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image

from automl_cnn.artifacts import LABELS, Files, read_json, read_table, write_json
from automl_cnn.cli import main as command_line
from automl_cnn.config import load_params
from automl_cnn.data.store import ImageStore
from automl_cnn.errors import DataError
from automl_cnn.progress import silent
from automl_cnn.stage import Stage

CLASSES = ("cat", "dog")


def run_stage(name: str, project: Path) -> Files:
    """`pipelines/<name>.py` in the project's folder, in this process."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "pipelines" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    files = Files(project / "artifacts")
    script.main(Stage(load_params(project / "params.yaml"), files, project / ".automl-cnn", silent))
    return files


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Forty pictures whose embeddings tell their class; cat/00 and dog/01 stand under the wrong one."""
    rng = np.random.default_rng(1)
    for i in range(40):
        path = tmp_path / "photos" / CLASSES[i % 2] / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1))).astype(np.uint8)
        Image.fromarray(pixels).save(path)
    (tmp_path / "params.yaml").write_text("data:\n  root: photos\n  working_size_px: 64\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def audited(project: Path, decisions: str = "") -> Files:
    (project / "decisions.csv").write_text(decisions)
    files = run_stage("ingest", project)
    manifest = pd.read_parquet(files.manifest)
    number = manifest["path"].str.extract(r"(\d+)\.png")[0].astype(int).to_numpy()
    shown = np.where(number < 2, 1 - number % 2, number % 2)
    embeddings = np.random.default_rng(2).normal(size=(len(manifest), 16)).astype(np.float32)
    embeddings[:, 0] += 8 * shown
    folder = files.embeddings / "efficientnet-lite0"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "base.npy", embeddings[np.argsort(manifest["store_row"].to_numpy())])
    write_json(folder / "features.json", {"store": ImageStore.open(files.images).digest, "rows": len(manifest)})
    return run_stage("audit", project)


def test_wrong_lines_are_said_and_listed_and_the_good_ones_apply(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("cat/00.png", "dog/03.png", "dog/05.png")
    sha256 = {name: hashlib.sha256((project / "photos" / name).read_bytes()).hexdigest() for name in names}
    wrong, far = sha256["cat/00.png"], "f" * 64
    lines = [
        "sha256,issue,decision,new_label,reviewer,time,note,score_seen,label_seen",
        f"{wrong},suspect_label,relabel,dog,,,,,cat",
        "damaged, line", f"{far},,keep,,,,,,", f"{wrong},,exclude,,,,,,", f"{sha256['dog/03.png']},,relabel,god,,,,,",
        f"{sha256['dog/05.png']},,exclude,,,,,,",
    ]  # fmt: skip
    text = "\n".join(lines)
    files = audited(project, text)
    printed = capsys.readouterr().out
    summary = read_json(files.audit / "summary.json")
    assert [problem["line"] for problem in summary["decisions"]["problems"]] == [3, 4, 5, 6]
    assert all(f"decisions.csv, line {number}: expected" in printed for number in (3, 4, 5, 6))
    assert summary["decisions"]["applied"] == {"exclude": 1, "relabel": 1}
    assert summary["images"]["usable"] == 39
    labels = read_table(files.audit / "labels.parquet", LABELS).set_index("path")
    assert labels.loc["cat/00.png", ["label", "flagged"]].tolist() == ["dog", False]
    assert "dog/05.png" not in labels.index
    assert (project / "decisions.csv").read_text() == text


def test_the_page_is_written_by_the_audit_and_anew_by_the_command(project: Path) -> None:
    files = audited(project)
    first = (files.audit / "review.html").read_bytes()
    assert read_json(files.audit / "summary.json")["review"]["stop"] is False
    done = CliRunner().invoke(command_line, ["review", "--no-open"])
    assert done.exit_code == 0, done.output
    assert "to judge" in done.output
    assert (files.root / "review.html").read_bytes() == first


def test_a_file_that_is_no_text_stops_ingest(project: Path) -> None:
    (project / "decisions.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"decisions\.csv"):
        run_stage("ingest", project)
