"""The walk through the analyst's folder: every file once, no linked folder entered, nothing left out unsaid."""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from automl_cnn.data.issues import Finding
from automl_cnn.errors import DataError

IMAGE_EXTENSIONS = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp",
    ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".jpx", ".avif", ".avifs", ".heic", ".heif", ".jxl", ".svg",
    ".ico", ".cur", ".icns", ".psd", ".tga", ".qoi", ".dds", ".exr", ".hdr", ".dcm", ".dng", ".cr2", ".nef", ".arw",
))  # fmt: skip
_SIDECARS = frozenset(
    [".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".md", ".yaml", ".yml", ".ini", ".log", ".dvc"]
)
_SIDECAR_NAMES = frozenset(["thumbs.db", "desktop.ini", "license", "readme"])
_THUMBNAIL_FOLDERS = frozenset(["__MACOSX", "@eaDir"])  # made by systems, full of copies


@dataclass(frozen=True)
class Walk:
    """What lies below a folder.

    Attributes:
        files: paths of the files that become rows: regular ones, and links that are not to a folder.
        folders: paths of the folders that were entered.
        links: those of `files` that are links.
        ignored: number of files and folders that were passed over, by extension or kind.
        findings: each of them that is a picture by its name or may hide pictures.
    """

    files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    links: set[str] = field(default_factory=set)
    ignored: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)


def walk_folder(root: Path) -> Walk:
    """List every file below `root`; links to folders are reported and not followed.

    Args:
        root: an existing folder, resolved.
    Raises:
        DataError: a folder cannot be read.
    """
    walk = Walk()
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as listing:
                children = sorted(listing, key=lambda child: child.name)
        except OSError as error:
            raise DataError(
                "data.root", expected="a folder that can be read",
                received=f"'{root / folder}': {error.strerror}", action="Change its permissions or move it away.",
            ) from None  # fmt: skip
        for child in children:
            path = f"{folder}/{child.name}" if folder else child.name
            if child.is_dir(follow_symlinks=False):
                if _is_left_alone(child.name):
                    _ignore(walk, "hidden folder", path, "hidden_folder", "info", "a hidden folder; not looked into")
                else:
                    walk.folders.append(path)
                    pending.append(path)
            else:
                _take_file(walk, root, path, child)
    return walk


def link_fault(root: Path, path: str) -> tuple[str, str] | None:
    """Say what keeps a file that is a link, or lies behind one, from being read.

    A link out of the folder is not read: the folder may come from elsewhere and its links may point at anything.

    Returns:
        Status and reason; None where the path leads to something inside `root`.
    """
    try:
        target = Path(os.path.realpath(root / path, strict=True))
    except OSError as error:
        if error.errno == errno.ELOOP:
            return "symlink_loop", "a link that leads back to itself"
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            link = (root / path).is_symlink()
            return "missing", f"{'a link to a file that' if link else 'the file'} does not exist"
        return "unreadable", error.strerror or str(error)
    if not target.is_relative_to(root):
        return "symlink_escape", "a link to a place outside data.root; copy the file into the folder"
    return None


def _is_left_alone(name: str) -> bool:
    return name.startswith(".") or name in _THUMBNAIL_FOLDERS


def _ignore(walk: Walk, counted_as: str, path: str, issue: str, severity: str, evidence: str) -> None:
    walk.ignored[counted_as] += 1
    walk.findings.append(Finding(path, issue, severity, evidence))


def _take_file(walk: Walk, root: Path, path: str, child: os.DirEntry[str]) -> None:
    """Put one child that is no folder where it belongs."""
    name, extension = child.name.lower(), PurePosixPath(child.name).suffix.lower()
    if name.startswith("."):
        if extension in IMAGE_EXTENSIONS:
            _ignore(walk, "hidden file", path, "hidden_file", "info", "an image by its name, but hidden; left out")
        else:
            walk.ignored["hidden file"] += 1
    elif child.is_symlink() and (root / path).is_dir():
        _ignore(walk, "link to a folder", path, *_folder_link(root, path))
    elif extension in _SIDECARS or name in _SIDECAR_NAMES:
        walk.ignored[extension or child.name] += 1
    elif child.is_symlink():
        walk.files.append(path)
        walk.links.add(path)
    elif child.is_file():
        walk.files.append(path)
    else:  # opening a pipe would wait for ever
        _ignore(walk, "no regular file", path, "not_a_file", "warn", "a pipe, socket or device; not opened")


def _folder_link(root: Path, path: str) -> tuple[str, str, str]:
    """Issue, severity and evidence of a link to a folder."""
    target = (root / path).resolve()
    if not target.is_relative_to(root):
        return "symlink_escape", "block", "a link to a folder outside data.root; what lies there is not read"
    if (root / path).parent.is_relative_to(target):
        return "symlink_loop", "warn", "a link to a folder that holds it; not followed"
    return "symlink_folder", "info", "a link to a folder of data.root, whose images are read where they lie"
