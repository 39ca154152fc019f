"""Are copies of real photographs found, and nothing else? python benchmarks/audit.py duplicates.

Every kind of copy is put beside the whole set on its own: files are written, ingested, embedded and searched exactly as
`dvc repro` does it (224 px store, EfficientNet-Lite0 at 224 px, 64 px thumbnails).
`python benchmarks/image_copies.py` measures the search alone at 50,000 and 100,000 images.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from copy_kinds import KINDS, draw_sources, write_copies
from harness import Result, Target, installed, parser
from numpy.typing import NDArray
from PIL import Image

from automl_cnn.artifacts import MANIFEST, Files, read_table
from automl_cnn.audit.duplicates import find_copies
from automl_cnn.audit.embeddings import join_embeddings
from automl_cnn.audit.thumbnails import grey_thumbnails
from automl_cnn.config import AuditParams, DataParams
from automl_cnn.data.ingest import ingest
from automl_cnn.data.samples import write_elpv
from automl_cnn.data.store import ImageStore
from automl_cnn.features.embeddings import write_embeddings
from automl_cnn.features.frozen import FrozenNetwork

SEED = 1
BACKBONE, INPUT_PX = "efficientnet-lite0", 224
SOURCES = {"clothing": 250, "magnetic-tile": 150, "ELPV": 150}
TARGETS = dict.fromkeys(("jpeg", "resize", "crop", "brightness", "grey", "flip", "turn90"), 0.95) | {"turn5": 0.85}
FALSE_PAIRS = 1e-5
_BLOCK = 512


@dataclass(frozen=True)
class Pictures:
    """A folder that went through ingest, features and thumbnails: rows of one in all attributes."""

    images: pd.DataFrame
    thumbnails: NDArray[np.uint8]
    embeddings: NDArray[np.float32]
    hashes: NDArray[np.bool_]  # imagehash.phash of the files themselves, [n, 64]
    thumbnail_seconds: float

    def __add__(self, other: Pictures) -> Pictures:
        return Pictures(
            pd.concat([self.images, other.images], ignore_index=True),
            *(np.concatenate([getattr(self, name), getattr(other, name)])
              for name in ("thumbnails", "embeddings", "hashes")),
            self.thumbnail_seconds,
        )  # fmt: skip

    def only(self, rows: NDArray[np.int64]) -> Pictures:
        return Pictures(self.images.iloc[rows].reset_index(drop=True), self.thumbnails[rows], self.embeddings[rows],
                        self.hashes[rows], 0.0)  # fmt: skip


def run(data: Path) -> Result:
    """Measure recall and false pairs on every set that is there.

    Args:
        data: folder that holds clothing and magnetic-tile; ELPV comes from the package elpv-dataset.
    """
    settings = {"seed": SEED, "backbone": BACKBONE, "input_size_px": INPUT_PX, "sources": SOURCES,
                "kinds": {name: kind.words for name, kind in KINDS.items()}}  # fmt: skip
    result = Result("audit-duplicates", settings)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for name, folder, group in (("clothing", data / "clothing", "sender_id"),
                                    ("magnetic-tile", data / "magnetic-tile", "group")):  # fmt: skip
            if (folder / "images").is_dir():
                groups = pd.read_csv(folder / "metadata.csv").set_index("path")[group]
                _measure(result, name, folder / "images", groups, work)
            else:
                print(f"{name}: skipped, {folder} is absent")
        if installed("elpv-dataset"):
            write_elpv(work / "cells")
            _measure(result, "ELPV", work / "cells", None, work)
        else:
            print("ELPV: skipped, elpv-dataset is not installed")
    return result


def _measure(result: Result, name: str, root: Path, groups: pd.Series | None, work: Path) -> None:
    base = _prepare(root, work / name / "set", work)
    chosen = draw_sources(len(base.images), SOURCES[name], SEED)
    write_copies([root / base.images["path"].iloc[row] for row in chosen], work / name / "copies")
    copies = _prepare(work / name / "copies", work / name / "copied", work)
    started = time.perf_counter()
    alone = find_copies(base.images, base.thumbnails, base.embeddings, AuditParams()).table
    seconds = time.perf_counter() - started
    rows, found = [], {}
    for kind in KINDS:
        part = copies.only(np.flatnonzero(copies.images["label"] == kind))
        sources = np.array([chosen[int(Path(path).stem)] for path in part.images["path"]])
        both = base + part
        table = find_copies(both.images, both.thumbnails, both.embeddings, AuditParams()).table
        cluster = _rows_of(table, both.images)
        hit = [cluster.get(len(base.images) + i, -1) == cluster.get(row) for i, row in enumerate(sources)]
        found[kind] = float(np.mean(hit))
        origin = np.concatenate([np.arange(len(base.images)), sources])
        rows.append((
            kind, len(hit), found[kind],
            *(float(np.mean(_same(kind_of, part, base.only(sources)))) for kind_of in (_near_hash, _near_cosine)),
            _different(cluster, origin),
        ))  # fmt: skip
        print(f"{name}: {kind} {found[kind]:.3f}", flush=True)
    result.table(
        f"{name}: copies of {len(chosen)} images found beside all {len(base.images):,}",
        ("copy", "copies", "found", "pHash <= 6 alone", "cosine >= .90 alone", "false pairs beside them"), rows,
    )  # fmt: skip
    false = _false_pairs(result, name, base, alone, groups)
    print(f"{name}: search {seconds:.1f} s, thumbnails {base.thumbnail_seconds:.1f} s")
    result.settings[f"{name}_seconds"] = {"search": seconds, "thumbnails": base.thumbnail_seconds}
    if name == "clothing":
        for kind, least in TARGETS.items():
            result.targets.append(Target(f"clothing, {kind}: recall", found[kind], at_least=least))
        result.targets.append(Target("clothing: share of pairs of different photographs", false, at_most=FALSE_PAIRS))


def _prepare(root: Path, folder: Path, work: Path) -> Pictures:
    files = Files(folder)
    ingest(DataParams(root=str(root)), files, folder / "cache")
    manifest = read_table(files.manifest, MANIFEST)
    usable = manifest[manifest["status"] == "ok"].reset_index(drop=True)
    # ids are hashes of paths within a root: two roots may share one
    usable["image_id"] = folder.name + usable["image_id"]
    store = ImageStore.open(files.images)
    write_embeddings(FrozenNetwork(BACKBONE, INPUT_PX), store, files.features / BACKBONE, work / "cache")
    started = time.perf_counter()
    thumbnails = grey_thumbnails(usable, store)
    seconds = time.perf_counter() - started
    embeddings = join_embeddings([files.features / BACKBONE / "base.npy"], usable)
    hashes = np.stack([_hash(root / path) for path in usable["path"]])
    return Pictures(usable, thumbnails, embeddings, hashes, seconds)


def _hash(path: Path) -> NDArray[np.bool_]:
    with Image.open(path) as image:
        return np.asarray(imagehash.phash(image).hash.ravel())


def _near_hash(first: Pictures, second: Pictures) -> NDArray[np.bool_]:
    """Which rows of one have a hash within 6 bits of which of the other."""
    a, b = (np.where(part.hashes, 1, -1).astype(np.float32) for part in (first, second))
    return np.asarray((64 - a @ b.T) / 2 <= 6)


def _near_cosine(first: Pictures, second: Pictures) -> NDArray[np.bool_]:
    return np.asarray(first.embeddings @ second.embeddings.T >= 0.90)


def _same(near: Callable[[Pictures, Pictures], NDArray[np.bool_]], copies: Pictures, sources: Pictures) -> object:
    return near(copies, sources).diagonal()


def _rows_of(table: pd.DataFrame, images: pd.DataFrame) -> dict[int, str]:
    """Row of an image → its cluster."""
    row_of = {image: row for row, image in enumerate(images["image_id"])}
    return {row_of[image]: cluster for image, cluster in zip(table["image_id"], table["cluster"], strict=True)}


def _different(cluster: dict[int, str], origin: NDArray[np.int64]) -> int:
    """Pairs within clusters of which at least one is a copy, and that do not show the same photograph."""
    originals = len(np.unique(origin))
    return sum(max(i, j) >= originals and origin[i] != origin[j] for i, j in _pairs(cluster))


def _pairs(cluster: dict[int, str]) -> list[tuple[int, int]]:
    members: dict[str, list[int]] = {}
    for row, name in cluster.items():
        members.setdefault(name, []).append(row)
    return [(i, j) for rows in members.values() for place, i in enumerate(rows) for j in rows[place + 1 :]]


def _false_pairs(
    result: Result, name: str, base: Pictures, alone: pd.DataFrame, groups: pd.Series | None
) -> float:  # fmt: skip
    """Table of the pairs of different originals that each method joins.

    Returns:
        Our pairs as a share of all pairs; every pair of files counts as false, also where a person sees a copy.
    """
    n, paths = len(base.images), base.images["path"].tolist()
    group = None if groups is None else groups.loc[paths].to_numpy()
    ours = _pairs(_rows_of(alone, base.images))
    counts = [("ours, after clustering", len(ours), _across(ours, group))]
    for words, near in (("pHash <= 6 alone", _near_hash), ("cosine >= .90 alone", _near_cosine)):
        pairs: list[tuple[int, int]] = []
        for start in range(0, n, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, n))
            i, j = np.nonzero(near(base.only(rows), base) & (np.arange(n)[None, :] > rows[:, None]))
            pairs += zip((i + start).tolist(), j.tolist(), strict=True)
        counts.append((words, len(pairs), _across(pairs, group)))
    all_pairs = n * (n - 1) / 2
    result.table(
        f"{name}: pairs of different files joined, of {all_pairs:,.0f}",
        ("method", "pairs", "of different groups", "share"),
        [(words, pairs, "-" if across is None else across, f"{pairs / all_pairs:.1e}")
         for words, pairs, across in counts],
    )  # fmt: skip
    if len(ours) <= 40:
        result.table(
            f"{name}: the pairs that we join",
            ("first", "second", "groups"),
            [(paths[i], paths[j], "-" if group is None else f"{group[i]} {group[j]}") for i, j in sorted(ours)],
        )
    sizes = alone["cluster"].value_counts()
    largest = int(sizes.max()) if len(sizes) else 0
    print(f"{name}: {len(sizes)} clusters of {len(alone)} images, the largest of {largest}")
    return len(ours) / all_pairs


def _across(pairs: list[tuple[int, int]], group: NDArray[np.object_] | None) -> int | None:
    return None if group is None else sum(group[i] != group[j] for i, j in pairs)


def main() -> None:
    from neighbour_search import run as run_search

    line = parser(__doc__)
    line.add_argument("--copies", action="store_true", help="the copies, as `python benchmarks/audit.py duplicates`")
    arguments = line.parse_args()
    (run(arguments.data) if arguments.copies else run_search()).write(arguments.out)


if __name__ == "__main__":
    main()
