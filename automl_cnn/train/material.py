"""What a candidate is trained and judged with: images, labels, features and settings; never the test side."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.artifacts import Files
from automl_cnn.config import Params
from automl_cnn.data.augment import distinct_views
from automl_cnn.data.split_images import split_rows
from automl_cnn.data.store import ImageStore
from automl_cnn.features.cache import FeatureCache
from automl_cnn.features.frozen import FrozenNetwork
from automl_cnn.progress import Progress, silent
from automl_cnn.train.objective import decisive_loss, objective_score, standard_error


@dataclass(frozen=True)
class Side:
    """One side of the split.

    Attributes:
        rows: int64 [n], rows of the image store.
        labels: int64 [n].
    """

    rows: NDArray[np.int64]
    labels: NDArray[np.int64]

    def part(self, images: int, seed: int) -> Side:
        """So many images, with the shares of the classes kept; a smaller part lies within a larger one."""
        order = np.random.default_rng(seed).permutation(len(self.rows))
        counts = np.bincount(self.labels)
        place = np.empty(len(order))
        for label in np.unique(self.labels):
            members = order[self.labels[order] == label]
            place[members] = np.arange(len(members)) / counts[label]
        chosen = np.sort(np.argsort(place, kind="stable")[:images])
        return Side(self.rows[chosen], self.labels[chosen])

    def digest(self) -> str:
        """Thirty-two hexadecimal digits of rows and labels."""
        return hashlib.sha256(self.rows.tobytes() + self.labels.tobytes()).hexdigest()[:32]


@dataclass(frozen=True)
class Material:
    """Everything that a candidate may look at.

    Attributes:
        store: decoded images.
        folder: keeps features, engines, checkpoints and finished trainings.
        cached: features in that folder.
        training, validation: sides of the split.
        classes: names, in the order of all probabilities.
        params: the sections search and train are read.
    """

    store: ImageStore
    folder: Path
    cached: FeatureCache
    training: Side
    validation: Side
    classes: tuple[str, ...]
    params: Params

    @classmethod
    def of(cls, params: Params, files: Files, folder: Path) -> Material:
        """Read the sides of the split and open the image store.

        Raises:
            ArtifactError: a file of an earlier stage is missing or damaged.
        """
        training, validation = (split_rows(files, name) for name in ("train", "validation"))
        return cls(
            ImageStore.open(files.images), folder, FeatureCache(folder), Side(training.store_rows, training.labels),
            Side(validation.store_rows, validation.labels), tuple(training.classes), params,
        )  # fmt: skip

    def part(self, images: int) -> Material:
        """The same with so many training images and a like part of validation."""
        whole = len(self.training.rows)
        if images >= whole:
            return self
        held_out = max(len(self.classes), round(len(self.validation.rows) * images / whole))
        seed = self.params.search.seed
        return replace(self, training=self.training.part(images, seed), validation=self.validation.part(held_out, seed))

    def score(self, labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float:
        """The objective of the search, 0 to 1."""
        return objective_score(self.params.search.objective, labels, probabilities)

    def standard_error(self, labels: NDArray[np.int64], probabilities: NDArray[np.float32]) -> float:
        """The standard error of `score`."""
        return standard_error(self.params.search.objective, labels, probabilities)

    def log_loss(self, labels: NDArray[np.int64], logits: NDArray[np.float32]) -> float:
        """What settles scores that are equal within `standard_error`; the lower the better."""
        return decisive_loss(self.params.search.objective, labels, logits)

    def features(
        self, values: Mapping[str, Any], side: Side, view: int | None = None, progress: Progress = silent
    ) -> NDArray[np.float16]:
        """Features of one side, float16 [n, d], from the cache or computed now.

        Args:
            values: name backbone, input_size_px, pooling and augmentation.
            side: whose images.
            view: number of an augmented view; None for the images as they are.
            progress: told of every image.
        """
        augmented: dict[str, Any] = {} if view is None else {"policy": values["augmentation"], "view": view}
        return self.cached.fetch(
            self.network(values), self.store, side.rows, forbid_flips=self.forbidden, progress=progress, **augmented
        )

    def network(self, values: Mapping[str, Any]) -> FrozenNetwork:
        """The frozen network that a trial's values name: backbone, input_size_px, pooling."""
        search = self.params.search
        return FrozenNetwork(
            values["backbone"], values["input_size_px"], values["pooling"], search.weights_dir, search.download
        )

    def views(self, values: Mapping[str, Any], count: int, progress: Progress = silent) -> list[NDArray[np.float16]]:
        """Features of the training images and of at most `count` augmented views of them, one array [n, d] each."""
        numbers = range(self.distinct(values["augmentation"], count))
        images = self.features(values, self.training, None, progress)
        return [images, *(self.features(values, self.training, view, progress) for view in numbers)]

    def fetch(self, values: Mapping[str, Any], views: int, progress: Progress = silent) -> None:
        """Have every feature computed that such a candidate needs."""
        for member in values.get("members", [values]):
            self.views(member, views, progress)
        self.features(values, self.validation, None, progress)

    def distinct(self, policy: str, count: int) -> int:
        """How many of `count` views of a policy differ from each other and from the image."""
        most = distinct_views(policy, self.forbidden)
        return count if most is None else min(most, count)

    @property
    def forbidden(self) -> tuple[str, ...]:
        """Axes along which no image is mirrored."""
        return tuple(self.params.search.forbid_flips)
