"""The split stage under DVC: nothing runs twice, old images stay, and a new start has to be asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from automl_cnn.artifacts import (
    DUPLICATES,
    GROUPS,
    JOINS,
    LEDGER,
    MANIFEST,
    NEAR_PAIRS,
    SPLITS,
    Files,
    read_json,
    read_table,
    write_table,
)
from automl_cnn.audit.decisions import read_decisions, write_decisions
from automl_cnn.split.groups import build_groups

REPOSITORY = Path(__file__).resolve().parents[2]


def make_project(folder: Path) -> Path:
    """The split stage of this repository's graph alone, without git."""
    shutil.copytree(REPOSITORY / "pipelines", folder / "pipelines", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(REPOSITORY / "params.yaml", folder)
    yaml = YAML()
    stage = yaml.load(REPOSITORY / "dvc.yaml")["stages"]["split"]
    stage["deps"] = [name for name in stage["deps"] if not name.startswith("automl_cnn")]  # installed, not copied
    yaml.dump({"stages": {"split": stage}}, folder / "dvc.yaml")
    run(folder, "dvc", "init", "--no-scm", "--quiet")
    return folder


def write_inputs(files: Files, images: int) -> None:
    """What ingest, features and audit would have written: two classes, three images a sender."""
    rows = np.arange(images)
    manifest = pd.DataFrame({
        name: pd.Series([f"{name}-{row:04d}" for row in rows], dtype="str")
        for name in ("image_id", "path", "sha256", "pixel_sha")
    }).assign(label=np.where(rows // 3 % 2, "cat", "dog"), sender=[f"s{row // 3}" for row in rows], store_row=rows,
              status="ok", error="", format="PNG", mode="RGB", capture_time=None, camera=None)  # fmt: skip
    manifest[["bytes", "width", "height", "frames", "exif_orientation"]] = 1
    duplicates = pd.DataFrame({name: pd.Series([], dtype="str") for name in DUPLICATES.columns})
    groups = build_groups(manifest, duplicates, ["column"], "sender")
    write_table(files.manifest, manifest, MANIFEST)
    near = pd.DataFrame({name: pd.Series([], dtype="str") for name in NEAR_PAIRS.columns})
    for table, frame in (
        (DUPLICATES, duplicates), (NEAR_PAIRS, near), (GROUPS, groups.table), (JOINS, groups.joins),
    ):  # fmt: skip
        write_table(files.audit / f"{table.name}.parquet", frame, table)
    write_decisions(files.decisions, read_decisions(Path("no-decisions.csv")))
    embeddings = files.embeddings / "efficientnet-lite0" / "base.npy"
    embeddings.parent.mkdir(parents=True, exist_ok=True)
    np.save(embeddings, np.random.default_rng(1).normal(size=(images, 8)).astype(np.float16))


def run(folder: Path, *command: str) -> str:
    """Run `dvc …` or `automl-cnn …` as this Python runs it: what it printed."""
    starts = {"dvc": ["-m", "dvc"], "automl-cnn": ["-c", "from automl_cnn.cli import main; main()"]}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, *starts[command[0]], *command[1:]], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def sides(files: Files) -> dict[str, str]:
    table = read_table(files.split / "splits.parquet", SPLITS)
    return dict(zip(table["image_id"], table["split"], strict=True))


def test_old_images_stay_until_resplit_and_an_unchanged_stage_is_skipped(tmp_path: Path) -> None:
    folder = make_project(tmp_path)
    files = Files(folder / "artifacts")
    write_inputs(files, 90)
    said = run(folder, "dvc", "repro")
    first, report = sides(files), read_json(files.split / "report.json")
    assert report["ledger"] == {"known": 0, "new": 90, "bridging": 0, "conflicts": 0, "moved": 0}
    assert report["leak_price"]["sentence"] in said
    written = files.ledger.read_bytes()
    assert "didn't change, skipping" in run(folder, "dvc", "repro")

    write_inputs(files, 99)
    run(folder, "automl-cnn", "set", "split.seed=7", "split.ratios.train=0.50", "split.ratios.test=0.35")
    said = run(folder, "dvc", "repro")
    assert "90 images stay where the ledger has them" in said
    assert {name: sides(files)[name] for name in first} == first
    assert read_json(files.split / "report.json")["ledger"]["new"] == 9
    assert len(read_table(files.ledger, LEDGER)) == 99

    assert "retired-1" in run(folder, "automl-cnn", "resplit")
    run(folder, "dvc", "repro")
    assert {name: sides(files)[name] for name in first} != first
    assert written != files.ledger.read_bytes()
    assert len(read_table(files.root / "ledger.retired-1.parquet", LEDGER)) == 99
