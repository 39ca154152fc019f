"""reference.npz, the file that travels with a model. Read with numpy alone."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import replacing
from automl_cnn.errors import ModelFileError
from automl_cnn.reference import abstention, ood
from automl_cnn.reference.sketch import Sketcher
from automl_cnn.reference.statistics import STATISTICS

REFERENCE = "reference.npz"
VERSION = 1


@dataclass(frozen=True)
class Reference:
    """What a model's own validation images are like to it, and to the eye. The test split is not in it.

    Attributes:
        labels: names of the K classes, in the order of the probabilities.
        model_sha256: of the .tflite file that it belongs to.
        sketcher: features → sketch.
        bank: float32 [m, k], sketches of training images.
        sketches: float32 [v, k], of the validation images.
        probabilities: float32 [v, K], what the file answered.
        answers: int64 [v], their true classes.
        groups: int64 [v], images that belong together have the same number.
        statistics: float64 [v, len(STATISTICS)], what they look like.
        thresholds: precision → class → least probability; None where no answer of the class is that precise.
        precision: the one of them by which an answer is called doubtful.
        ood_threshold: score above which an image is called strange; 5 % of the validation images are.
    """

    labels: tuple[str, ...]
    model_sha256: str
    sketcher: Sketcher
    bank: NDArray[np.float32]
    sketches: NDArray[np.float32]
    probabilities: NDArray[np.float32]
    answers: NDArray[np.int64]
    groups: NDArray[np.int64]
    statistics: NDArray[np.float64]
    thresholds: Mapping[float, Mapping[str, float | None]]
    precision: float
    ood_threshold: float

    def abstains(self, label: str, probability: float) -> bool:
        """Whether an answer is too doubtful for `precision`."""
        return abstention.abstains(label, probability, self.thresholds[self.precision])

    def ood_scores(self, sketches: NDArray[np.float32]) -> NDArray[np.float64]:
        """How strange images are, float64 [n]; compare with `ood_threshold`."""
        return ood.scores(sketches, self.bank)

    def save(self, path: Path) -> None:
        """Write the file; the same reference gives the same bytes."""
        about = {
            "version": VERSION, "labels": list(self.labels), "model_sha256": self.model_sha256,
            "statistics": list(STATISTICS), "precision": self.precision, "ood_threshold": self.ood_threshold,
            "thresholds": {str(precision): dict(least) for precision, least in self.thresholds.items()},
        }  # fmt: skip
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(
                file, about=np.frombuffer(json.dumps(about, ensure_ascii=False).encode(), np.uint8),
                mean=self.sketcher.mean, axes=self.sketcher.axes.astype(np.float16),
                bank=self.bank.astype(np.float16), sketches=self.sketches.astype(np.float16),
                probabilities=self.probabilities, answers=self.answers.astype(np.int32),
                groups=self.groups.astype(np.int32), statistics=self.statistics.astype(np.float32),
            )  # fmt: skip

    @classmethod
    def load(cls, path: Path) -> Reference:
        """Read what `save` wrote.

        Raises:
            ModelFileError: the file is missing or damaged, or another release wrote it.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {name: stored[name] for name in stored.files}
            about = json.loads(arrays["about"].tobytes())
            if about["version"] != VERSION or about["statistics"] != list(STATISTICS):
                raise ValueError(f"version {about['version']}")
            return cls(
                labels=tuple(about["labels"]),
                model_sha256=about["model_sha256"],
                sketcher=Sketcher(arrays["mean"], arrays["axes"].astype(np.float32)),
                bank=arrays["bank"].astype(np.float32),
                sketches=arrays["sketches"].astype(np.float32),
                probabilities=arrays["probabilities"],
                answers=arrays["answers"].astype(np.int64),
                groups=arrays["groups"].astype(np.int64),
                statistics=arrays["statistics"].astype(np.float64),
                thresholds={float(precision): least for precision, least in about["thresholds"].items()},
                precision=about["precision"],
                ood_threshold=about["ood_threshold"],
            )
        # a flag that is flipped asks zipfile for encryption or another compression: a RuntimeError
        except (
            OSError, EOFError, ValueError, KeyError, TypeError, RuntimeError, zipfile.BadZipFile, zlib.error
        ) as error:  # fmt: skip
            raise ModelFileError(
                str(path), expected=f"{REFERENCE}, as the quantize stage wrote it",
                received="none there" if isinstance(error, FileNotFoundError) else f"{type(error).__name__}: {error}",
                action="Copy it again from artifacts/quantized/, or remove it: predictions do without it.",
            ) from None  # fmt: skip
