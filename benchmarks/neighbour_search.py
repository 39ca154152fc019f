"""Seconds, memory and recall of the neighbour search: exact in blocks, and through the index."""

from __future__ import annotations

import resource
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
from harness import Result

from automl_cnn.audit.search import nearest

WIDTH = 1280  # of EfficientNet-Lite0's embeddings
CASES = ((50_000, False), (50_000, True), (100_000, True))
SEED = 1
_CHECKED = 2000


def run() -> Result:
    """Search random embeddings, all with a near neighbour (cosine .91 to .99), each case in a process of its own."""
    result = Result("audit-neighbour-search", {"seed": SEED, "width": WIDTH, "checked": _CHECKED})
    rows = []
    for images, indexed in CASES:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows.append(pool.submit(measure, images, indexed).result())
    result.table(
        "two nearest neighbours of every image",
        ("images", "search", "seconds", "GiB beside the embeddings", "near neighbours found"), rows,
    )  # fmt: skip
    return result


def measure(images: int, indexed: bool) -> tuple[int, str, float, float, float]:
    """One case: what is found is held against exact products of 2,000 rows with all."""
    rng = np.random.default_rng(SEED)
    vectors = rng.standard_normal((images, WIDTH), np.float32)
    half = images // 2
    noise = rng.uniform(0.15, 0.45, half).astype(np.float32)  # 1 / sqrt(1 + noise²): cosines of .91 to .99
    # in place: what is allocated here would count for the search
    vectors[half : 2 * half] *= noise[:, None]
    vectors[half : 2 * half] += vectors[:half]
    vectors /= np.sqrt(np.einsum("nd,nd->n", vectors, vectors))[:, None]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    rows, _ = nearest(vectors, 2, index_above=0 if indexed else images, seed=SEED)
    seconds = time.perf_counter() - started
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    checked = rng.choice(half, _CHECKED, replace=False)
    exact = vectors[checked] @ vectors.T
    exact[np.arange(_CHECKED), checked] = -2
    found = float(np.mean([best in row for best, row in zip(exact.argmax(axis=1), rows[checked], strict=True)]))
    return images, "index" if indexed else "exact, in blocks", seconds, used, found
