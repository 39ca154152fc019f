"""Which files there are and what they are labelled, before any of them is opened."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from automl_cnn.data.issues import Finding
from automl_cnn.data.labels_csv import Listed, read_labels
from automl_cnn.data.names import alike_class_names, alike_file_names, nfc, two_spellings_of_a_class
from automl_cnn.data.walk import IMAGE_EXTENSIONS, Walk, link_fault, walk_folder
from automl_cnn.errors import DataError

_NAMED_IN_NOTES = 5


@dataclass(frozen=True)
class Entry:
    """One image to be, as the folder or the CSV names it.

    Attributes:
        path: below the root, POSIX, spelled as on disk.
        label: its class, in Unicode normal form C.
        metadata: further columns of the CSV, as strings.
        fault: (status, reason) where the file is not opened: missing, a link that loops or leads out of the folder,
            or a name that is no UTF-8.
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
        findings: what is odd about names, folders, links and files that are no entry, one by one.
    """

    root: Path
    entries: tuple[Entry, ...]
    columns: tuple[str, ...]
    ignored: dict[str, int]
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]


def scan(root: Path, labels: Path | None, label_column: str) -> Scan:
    """List the images of a folder of class subfolders, or those that a CSV names.

    Args:
        root: the folder; links to other folders inside it are not followed.
        labels: a CSV with the columns `path` (below `root`) and label; None: the first subfolder is the label.
        label_column: name of the CSV's label column.
    Returns:
        Every regular file but sidecars (or every line of the CSV), broken ones included.
    Raises:
        DataError: no such folder, not readable, no images, one class only, or a wrong CSV.
    """
    root = _checked_root(root)
    walk = walk_folder(root)
    if labels is None:
        entries, notes, findings = _from_folders(root, walk)
        columns: tuple[str, ...] = ()
    else:
        listed, columns, said = read_labels(labels, label_column)
        entries, notes, findings = _from_listed(root, labels, walk, listed)
        notes = [*said, *notes]
    _require_two_classes(root, labels, entries, walk)
    ordered = tuple(sorted(entries, key=lambda entry: entry.path))
    alike = alike_class_names({entry.label for entry in ordered})
    findings = [*walk.findings, *findings, *alike, *alike_file_names([entry.path for entry in ordered])]
    findings = [replace(found, path=_shown(found.path), evidence=_shown(found.evidence)) for found in findings]
    notes = [*notes, *sorted({found.evidence for found in alike})]
    return Scan(root, ordered, columns, dict(sorted(walk.ignored.items())), tuple(notes), tuple(findings))


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


def _from_folders(root: Path, walk: Walk) -> tuple[list[Entry], list[str], list[Finding]]:
    inside = [path for path in walk.files if "/" in path]
    entries = [_entry(root, path, nfc(path.split("/", 1)[0]), path not in walk.links) for path in inside]
    loose = [path for path in walk.files if "/" not in path]
    top = [path for path in walk.folders if "/" not in path]
    empty = sorted({_shown(nfc(path)) for path in top} - {entry.label for entry in entries})
    notes = []
    if loose:
        notes.append(f"{len(loose):,} files lie directly in data.root, in no class folder, and are left out")
    if empty:
        more = f" and {len(empty) - _NAMED_IN_NOTES:,} more" if len(empty) > _NAMED_IN_NOTES else ""
        notes.append(f"class folders without images: {', '.join(empty[:_NAMED_IN_NOTES])}{more}")
    findings = [
        *(Finding(path, "loose_file", "info", "in no class folder, so it has no label; left out")
          for path in loose),
        *(Finding(path, "empty_class", "warn", "a class folder without images") for path in empty),
        *two_spellings_of_a_class(top),
    ]  # fmt: skip
    return entries, notes, findings


def _from_listed(
    root: Path, labels: Path, walk: Walk, listed: list[Listed]
) -> tuple[list[Entry], list[str], list[Finding]]:
    on_disk: dict[str, str] = {}
    for path in sorted(walk.files, key=lambda path: path != nfc(path)):  # the CSV's own spelling goes first
        on_disk.setdefault(nfc(path), path)
    plain = set(walk.files) - walk.links  # a CSV may reach further, through a linked folder
    entries = []
    for row in listed:
        path = on_disk.get(row.path, row.path)
        entries.append(_entry(root, path, row.label, path in plain, row.metadata))
    used = {entry.path for entry in entries}
    unlisted = [
        path for path in walk.files
        if PurePosixPath(path).suffix.lower() in IMAGE_EXTENSIONS and _shown(path) not in used
    ]  # fmt: skip
    notes = []
    if unlisted:
        notes.append(f"{len(unlisted):,} images under data.root are not listed in {labels.name} and are left out")
    return entries, notes, [
        Finding(path, "unlisted_file", "info", f"not listed in {labels.name}; left out") for path in unlisted
    ]  # fmt: skip


def _entry(root: Path, path: str, label: str, plain: bool, metadata: dict[str, str] | None = None) -> Entry:
    """One entry; `plain`: the walk met it as a regular file, so that nothing about its path needs a look."""
    metadata = metadata or {}
    if _shown(path) != path or _shown(label) != label:
        return Entry(_shown(path), _shown(label), metadata, ("unreadable", "its name is not UTF-8; rename it"))
    fault = None if plain else link_fault(root, path)
    if fault is None and not plain and not (root / path).is_file():
        fault = ("missing", "this is a folder" if (root / path).is_dir() else "this is no regular file")
    return Entry(path, label, metadata, fault)


def _shown(text: str) -> str:
    """A name as text; bytes of another encoding, which no table holds, are written out."""
    return text.encode(errors="surrogateescape").decode(errors="backslashreplace")


def _require_two_classes(root: Path, labels: Path | None, entries: list[Entry], walk: Walk) -> None:
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
    if broken := [name for name in classes if name.splitlines() != [name]]:
        raise DataError(
            where, expected="class names on one line", received=repr(broken[0]), action="Rename the class.",
        )  # fmt: skip
