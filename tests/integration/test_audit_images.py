"""The audit of real pixels: faults are rows, tiny sets do not fail, and what it finds reaches the split."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from picture_sets import photo, png, write_set
from PIL import Image
from scipy.ndimage import gaussian_filter
from threadpoolctl import threadpool_limits

from automl_cnn import artifacts
from automl_cnn.artifacts import DUPLICATES, ISSUES, LABELS, Files, read_json, read_table
from automl_cnn.audit.decisions import read_decisions, write_decisions
from automl_cnn.audit.files import find_file_issues
from automl_cnn.audit.properties import measure_properties
from automl_cnn.config import Thresholds, parse_params
from automl_cnn.data.issues import findings_table
from automl_cnn.data.store import ImageStore
from automl_cnn.errors import ArtifactError
from automl_cnn.progress import silent
from automl_cnn.stage import Stage


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On a busy machine BLAS threads wait for each other."""
    with threadpool_limits(1):
        yield


def file_issues(manifest: pd.DataFrame, store: ImageStore) -> pd.DataFrame:
    properties = measure_properties(manifest[manifest["status"] == "ok"], store)
    return find_file_issues(manifest, properties, findings_table([], {}), Thresholds())


def test_faults_of_files_are_rows_with_evidence(tmp_path: Path) -> None:
    blurred = Image.fromarray(gaussian_filter(np.asarray(photo(50)), (12, 12, 0)))
    flat = Image.new("RGB", (80, 60), (200, 200, 200))
    dark = Image.fromarray((np.asarray(photo(51)) // 16).astype(np.uint8))
    contents = [png(photo(s)) for s in range(6)] + [b"", png(flat), png(dark), png(blurred)]
    manifest, store = write_set(Files(tmp_path), [("a", content) for content in contents])
    issues = file_issues(manifest, store)
    found = {(row.issue, row.severity, row.path) for row in issues.itertuples()}
    assert found >= {
        ("empty_file", "block", "a/0006.png"), ("blank", "warn", "a/0007.png"), ("dark", "warn", "a/0008.png"),
        ("blurry", "warn", "a/0009.png"),
    }  # fmt: skip
    assert not any(path < "a/0006" for _, _, path in found)
    assert issues["evidence"].str.len().min() > 0


def test_the_letterbox_does_not_count_as_dark_or_as_contrast(tmp_path: Path) -> None:
    flat = Image.new("RGB", (60, 20), (90, 90, 90))
    manifest, store = write_set(Files(tmp_path), [("a", png(flat))])
    assert file_issues(manifest, store)["issue"].tolist() == ["blank"]


def run_stage_script(name: str, root: Path, params: dict[str, object]) -> Files:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parents[2] / "pipelines" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    files = Files(root)
    script.main(Stage(parse_params({"data": {"root": "x"}, **params}), files, root / "cache", silent))
    return files


def prepare(root: Path, contents: list[tuple[str, bytes]], decisions: str = "") -> pd.DataFrame:
    files = Files(root)
    manifest, store = write_set(files, contents)
    artifacts.write_table(files.scan_issues, findings_table([], {}), ISSUES)
    (root / "given.csv").write_text(decisions)
    write_decisions(files.decisions, read_decisions(root / "given.csv"))
    for backbone in ("one", "two"):
        folder = files.embeddings / backbone
        folder.mkdir(parents=True)
        rng = np.random.default_rng(1)
        np.save(folder / "base.npy", rng.normal(size=(len(store), 16)).astype(np.float16))
        artifacts.write_json(folder / "features.json", {"store": store.digest, "rows": len(store)})
    return manifest


def test_embeddings_of_other_images_are_refused(tmp_path: Path) -> None:
    prepare(tmp_path, [("a", png(photo(1))), ("b", png(photo(2)))])
    artifacts.write_json(Files(tmp_path).embeddings / "one" / "features.json", {"store": "another", "rows": 2})
    with pytest.raises(ArtifactError, match="expected embeddings of the images as they are now"):
        run_stage_script("audit", tmp_path, {"audit": {"backbones": ["one"]}})


@pytest.mark.parametrize(
    "labels", [["a"], ["a", "b"], ["a", "a", "b"], ["a"] * 12, ["a"] * 8 + ["b"]], ids=lambda v: "".join(v)
)
def test_the_audit_stage_copes_with_tiny_sets(tmp_path: Path, labels: list[str]) -> None:
    prepare(tmp_path, [(label, png(photo(seed))) for seed, label in enumerate(labels)])
    files = run_stage_script("audit", tmp_path, {"audit": {"backbones": ["one"]}})
    assert len(read_table(files.audit / "labels.parquet", LABELS)) == len(labels)
    assert len(read_table(files.audit / "duplicates.parquet", DUPLICATES)) == 0
    assert read_json(files.audit / "summary.json")["images"]["usable"] == len(labels)


def test_audit_and_split_take_broken_excluded_and_doubled_files_to_the_end(tmp_path: Path) -> None:
    contents = [(label, png(photo(seed))) for seed, label in enumerate(["a", "b"] * 15)]
    contents += [("a", png(photo(1))), ("a", b"")]
    verdict = hashlib.sha256(contents[4][1]).hexdigest()
    decisions = f"sha256,decision\n{verdict},exclude\n{'f' * 64},keep\n"
    manifest = prepare(tmp_path, contents, decisions)
    files = run_stage_script("audit", tmp_path, {"audit": {"backbones": ["one", "two"]}})
    summary = read_json(files.audit / "summary.json")
    assert summary["images"] == {"total": 32, "usable": 30, "by_status": {"empty": 1, "ok": 31}}
    assert summary["duplicates"]["label_conflicts"] == 1
    assert summary["decisions"]["applied"] == {"exclude": 1}
    assert [problem["line"] for problem in summary["decisions"]["problems"]] == [3]
    assert set(read_table(files.audit / "issues.parquet", ISSUES)["issue"]) >= {"empty_file", "exact_duplicate"}
    groups = read_table(files.audit / "groups.parquet", artifacts.GROUPS).set_index("image_id")["group"]
    assert groups[manifest["image_id"][1]] == groups[manifest["image_id"][30]]

    run_stage_script("split", tmp_path, {"audit": {"backbones": ["one", "two"]}})
    splits = pd.read_parquet(files.split / "splits.parquet").set_index("path")
    assert splits.loc["a/0004.png", "reason"] == "excluded by a reviewer"
    assert splits.loc["a/0031.png", ["split", "reason"]].tolist() == ["quarantine", "broken: empty"]
    assert splits.loc["b/0001.png", "split"] == splits.loc["a/0030.png", "split"]
    assert read_json(files.split / "report.json")["leaks"] == 0
