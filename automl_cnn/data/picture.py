"""Pictures of the store as small JPEG files inside a page."""

from __future__ import annotations

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_QUALITY = 80


def encode_jpeg(pixels: NDArray[np.uint8], box: tuple[int, int, int, int], side_px: int) -> str:
    """A thumbnail as a data URI, some 5 to 12 kB at 144 to 192 pixels.

    Args:
        pixels: uint8 RGB [size, size, 3].
        box: left, top, right, bottom of the picture inside its letterbox, of `content_box`.
        side_px: longest side of the thumbnail; a smaller picture is left as it is.
    Returns:
        data:image/jpeg;base64,…
    """
    image = Image.fromarray(pixels).crop(box)
    image.thumbnail((side_px, side_px), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
