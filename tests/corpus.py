"""A folder of broken and odd files, one kind after another, each made from scratch, with the issue it must raise.

The tests put all kinds into one folder; the benchmark gives each kind a folder of its own, for ours and for a rival.
"""

from __future__ import annotations

import io
import os
import struct
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

CLASSES = ("cat", "dog")
SIDES = (160, 120)


@dataclass(frozen=True)
class Kind:
    """One kind of fault.

    Attributes:
        name: what is wrong, in words.
        issue: the issue that must be raised.
        place: path, below the root, that must be named.
        make: writes the files; gets the root.
    """

    name: str
    issue: str
    place: str
    make: Callable[[Path], None]


def write_background(root: Path, images: int) -> None:
    """Ordinary pictures of two classes, of which nothing may be reported."""
    for number in range(images):
        put(root, f"{CLASSES[number % 2]}/plain_{number:03}.jpg", saved(photo(number), "JPEG", quality=92))


def photo(seed: int, width: int = SIDES[0], height: int = SIDES[1]) -> Image.Image:
    """A picture with structure at several scales, unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells, strength in ((4, 70), (16, 40), (64, 30)):
        noise = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        layer = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        total += (np.asarray(layer, np.float64) - 128) / 74 * strength
    return Image.fromarray(np.clip(128 + total, 0, 255).astype(np.uint8))


def put(root: Path, path: str, content: bytes) -> Path:
    place = root / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_of(width: int, height: int, bits: int, rows: bytes) -> bytes:
    """A colour PNG written by hand: of any promised size, of any depth."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")


def file_kinds() -> list[Kind]:
    """Faults that lie in the bytes or the name of one file."""
    return [Kind(name, issue, path, _writer(path, content)) for name, issue, path, content in _files()]


def folder_kinds() -> list[Kind]:
    """Faults between files: names, links, folders, twins."""
    composed, decomposed = (unicodedata.normalize(form, "café") for form in ("NFC", "NFD"))
    twin = photo(900)
    return [
        Kind("same bytes under two labels", "label_conflict", "cat/twin_bytes.png",
             _writer("cat/twin_bytes.png", saved(twin, "PNG"), "dog/twin_bytes.png")),
        Kind("same pixels under two labels", "label_conflict", "dog/twin_pixels.bmp", _same_pixels),
        Kind("link that leads to itself", "symlink_loop", "cat/round.jpg",
             lambda root: _link(root, "cat/round.jpg", root / "cat" / "round.jpg")),
        Kind("link to the folder that holds it", "symlink_loop", "cat/again",
             lambda root: _link(root, "cat/again", root)),
        Kind("link to a file elsewhere", "symlink_escape", "cat/outside.jpg", _link_to_a_file_elsewhere),
        Kind("link to a folder elsewhere", "symlink_escape", "dog/outside", _link_to_a_folder_elsewhere),
        Kind("link to a folder beside it", "symlink_folder", "cat/beside",
             lambda root: _link(root, "cat/beside", root / "dog")),
        Kind("link to nothing", "missing", "cat/gone.jpg",
             lambda root: _link(root, "cat/gone.jpg", root / "nowhere.jpg")),
        Kind("one class in two Unicode forms", "class_names_alike", decomposed,
             _writer(f"{composed}/1.png", saved(photo(901), "PNG"), f"{decomposed}/2.png")),
        Kind("classes that differ in case", "class_names_alike", "Bird",
             _writer("bird/1.png", saved(photo(902), "PNG"), "Bird/2.png")),
        Kind("classes that differ in a separator", "class_names_alike", "sea_lion",
             _writer("sea lion/1.png", saved(photo(903), "PNG"), "sea_lion/2.png")),
        Kind("class folder without images", "empty_class", "unicorn",
             lambda root: (root / "unicorn").mkdir(parents=True)),
        Kind("file names in two Unicode forms", "names_alike", f"dog/{decomposed}.jpg",
             _writer(f"dog/{composed}.jpg", saved(photo(904), "JPEG"), f"dog/{decomposed}.jpg")),
        Kind("file names that differ in case", "names_alike", "dog/IMG_1.jpg",
             _writer("dog/IMG_1.jpg", saved(photo(905), "JPEG"), "dog/img_1.jpg")),
        Kind("file name that is not UTF-8", "unreadable", "dog/caf\\xe9.jpg",
             lambda root: put(root, os.fsdecode(b"dog/caf\xe9.jpg"), saved(photo(906), "JPEG")) and None),
        Kind("pipe called like an image", "not_a_file", "cat/pipe.jpg", lambda root: os.mkfifo(root / "cat/pipe.jpg")),
        Kind("image in no class folder", "loose_file", "loose.png", _writer("loose.png", saved(photo(907), "PNG"))),
        Kind("hidden image", "hidden_file", "cat/.hidden.png", _writer("cat/.hidden.png", saved(photo(908), "PNG"))),
        Kind("hidden folder", "hidden_folder", "cat/.trash", _writer("cat/.trash/1.png", saved(photo(909), "PNG"))),
    ]  # fmt: skip


def write_corpus(root: Path, kinds: list[Kind]) -> None:
    """Write kinds into one folder, beside the background."""
    root = root.resolve()  # links are absolute
    for name in CLASSES:
        (root / name).mkdir(parents=True, exist_ok=True)
    for kind in kinds:
        kind.make(root)


def _writer(path: str, content: bytes, *copies: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for place in (path, *copies):
            put(root, place, content)

    return write


@cache
def _files() -> tuple[tuple[str, str, str, bytes], ...]:
    """Name, issue, path and bytes of each kind."""
    return (*_cut_short(), *_no_images(), *_foreign_formats(), *_contents(), *_looks())


def _cut_short() -> list[tuple[str, str, str, bytes]]:
    texture = Image.fromarray(np.random.default_rng(1).integers(0, 256, (90, 120, 3), dtype=np.uint8))
    whole = {
        "JPEG": saved(texture, "JPEG"), "PNG": saved(texture, "PNG"), "GIF": saved(texture, "GIF"),
        "WEBP": saved(texture, "WEBP", lossless=True), "TIFF": saved(texture, "TIFF", compression="tiff_lzw"),
        "BMP": saved(texture, "BMP"), "JPEG2000": saved(texture, "JPEG2000"), "AVIF": saved(texture, "AVIF"),
    }  # fmt: skip
    progressive = saved(texture, "JPEG", progressive=True)
    half = len(whole["JPEG"]) // 2
    mangled = bytearray(whole["PNG"])
    mangled[60:90] = b"\xff" * 30
    return [
        ("file without bytes", "empty_file", "cat/zero.jpg", b""),
        ("JPEG cut in half", "truncated", "cat/half.jpg", whole["JPEG"][:half]),
        ("JPEG without its last bytes", "truncated", "cat/last.jpg", whole["JPEG"][:-200]),
        ("JPEG with zeros for its second half", "truncated", "cat/zeros.jpg", whole["JPEG"][:half] + bytes(half)),
        ("progressive JPEG cut in half", "truncated", "cat/half_progressive.jpg", progressive[: len(progressive) // 2]),
        ("JPEG that is a header alone", "truncated", "cat/header.jpg", whole["JPEG"][:100]),
        ("PNG cut in half", "truncated", "cat/half.png", whole["PNG"][: len(whole["PNG"]) // 2]),
        ("GIF cut in half", "truncated", "cat/half.gif", whole["GIF"][: len(whole["GIF"]) // 2]),
        ("WebP cut in half", "truncated", "cat/half.webp", whole["WEBP"][: len(whole["WEBP"]) // 2]),
        ("TIFF cut in half", "truncated", "cat/half.tif", whole["TIFF"][: len(whole["TIFF"]) // 2]),
        ("BMP cut in half", "truncated", "cat/half.bmp", whole["BMP"][: len(whole["BMP"]) // 2]),
        ("JPEG 2000 cut in half", "truncated", "cat/half.jp2", whole["JPEG2000"][: len(whole["JPEG2000"]) // 2]),
        ("AVIF cut in half", "truncated", "cat/half.avif", whole["AVIF"][: len(whole["AVIF"]) // 2]),
        ("PNG with bytes overwritten", "unreadable", "cat/mangled.png", bytes(mangled)),
        ("JPEG with a hole of zeros", "damaged", "cat/hole.jpg", _overwritten(whole["JPEG"], bytes(512))),
        ("JPEG with bytes overwritten", "damaged", "cat/mangled.jpg",
         _overwritten(whole["JPEG"], np.random.default_rng(3).bytes(512))),
        ("PNG that unpacks to 10 gigabytes", "too_large", "cat/bomb.png", png_of(60_000, 60_000, 8, bytes(100))),
        ("GIF that claims 4 gigapixels", "too_large", "cat/bomb.gif",
         b"GIF89a" + struct.pack("<HHBBB", 65_500, 65_500, 0x80, 0, 0) + bytes(6)
         + b"," + struct.pack("<HHHHB", 0, 0, 65_500, 65_500, 0) + b"\x02\x02\x4c\x01\x00;"),
    ]  # fmt: skip


def _overwritten(content: bytes, patch: bytes) -> bytes:
    """Other bytes in the middle, as a bad sector leaves them."""
    start = len(content) // 2
    return content[:start] + patch + content[start + len(patch) :]


def _no_images() -> list[tuple[str, str, str, bytes]]:
    return [
        ("web page called .jpg", "not_an_image", "dog/page.jpg", b"<!DOCTYPE html><html><body>404</body></html>"),
        ("text called .png", "not_an_image", "dog/text.png", b"Too many requests, try again later"),
        ("pointer of Git LFS", "not_an_image", "dog/lfs.jpg", b"version https://git-lfs.github.com/spec/v1\n"),
        ("zip archive called .jpg", "not_an_image", "dog/zip.jpg", b"PK\x03\x04" + bytes(200)),
        ("zeros", "not_an_image", "dog/nothing.jpg", bytes(500)),
        ("video called .jpg", "not_an_image", "dog/video.jpg", b"\x00\x00\x00\x18ftypisom" + bytes(200)),
        ("random bytes", "not_an_image", "dog/random.jpg", np.random.default_rng(4).bytes(600)),
    ]


def _foreign_formats() -> list[tuple[str, str, str, bytes]]:
    picture = photo(800)
    small = picture.resize((32, 32))
    psd = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, 1, 1, 8, 3) + bytes(12) + struct.pack(">H", 0) + bytes(3)
    heic = b"\x00\x00\x00\x18ftypheic" + bytes(200)
    return [
        ("HEIC photograph", "unsupported_format", "dog/phone.heic", heic),
        ("HEIC photograph called .jpg", "wrong_extension", "dog/phone.jpg", heic),
        ("JPEG XL image", "unsupported_format", "dog/new.jxl", b"\xff\x0a" + bytes(100)),
        ("Windows icon", "unsupported_format", "dog/icon.ico", saved(small, "ICO")),
        ("Photoshop file", "unsupported_format", "dog/layers.psd", psd),
        ("PDF called .jpg", "unsupported_format", "dog/paper.jpg", saved(small, "PDF")),
        ("PostScript file", "unsupported_format", "dog/print.eps", saved(small, "EPS")),
        ("SVG drawing", "unsupported_format", "dog/drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>"),
        ("QOI image", "unsupported_format", "dog/quite.qoi", saved(small, "QOI")),
        ("Targa image", "unsupported_format", "dog/old.tga", saved(small, "TGA")),
        ("DirectDraw surface", "unsupported_format", "dog/surface.dds", saved(small, "DDS")),
        ("DICOM image", "unsupported_format", "dog/scan.dcm", bytes(128) + b"DICM" + bytes(100)),
        ("camera's raw file", "unsupported_format", "dog/raw.dng", saved(picture, "TIFF")),
        ("PNG called .jpg", "wrong_extension", "dog/really_a_png.jpg", saved(picture, "PNG")),
        ("JPEG without an ending", "wrong_extension", "dog/no_ending", saved(photo(801), "JPEG")),
        ("BMP", "uncommon_format", "dog/plain.bmp", saved(photo(802), "BMP")),
        ("TIFF", "uncommon_format", "dog/plain.tif", saved(photo(803), "TIFF")),
        ("WebP", "uncommon_format", "dog/plain.webp", saved(photo(804), "WEBP")),
        ("JPEG 2000", "uncommon_format", "dog/plain.jp2", saved(photo(805), "JPEG2000")),
        ("AVIF", "uncommon_format", "dog/plain.avif", saved(photo(806), "AVIF")),
        ("PPM", "uncommon_format", "dog/plain.ppm", saved(photo(807), "PPM")),
        ("GIF", "uncommon_format", "dog/plain.gif", saved(photo(808), "GIF")),
        ("ending .Png", "uncommon_extension", "dog/mixed.Png", saved(photo(809), "PNG")),
        ("ending .jfif", "uncommon_extension", "dog/web.jfif", saved(photo(810), "JPEG")),
    ]


def _contents() -> list[tuple[str, str, str, bytes]]:
    frames = [photo(820 + number) for number in range(3)]
    animation = {"save_all": True, "append_images": frames[1:]}
    deep = np.asarray(photo(830).convert("L"), np.uint16) * 257
    rows = np.asarray(photo(831), np.uint8).repeat(2, axis=2)
    return [
        ("CMYK JPEG", "cmyk", "cat/print.jpg", saved(photo(832).convert("CMYK"), "JPEG")),
        ("CMYK TIFF", "cmyk", "cat/print.tif", saved(photo(833).convert("CMYK"), "TIFF")),
        ("grey PNG of 16 bits", "sixteen_bit", "cat/deep_grey.png", saved(Image.fromarray(deep), "PNG")),
        ("colour PNG of 16 bits", "sixteen_bit", "cat/deep_colour.png",
         png_of(*SIDES, 16, b"".join(b"\0" + row.tobytes() for row in rows))),
        ("TIFF of floats", "sixteen_bit", "cat/floats.tif", saved(Image.fromarray(deep.astype(np.float32)), "TIFF")),
        ("PNG with a palette", "palette", "cat/palette.png", saved(photo(834).quantize(64), "PNG")),
        ("PNG with alpha", "alpha", "cat/alpha.png", saved(_with_alpha(photo(835)), "PNG")),
        ("grey PNG with alpha", "alpha", "cat/grey_alpha.png", saved(_with_alpha(photo(836)).convert("LA"), "PNG")),
        ("palette with a clear colour", "alpha", "cat/clear.png",
         saved(photo(837).quantize(64), "PNG", transparency=0)),
        ("animated GIF", "animated", "cat/moving.gif", saved(frames[0], "GIF", **animation)),
        ("animated PNG", "animated", "cat/moving.png", saved(frames[0], "PNG", **animation)),
        ("animated WebP", "animated", "cat/moving.webp", saved(frames[0], "WEBP", **animation)),
        ("TIFF of several pages", "animated", "cat/pages.tif", saved(frames[0], "TIFF", **animation)),
        ("JPEG on its side", "exif_rotated", "cat/turned.jpg", saved(photo(838), "JPEG", exif=_orientation(6))),
        ("mirrored PNG", "exif_rotated", "cat/mirrored.png", saved(photo(839), "PNG", exif=_orientation(2))),
    ]  # fmt: skip


def _looks() -> list[tuple[str, str, str, bytes]]:
    low = Image.new("RGB", SIDES, (90, 60, 160))
    low.paste((200, 190, 90), (20, 20, 120, 90))
    blurred = photo(850).filter(ImageFilter.GaussianBlur(10))
    pixels = np.asarray(photo(851))
    return [
        ("dark picture", "dark", "dog/dark.png", saved(Image.fromarray(pixels // 8), "PNG")),
        ("black picture", "blank", "dog/black.png", saved(Image.new("RGB", SIDES), "PNG")),
        ("overexposed picture", "bright", "dog/bright.png", saved(Image.fromarray(235 + pixels // 13), "PNG")),
        ("picture of one colour", "blank", "dog/blank.jpg", saved(Image.new("RGB", SIDES, (90, 140, 60)), "JPEG")),
        ("blurred picture", "blurry", "dog/blurred.jpg", saved(blurred, "JPEG")),
        ("picture of two colours", "low_information", "dog/low.png", saved(low, "PNG")),
        ("grey picture among colour", "grey_among_colour", "dog/grey.jpg", saved(photo(852).convert("L"), "JPEG")),
        ("grey picture saved as colour", "grey_among_colour", "dog/grey_rgb.jpg",
         saved(photo(853).convert("L").convert("RGB"), "JPEG")),
        ("very wide picture", "odd_aspect_ratio", "dog/wide.jpg", saved(photo(854, 320, 60), "JPEG")),
        ("very high picture", "odd_aspect_ratio", "dog/high.jpg", saved(photo(855, 60, 320), "JPEG")),
        ("tiny picture", "odd_size", "dog/tiny.png", saved(photo(856, 20, 15), "PNG")),
        ("huge picture", "odd_size", "dog/huge.jpg", saved(photo(857, 1600, 1200), "JPEG")),
    ]  # fmt: skip


def _with_alpha(image: Image.Image) -> Image.Image:
    image = image.convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image


def _orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def _same_pixels(root: Path) -> None:
    twin = photo(899)
    put(root, "cat/twin_pixels.png", saved(twin, "PNG"))
    put(root, "dog/twin_pixels.bmp", saved(twin, "BMP"))


def _link(root: Path, path: str, target: Path) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).symlink_to(target)


def _link_to_a_file_elsewhere(root: Path) -> None:
    _link(root, "cat/outside.jpg", put(root.parent / "elsewhere", "1.jpg", saved(photo(898), "JPEG")))


def _link_to_a_folder_elsewhere(root: Path) -> None:
    put(root.parent / "elsewhere", "2.jpg", saved(photo(897), "JPEG"))
    _link(root, "dog/outside", root.parent / "elsewhere")
