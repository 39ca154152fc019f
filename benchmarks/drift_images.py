"""Held-out images of a finished project, clean and spoilt in known ways, as the shipped file sees and logs them."""

from __future__ import annotations

import io
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageEnhance, ImageFilter

from automl_cnn.artifacts import SPLITS, Files, read_table, replacing_folder
from automl_cnn.config import load_params
from automl_cnn.monitor.log import PredictionLog
from automl_cnn.monitor.read import read_log
from automl_cnn.monitor.record import LogRecord
from automl_cnn.monitor.sample import Sample, sample_of_log
from automl_cnn.reference.record import Reference
from automl_cnn.serve.logged import log_record
from automl_cnn.serve.predict import Predictor

Spoil = Callable[[Image.Image], bytes]
SEED = 1


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _blur(image: Image.Image, sigma: float) -> bytes:
    """Standard deviation in pixels of a picture whose longer side has 300."""
    return _png(image.filter(ImageFilter.GaussianBlur(sigma * max(image.size) / 300)))


def _noise(image: Image.Image, sigma: float) -> bytes:
    """Standard deviation in grey levels, independent in every pixel and channel."""
    pixels = np.asarray(image, np.float32)
    noise = np.random.default_rng(SEED).normal(0, sigma, pixels.shape)
    return _png(Image.fromarray(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)))


def _brightness(image: Image.Image, factor: float) -> bytes:
    return _png(ImageEnhance.Brightness(image).enhance(factor))


def _jpeg(image: Image.Image, quality: float) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=int(quality))
    return buffer.getvalue()


def _tint(image: Image.Image, gain: float) -> bytes:
    """A sensor that sees more red and less blue."""
    gains = np.array([1 + gain, 1, 1 - gain], np.float32)
    return _png(Image.fromarray(np.clip(np.rint(np.asarray(image, np.float32) * gains), 0, 255).astype(np.uint8)))


CHANGES: dict[str, tuple[Callable[[Image.Image, float], bytes], tuple[float, ...]]] = {
    "blur": (_blur, (0.3, 0.6, 1.0, 1.5, 2.5)),
    "noise": (_noise, (2, 4, 8, 16, 32)),
    "brightness": (_brightness, (1.03, 1.06, 1.12, 1.25, 1.5)),
    "jpeg": (_jpeg, (75, 50, 30, 15, 8)),
    "tint": (_tint, (0.01, 0.03, 0.06, 0.12, 0.25)),
}
STRENGTHS = 5


@dataclass(frozen=True)
class Project:
    """A finished run: its name, its reference, and its test images (text [n] ids, by group)."""

    name: str
    folder: Path
    reference: Reference
    test: pd.DataFrame

    @property
    def model(self) -> Path:
        return Files(self.folder / "artifacts").quantized / "model.tflite"


def open_project(folder: Path) -> Project:
    """Read what a finished run left; its pictures lie under data.root of its params.yaml."""
    files = Files(folder / "artifacts")
    splits = read_table(files.split / "splits.parquet", SPLITS)
    test = splits[splits["split"] == "test"].sort_values("image_id").reset_index(drop=True)
    reference = Reference.load(files.quantized / "reference.npz")
    return Project(folder.resolve().name, folder, reference, test)


def log_test_images(project: Project, kept: Path, change: str | None = None, strength: int = 0) -> Sample:
    """The test images through the shipped file into a log, and read back; logged once, then kept.

    Args:
        change: a key of CHANGES; None leaves the files as they are.
        strength: 1 … STRENGTHS.
    Returns:
        A row an image in the order of `project.test`, with its true class and its group.
    """
    folder = kept / project.name / project.reference.model_sha256[:12] / f"{change or 'clean'}-{strength}"
    if not folder.exists():
        root = project.folder / load_params(project.folder / "params.yaml").data.root
        with replacing_folder(folder) as temporary, ProcessPoolExecutor(2) as pool, PredictionLog(temporary) as log:
            paths = [root / path for path in project.test["path"]]
            records = pool.map(partial(_examine, project.model, change, strength), paths, chunksize=32)
            for image_id, record in zip(project.test["image_id"], records, strict=True):
                log.append([replace(record, id=image_id)])
    table = read_log(folder).sort_by("id")  # as project.test is sorted
    logged = sample_of_log(table, project.reference.labels)
    answers = pd.Categorical(project.test["label"], categories=project.reference.labels).codes.astype(np.int64)
    return replace(logged, answers=answers, groups=pd.factorize(project.test["group"])[0].astype(np.int64))


_predictors: dict[Path, Predictor] = {}


def _examine(model: Path, change: str | None, strength: int, path: Path) -> LogRecord:
    if model not in _predictors:
        _predictors[model] = Predictor(model)
    predictor = _predictors[model]
    if change is None:
        content = path.read_bytes()
    else:
        spoil, strengths = CHANGES[change]
        with Image.open(path) as image:
            content = spoil(image.convert("RGB"), strengths[strength - 1])
    return log_record(predictor.examine_bytes(content, str(path)), str(path), predictor.model_sha256)
