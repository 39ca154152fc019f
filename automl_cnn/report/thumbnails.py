"""Pictures of the store as small JPEG files inside the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl_cnn.artifacts import MANIFEST, Files, read_table
from automl_cnn.config import Resize
from automl_cnn.data.decode import content_box
from automl_cnn.data.picture import encode_jpeg
from automl_cnn.data.store import ImageStore

SIDE_PX = 144  # shown at 112 CSS pixels


@dataclass(frozen=True)
class Picture:
    """One image with what is said under it.

    Attributes:
        uri: data:image/jpeg;base64,…; empty where the image was not decoded.
        path: of the user's file, relative.
        lines: short texts; they may hold names that the user gave.
        marked: worth a second look.
    """

    uri: str
    path: str
    lines: tuple[str, ...] = ()
    marked: bool = False


class Thumbnails:
    """Thumbnails of images by their id.

    Args:
        files: the manifest and the store are read.
        resize: how the pictures were brought into the store; kept under this name.
    Raises:
        ArtifactError: one of them is missing or damaged.
    """

    def __init__(self, files: Files, resize: Resize) -> None:
        manifest = read_table(files.manifest, MANIFEST)
        columns = (manifest[name].tolist() for name in ("image_id", "path", "store_row", "width", "height"))
        self._places = {str(image_id): place for image_id, *place in zip(*columns, strict=True)}
        self._store, self.resize = ImageStore.open(files.images), resize

    def picture(
        self, image_id: str, lines: Sequence[str] = (), marked: bool = False, *, side_px: int = SIDE_PX
    ) -> Picture:
        """The picture without its letterbox, at most `side_px` wide and high."""
        path, row, width, height = self._places[image_id]
        uri = self._encode(int(row), int(width), int(height), side_px) if row >= 0 else ""
        return Picture(uri, str(path), tuple(lines), marked)

    def size_of(self, image_id: str) -> tuple[int, int]:
        """Width and height of the user's file in pixels."""
        _, _, width, height = self._places[image_id]
        return int(width), int(height)

    def _encode(self, row: int, width: int, height: int, side_px: int) -> str:
        pixels = self._store.read(np.array([row]))[0]
        return encode_jpeg(pixels, content_box(width, height, self._store.size_px, self.resize), side_px)
