"""Ninety kinds of broken and odd files in one folder: each is reported, nothing else is, nothing stops it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from corpus import Kind, file_kinds, folder_kinds, write_background, write_corpus

from automl_cnn.artifacts import ISSUES, MANIFEST, PROPERTIES, Files, read_table, write_table
from automl_cnn.audit.files import find_file_issues
from automl_cnn.audit.properties import measure_properties
from automl_cnn.config import DataParams, Thresholds
from automl_cnn.data.ingest import ingest
from automl_cnn.data.store import ImageStore

BACKGROUND = 100
KINDS = file_kinds() + folder_kinds()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("corpus")
    write_background(folder / "photos", BACKGROUND)
    write_corpus(folder / "photos", KINDS)
    params = DataParams(root=str(folder / "photos"), working_size_px=96)
    ingest(params, Files(folder / "artifacts"), folder / "cache", workers=1)
    return Files(folder / "artifacts")


@pytest.fixture(scope="module")
def issues(files: Files) -> pd.DataFrame:
    manifest = read_table(files.manifest, MANIFEST)
    properties = measure_properties(manifest[manifest["status"] == "ok"], ImageStore.open(files.images))
    write_table(files.audit / "properties.parquet", properties, PROPERTIES)
    return find_file_issues(manifest, properties, read_table(files.scan_issues, ISSUES), Thresholds())


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_each_kind_of_fault_is_reported_by_its_name(issues: pd.DataFrame, kind: Kind) -> None:
    found = issues[issues["path"] == kind.place]
    assert kind.issue in set(found["issue"])
    assert (found["evidence"].str.len() > 5).all()
    assert found["severity"].isin(["block", "warn", "info"]).all()


def test_there_are_at_least_forty_kinds_and_each_has_a_name_of_its_own() -> None:
    assert len(KINDS) >= 40
    assert len({kind.name for kind in KINDS}) == len({kind.place for kind in KINDS}) == len(KINDS)


def test_nothing_is_said_about_ordinary_pictures(issues: pd.DataFrame) -> None:
    assert issues[issues["path"].str.contains("plain_")].empty


def test_a_file_that_is_not_used_is_blocked_and_a_file_that_is_used_is_not(files: Files, issues: pd.DataFrame) -> None:
    manifest = read_table(files.manifest, MANIFEST)
    blocked = set(issues.loc[issues["severity"] == "block", "image_id"]) - {""}
    assert blocked == set(manifest.loc[manifest["status"] != "ok", "image_id"])
    assert manifest["image_id"].is_unique


def test_what_is_measured_has_a_score_on_the_wrong_side_of_its_threshold(issues: pd.DataFrame) -> None:
    below = {"dark", "blank", "blurry", "low_information", "grey_among_colour"}
    measured = issues[issues["issue"].isin(below)]
    assert (measured["score"] < measured["threshold"]).all()
    above = issues[issues["issue"].isin(["bright", "odd_aspect_ratio", "label_conflict", "animated"])]
    assert (above["score"] > above["threshold"]).all()
    assert issues.loc[issues["issue"] == "odd_size", ["score", "threshold"]].notna().all(axis=None)


def test_the_label_of_a_twin_is_in_the_evidence(issues: pd.DataFrame) -> None:
    row = issues[(issues["issue"] == "label_conflict") & (issues["path"] == "cat/twin_bytes.png")].iloc[0]
    assert row["evidence"] == "labelled cat; the same bytes in dog/twin_bytes.png (dog)"


def test_an_excluded_twin_is_no_conflict_any_more(files: Files) -> None:
    manifest = read_table(files.manifest, MANIFEST)
    manifest["excluded"] = manifest["path"].str.startswith("dog/twin")
    manifest = manifest[manifest["path"].str.contains("twin")].assign(status="unreadable")
    empty = pd.DataFrame(columns=list(PROPERTIES.columns))
    found = find_file_issues(manifest, empty, read_table(files.scan_issues, ISSUES), Thresholds())
    assert "label_conflict" not in set(found["issue"])


def test_scan_issues_are_left_alone_while_nothing_changes_and_follow_what_does(tmp_path: Path) -> None:
    root, files = tmp_path / "photos", Files(tmp_path / "artifacts")
    write_background(root, 4)
    params = DataParams(root=str(root), working_size_px=32)
    ingest(params, files, tmp_path / "cache")
    assert read_table(files.scan_issues, ISSUES).empty
    (root / "bird").mkdir()
    assert ingest(params, files, tmp_path / "cache").decoded == 0
    assert read_table(files.scan_issues, ISSUES)["issue"].tolist() == ["empty_class"]
    before = files.scan_issues.stat().st_mtime_ns
    ingest(params, files, tmp_path / "cache")
    assert files.scan_issues.stat().st_mtime_ns == before
    (root / "bird").rmdir()
    ingest(params, files, tmp_path / "cache")
    assert read_table(files.scan_issues, ISSUES).empty
