"""What a file's bytes look like before any decoder touches them: for reasons that help, and for files cut short."""

from __future__ import annotations

import re

_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")  # a JPEG marker that is neither stuffing, padding nor a restart

_READABLE = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"\x00\x00\x00\x0cjP  \r\n", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)
_OTHER = (
    (b"8BPS", "a Photoshop file"),
    (b"%PDF", "a PDF document"),
    (b"%!PS", "a PostScript file"),
    (b"\x00\x00\x01\x00", "a Windows icon"),
    (b"\xff\x0a", "a JPEG XL image"),
    (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"FUJIFILM", "a camera's raw file"),
)
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a rar archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull`"),
)


def image_kind(content: bytes) -> str | None:
    """Name the decodable image format whose signature the bytes carry, such as 'JPEG'; None where there is none."""
    for signature, kind in _READABLE:
        if content.startswith(signature):
            return kind
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    if content[4:8] == b"ftyp" and content[8:12] in (b"avif", b"avis"):
        return "AVIF"
    if re.match(rb"P[1-7]\s", content):
        return "PPM"
    return None


def unsupported_kind(content: bytes) -> str | None:
    """Describe a picture of a format that is not read here; None for anything else."""
    for signature, description in _OTHER:
        if content.startswith(signature):
            return description
    if content[4:8] == b"ftyp" and content[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc"):
        return "a HEIC photograph"
    head = content[:512].lstrip().lower()
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in head):
        return "an SVG drawing"
    return None


def describe(content: bytes) -> str:
    """Say in a few words what bytes that are no image look like, quoting their beginning."""
    for signature, description in _FOREIGN:
        if content.startswith(signature):
            return description
    head = content[:512]
    if not any(head):
        return "zero bytes only"
    start = " ".join(head.decode("utf-8", errors="ignore").split())
    if start and all(character.isprintable() for character in start):
        markup = re.match(r"<(!doctype html|html|head|body|\?xml)", start, re.IGNORECASE)
        kind = "text" if markup is None else "XML" if markup[1].lower() == "?xml" else "an HTML page"
        return f"{kind}, starting {start[:40]!r}"
    return f"unknown content, starting {head[:8].hex(' ')}"


def is_cut_short(content: bytes) -> bool:
    """Tell whether a file of a known image format ends before its own structure says so.

    Decoders are asked first; this finds what libjpeg passes over in silence, such as the zeros that a broken download
    leaves behind. Formats that do not say where they end are taken as whole.
    """
    kind = image_kind(content)
    if kind == "JPEG":
        return not _jpeg_reaches_its_end(content)
    if kind == "PNG":
        return b"IEND" not in content
    if kind == "WEBP":
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    if kind == "BMP":
        return int.from_bytes(content[2:6], "little") > len(content)
    return False


def _jpeg_reaches_its_end(content: bytes) -> bool:
    """Walk a JPEG's segments: True where the walk arrives at an end-of-image marker.

    Source: ITU-T T.81, annex B.1.
    """
    position = 2
    while (marker := _MARKER.search(content, position)) is not None:
        code = content[marker.start() + 1]
        if code == 0xD9:
            return True
        position = marker.end()
        if code not in (0x01, 0xD8):  # these two stand alone; every other marker heads a segment with its length
            position += max(2, int.from_bytes(content[position : position + 2], "big"))
    return False
