"""What is noted of every picture so that a change of camera, light or subject shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.decode import content_box
from automl_cnn.data.look import measure_look

if TYPE_CHECKING:  # pydantic would add a quarter of a second to `automl-cnn predict`
    from automl_cnn.config import Resize

LOOKS = ("brightness", "contrast", "sharpness", "entropy", "saturation")
STATISTICS = (*LOOKS, "aspect", "megapixels")


def image_statistics(pixels: NDArray[np.uint8], width: int, height: int, resize: Resize) -> list[float]:
    """Measure one decoded image.

    Args:
        pixels: uint8 RGB [S, S, 3], at the working size.
        width, height: of its file, in pixels.
        resize: how it became square; a letterbox is not looked at.
    Returns:
        One number for each of STATISTICS: those of Look; long side over short one; megapixels of the file.
    """
    left, top, right, bottom = content_box(width, height, pixels.shape[0], resize)
    look = measure_look(pixels[top:bottom, left:right])
    sides = max(width, height) / max(min(width, height), 1)
    return [*(float(getattr(look, name)) for name in LOOKS), sides, width * height / 1e6]
