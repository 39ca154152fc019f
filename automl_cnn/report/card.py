"""The model card: one page of Markdown that travels with the file."""

from __future__ import annotations

import re
from html import escape

from automl_cnn.report.facts import Facts
from automl_cnn.report.wording import counted, file_size, listed, milliseconds, percent, percent_range, points

_SPECIAL = re.compile(r"([\\`*_\[\]#|])")
_USE = """\
Labelling images of the same kind, taken in the same way, as those it was trained on. It always answers with one of its
classes, also for images that show none of them. Decisions about people, or where a mistake is dangerous, need a person.
"""


def write_card(facts: Facts) -> str:
    """Markdown of model_card.md; names that the user gave are escaped.

    Source: Mitchell et al. 2019, "Model Cards for Model Reporting", for the order of the sections.
    """
    sections = [
        (f"# Model card: {_plain(facts.name)}", []),
        ("## Model", _model(facts)),
        ("## Intended use", [_USE.rstrip()]),
        ("## Data", _data(facts)),
        ("## Scores", _scores(facts)),
        ("## Limits", _limits(facts)),
    ]
    return "\n\n".join("\n\n".join([title, "\n".join(lines)]) if lines else title for title, lines in sections) + "\n"


def _model(facts: Facts) -> list[str]:
    size, backbone = facts.use.input_size_px, _plain(facts.search.backbone)
    return [
        f"- {backbone}, pretrained on ImageNet, fine-tuned on the data below, shipped as {facts.scores.rung}.",
        f"- File: `model.tflite`, {file_size(facts.scores.size_bytes)}, with `labels.txt` and `preprocessing.json`.",
        f"- Input: one RGB image, uint8, 1 × {size} × {size} × 3. Output: one probability a class.",
        f"- Classes: {listed([_plain(label) for label in facts.use.labels], most=60)}.",
    ]


def _data(facts: Facts) -> list[str]:
    split, faults = facts.split, facts.faults
    sides = ", ".join(f"{side.images:,} {side.side}" for side in split.sides)
    return [
        f"- {counted(facts.data.images, 'file')}, of which {facts.data.usable:,} could be read: {sides}.",
        f"- {counted(split.groups, 'group')} of images that stay together; {split.leaking_groups} groups and "
        f"{split.leaking_clusters} duplicate clusters on more than one side.",
        f"- {faults.suspected:,} of {counted(faults.checked, 'label')} look wrong to the audit.",
        "- Licence: set by the owner of the data.",
    ]


def _scores(facts: Facts) -> list[str]:
    scores, test, twin, change = facts.scores, facts.scores.test, facts.scores.twin, facts.scores.difference
    low, high = change["accuracy_ci95"]
    lines = [
        f"The shipped file on {counted(test['n'], 'test image')} that no training and no choice had used. Intervals "
        f"are 95 %, by resampling {counted(scores.groups, 'group')} {scores.resamples:,} times.",
        "",
        "| | shipped file | 95 % interval | float model |",
        "|---|---|---|---|",
    ]
    for key in ("accuracy", "balanced_accuracy", "macro_f1"):
        interval = percent_range(test[f"{key}_ci95"])
        lines.append(f"| {key.replace('_', ' ')} | {percent(test[key])} | {interval} | {percent(twin[key])} |")
    for key, name in (("log_loss", "log loss"), ("ece", "calibration error")):
        lines.append(f"| {name} | {test[key]:.3f} | | {twin[key]:.3f} |")
    median, p95 = milliseconds(scores.latency_ms_median), milliseconds(scores.latency_ms_p95)
    lines += [
        "",
        f"- Shrinking changed accuracy by {points(change['accuracy'])} points ({points(low)} to {points(high)}).",
        f"- Always answering “{_plain(scores.majority)}” would score {percent(scores.majority_share)}.",
        f"- One image takes {median} (95th percentile {p95}) on {counted(scores.threads, 'thread')}, {scores.machine}.",
        "",
        "| class | precision | recall | F1 | test images |",
        "|---|---|---|---|---|",
    ]
    for line in sorted(scores.classes, key=lambda line: facts.use.labels.index(line.label)):
        shares = " | ".join(percent(share) for share in (line.precision, line.recall, line.f1))
        lines.append(f"| {_plain(line.label)} | {shares} | {line.support:,} |")
    return lines


def _limits(facts: Facts) -> list[str]:
    lines = [f"- {_plain(advice.lead)} {_plain(advice.text)}" for advice in facts.advice if advice.tone != "good"]
    return [*lines, "- The scores hold for images like the test images; other cameras, places or times may do worse."]


def _plain(text: str) -> str:
    """A user's text on one line, without meaning to Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", escape(" ".join(text.split()), quote=False))
