"""By what the cache knows a picture: a digest of its stored pixels, whatever row it stands in."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from automl_cnn.artifacts import replacing
from automl_cnn.data.decode_pool import available_cpus
from automl_cnn.data.store import ImageStore
from automl_cnn.features.shards import DIGEST_BYTES

_BLOCK = 64


def pixel_digests(store: ImageStore, kept: Path) -> list[bytes]:
    """Digest every picture of a store, or read what was digested before.

    Args:
        store: the decoded images.
        kept: folder that keeps the digests of a store under the store's own digest.
    Returns:
        BLAKE2b of the pixels, DIGEST_BYTES bytes each, in the order of the rows.
    """
    path = kept / f"{store.digest[:32]}.npy"
    try:
        digests = np.load(path, allow_pickle=False)
        if digests.dtype != np.uint8 or digests.shape != (len(store), DIGEST_BYTES):
            raise ValueError("not the digests of this store")
    except (OSError, ValueError, EOFError):
        digests = _digest_all(store)
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, digests)
    found: list[bytes] = np.ascontiguousarray(digests).view(f"V{DIGEST_BYTES}").ravel().tolist()
    return found


def _digest_all(store: ImageStore) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    def digest(start: int) -> bytes:
        images = store.read(np.arange(start, min(start + _BLOCK, len(store))))
        return b"".join(hashlib.blake2b(pixels.data, digest_size=DIGEST_BYTES).digest() for pixels in images)

    with ThreadPoolExecutor(available_cpus()) as pool:
        joined = b"".join(pool.map(digest, range(0, len(store), _BLOCK)))
    return np.frombuffer(joined, np.uint8).reshape(-1, DIGEST_BYTES)
