"""`automl-cnn compare`: read two runs, find what differs, and say it."""

from __future__ import annotations

import os

from automl_cnn.config import EvaluateParams, Params
from automl_cnn.progress import Progress, silent
from automl_cnn.tracking.connection import connected
from automl_cnn.tracking.differences import Differences, Interval, find_differences
from automl_cnn.tracking.places import find_places
from automl_cnn.tracking.sources import is_folder, read_source

SHOWN = 10  # of a list; --json has all
_REPEAT = "See to MLflow, then repeat the command."


def compare_runs(first: str, second: str, params: Params | None, progress: Progress = silent) -> Differences:
    """Compare two runs.

    Args:
        first, second: folders of artifacts, MLflow run ids, versions or aliases.
        params: where MLflow is; None where both are folders and there is no params.yaml.
        progress: told part by part.
    Raises:
        TrackingError: MLflow cannot be reached, or there is no such run.
        ArtifactError: what is named is not a finished run.
    """
    judged = params.evaluate if params else EvaluateParams()
    if params is None or (is_folder(first) and is_folder(second)):
        runs = [read_source(run, None, "") for run in (first, second)]
        return find_differences(runs[0], runs[1], judged)
    progress("starting MLflow", 0, 1)
    with connected(find_places(params.tracking, os.environ), _REPEAT) as mlflow:
        client = mlflow.MlflowClient()
        runs = [read_source(run, client, params.tracking.model_name) for run in (first, second)]
    progress("comparing", 0, 1)
    return find_differences(runs[0], runs[1], judged)


def describe(found: Differences) -> list[str]:
    """The differences as lines for a screen; lists are cut after `SHOWN` entries."""
    return [
        f"A  {found.first[0]} ({found.first[1]})",
        f"B  {found.second[0]} ({found.second[1]})",
        *_data(found),
        *_section("Parameters", [f"{key}: {_value(a)} → {_value(b)}" for key, (a, b) in found.params.items()]),
        *_section(
            "Decisions",
            [*(f"+ {text}" for text in found.decisions_added), *(f"- {text}" for text in found.decisions_removed)],
        ),
        *_section("Audit", [f"{key}: {_value(a)} → {_value(b)}" for key, (a, b) in found.audit.items()]),
        *_scores(found),
        *_answers(found),
    ]


def _data(found: Differences) -> list[str]:
    (data_a, data_b), (split_a, split_b) = found.digests
    before, now = found.counts
    if data_a == data_b:
        lines = ["", f"Data: the same {now:,} images and labels (digest {data_a[:12]})"]
    else:
        lines = ["", f"Data: {before:,} → {now:,} images (digest {data_a[:12]} → {data_b[:12]})"]
        lines += [f"  {name}: {a:,} → {b:,}" for name, (a, b) in found.class_counts.items()]
        images = found.images
        lines += _listed("added", list(images.added)) + _listed("removed", list(images.removed))
        lines += _listed("renamed", [f"{a} → {b}" for a, b in images.renamed])
        lines += _listed("relabelled", [f"{path}: {a} → {b}" for path, a, b in images.relabelled])
    if split_a == split_b:
        return [*lines, f"Split: the same (digest {split_a[:12]})"]
    moved = [f"{path}: {a} → {b}" for path, a, b in found.images.moved]
    return [*lines, f"Split: digest {split_a[:12]} → {split_b[:12]}", *_listed("on another side", moved)]


def _scores(found: Differences) -> list[str]:
    paired = found.paired
    columns = ["", "A (95 % interval)", "B (95 % interval)"]
    if paired:
        columns += [f"B - A ({100 * paired.confidence:g} % interval)", "p"]
    rows = [columns]
    for name, values in found.scores.items():
        row = [name, *map(_with_interval, values, found.intervals[name])]
        if paired:
            one = paired.differences[name]
            row += [f"{one.value:+.4f} ({one.low:+.4f} to {one.high:+.4f})", f"{one.p_value:.3f}"]
        rows.append(row)
    for name, (a, b) in found.file.items():
        rows.append([name, f"{a:,.10g}", f"{b:,.10g}", *(["", ""] if paired else [])])
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    table = []
    for row in rows:
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        table.append("  ".join(["", row[0].ljust(widths[0]), *numbers]).rstrip())
    said = (
        paired.sentence("A", "B")
        if paired
        else f"Only {found.common} test images are in both runs: too few for a paired comparison."
    )
    about = f"each on its own test split; B - A on the {found.common:,} images of both" if paired else "own test splits"
    return ["", f"Scores ({about})", *table, *(f"  {note}" for note in found.notes), said]


def _answers(found: Differences) -> list[str]:
    mended = sum(second == label for _, label, _, second in found.changed)
    broken = sum(first == label for _, label, first, _ in found.changed)
    lines = ["", f"Answers: {len(found.changed):,} of {found.common:,} images changed"]
    if found.changed:
        lines[-1] += (
            f"; {mended:,} are right now, {broken:,} no longer, {len(found.changed) - mended - broken:,} neither"
        )
    shown = [f"  {path} ({label}): {first} → {second}" for path, label, first, second in found.changed[:SHOWN]]
    return [*lines, *shown, *_rest(len(found.changed), "  ")]


def _section(title: str, lines: list[str]) -> list[str]:
    if not lines:
        return ["", f"{title}: the same"]
    return ["", title, *(f"  {line}" for line in lines[: 3 * SHOWN]), *_rest(len(lines), "  ", 3 * SHOWN)]


def _listed(title: str, entries: list[str]) -> list[str]:
    if not entries:
        return []
    return [
        f"  {title}: {len(entries):,}",
        *(f"    {entry}" for entry in entries[:SHOWN]),
        *_rest(len(entries), "    "),
    ]


def _rest(count: int, indent: str, shown: int = SHOWN) -> list[str]:
    return [f"{indent}… and {count - shown:,} more (--json has all)"] if count > shown else []


def _value(value: str | int | None) -> str:
    return "not recorded" if value is None else f"{value:,}" if isinstance(value, int) else value


def _with_interval(value: float, interval: Interval | None) -> str:
    return f"{value:.4f}" if interval is None else f"{value:.4f} ({interval[0]:.4f} to {interval[1]:.4f})"
