"""A user's mistake ends with exit code 2 and one clear message, never with a traceback, and loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import Project
from PIL import Image


def picture(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def nothing(folder: Path) -> None:
    """The folder is missing."""


def empty(folder: Path) -> None:
    folder.mkdir()


def one_class(folder: Path) -> None:
    for index in range(4):
        picture(folder / "only" / f"{index}.png", index)


def one_image_in_a_class(folder: Path) -> None:
    for index in range(30):
        picture(folder / "many" / f"{index}.png", index)
    picture(folder / "rare" / "0.png", 99)


def broken_only(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        (folder / name / "x.jpg").write_bytes(b"<html>not found</html>")


@pytest.mark.parametrize(
    ("prepare", "stage", "said"),
    [
        (nothing, "ingest", ["data.root", "photos"]),
        (empty, "ingest", ["data.root"]),
        (one_class, "ingest", ["only"]),
        (broken_only, "ingest", ["not_an_image"]),
        pytest.param(one_image_in_a_class, "split", ["rare"], marks=pytest.mark.exhaustive),
    ],
)
def test_a_folder_that_cannot_be_used_is_named(
    fresh: Project, prepare: Callable[[Path], None], stage: str, said: list[str]
) -> None:
    prepare(fresh.folder / "photos")
    assert fresh.run("set", "data.root=photos").returncode == 0
    done = fresh.run("run")
    assert done.returncode == 2
    assert not (fresh.folder / "artifacts" / ("manifest.parquet" if stage == "ingest" else "split")).exists()
    assert f"{stage}: " in done.stderr
    assert all(word in done.stderr for word in said)
    assert "Traceback" not in done.stdout + done.stderr


def test_all_mistakes_in_params_are_told_at_once_and_nothing_runs(fresh: Project) -> None:
    path = fresh.folder / "params.yaml"
    path.write_text(path.read_text().replace("preset: quick", "preset: fast").replace("label_column:", "label_colum:"))
    done = fresh.run("run")
    assert done.returncode == 2
    assert "search.preset: expected" in done.stderr
    assert "data.label_colum: expected" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (fresh.folder / "artifacts").exists()


@pytest.mark.parametrize("arguments", [("predict", "none.tflite", "x.jpg"), ("set", "search.preset"), ("summary",)])
def test_commands_end_with_2_and_a_message(fresh: Project, arguments: tuple[str, ...]) -> None:
    done = fresh.run(*arguments)
    assert done.returncode == 2
    assert "expected" in done.stderr
    assert "Traceback" not in done.stderr
