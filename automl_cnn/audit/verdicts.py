"""The reviewer's verdicts put over the manifest and over the clusters of duplicates. Originals are never touched."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from automl_cnn.audit.clusters import EXACT
from automl_cnn.audit.decisions import NEW_CLASS, Decisions
from automl_cnn.audit.problems import Problem

_STRENGTH = ("keep", "split_group", "merge_group", "keep_one", "relabel", "exclude")  # what `decision` shows of several
_CLASSES_SHOWN = 10


@dataclass(frozen=True)
class Resolved:
    """What `apply_to_duplicates` returned.

    Attributes:
        decided: as from `apply_decisions`, with the copies excluded that a keep_one leaves out.
        duplicates: DUPLICATES table without the images that split_group took out, label_conflict counted anew.
        joins: image_id, image_id and reason of every merge_group: these belong to one group.
        problems: decisions that do not fit the clusters.
    """

    decided: pd.DataFrame
    duplicates: pd.DataFrame
    joins: list[tuple[str, str, str]]
    problems: list[Problem]


def apply_decisions(manifest: pd.DataFrame, decisions: Decisions) -> tuple[pd.DataFrame, list[Problem]]:
    """Put relabels and exclusions over the manifest; every file with the same bytes gets the same verdict.

    Args:
        manifest: MANIFEST table.
        decisions: what `read_decisions` returned.
    Returns:
        A copy of the manifest with `label` replaced and beside it `given_label` (as it was), `decision` (the
        weightiest, or empty) and `excluded` (bool); and the lines about images or classes that are not there.
    """
    labels = _Classes(manifest["label"].tolist(), decisions)
    present = set(manifest["sha256"].tolist())
    decision: dict[str, str] = {}
    relabelled: dict[str, str] = {}
    problems = []
    for line, row in zip(decisions.lines(), decisions.rows(), strict=True):
        key, verdict = row["sha256"], row["decision"]
        if key not in present:
            problems.append(_unknown_image(line, key))
            continue
        if row["new_label"] and verdict in ("relabel", "keep_one"):
            label = labels.find(row["new_label"])
            if label is None:
                problems.append(labels.problem(line, row["new_label"]))
                continue
            if verdict == "relabel":
                relabelled[key] = label
        if verdict == "merge_group" and row["new_label"].lower() not in present:
            problems.append(_unknown_image(line, row["new_label"].lower()))
            continue
        decision[key] = max(decision.get(key, verdict), verdict, key=_STRENGTH.index)
    keys = manifest["sha256"].tolist()
    given = manifest["label"].tolist()
    chosen = pd.Series([decision.get(key, "") for key in keys], index=manifest.index, dtype="str")
    now = pd.Series([relabelled.get(k, g) for k, g in zip(keys, given, strict=True)], index=manifest.index)
    decided = manifest.assign(
        label=now.astype(manifest["label"].dtype), given_label=manifest["label"], decision=chosen,
        excluded=(chosen == "exclude").astype(bool),
    )  # fmt: skip
    return decided, problems


def apply_to_duplicates(
    decided: pd.DataFrame, duplicates: pd.DataFrame, decisions: Decisions, *, again: bool = False
) -> Resolved:
    """Apply keep_one, split_group and merge_group. Applied to its own result it changes nothing more.

    A keep_one keeps one file of the cluster, under new_label where that is given. It excludes what nobody need look at:
    copies with the same pixels, and those under the label that is kept. Another member stays in use until it has a
    decision of its own (the review page writes one for each that it showed), so that a picture that joins the cluster
    later under another label is a conflict again. Images are taken out of clusters first: a keep_one does not reach
    them.

    Args:
        decided: what `apply_decisions` returned.
        duplicates: DUPLICATES table.
        decisions: what `read_decisions` returned.
        again: `duplicates` is the result of an earlier call; that an image which split_group took out then is in no
            cluster now is no problem.
    """
    files, sets = _Files(decided), _Clusters(decided, duplicates)
    labels = _Classes(decided["given_label"].tolist(), decisions)
    every = zip(decisions.lines(), decisions.rows(), strict=True)
    known = [(line, row) for line, row in every if row["sha256"] in files.of]
    problems = [
        _split_off(line, files.of[row["sha256"]], sets, files, again)
        for line, row in known
        if row["decision"] == "split_group"
    ]
    sets.drop_single()
    problems += [
        _keep_one(line, row["new_label"], files.of[row["sha256"]], sets, files, labels)
        for line, row in known if row["decision"] == "keep_one"
    ]  # fmt: skip
    label = pd.Series([sets.label[name] for name in decided["image_id"]], index=decided.index)
    excluded = decided["image_id"].isin(list(sets.excluded)).astype(bool)
    changed = decided.assign(label=label.astype(decided["label"].dtype), excluded=excluded)
    left = duplicates[duplicates["image_id"].isin(list(sets.of))].reset_index(drop=True)
    conflicts = _with_conflicts(left, sets.label, sets.excluded)
    return Resolved(changed, conflicts, _joins(known, files), [problem for problem in problems if problem])


class _Clusters:
    """The clusters while verdicts are applied to them.

    Attributes:
        of: image_id → cluster.
        method: image_id → how it was found.
        label: image_id → label, of every image.
        excluded: image_ids.
        kept: cluster → the line that keeps one of its images.
    """

    def __init__(self, decided: pd.DataFrame, duplicates: pd.DataFrame) -> None:
        self.of: dict[str, str] = dict(
            zip(duplicates["image_id"].tolist(), duplicates["cluster"].tolist(), strict=True)
        )
        self.method = dict(zip(duplicates["image_id"].tolist(), duplicates["method"].tolist(), strict=True))
        self.label: dict[str, str] = dict(zip(decided["image_id"].tolist(), decided["label"].tolist(), strict=True))
        self.excluded: set[str] = set(decided.loc[decided["excluded"], "image_id"].tolist())
        self.kept: dict[str, int] = {}

    def drop_single(self) -> None:
        sizes = Counter(self.of.values())
        self.of = {name: number for name, number in self.of.items() if sizes[number] > 1}


def _split_off(line: int, same_bytes: list[str], sets: _Clusters, files: _Files, again: bool) -> Problem | None:
    ids = [name for name in same_bytes if name in sets.of]
    if not ids:
        return None if again else _no_cluster(line, files.path[same_bytes[0]])
    if any(sets.method[name] in EXACT for name in ids):
        return _exact_copy(line, files.path[ids[0]])
    for name in ids:
        del sets.of[name]
    return None


def _keep_one(
    line: int, new_label: str, same_bytes: list[str], sets: _Clusters, files: _Files, labels: _Classes
) -> Problem | None:
    ids = [name for name in same_bytes if name in sets.of]
    if not ids:
        return _no_cluster(line, files.path[same_bytes[0]])
    wanted = labels.find(new_label) if new_label else None
    if new_label and wanted is None:
        return None  # said by apply_decisions
    present = sorted({sets.label[name] for name in ids})
    if wanted is None and len(present) > 1:
        return _two_labels(line, files.path[ids[0]], present)
    number = sets.of[ids[0]]
    if number in sets.kept:
        return _kept_already(line, sets.kept[number], files.path[ids[0]])
    sets.kept[number] = line
    one = next((name for name in ids if sets.label[name] == wanted), ids[0])
    sets.label[one] = wanted or sets.label[one]
    sets.excluded |= {
        name for name, other in sets.of.items() if other == number and name != one
        and (sets.label[name] == sets.label[one] or files.same_pixels(name, one))
    }  # fmt: skip
    return None


def _with_conflicts(duplicates: pd.DataFrame, label: dict[str, str], excluded: set[str]) -> pd.DataFrame:
    used = duplicates.loc[~duplicates["image_id"].isin(excluded), ["cluster", "image_id"]]
    different = used["image_id"].map(label).groupby(used["cluster"]).nunique()
    in_conflict = set(different.index[different > 1])
    return duplicates.assign(label_conflict=duplicates["cluster"].isin(in_conflict).astype(bool))


def _joins(known: list[tuple[int, dict[str, str]]], files: _Files) -> list[tuple[str, str, str]]:
    joins = []
    for line, row in known:
        target = row["new_label"].lower()
        if row["decision"] == "merge_group" and target in files.of:
            reason = f"merge_group in line {line} of decisions.csv"
            ids = [*files.of[row["sha256"]], *files.of[target]]
            joins += [(ids[0], other, reason) for other in ids[1:] if other != ids[0]]
    return joins


class _Files:
    """Files by the hash of their bytes.

    Attributes:
        of: sha256 → image_ids, in the order of their paths.
        path: image_id → path.
    """

    def __init__(self, decided: pd.DataFrame) -> None:
        ordered = decided.sort_values("path", kind="stable")
        self.path = dict(zip(ordered["image_id"].tolist(), ordered["path"].tolist(), strict=True))
        self.of: dict[str, list[str]] = {}
        for key, name in zip(ordered["sha256"].tolist(), ordered["image_id"].tolist(), strict=True):
            self.of.setdefault(key, []).append(name)
        ids = ordered["image_id"].tolist()
        self._bytes: dict[str, str] = dict(zip(ids, ordered["sha256"].tolist(), strict=True))
        self._pixels: dict[str, str] = dict(zip(ids, ordered["pixel_sha"].tolist(), strict=True))

    def same_pixels(self, one: str, other: str) -> bool:
        equal = bool(self._pixels[one]) and self._pixels[one] == self._pixels[other]
        return equal or self._bytes[one] == self._bytes[other]


class _Classes:
    """The classes that new_label may name: those of the manifest, and those that a line makes with `new:`."""

    def __init__(self, labels: Iterable[str], decisions: Decisions) -> None:
        self._known = {str(label).strip(): str(label) for label in labels}
        for row in decisions.rows():
            text = row["new_label"]
            if row["decision"] in ("relabel", "keep_one") and text.startswith(NEW_CLASS) and text not in self._known:
                name = text.removeprefix(NEW_CLASS).strip()
                self._known.setdefault(name, name)

    def find(self, text: str) -> str | None:
        """The class that new_label names; None where there is none."""
        return self._known.get(text) or self._known.get(text.removeprefix(NEW_CLASS).strip())

    def problem(self, line: int, text: str) -> Problem:
        near = difflib.get_close_matches(text, self._known, 1)
        names = sorted(self._known)
        more = f" and {len(names) - _CLASSES_SHOWN} more" if len(names) > _CLASSES_SHOWN else ""
        return Problem(
            line, f"a class in new_label: {', '.join(names[:_CLASSES_SHOWN])}{more}", repr(text),
            (f"Did you mean {near[0]!r}? " if near else "") + "The line is not applied. "
            f"If it is a new class, write {NEW_CLASS}{text}.",
        )  # fmt: skip


def _unknown_image(line: int, key: str) -> Problem:
    action = "The line is kept and applies if such a file comes; remove it if none will."
    return Problem(line, "the sha256 of an image of this set", f"{key[:12]}…, which no file has", action)


def _no_cluster(line: int, path: str) -> Problem:
    action = "The line has no effect; remove it, or write keep or exclude."
    return Problem(line, "an image of a cluster of duplicates", f"{path}, which is in none", action)


def _exact_copy(line: int, path: str) -> Problem:
    return Problem(
        line, "split_group for an image that only resembles the others", f"{path}, of which an exact copy is there",
        "Exact copies cannot be split, the line is not applied; write keep_one, or split the other images off.",
    )  # fmt: skip


def _two_labels(line: int, path: str, labels: list[str]) -> Problem:
    return Problem(
        line, "the label to keep in new_label, for the same bytes stand under several",
        f"keep_one for {path}, labelled {' and '.join(labels)}",
        "The line is not applied; write the label in new_label.",
    )  # fmt: skip


def _kept_already(line: int, earlier: int, path: str) -> Problem:
    return Problem(
        line, "one image kept of a cluster", f"{path}, of whose cluster line {earlier} keeps another",
        f"Line {earlier} stands, line {line} is not applied; remove the wrong one.",
    )  # fmt: skip
