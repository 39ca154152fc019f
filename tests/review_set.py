"""A small audited set for the review page: real pictures in a real store, findings as the audit writes them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automl_cnn.artifacts import DUPLICATES, ISSUES, LABELS, MANIFEST
from automl_cnn.audit.decisions import read_decisions
from automl_cnn.audit.review.items import Item, collect_items
from automl_cnn.audit.review.session import prepare_review
from automl_cnn.audit.settled import Settled, settle_labels
from automl_cnn.audit.verdicts import Resolved, apply_decisions, apply_to_duplicates
from automl_cnn.data.store import ImageStore, StoreWriter

SIZE_PX = 48


def sha_of(number: int) -> str:
    return hashlib.sha256(f"image {number}".encode()).hexdigest()


@dataclass
class ReviewSet:
    """Images 0, 1, … of which the first are suspected, and clusters and faults as given.

    Attributes:
        classes: images are dealt to them in turn.
        suspected: so many images, from 0 on, look like the next class.
        clusters: method and numbers of the images.
        faults: image number → issue.
        sides: image number → split.
    """

    root: Path
    images: int
    classes: tuple[str, ...] = ("cat", "dog", "fox")
    suspected: int = 3
    clusters: tuple[tuple[str, tuple[int, ...]], ...] = ()
    faults: tuple[tuple[int, str], ...] = ()
    sides: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        rng = np.random.default_rng(1)
        rows: list[dict[str, Any]] = []
        (self.root / "images").mkdir(parents=True)
        with StoreWriter(self.root / "images", SIZE_PX, "letterbox") as store:
            for i in range(self.images):
                colour = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
                row = store.add(np.kron(colour, np.ones((SIZE_PX // 4, SIZE_PX // 4, 1), np.uint8)))
                rows.append(
                    dict.fromkeys(MANIFEST.columns, "")
                    | {"image_id": f"id{i:04d}", "path": f"pictures/{i:04d}.jpg", "label": self.label(i)}
                    | {"sha256": sha_of(i), "pixel_sha": self._pixels(i), "status": "ok"}
                    | {"width": 40, "height": 30, "store_row": row}
                )
        self.manifest = pd.DataFrame(rows)
        self.store = ImageStore.open(self.root / "images")

    @property
    def decisions_path(self) -> Path:
        return self.root / "decisions.csv"

    @property
    def page(self) -> Path:
        return self.root / "review.html"

    def label(self, number: int) -> str:
        return self.classes[number % len(self.classes)]

    def labels(self) -> pd.DataFrame:
        near = json.dumps([[f"id{n:04d}", self.label(n), 0.9] for n in range(self.images - 3, self.images)])
        rows = [
            (f"id{i:04d}", f"pictures/{i:04d}.jpg", self.label(i), self.label(i + 1), 0.1, 0.8, 2.0 - i / 1000, i + 1,
             i < self.suspected, near)
            for i in range(self.images)
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=[*LABELS.columns[:9], "neighbours"])

    def resolved(self) -> tuple[Resolved, list[Any]]:
        """Everything after the decisions that decisions.csv holds, and the problems with it."""
        decisions = read_decisions(self.decisions_path)
        decided, problems = apply_decisions(self.manifest, decisions)
        rows = [
            (f"d{number:05d}", f"id{i:04d}", f"pictures/{i:04d}.jpg", method, 0.0 if method == "pixels" else 0.1,
             len({self.label(member) for member in members}) > 1)
            for number, (method, members) in enumerate(self.clusters) for i in members
        ]  # fmt: skip
        resolved = apply_to_duplicates(decided, pd.DataFrame(rows, columns=list(DUPLICATES.columns)), decisions)
        return resolved, [*decisions.problems, *problems, *resolved.problems]

    def issues(self) -> pd.DataFrame:
        rows = [
            (f"id{i:04d}", f"pictures/{i:04d}.jpg", issue, "warn", 4.0, 20.0, "measured 4.0 of 20")
            for i, issue in self.faults
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=list(ISSUES.columns))

    def items(self) -> list[Item]:
        """What waits for a decision after those that were made."""
        resolved, _ = self.resolved()
        settled = Settled(resolved.decided, read_decisions(self.decisions_path))
        labels = settle_labels(self.labels(), resolved.decided, settled)
        found = collect_items(resolved.decided, self.issues(), labels, resolved.duplicates, settled, self._sides())
        return [item for item in found if item.kind != "further"]

    def write_page(self) -> dict[str, Any]:
        resolved, problems = self.resolved()
        decisions = read_decisions(self.decisions_path)
        labels = settle_labels(self.labels(), resolved.decided, Settled(resolved.decided, decisions))
        return prepare_review(
            self.page, resolved.decided, self.issues(), labels, resolved.duplicates, decisions, problems, self._sides(),
            self.store,
        )  # fmt: skip

    def _pixels(self, number: int) -> str:
        """Equal for the images of one cluster of equal pixels."""
        equal = (members[0] for method, members in self.clusters if method == "pixels" and number in members)
        return sha_of(next(equal, number))

    def _sides(self) -> dict[str, str]:
        return {sha_of(number): side for number, side in self.sides}
