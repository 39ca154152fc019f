"""From a file's bytes to one square RGB picture, the same wherever it is done. Imports numpy and Pillow alone."""

from __future__ import annotations

import hashlib
import io
import threading
import warnings
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from automl_cnn.data.jpeg_scan import jpeg_damage
from automl_cnn.data.signatures import bits_a_channel, describe, image_kind, is_cut_short, unsupported_kind
from automl_cnn.errors import DataError

if TYPE_CHECKING:  # pydantic would add a quarter of a second to `automl-cnn predict`
    from automl_cnn.config import Resize

DECODER_VERSION = 4  # raise it when the same bytes give other pixels or other facts than before
_STRIP_ROWS = 64  # hashed or scaled at a time: a copy of the whole picture would not stay in the processor's cache
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF")  # none runs another program
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ORIENTATION, _DATETIME, _EXIF_IFD, _DATETIME_ORIGINAL = 0x0112, 0x0132, 0x8769, 0x9003
_MAKE, _MODEL, _SERIAL_NUMBER = 0x010F, 0x0110, 0xA431


@dataclass(frozen=True)
class DecodedImage:
    """One picture and what its file said about it.

    Attributes:
        pixels: uint8 [size_px, size_px, 3], RGB, upright.
        pixel_sha: BLAKE2b (hex, 256 bits) of the full-size upright RGB pixels and their shape: equal for the same
            picture in another lossless file.
        format: as Pillow names it, such as JPEG; a multi-picture JPEG of a phone counts as JPEG.
        mode: what the file holds, in Pillow's words: RGB, L, P, CMYK, I;16. Transparency adds an A (PA, RGBA), colours
            of more than 8 bits add their depth (RGB;16).
        width: pixels, upright.
        height: pixels, upright.
        frames: 1 unless the file is animated or has pages; the first one is the picture.
        exif_orientation: 1 to 8, as in the file; 1 where it says nothing.
        capture_time: ISO 8601 without time zone, or None.
        camera: maker, model and, where it is told, serial number; or None.
    """

    pixels: NDArray[np.uint8]
    pixel_sha: str
    format: str
    mode: str
    width: int
    height: int
    frames: int
    exif_orientation: int
    capture_time: str | None
    camera: str | None


class DecodeError(Exception):
    """A file that gives no picture.

    Args:
        status: empty, not_an_image, truncated, damaged, too_large, unsupported or unreadable.
        reason: a few words for the analyst.
    """

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(status, reason)
        self.status, self.reason = status, reason


def decode(content: bytes, size_px: int, resize: Resize, max_megapixels: float, *, hashed: bool = True) -> DecodedImage:
    """Decode a whole image file and bring it to the working size.

    Args:
        content: the bytes of the file.
        size_px: side of the square that comes back.
        resize: letterbox (pad with black), crop (centre) or stretch.
        max_megapixels: larger images are refused before memory is taken for their pixels.
        hashed: compute pixel_sha; without it is empty, and decoding takes a fifth to a third less time.
    Returns:
        The first frame, upright, without alpha (composited over white), 8 bits a channel.
    Raises:
        DecodeError: nothing else, whatever the bytes are.
    """
    if not content:
        raise DecodeError("empty", "the file has no bytes")
    try:
        with _pillow_defaults:
            return _decode(content, size_px, resize, max_megapixels, hashed)
    except DecodeError:
        raise
    except Exception as error:  # noqa: BLE001 - Pillow's readers raise a dozen kinds on damaged files, SyntaxError included
        _require_undamaged(content)
        raise _explain(content, error) from None


def decode_file(path: Path, size_px: int, resize: Resize, max_megapixels: float) -> DecodedImage:
    """As `decode`, for a file that a user names, without pixel_sha.

    Raises:
        DataError: the file is missing, cannot be read or gives no picture.
    """
    try:
        return decode(path.read_bytes(), size_px, resize, max_megapixels, hashed=False)
    except OSError as error:
        raise DataError(
            str(path), expected="a readable image file", received=error.strerror or str(error),
            action="Check the path and its permissions.",
        ) from None  # fmt: skip
    except DecodeError as error:
        raise DataError(
            str(path), expected="an image", received=f"{error.status}: {error.reason}",
            action="Save it again as JPEG or PNG.",
        ) from None  # fmt: skip


def shrink(pixels: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Bring a stored square picture to a network's input size, with antialiasing.

    Args:
        pixels: uint8 [side, side, 3].
        size_px: the side wanted.
    Returns:
        uint8 [size_px, size_px, 3]; `pixels` itself where the size is right already.
    """
    if pixels.shape[:2] == (size_px, size_px):
        return pixels
    return np.array(Image.fromarray(pixels).resize((size_px, size_px), Image.Resampling.BILINEAR))


def content_box(width: int, height: int, size_px: int, resize: Resize) -> tuple[int, int, int, int]:
    """Say where the picture lies inside the square.

    Args:
        width: of the upright picture, pixels.
        height: of the upright picture, pixels.
        size_px: side of the square.
        resize: how the picture was brought into it.
    Returns:
        left, top, right, bottom in pixels of the square; the whole square unless it was letterboxed.
    """
    if resize != "letterbox":
        return 0, 0, size_px, size_px
    longest = max(width, height)
    inner_w, inner_h = (max(1, round(side * size_px / longest)) for side in (width, height))
    left, top = (size_px - inner_w) // 2, (size_px - inner_h) // 2
    return left, top, left + inner_w, top + inner_h


class _PillowDefaults:
    """Pillow's process-wide switches at known values while any thread decodes, and as they were afterwards.

    Entered by several threads at once: the first sets, the last restores, and decoding itself takes no lock.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before: tuple[int | None, bool] = (None, False)
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)
                # The size is checked here, against the user's limit; truncated files must fail, never turn grey.
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = None, False
                self._warnings = warnings.catch_warnings()
                self._warnings.__enter__()
                warnings.simplefilter(
                    "ignore"
                )  # remarks on odd metadata; under -W error they would refuse good pictures
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = self._before
                self._warnings.__exit__(None, None, None)


_pillow_defaults = _PillowDefaults()


def _decode(content: bytes, size_px: int, resize: Resize, max_megapixels: float, hashed: bool) -> DecodedImage:
    with Image.open(io.BytesIO(content), formats=FORMATS) as image:
        width, height = image.size
        if width * height > max_megapixels * 1e6:
            raise DecodeError(
                "too_large",
                f"{width} × {height} = {width * height / 1e6:.1f} megapixels; the limit is {max_megapixels:g}",
            )
        # Pillow turns TIFF upright while loading and forgets the tag; the other formats keep it.
        orientation = _exif(image).orientation if image.format == "TIFF" else 1
        mode = _mode_of_file(image, content)
        image.load()
        _require_undamaged(content)
        # A BMP that lacks a row does not get here, and many programs write a wrong size into its header.
        if image.format != "BMP" and is_cut_short(content):
            raise DecodeError("truncated", "the file ends before the picture does")
        exif = _exif(image)
        rgb = _to_rgb(image)
        if exif.orientation in _UPRIGHT:
            rgb = rgb.transpose(_UPRIGHT[exif.orientation])
        kind = image.format or "unknown"
        return DecodedImage(
            pixels=_fit(rgb, size_px, resize),
            pixel_sha=_pixel_sha(rgb) if hashed else "",
            format="JPEG" if kind == "MPO" else kind,
            mode=mode,
            width=rgb.width,
            height=rgb.height,
            # The further pictures of a phone's MPO are previews and depth maps, not frames.
            frames=1 if kind == "MPO" else _frames(image),
            exif_orientation=max(orientation, exif.orientation),
            capture_time=exif.capture_time,
            camera=exif.camera,
        )


def _require_undamaged(content: bytes) -> None:
    if image_kind(content) == "JPEG" and (damage := jpeg_damage(content)) is not None:
        raise DecodeError("damaged", f"the JPEG file was overwritten: {damage}")


def _mode_of_file(image: Image.Image, content: bytes) -> str:
    """Pillow's mode before decoding, with what Pillow leaves out: transparency beside a palette, and depth."""
    mode = image.mode
    if image.has_transparency_data and mode not in ("RGBA", "LA", "PA", "RGBa", "La"):
        mode = "LA" if mode == "1" else mode + "A"
    bits = bits_a_channel(content)
    if any(";16" in str(tile.args) for tile in getattr(image, "tile", ())):
        bits = 16
    if bits > 8 and not mode.startswith(("I", "F")):
        mode += f";{bits}"
    return mode


def _pixel_sha(rgb: Image.Image) -> str:
    # SHA-256 takes 1.7 times as long on processors without instructions for it, and was a third of all decoding.
    digest = hashlib.blake2b(f"{rgb.height}x{rgb.width}x3:".encode(), digest_size=32)
    for top in range(0, rgb.height, _STRIP_ROWS):
        digest.update(rgb.crop((0, top, rgb.width, min(top + _STRIP_ROWS, rgb.height))).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class _Exif:
    """Orientation 1 to 8, capture time in ISO 8601, camera in words."""

    orientation: int = 1
    capture_time: str | None = None
    camera: str | None = None


def _exif(image: Image.Image) -> _Exif:
    """Metadata that cannot be read counts as absent."""
    try:
        exif = image.getexif()
        details = exif.get_ifd(_EXIF_IFD)
        orientation = exif.get(_ORIENTATION, 1)
        taken = details.get(_DATETIME_ORIGINAL) or exif.get(_DATETIME)
        camera = [exif.get(_MAKE), exif.get(_MODEL), details.get(_SERIAL_NUMBER)]
    except Exception:  # noqa: BLE001 - damaged EXIF raises a dozen kinds; the picture itself may be whole
        return _Exif()
    return _Exif(orientation if orientation in range(1, 9) else 1, _iso(taken), _words(camera))


def _words(parts: list[Any]) -> str | None:
    """Texts of a camera, printable, side by side; None where there are none."""
    texts = ["".join(filter(str.isprintable, part)).strip() for part in parts if isinstance(part, str)]
    return " ".join(filter(None, texts)) or None


def _iso(taken: Any) -> str | None:
    try:
        return datetime.strptime(str(taken).strip("\x00 "), "%Y:%m:%d %H:%M:%S").isoformat()
    except ValueError:
        return None


def _frames(image: Image.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # noqa: BLE001 - a damaged later frame does not spoil the first, which is the picture
        return 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """RGB with 8 bits: deep grey scaled down, transparency over white, every other mode converted."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        return Image.fromarray(_to_8_bit(np.asarray(image), floating=image.mode == "F")).convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if image.mode != "RGBa" and not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")


def _to_8_bit(values: NDArray[Any], floating: bool) -> NDArray[np.uint8]:
    """Scale by the range of the type, not of the picture, so that exposures stay comparable.

    Args:
        values: [height, width], integers of 16 bits, or floats in 0…1, 0…255 or 0…65535.
        floating: whether the file holds floats, whose range only their maximum tells.
    """
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:  # floats would take eight times the memory
        return (values >> 8).astype(np.uint8)
    # some rows at a time: of 50 million pixels the copies in float64 would take more than a gigabyte
    strips = [slice(start, start + _STRIP_ROWS) for start in range(0, len(values), _STRIP_ROWS)]
    bounds = [(strip.min(), strip.max()) for strip in (_finite(values[rows]) for rows in strips)]
    low, high = float(min(low for low, _ in bounds)), float(max(high for _, high in bounds))
    if low < 0 or high > 65535:
        raise DecodeError("unsupported", f"grey values from {low:g} to {high:g}; expected 0…1, 8 or 16 bits")
    grey = np.empty(values.shape, np.uint8)
    for rows in strips:
        strip = _finite(values[rows])
        grey[rows] = np.rint(strip * (255 if high <= 1 else 1)) if floating and high <= 255 else strip / 256
    return grey


def _finite(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.nan_to_num(values.astype(np.float64))


def _fit(rgb: Image.Image, size_px: int, resize: Resize) -> NDArray[np.uint8]:
    """The square picture, antialiased.

    With reducing_gap 12 megapixels take 17 ms instead of 61, and no pixel is more than 2 grey levels away.
    """
    if resize == "crop":
        side = min(rgb.size)
        left, top = (rgb.width - side) / 2, (rgb.height - side) / 2
        source = (left, top, left + side, top + side)
    else:
        source = (0.0, 0.0, float(rgb.width), float(rgb.height))
    left_px, top_px, right_px, bottom_px = content_box(rgb.width, rgb.height, size_px, resize)
    inner = (right_px - left_px, bottom_px - top_px)
    square = np.zeros((size_px, size_px, 3), dtype=np.uint8)
    square[top_px:bottom_px, left_px:right_px] = np.asarray(
        rgb.resize(inner, Image.Resampling.BILINEAR, box=source, reducing_gap=3.0)
    )
    return square


def _explain(content: bytes, error: Exception) -> DecodeError:
    """Why Pillow failed, from the bytes first and from its message second."""
    kind, other = image_kind(content), unsupported_kind(content)
    message = " ".join(str(error).split()) or type(error).__name__
    if kind is None:
        if other is not None:
            return DecodeError("unsupported", f"{other[1]}; save it as JPEG or PNG")
        return DecodeError("not_an_image", describe(content))
    if is_cut_short(content) or "truncated" in message.lower():
        return DecodeError("truncated", f"the {kind} file ends before the picture does")
    if isinstance(error, UnidentifiedImageError):  # its message quotes a memory address
        message = "its header is damaged or cut short"
    elif "conversion from" in message:
        return DecodeError("unsupported", f"the {kind} file is in a colour space that is not read: {message}")
    return DecodeError("unreadable", f"the {kind} file cannot be decoded: {message[:200]}")
