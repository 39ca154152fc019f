"""Generated pictures, and a manifest and a store of them, for the tests of the audit."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import pandas as pd
from PIL import Image
from scipy.ndimage import gaussian_filter

from automl_cnn import artifacts
from automl_cnn.artifacts import MANIFEST, Files
from automl_cnn.data.decode import decode
from automl_cnn.data.store import ImageStore, StoreWriter

SIZE_PX = 96


def photo(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """A picture with structure at all scales, unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    layers = [gaussian_filter(rng.normal(size=(height, width, 3)), (s, s, 0)) * s for s in (1, 3, 9)]
    return Image.fromarray(np.clip(128 + 90 * sum(layers), 0, 255).astype(np.uint8))


def cell(seed: int) -> Image.Image:
    """One of many nearly uniform solar cells: the same bars and rim, a little structure of its own."""
    rng = np.random.default_rng(seed)
    grey = np.full((100, 100), 190.0)
    grey[20:23], grey[50:53], grey[80:83] = 60, 60, 60
    grey[:3], grey[-3:], grey[:, :3], grey[:, -3:] = 90, 90, 90, 90
    grey += 60 * gaussian_filter(rng.normal(size=grey.shape), 2) + rng.normal(0, 1, grey.shape)
    return Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8))


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def jpeg(image: Image.Image, quality: int = 40) -> bytes:
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def write_set(files: Files, contents: list[tuple[str, bytes]]) -> tuple[pd.DataFrame, ImageStore]:
    """A manifest and a store of (label, file content); content without bytes is a broken file."""
    rows = []
    files.images.mkdir(parents=True)
    with StoreWriter(files.images, SIZE_PX, "letterbox") as writer:
        for number, (label, content) in enumerate(contents):
            path = f"{label}/{number:04d}.png"
            row = dict.fromkeys(MANIFEST.columns, "") | dict.fromkeys(("width", "height", "frames", "bytes"), 0)
            row |= {"path": path, "image_id": hashlib.sha256(path.encode()).hexdigest()[:16], "label": label}
            row |= {"sha256": hashlib.sha256(content).hexdigest(), "exif_orientation": 1, "store_row": -1}
            row |= {"status": "empty", "error": "the file has no bytes"}
            if content:
                image = decode(content, SIZE_PX, "letterbox", 100)
                row |= {"pixel_sha": image.pixel_sha, "width": image.width, "height": image.height}
                row |= {"frames": image.frames, "status": "ok", "error": "", "store_row": writer.add(image.pixels)}
            rows.append(row)
    manifest = pd.DataFrame(rows)[list(MANIFEST.columns)]
    artifacts.write_table(files.manifest, manifest, MANIFEST)
    return manifest, ImageStore.open(files.images)
