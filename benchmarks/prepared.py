"""Real images as the stages prepare them: manifest, decoded store, frozen embeddings; kept between runs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import MANIFEST, Files, read_table
from automl_cnn.audit.embeddings import join_embeddings
from automl_cnn.config import DataParams
from automl_cnn.data.ingest import ingest
from automl_cnn.data.store import ImageStore
from automl_cnn.features.embeddings import write_embeddings
from automl_cnn.features.frozen import FrozenNetwork

SETS = {"clothing": "sender_id", "magnetic-tile": "group"}  # and the column that names what belongs together
BACKBONE = "efficientnet-lite0"
KEPT = Path(__file__).resolve().parents[1] / ".automl-cnn" / "benchmarks"


@dataclass(frozen=True)
class Prepared:
    """One set of images.

    Attributes:
        name: of the set.
        group_column: of the manifest.
        images: MANIFEST table of the images that can be used, with `excluded` (False).
        store: their decoded pictures.
        embeddings: float32 [n, 1280], in the order of `images`.
    """

    name: str
    group_column: str
    images: pd.DataFrame
    store: ImageStore
    embeddings: NDArray[np.float32]


def prepare(name: str, data: Path) -> Prepared | None:
    """Ingest a set and compute its embeddings, or take both from the last time; None, said, where it is absent.

    Args:
        name: a key of SETS, a folder in `data` with images/ and metadata.csv.
        data: usually harness.REAL_DATA.
    """
    root, labels = data / name / "images", data / name / "metadata.csv"
    if not labels.exists():
        print(f"{name}: no {labels}, passed over")
        return None
    files, cache = Files(KEPT / name / "artifacts"), KEPT / name
    ingest(DataParams(root=str(root), labels=str(labels), group_column=SETS[name]), files, cache)
    store = ImageStore.open(files.images)
    write_embeddings(FrozenNetwork(BACKBONE, store.size_px), store, files.features / BACKBONE, cache)
    manifest = read_table(files.manifest, MANIFEST)
    usable = manifest[manifest["status"] == "ok"].assign(excluded=False).reset_index(drop=True)
    embeddings = join_embeddings([files.features / BACKBONE / "base.npy"], usable)
    return Prepared(name, SETS[name], usable, store, embeddings)
