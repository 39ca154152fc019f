"""Any bytes give one upright RGB picture or one clear reason."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import threading
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from automl_cnn.data.decode import DecodedImage, DecodeError, content_box, decode, decode_file, shrink
from automl_cnn.errors import DataError


def picture(width: int = 40, height: int = 24) -> Image.Image:
    """Red, green, blue and white quarters: every flip and turn looks different."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[: height // 2, : width // 2, 0] = 255
    pixels[: height // 2, width // 2 :, 1] = 255
    pixels[height // 2 :, : width // 2, 2] = 255
    pixels[height // 2 :, width // 2 :] = 255
    return Image.fromarray(pixels)


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(content: bytes, size_px: int = 32, resize: str = "stretch", max_megapixels: float = 1.0) -> DecodedImage:
    return decode(content, size_px, resize, max_megapixels)  # type: ignore[arg-type]


def status_of(content: bytes, **options: float) -> str:
    with pytest.raises(DecodeError) as caught:
        decoded(content, **options)  # type: ignore[arg-type]
    assert caught.value.reason
    return caught.value.status


def png_claiming(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header promises any size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def png_of_sixteen_bits() -> bytes:
    """A colour PNG that Pillow reads as 8 bits without a word."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = b"".join(b"\0" + bytes(range(48)) for _ in range(8))
    header = struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


TEXTURE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (48, 48, 3), dtype=np.uint8))
COMPRESSED = {
    "jpeg": saved(TEXTURE, "JPEG"),
    "progressive": saved(TEXTURE, "JPEG", progressive=True),
    "png": saved(TEXTURE, "PNG"),
    "gif": saved(TEXTURE, "GIF"),
    "bmp": saved(TEXTURE, "BMP"),
    "tiff": saved(TEXTURE, "TIFF"),
    "webp": saved(TEXTURE, "WEBP", lossless=True),
}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_every_exif_orientation_comes_out_upright(kind: str, orientation: int) -> None:
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Image.Transpose values that lay the picture as a camera would
    stored = picture() if orientation == 1 else picture().transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    image = decoded(saved(stored, kind, exif=exif, **options), size_px=32)
    upright = np.asarray(picture().resize((32, 32), Image.Resampling.BILINEAR), np.int16)
    assert np.abs(image.pixels - upright).mean() < 8
    assert (image.width, image.height, image.exif_orientation) == (40, 24, orientation)


def test_capture_time_is_read_and_nonsense_is_none() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2024:02:29 13:05:59"
    assert decoded(saved(picture(), "JPEG", exif=exif)).capture_time == "2024-02-29T13:05:59"
    exif.get_ifd(0x8769)[0x9003] = "0000:00:00 00:00:00"
    assert decoded(saved(picture(), "JPEG", exif=exif)).capture_time is None


def test_the_camera_is_maker_model_and_serial_number() -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = "Acme\x00", "C-100 "
    exif.get_ifd(0x8769)[0xA431] = "0042"
    assert decoded(saved(picture(), "JPEG", exif=exif)).camera == "Acme C-100 0042"
    assert decoded(saved(picture(), "JPEG")).camera is None


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (saved(picture().convert("RGBA").quantize(4), "PNG", transparency=0), "PA"),
        (saved(picture().quantize(4), "PNG"), "P"),
        (saved(picture(), "PNG", transparency=(255, 0, 0)), "RGBA"),
        (saved(picture().convert("LA"), "PNG"), "LA"),
        (png_of_sixteen_bits(), "RGB;16"),
        (saved(picture().convert("CMYK"), "TIFF"), "CMYK"),
    ],
)
def test_the_mode_says_what_the_file_holds_with_transparency_and_depth(content: bytes, mode: str) -> None:
    assert decoded(content).mode == mode


def test_damaged_exif_does_not_cost_the_picture() -> None:
    content = saved(picture(), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff" + b"\xee" * 40)
    assert decoded(content).exif_orientation == 1


def test_sixteen_bit_grey_keeps_its_upper_half() -> None:
    values = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    image = decoded(saved(Image.fromarray(values), "PNG"))
    assert np.array_equal(image.pixels[..., 0], values >> 8)
    assert image.mode == "I;16"


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_float_tiff_is_scaled_by_its_range(top: float) -> None:
    values = np.linspace(0, top, 32 * 32).astype(np.float32).reshape(32, 32)
    pixels = decoded(saved(Image.fromarray(values), "TIFF")).pixels
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert np.median(pixels) == pytest.approx(127, abs=2)


def test_a_float_tiff_takes_little_more_memory_than_its_own_pixels() -> None:
    content = saved(Image.fromarray(np.linspace(0, 1, 1_000_000, dtype=np.float32).reshape(1000, 1000)), "TIFF")
    tracemalloc.start()
    decoded(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * 1_000_000  # four bytes a pixel in the file, four decoded, one or three in grey or RGB


def test_grey_values_without_a_known_scale_are_refused_not_blackened() -> None:
    assert status_of(saved(Image.fromarray(np.full((8, 8), 1e9, np.float32)), "TIFF")) == "unsupported"


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_become_white(mode: str) -> None:
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    image = clear.convert(mode) if mode != "P" else clear.quantize(4)
    assert decoded(saved(image, "PNG")).pixels.min() == 255


@pytest.mark.parametrize(
    ("mode", "kind"), [("CMYK", "JPEG"), ("1", "PNG"), ("L", "PNG"), ("YCbCr", "JPEG"), ("P", "GIF")]
)
def test_other_modes_come_out_as_the_same_picture(mode: str, kind: str) -> None:
    expected = picture().convert(mode).convert("RGB").resize((32, 32), Image.Resampling.BILINEAR)
    found = decoded(saved(picture().convert(mode), kind)).pixels
    assert np.abs(found - np.asarray(expected, np.int16)).mean() < 12


def test_the_first_frame_of_an_animation_is_taken_and_frames_are_counted() -> None:
    frames = [Image.new("RGB", (20, 20), colour) for colour in ("red", "lime", "blue")]
    image = decoded(saved(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert image.frames == 3
    assert tuple(image.pixels[5, 5]) == (255, 0, 0)


def test_a_huge_picture_is_refused_before_memory_is_taken() -> None:
    assert status_of(png_claiming(60_000, 60_000), max_megapixels=100) == "too_large"


def test_the_limit_is_the_users_not_pillows() -> None:
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = 10
    try:
        assert decoded(saved(picture(), "PNG")).width == 40
        assert Image.MAX_IMAGE_PIXELS == 10
    finally:
        Image.MAX_IMAGE_PIXELS = before


def test_no_switch_of_pillow_turns_a_cut_file_into_a_grey_picture() -> None:
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        assert status_of(COMPRESSED["jpeg"][:-600]) == "truncated"
        assert ImageFile.LOAD_TRUNCATED_IMAGES is True
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False


def test_warnings_as_errors_do_not_refuse_a_good_picture() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clear = Image.new("P", (8, 8))
        assert decoded(saved(clear, "PNG", transparency=b"\x00\x80")).width == 8


def test_threads_that_decode_together_leave_pillow_as_it_was() -> None:
    before = Image.MAX_IMAGE_PIXELS
    failures: list[Exception] = []

    def work() -> None:
        try:
            for _ in range(20):
                decoded(COMPRESSED["png"])
        except DecodeError as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert before == Image.MAX_IMAGE_PIXELS


@given(st.sampled_from(sorted(COMPRESSED)), st.floats(0, 1, exclude_max=True))
@settings(max_examples=80, deadline=None)
def test_a_file_cut_short_is_never_half_a_picture(name: str, share: float) -> None:
    whole = COMPRESSED[name]
    try:
        found = decoded(whole[: int(len(whole) * share)])
    except DecodeError:
        return
    assert found.pixel_sha == decoded(whole).pixel_sha


@given(st.sampled_from(["jpeg", "progressive", "png"]), st.floats(0, 0.999))
@settings(max_examples=40, deadline=None)
def test_a_download_that_left_zeros_at_the_end_is_never_half_a_picture(name: str, share: float) -> None:
    whole = COMPRESSED[name]
    kept = int(len(whole) * share)
    try:
        found = decoded(whole[:kept] + bytes(len(whole) - kept))
    except DecodeError:
        return
    assert found.pixel_sha == decoded(whole).pixel_sha


@given(st.binary(max_size=400))
@settings(max_examples=80, deadline=None)
def test_arbitrary_bytes_raise_nothing_but_decode_error(content: bytes) -> None:
    with pytest.raises(DecodeError):
        decoded(content)


@given(
    st.sampled_from(sorted(COMPRESSED)), st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=12)
)
@settings(max_examples=120, deadline=None)
def test_mutated_images_raise_nothing_but_decode_error(name: str, changes: list[tuple[int, int]]) -> None:
    content = bytearray(COMPRESSED[name])
    for position, value in changes:
        content[position % len(content)] = value
    try:
        found = decoded(bytes(content))
    except DecodeError:
        return
    assert found.pixels.shape == (32, 32, 3)


@pytest.mark.parametrize(
    ("content", "status", "says"),
    [
        (b"", "empty", "no bytes"),
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "not_an_image", "HTML"),
        (b"Too many requests", "not_an_image", "Too many requests"),
        (b"version https://git-lfs.github.com/spec/v1\n", "not_an_image", "git lfs pull"),
        (b"PK\x03\x04" + bytes(40), "not_an_image", "zip"),
        (bytes(500), "not_an_image", "zero bytes"),
        (b"\x00\x00\x00\x18ftypheic" + bytes(40), "unsupported", "HEIC"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported", "SVG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n", "unsupported", "PostScript"),
        (COMPRESSED["jpeg"][:60], "truncated", "JPEG"),
        (COMPRESSED["png"][:200], "truncated", "PNG"),
    ],
)
def test_the_reason_says_what_is_wrong(content: bytes, status: str, says: str) -> None:
    with pytest.raises(DecodeError) as caught:
        decoded(content)
    assert caught.value.status == status
    assert says in caught.value.reason


@pytest.mark.parametrize("too_many", [1, 4, 54])
def test_a_whole_bmp_whose_header_gives_a_wrong_size_is_read_and_a_cut_one_is_not(too_many: int) -> None:
    whole = COMPRESSED["bmp"]
    wrong = whole[:2] + struct.pack("<I", len(whole) + too_many) + whole[6:]
    assert decoded(wrong).pixel_sha == decoded(whole).pixel_sha
    for missing in (1, 4, 1000, len(wrong) - 60):
        assert status_of(wrong[:-missing]) == "truncated"


def test_a_run_length_coded_bmp_is_read_whole_or_not_at_all() -> None:
    rows = b"\x10\x01\x00\x00" * 15 + b"\x10\x01\x00\x01"  # 16 rows of 16 pixels, the end of the picture last
    palette = bytes(range(4)) * 256
    info = struct.pack("<IiiHHIIiiII", 40, 16, 16, 1, 8, 1, len(rows), 0, 0, 256, 0)
    start = 14 + len(info) + len(palette)
    whole = struct.pack("<2sIHHI", b"BM", start + len(rows) + 3, 0, 0, start) + info + palette + rows
    assert (decoded(whole).width, decoded(whole).height) == (16, 16)
    for missing in (6, 30, 63):
        assert status_of(whole[:-missing]) == "truncated"


def test_trailing_bytes_after_a_whole_jpeg_are_harmless() -> None:
    assert decoded(COMPRESSED["jpeg"] + b"\xff\xda" * 50 + bytes(100)).width == 48


@given(st.integers(1, 3000), st.integers(1, 3000), st.sampled_from([32, 224]))
@settings(max_examples=60, deadline=None)
def test_the_letterboxed_picture_lies_centred_inside_the_square(width: int, height: int, size_px: int) -> None:
    left, top, right, bottom = content_box(width, height, size_px, "letterbox")
    assert 0 <= left < right <= size_px
    assert 0 <= top < bottom <= size_px
    assert max(right - left, bottom - top) == size_px
    assert abs(left - (size_px - right)) <= 1
    assert abs(top - (size_px - bottom)) <= 1


def test_letterbox_pads_with_black_around_exactly_the_content_box() -> None:
    pixels = decoded(saved(Image.new("RGB", (60, 20), "white"), "PNG"), resize="letterbox").pixels
    left, top, right, bottom = content_box(60, 20, 32, "letterbox")
    assert pixels[top:bottom, left:right].min() == 255
    assert pixels.sum() == 255 * 3 * (right - left) * (bottom - top)


def test_crop_keeps_the_middle() -> None:
    wide = Image.new("RGB", (90, 30), "black")
    wide.paste((255, 255, 255), (30, 0, 60, 30))
    assert (
        decoded(saved(wide, "PNG"), resize="crop").pixels.min() > 240
    )  # its edge is interpolated with what lies beyond


def test_a_line_of_one_pixel_survives_every_resize() -> None:
    content = saved(Image.new("RGB", (500, 1), "white"), "PNG")
    for resize in ("letterbox", "crop", "stretch"):
        assert decoded(content, resize=resize).pixels.max() == 255


def test_the_same_picture_in_two_lossless_files_has_one_pixel_sha() -> None:
    assert decoded(COMPRESSED["png"]).pixel_sha == decoded(COMPRESSED["bmp"]).pixel_sha
    assert decoded(COMPRESSED["png"]).pixel_sha != decoded(COMPRESSED["jpeg"]).pixel_sha


def test_shrink_averages_and_leaves_the_right_size_alone() -> None:
    checks = np.indices((64, 64)).sum(axis=0)[..., None].repeat(3, axis=2) % 2 * 255
    pixels = checks.astype(np.uint8)
    assert shrink(pixels, 64) is pixels
    small = shrink(pixels, 16)
    assert small.shape == (16, 16, 3)
    assert np.abs(small.astype(int) - 127).max() <= 2  # sampling without antialiasing would give 0 or 255


def test_predicting_on_a_file_that_is_no_image_is_a_clear_error(tmp_path: Path) -> None:
    page = tmp_path / "cat.jpg"
    page.write_text("<html>gone</html>")
    with pytest.raises(DataError, match=r"cat\.jpg: expected an image; received not_an_image: an HTML page"):
        decode_file(page, 32, "letterbox", 100)
    with pytest.raises(DataError, match="No such file"):
        decode_file(tmp_path / "none.jpg", 32, "letterbox", 100)


def test_decoding_imports_neither_pandas_nor_pydantic() -> None:
    code = "import sys, automl_cnn.data.decode; print({'pandas', 'pydantic', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"
