"""Which files there are and what they are labelled, before any of them is opened."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from automl_cnn.data.labels_csv import Listed, read_labels
from automl_cnn.errors import DataError

IMAGE_EXTENSIONS = frozenset((
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm",
    ".jp2", ".avif", ".heic", ".heif", ".svg", ".ico",
))  # fmt: skip
_SIDECARS = frozenset(
    [".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".md", ".yaml", ".yml", ".ini", ".log", ".dvc"]
)
_SIDECAR_NAMES = frozenset(["thumbs.db", "desktop.ini", "license", "readme"])
_THUMBNAIL_FOLDERS = frozenset(["__MACOSX", "@eaDir"])  # made by systems, full of copies
_NAMED_IN_ERRORS = 5


@dataclass(frozen=True)
class Entry:
    """One image to be, as the folder or the CSV names it.

    Attributes:
        path: below the root, POSIX, spelled as on disk.
        label: its class, in Unicode normal form C.
        metadata: further columns of the CSV, as strings.
        fault: (status, reason) where the file cannot even be opened: missing, or a name that is no UTF-8.
    """

    path: str
    label: str
    metadata: dict[str, str] = field(default_factory=dict)
    fault: tuple[str, str] | None = None


@dataclass(frozen=True)
class Scan:
    """Everything found.

    Attributes:
        root: the folder, resolved.
        entries: sorted by path.
        columns: names of the metadata columns, in the CSV's order.
        ignored: number of sidecar files by extension; hidden files and links to folders under names of their own.
        notes: what an analyst should know beside that, a sentence each.
    """

    root: Path
    entries: tuple[Entry, ...]
    columns: tuple[str, ...]
    ignored: dict[str, int]
    notes: tuple[str, ...]


def scan(root: Path, labels: Path | None, label_column: str) -> Scan:
    """List the images of a folder of class subfolders, or those that a CSV names.

    Args:
        root: the folder; links to other folders inside it are not followed.
        labels: a CSV with the columns `path` (below `root`) and label; None: the first subfolder is the label.
        label_column: name of the CSV's label column.
    Returns:
        Every regular file but sidecars (or every line of the CSV), broken ones included.
    Raises:
        DataError: no such folder, not readable, no images, one class only, a wrong CSV, or two names that are one.
    """
    root = _checked_root(root)
    walk = _walk(root)
    if labels is None:
        entries, notes = _from_folders(root, walk)
        columns: tuple[str, ...] = ()
    else:
        listed, columns, notes = read_labels(labels, label_column)
        entries, found = _from_listed(root, labels, walk, listed)
        notes = [*notes, *found]
    _require_two_classes(root, labels, entries, walk)
    ordered = tuple(sorted(entries, key=lambda entry: entry.path))
    return Scan(root, ordered, columns, dict(sorted(walk.ignored.items())), tuple(notes))


@dataclass(frozen=True)
class _Walk:
    files: list[str]
    folders: list[str]
    ignored: Counter[str]


def nfc(text: str) -> str:
    """Unicode normal form C: the same name, whether a Mac or another system spelled it."""
    return unicodedata.normalize("NFC", text)


def _checked_root(root: Path) -> Path:
    where, expected = "data.root", "a folder of class subfolders"
    if not root.exists():
        raise DataError(
            where, expected=expected, received=f"'{root}', which does not exist",
            action="Set data.root in params.yaml; it is relative to the project's folder.",
        )  # fmt: skip
    if not root.is_dir():
        raise DataError(
            where, expected=expected, received=f"'{root}', which is a file",
            action="Unpack it if it is an archive, and set data.root in params.yaml to the folder.",
        )  # fmt: skip
    return root.resolve()


def _walk(root: Path) -> _Walk:
    """Every regular file that is no sidecar; links to files count as files, links to folders are counted and left."""
    files: list[str] = []
    folders: list[str] = []
    ignored: Counter[str] = Counter()
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as listing:
                children = list(listing)
        except OSError as error:
            raise DataError(
                "data.root", expected="a folder that can be read",
                received=f"'{root / folder}': {error.strerror}", action="Change its permissions or move it away.",
            ) from None  # fmt: skip
        for child in children:
            path = f"{folder}/{child.name}" if folder else child.name
            if child.is_dir(follow_symlinks=False):
                if child.name.startswith(".") or child.name in _THUMBNAIL_FOLDERS:
                    ignored["hidden folder"] += 1
                else:
                    folders.append(path)
                    pending.append(path)
            elif (kind := _sidecar(child)) is not None:
                ignored[kind] += 1
            else:
                files.append(path)
    return _Walk(files, folders, ignored)


def _sidecar(child: os.DirEntry[str]) -> str | None:
    """Under which name a file is counted as ignored; None for a file that becomes a row, broken links included."""
    extension = os.path.splitext(child.name)[1].lower()  # noqa: PTH122 - a Path a file costs more than the walk
    if child.name.startswith("."):
        return "hidden file"
    if child.is_dir():
        return "link to a folder"
    if extension in _SIDECARS or child.name.lower() in _SIDECAR_NAMES:
        return extension or child.name
    return None if child.is_file() or child.is_symlink() else "no regular file"


def _from_folders(root: Path, walk: _Walk) -> tuple[list[Entry], list[str]]:
    inside = [path for path in walk.files if "/" in path]
    _require_distinct(inside)
    entries = [_entry(root, path, nfc(path.split("/", 1)[0])) for path in inside]
    notes = []
    if loose := len(walk.files) - len(inside):
        notes.append(f"{loose:,} files lie directly in data.root, in no class folder, and are left out")
    classes = {entry.label for entry in entries}
    if empty := sorted({nfc(path) for path in walk.folders if "/" not in path} - classes):
        notes.append(f"class folders without images: {', '.join(empty[:_NAMED_IN_ERRORS])}")
    return entries, notes + _alike(classes)


def _from_listed(root: Path, labels: Path, walk: _Walk, listed: list[Listed]) -> tuple[list[Entry], list[str]]:
    on_disk = {nfc(path): path for path in walk.files}
    outside: list[str] = []
    entries: list[Entry] = []
    for row in listed:
        path = on_disk.get(row.path)
        if path is None or (root / path).is_symlink():
            path = path or row.path
            if not (root / path).resolve().is_relative_to(root):
                outside.append(f"line {row.line} ('{row.path}' is a link to a place outside)")
                continue
        entries.append(_entry(root, path, row.label, row.metadata))
    if outside:
        raise DataError(
            str(labels), expected="paths inside data.root", received="; ".join(outside[:_NAMED_IN_ERRORS]),
            action="Copy these files into data.root.",
        )  # fmt: skip
    notes = []
    images = {nfc(path) for path in walk.files if PurePosixPath(path).suffix.lower() in IMAGE_EXTENSIONS}
    if unlisted := len(images - {nfc(entry.path) for entry in entries}):
        notes.append(f"{unlisted:,} images under data.root are not listed in {labels.name} and are left out")
    return entries, notes + _alike({entry.label for entry in entries})


def _entry(root: Path, path: str, label: str, metadata: dict[str, str] | None = None) -> Entry:
    metadata = metadata or {}
    try:
        path.encode()
        label.encode()
    except UnicodeEncodeError:  # bytes of another encoding; a table holds valid text alone
        shown, label = (
            text.encode(errors="surrogateescape").decode(errors="backslashreplace") for text in (path, label)
        )
        return Entry(shown, label, metadata, ("unreadable", "its name is not UTF-8; rename it"))
    if not (root / path).is_file():
        found = "is a folder" if (root / path).is_dir() else "does not exist"
        return Entry(path, label, metadata, ("missing", f"the file {found}"))
    return Entry(path, label, metadata)


def _require_distinct(paths: list[str]) -> None:
    """Two files whose names differ in Unicode spelling alone would share one image_id."""
    twice = [path for path, count in Counter(nfc(path) for path in paths).items() if count > 1]
    if twice:
        raise DataError(
            "data.root", expected="file names that differ", received=f"'{twice[0]}' twice, in two Unicode spellings",
            action="Rename one of the two files or their folders.",
        )  # fmt: skip


def _alike(classes: set[str]) -> list[str]:
    """Classes that are probably one: their names differ in case or surrounding spaces alone."""
    spellings: dict[str, list[str]] = {}
    for name in sorted(classes):
        spellings.setdefault(name.casefold().strip(), []).append(name)
    return [f"classes that may be one: {', '.join(names)}" for names in spellings.values() if len(names) > 1]


def _require_two_classes(root: Path, labels: Path | None, entries: list[Entry], walk: _Walk) -> None:
    where = "data.root" if labels is None else str(labels)
    classes = sorted({entry.label for entry in entries})
    expected = "a folder of class subfolders" if labels is None else "a line an image"
    if not classes:
        loose = sum("/" not in path for path in walk.files)
        beside = f"; {loose:,} files lie directly in it" if loose and labels is None else ""
        raise DataError(
            where, expected=f"{expected} with images", received=f"'{labels or root}' (0 images in classes{beside})",
            action="Give each class a subfolder, or list the images and their labels in a CSV (data.labels).",
        )  # fmt: skip
    if len(classes) == 1:
        raise DataError(
            where, expected="images of at least two classes", received=f"one class only, '{classes[0]}'",
            action="Add a second class, or point data.root at the folder that holds the class folders.",
        )  # fmt: skip
    if broken := [name for name in classes if any(character in name for character in "\r\n")]:
        raise DataError(
            where, expected="class names on one line", received=repr(broken[0]), action="Rename the class.",
        )  # fmt: skip
