"""Names that are one name to another system: spelled in another Unicode form, or in other case."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable

from automl_cnn.data.issues import Finding

_SEPARATORS = re.compile(r"[\s_-]+")


def nfc(text: str) -> str:
    """Unicode normal form C: the same name, whether a Mac or another system spelled it."""
    return unicodedata.normalize("NFC", text)


def alike_class_names(classes: Iterable[str]) -> list[Finding]:
    """Classes that are probably one: they differ in case, separators or look-alike characters only; a row a class."""
    return [
        Finding(name, "class_names_alike", "warn", f"classes that may be one: {', '.join(names)}")
        for names in _together(classes, lambda name: _SEPARATORS.sub(" ", _folded(name)).strip())
        for name in names
    ]


def two_spellings_of_a_class(folders: Iterable[str]) -> list[Finding]:
    """Class folders whose names differ in Unicode form only; a row a folder."""
    return [
        Finding(name, "class_names_alike", "warn",
                f"{len(names)} folders are called {nfc(name)}, in different Unicode forms; they count as one class")
        for names in _together(folders, nfc)
        for name in names
    ]  # fmt: skip


def alike_file_names(paths: Iterable[str]) -> list[Finding]:
    """Files that would be one file on another system; a row a file."""
    paths = list(paths)
    spelled = [
        Finding(path, "names_alike", "warn",
                f"{len(group)} files have this name in different Unicode forms; a Mac keeps one of them")
        for group in _together(paths, nfc)
        for path in group
    ]  # fmt: skip
    one_of_each = {nfc(path) for path in paths}
    cased = [
        Finding(path, "names_alike", "info",
                f"differs in case only from {', '.join(other for other in group if other != path)}")
        for group in _together(one_of_each, _cased_key)
        for path in group
    ]  # fmt: skip
    return spelled + cased


def _cased_key(path: str) -> tuple[str, str]:
    """Folder as it is and name without case: classes that differ in case are reported by themselves."""
    folder, _, name = path.rpartition("/")
    return folder, name.casefold()


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def _together(names: Iterable[str], key: Callable[[str], Hashable]) -> list[list[str]]:
    """Groups of two and more names with one key, in order."""
    groups: dict[Hashable, list[str]] = {}
    for name in sorted(names):
        groups.setdefault(key(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]
