"""What differs between two runs: data, parameters, decisions, the audit, scores, and the answers image by image."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from automl_cnn.config import EvaluateParams
from automl_cnn.evaluate.paired import Comparison
from automl_cnn.tracking.finished import audit_in_short, flatten, is_number
from automl_cnn.tracking.pairs import compare_pairs, pair_images
from automl_cnn.tracking.same_pictures import match_pictures
from automl_cnn.tracking.snapshot import Snapshot

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "log_loss")
OF_THE_FILE = ("size_bytes", "latency_ms_median")

Interval = tuple[float, float]


@dataclass(frozen=True)
class ImagesChanged:
    """Paths, in the second run's data or, where they are gone, in the first's.

    Attributes:
        added, removed: pictures that only one of the runs has.
        renamed: the same picture under another path.
        relabelled: the same picture under another label: path, old, new.
        moved: the same picture on another side of the split: path, old, new.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    renamed: tuple[tuple[str, str], ...]
    relabelled: tuple[tuple[str, str, str], ...]
    moved: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class Differences:
    """What `automl-cnn compare` prints.

    Attributes:
        first, second: names and places of the runs.
        counts: images of each run.
        digests: data and split digest of each run.
        class_counts: class → images in each run, of the classes whose count differs.
        images: which came, went and changed.
        params: key path → values, where they differ; None: not recorded.
        decisions_added, decisions_removed: of the reviewer, in force in one run alone, as sentences.
        audit: what the audit counted → values, where they differ: images.<status>, issues.<kind>, decisions.<decision>
            that were applied, decisions.not_applied, label_conflicts; None: no audit.
        scores: metric → values, each run on its own test split.
        intervals: metric → the 95 % interval of each value; None: not recorded.
        file: size and latency of the shipped file → values.
        paired: the test on the common test images; None where they are too few.
        notes: what is to be known of the common images.
        common: how many they are.
        changed: of these, the ones whose answer differs: path, label, first and second answer.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    counts: tuple[int, int]
    digests: tuple[tuple[str, str], tuple[str, str]]
    class_counts: Mapping[str, tuple[int, int]]
    images: ImagesChanged
    params: Mapping[str, tuple[str | None, str | None]]
    decisions_added: tuple[str, ...]
    decisions_removed: tuple[str, ...]
    audit: Mapping[str, tuple[int | None, int | None]]
    scores: Mapping[str, tuple[float, float]]
    intervals: Mapping[str, tuple[Interval | None, Interval | None]]
    file: Mapping[str, tuple[float, float]]
    paired: Comparison | None
    notes: tuple[str, ...]
    common: int
    changed: tuple[tuple[str, str, str, str], ...]


def find_differences(first: Snapshot, second: Snapshot, params: EvaluateParams) -> Differences:
    """Compare two runs.

    Args:
        first, second: in the order of the command line; differences are second − first.
        params: resamples, confidence and seed of the paired test.
    """
    pairs = pair_images(first, second)
    answers = pairs.table[pairs.table["first"] != pairs.table["second"]].sort_values("path")
    tests = first.metrics["test"], second.metrics["test"]
    files = first.metrics.get("model", {}), second.metrics.get("model", {})
    paths = _paths(first) | _paths(second)
    decided = _decisions(first, paths), _decisions(second, paths)
    return Differences(
        first=(first.name, first.place),
        second=(second.name, second.place),
        counts=(len(first.images), len(second.images)),
        digests=((first.data_digest, second.data_digest), (first.split_digest, second.split_digest)),
        class_counts=_unequal(_count(first), _count(second), 0),
        images=_images_changed(first.images, second.images),
        params=_unequal(first.params, second.params, None),
        decisions_added=tuple(text for key, text in decided[1].items() if key not in decided[0]),
        decisions_removed=tuple(text for key, text in decided[0].items() if key not in decided[1]),
        audit=_audits_unequal(first.audit, second.audit),
        scores={key: (tests[0][key], tests[1][key]) for key in SCORES},
        intervals={key: (_interval(tests[0], key), _interval(tests[1], key)) for key in SCORES},
        file={key: (files[0][key], files[1][key]) for key in OF_THE_FILE if all(is_number(f.get(key)) for f in files)},
        paired=compare_pairs(pairs, params),
        notes=tuple(pairs.notes()),
        common=len(pairs.table),
        changed=tuple(answers[["path", "label", "first", "second"]].itertuples(index=False, name=None)),
    )


def as_json(found: Differences) -> dict[str, Any]:
    """The same for machines; the arrays of the paired test are left to `changed`."""
    paired = None
    if found.paired is not None:
        comparison = found.paired
        paired = {
            "images": comparison.n,
            "groups": comparison.groups,
            "confidence": comparison.confidence,
            "verdict": comparison.verdict,
            "detectable": comparison.detectable,
            "images_needed": comparison.images_needed,
            "sentence": comparison.sentence(found.first[0], found.second[0]),
            "differences": {name: vars(difference) for name, difference in comparison.differences.items()},
        }
    both = ("first", "second")
    return {
        "first": {"name": found.first[0], "place": found.first[1]},
        "second": {"name": found.second[0], "place": found.second[1]},
        "data": {
            "images": dict(zip(both, found.counts, strict=True)),
            "data_digest": dict(zip(both, found.digests[0], strict=True)),
            "split_digest": dict(zip(both, found.digests[1], strict=True)),
            "class_counts": {key: dict(zip(both, values, strict=True)) for key, values in found.class_counts.items()},
            **{kind: list(getattr(found.images, kind)) for kind in ImagesChanged.__dataclass_fields__},
        },
        "params": {key: dict(zip(both, values, strict=True)) for key, values in found.params.items()},
        "decisions": {"added": list(found.decisions_added), "removed": list(found.decisions_removed)},
        "audit": {key: dict(zip(both, values, strict=True)) for key, values in found.audit.items()},
        "scores": {key: dict(zip(both, values, strict=True)) for key, values in found.scores.items()},
        "intervals": {key: dict(zip(both, values, strict=True)) for key, values in found.intervals.items()},
        "file": {key: dict(zip(both, values, strict=True)) for key, values in found.file.items()},
        "paired": paired,
        "notes": list(found.notes),
        "common_test_images": found.common,
        "changed": [dict(zip(("path", "label", *both), row, strict=True)) for row in found.changed],
    }


def _count(run: Snapshot) -> dict[str, int]:
    return {str(k): int(v) for k, v in run.images["label"].value_counts().sort_index().items()}


def _unequal(first: Mapping[str, Any], second: Mapping[str, Any], absent: Any) -> dict[str, tuple[Any, Any]]:
    """Keys whose values differ, `absent` standing for none."""
    keys = dict.fromkeys((*first, *second))
    pairs = {key: (first.get(key, absent), second.get(key, absent)) for key in keys}
    return {key: values for key, values in pairs.items() if values[0] != values[1]}


def _images_changed(first: pd.DataFrame, second: pd.DataFrame) -> ImagesChanged:
    """What `match_pictures` does not find in both came or went; the rest may have changed."""
    rows = match_pictures(first, second)
    parts = [
        table.iloc[found][["path", "label", "split"]].reset_index(drop=True).add_suffix(suffix)
        for table, found, suffix in zip((first, second), rows, ("_first", "_second"), strict=True)
    ]
    both = pd.concat(parts, axis=1).sort_values("path_second")
    paths = [table["path"].reset_index(drop=True) for table in (first, second)]
    gone = [path.drop(found).sort_values() for path, found in zip(paths, rows, strict=True)]

    def unequal(column: str) -> tuple[tuple[str, str, str], ...]:
        rows = both[both[f"{column}_first"] != both[f"{column}_second"]]
        return tuple(rows[["path_second", f"{column}_first", f"{column}_second"]].itertuples(index=False, name=None))

    renamed = both.loc[both["path_first"] != both["path_second"], ["path_first", "path_second"]]
    return ImagesChanged(
        added=tuple(gone[1]),
        removed=tuple(gone[0]),
        renamed=tuple(renamed.itertuples(index=False, name=None)),
        relabelled=unequal("label"),
        moved=unequal("split"),
    )


def _paths(run: Snapshot) -> dict[str, str]:
    return dict(zip(run.images["sha256"].astype(str), run.images["path"].astype(str), strict=True))


def _decisions(run: Snapshot, paths: Mapping[str, str]) -> dict[tuple[str, ...], str]:
    """Each decision in force, and a sentence about it that names the image's path where one of the runs has it."""
    told = {}
    for row in run.decisions.to_dict("records"):
        place = paths.get(row["sha256"], row["sha256"][:12])
        new = f" as {row['new_label']}" if row["new_label"] else ""
        about = f" ({row['issue']})" if row["issue"] else ""
        told[tuple(str(value) for value in row.values())] = f"{place}: {row['decision']}{new}{about}"
    return told


def _audits_unequal(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, tuple[int | None, int | None]]:
    """What the audits counted, where it differs; what one of them did not meet counts as 0."""
    counts = [_audit_counts(audit) for audit in (first, second)]
    absent = [0 if audit else None for audit in (first, second)]
    keys = sorted({*counts[0], *counts[1]})
    values = {key: (counts[0].get(key, absent[0]), counts[1].get(key, absent[1])) for key in keys}
    return {key: both for key, both in values.items() if both[0] != both[1]}


def _audit_counts(audit: Mapping[str, Any]) -> dict[str, int]:
    if not audit:
        return {}
    counts = flatten(audit_in_short(audit), intervals=False)
    counts["decisions.not_applied"] = len(audit.get("decisions", {}).get("problems", ()))
    return {key: int(count) for key, count in counts.items() if is_number(count)}


def _interval(scores: Mapping[str, Any], metric: str) -> Interval | None:
    found = scores.get(f"{metric}_ci95")
    return None if found is None else (float(found[0]), float(found[1]))
