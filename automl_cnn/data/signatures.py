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
    (0, b"8BPS", "PSD", "a Photoshop file"),
    (0, b"%PDF", "PDF", "a PDF document"),
    (0, b"%!PS", "EPS", "a PostScript file"),
    (0, b"\x00\x00\x01\x00", "ICO", "a Windows icon"),
    (0, b"\x00\x00\x02\x00", "CUR", "a Windows cursor"),
    (0, b"icns", "ICNS", "a Mac icon"),
    (0, b"\xff\x0a", "JXL", "a JPEG XL image"),
    (0, b"\x00\x00\x00\x0cJXL ", "JXL", "a JPEG XL image"),
    (0, b"qoif", "QOI", "a QOI image"),
    (0, b"DDS ", "DDS", "a DirectDraw surface"),
    (0, b"\x76\x2f\x31\x01", "EXR", "an OpenEXR image"),
    (0, b"#?RADIANCE", "HDR", "a Radiance image"),
    (0, b"gimp xcf", "XCF", "a GIMP file"),
    (128, b"DICM", "DICOM", "a DICOM image"),
    (0, b"SIMPLE  =", "FITS", "a FITS image"),
    (0, b"FUJIFILM", "RAW", "a camera's raw file"),
)
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"Rar!", "a rar archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"OggS", "a video or sound"),
    (b"\x1aE\xdf\xa3", "a video"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    (b"version https://git-lfs", "a Git LFS pointer: run `git lfs pull`"),
)


# What a file of each format is called; the first ending is the usual one.
EXTENSIONS: dict[str, tuple[str, ...]] = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "PNG": (".png", ".apng"),
    "GIF": (".gif",),
    "BMP": (".bmp", ".dib"),
    "DIB": (".dib", ".bmp"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    "JPEG2000": (".jp2", ".j2k", ".jpx", ".jpf", ".j2c", ".jpc"),
    "AVIF": (".avif", ".avifs"),
    "PSD": (".psd", ".psb"),
    "PDF": (".pdf", ".ai"),
    "EPS": (".eps", ".ps"),
    "ICO": (".ico",),
    "CUR": (".cur",),
    "ICNS": (".icns",),
    "JXL": (".jxl",),
    "QOI": (".qoi",),
    "DDS": (".dds",),
    "EXR": (".exr",),
    "HDR": (".hdr",),
    "XCF": (".xcf",),
    "DICOM": (".dcm", ".dicom"),
    "FITS": (".fits", ".fit"),
    "RAW": (".raf",),
    "HEIC": (".heic", ".heif"),
    "SVG": (".svg",),
    "TGA": (".tga",),
}


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


def unsupported_kind(content: bytes) -> tuple[str, str] | None:
    """Name and describe a picture of a format that is not read here, such as ('PSD', 'a Photoshop file')."""
    for offset, signature, kind, description in _OTHER:
        if content.startswith(signature, offset):
            return kind, description
    if content[4:8] == b"ftyp" and content[8:12] in (b"heic", b"heix", b"heim", b"mif1", b"msf1", b"hevc"):
        return "HEIC", "a HEIC photograph"
    head = content[:512].lstrip().lower()
    if head.startswith(b"<svg") or (head.startswith(b"<?xml") and b"<svg" in head):
        return "SVG", "an SVG drawing"
    if content.endswith(b"TRUEVISION-XFILE.\0"):
        return "TGA", "a Targa image"
    return None


def describe(content: bytes) -> str:
    """Say in a few words what bytes that are no image look like, quoting their beginning."""
    for signature, description in _FOREIGN:
        if content.startswith(signature):
            return description
    if content[4:8] == b"ftyp":
        return "a video"
    head = content[:512]
    if not any(head):
        return "zero bytes only"
    start = " ".join(head.decode("utf-8", errors="ignore").split())
    if start and all(character.isprintable() for character in start):
        markup = re.match(r"<(!doctype html|html|head|body|\?xml)", start, re.IGNORECASE)
        kind = "text" if markup is None else "XML" if markup[1].lower() == "?xml" else "an HTML page"
        return f"{kind}, starting {start[:40]!r}"
    return f"unknown content, starting {head[:8].hex(' ')}"


def bits_a_channel(content: bytes) -> int:
    """How deep a PNG, JPEG 2000 or AVIF file says its channels are; 8 where it does not say.

    Pillow brings colours to 8 bits while it decodes and does not tell.
    Source: PNG 3rd edition, 11.2.1; ITU-T T.800, A.5.1; AV1 image file format 1.1, section 2.2.1.
    """
    kind = image_kind(content)
    if kind == "PNG":
        return content[24] if len(content) > 24 else 8
    if kind == "JPEG2000" and 0 <= (start := content.find(b"\xff\x51")) < len(content) - 40:
        return (content[start + 40] & 0x7F) + 1
    if kind == "AVIF" and 0 <= (start := content.find(b"av1C")) < len(content) - 7:
        deep, twelve = content[start + 6] & 0x40, content[start + 6] & 0x20
        return 12 if deep and twelve else 10 if deep else 8
    return 8


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
    if kind == "TIFF":  # its directory often comes last
        return int.from_bytes(content[4:8], "little" if content[:2] == b"II" else "big") >= len(content)
    if kind == "JPEG2000":  # compressed data never holds this marker (ITU-T T.800, A.1.2)
        return b"\xff\xd9" not in content[content.find(b"\xff\x4f\xff\x51") :]
    if kind == "AVIF":
        return not _boxes_reach_their_end(content)
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


def _boxes_reach_their_end(content: bytes) -> bool:
    """Walk a file's outermost boxes: False where one says that it is longer than what is left.

    Source: ISO/IEC 14496-12, section 4.2.
    """
    position = 0
    while position + 8 <= len(content) and content[position + 4 : position + 8].isalnum():
        size = int.from_bytes(content[position : position + 4], "big")
        if size == 1:  # the length stands behind the name
            size = int.from_bytes(content[position + 8 : position + 16], "big")
        if size < 8:  # 0: to the end of the file; less than a header: no box, it comes after the picture
            return True
        position += size
    return position <= len(content)
