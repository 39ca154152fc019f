"""Checks of files on real photographs: ordinary ones are left alone."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from automl_cnn.artifacts import ISSUES, MANIFEST, PROPERTIES, Files, read_table
from automl_cnn.audit.files import find_file_issues
from automl_cnn.audit.odd_looks import look_issues
from automl_cnn.audit.properties import measure_properties
from automl_cnn.config import DataParams, Thresholds
from automl_cnn.data.ingest import ingest
from automl_cnn.data.store import ImageStore

CLOTHING = Path(__file__).parents[3] / "shared" / "data" / "clothing"
pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not CLOTHING.is_dir(), reason="the clothing images are not here"),
]


def test_at_most_two_percent_of_clothing_is_called_odd_in_size_or_shape() -> None:
    sizes = []
    with (CLOTHING / "metadata.csv").open(newline="") as file:
        for line in csv.DictReader(file):
            with Image.open(CLOTHING / "images" / line["path"]) as image:  # the header alone
                sizes.append((line["path"], line["path"], *image.size))
    usable = pd.DataFrame(sizes, columns=["image_id", "path", "width", "height"])
    sides = usable[["width", "height"]]
    ordinary = dict.fromkeys(("contrast", "sharpness", "entropy", "grey_p05", "grey_p99", "chroma_p99"), 100.0)
    properties = pd.DataFrame({"aspect": sides.max(axis=1) / sides.min(axis=1)}).assign(**ordinary)
    odd = look_issues(usable, properties, Thresholds())
    assert len(usable) > 3000
    assert len({row["image_id"] for row in odd}) <= 0.02 * len(usable)


def test_at_most_two_percent_of_a_sample_of_clothing_is_warned_about_and_none_is_blocked(tmp_path: Path) -> None:
    header, *lines = (CLOTHING / "metadata.csv").read_text().splitlines()
    (tmp_path / "sample.csv").write_text("\n".join([header, *lines[::20]]))
    files = Files(tmp_path / "artifacts")
    params = DataParams(root=str(CLOTHING / "images"), labels=str(tmp_path / "sample.csv"))
    ingest(params, files, tmp_path / "cache", workers=1)
    manifest = read_table(files.manifest, MANIFEST)
    properties = measure_properties(manifest, ImageStore.open(files.images))
    assert list(PROPERTIES.columns) == [name for name in properties.columns if name in PROPERTIES.columns]
    issues = find_file_issues(manifest, properties, read_table(files.scan_issues, ISSUES), Thresholds())
    assert "block" not in set(issues["severity"])
    assert (issues["severity"] == "warn").sum() <= 0.02 * len(manifest)
