"""The model card: Markdown in the form of the Hugging Face hub, which travels with the file."""

from __future__ import annotations

import re
from html import escape

from automl_cnn.report.card_metadata import front_matter
from automl_cnn.report.facts import Facts
from automl_cnn.report.snippet import python_snippet
from automl_cnn.report.verdict import ALONE
from automl_cnn.report.wording import (
    counted,
    duration,
    file_size,
    listed,
    milliseconds,
    percent,
    percent_range,
    points,
    tame,
)

_SPECIAL = re.compile(r"([\\`*_\[\]#|])")
_USES = """\
### Direct Use

Labelling images of the same kind, taken in the same way, as those it was trained on.

### Out-of-Scope Use

It always answers with one of its classes, also for images that show none of them. Decisions about people, or where a
mistake is dangerous, need a person."""
_RECOMMENDATIONS = """\
### Recommendations

Leave answers below the threshold of their class, and images that are marked out of distribution, to a person. Watch
what the model sees in use with `automl-cnn monitor`."""
_START = """\
`labels.txt`, `preprocessing.json` and `reference.npz` stay beside the file.

```bash
automl-cnn predict artifacts/quantized/model.tflite photo.jpg
```

With numpy, Pillow and ai-edge-litert alone:
"""


def write_card(facts: Facts, license_id: str = "other") -> str:
    """Markdown of model_card.md; names that the user gave are escaped.

    Args:
        facts: of the run.
        license_id: report.license in params.yaml.
    Source: Mitchell et al. 2019, "Model Cards for Model Reporting"; the sections are those of the Hugging Face hub's
        template.
    """
    sections = [
        (f"# Model Card for {_plain(facts.name)}", _headline(facts)),
        ("## Model Details", _details(facts, license_id)),
        ("## Uses", [_USES]),
        ("## Bias, Risks, and Limitations", _limits(facts)),
        ("## How to Get Started with the Model", [_START, f"```python\n{python_snippet(facts.use)}```"]),
        ("## Training Details", _training(facts)),
        ("## Evaluation", _evaluation(facts)),
        ("## Environmental Impact", _impact(facts)),
        ("## Technical Specifications", _technical(facts)),
    ]
    body = "\n\n".join("\n\n".join([title, "\n".join(lines)]) for title, lines in sections)
    return f"{front_matter(facts, license_id)}\n{body}\n"


def _headline(facts: Facts) -> list[str]:
    test = facts.scores.test
    return [
        f"Labels one image as one of {counted(len(facts.use.labels), 'class', 'classes')}. Right on "
        f"{percent(test['accuracy'])} of {counted(test['n'], 'test image')} that it never saw (95 % interval "
        f"{percent_range(test['accuracy_ci95'])})."
    ]


def _details(facts: Facts, license_id: str) -> list[str]:
    licensed = "set by the owner of the data" if license_id == "other" else license_id
    return [
        f"- **Model type:** {_plain(facts.search.backbone)}, pretrained on ImageNet, fine-tuned on the data below, "
        f"shipped as {facts.scores.rung}.",
        f"- **Classes:** {listed([_plain(label) for label in facts.use.labels], most=60)}.",
        f"- **License:** {licensed}.",
        "- **Made by:** automl-cnn; `report.html` beside this card has the whole record.",
    ]


def _limits(facts: Facts) -> list[str]:
    lines = [f"- {_plain(advice.lead)} {_plain(advice.text)}" for advice in facts.advice if advice.tone != "good"]
    lines.append("- The scores hold for images like the test images; other cameras, places or times may do worse.")
    return [*lines, "", _RECOMMENDATIONS]


def _training(facts: Facts) -> list[str]:
    split, faults, training = facts.split, facts.faults, facts.training
    sides = ", ".join(f"{side.images:,} {side.side}" for side in split.sides)
    settings = [f"| {_plain(name)} | {_plain(value)} |" for name, value in facts.search.winner]
    return [
        "### Training Data",
        "",
        f"- {counted(facts.data.images, 'file')}, of which {facts.data.usable:,} could be read: {sides}.",
        f"- {counted(split.groups, 'group')} of images that stay together; {split.leaking_groups} groups and "
        f"{split.leaking_clusters} duplicate clusters on more than one side.",
        f"- {faults.suspected:,} of {counted(faults.checked, 'label')} look wrong to the audit.",
        *([f"- {split.leak_price}"] if split.leak_price else []),
        "",
        "### Training Procedure",
        "",
        f"{counted(facts.search.trials, 'trial')} were compared by {facts.search.objective} on validation images; the "
        f"winner was fine-tuned for {counted(training.epochs, 'epoch')} and calibrated with a temperature of "
        f"{training.temperature:.2f}. Pictures are turned upright and brought to {facts.use.working_size_px} × "
        f"{facts.use.working_size_px} pixels ({facts.use.resize}), then to {facts.use.input_size_px} × "
        f"{facts.use.input_size_px}.",
        "",
        "| setting | value |",
        "|---|---|",
        *settings,
    ]


def _evaluation(facts: Facts) -> list[str]:
    scores, test, change = facts.scores, facts.scores.test, facts.scores.difference
    low, high = change["accuracy_ci95"]
    lines = [
        "### Testing Data and Metrics",
        "",
        f"The shipped file on {counted(test['n'], 'test image')} that no training and no choice had used. Intervals "
        f"are 95 %, by resampling {counted(scores.groups, 'group')} {scores.resamples:,} times.",
        "",
        "### Results",
        "",
        "| | shipped file | 95 % interval | float model |",
        "|---|---|---|---|",
    ]
    for line in scores.lines:
        if line.share:
            interval = percent_range(line.interval) if line.interval else ""
            lines.append(f"| {line.name} | {percent(line.value)} | {interval} | {percent(line.twin)} |")
        else:
            interval = f"{line.interval[0]:.3f} to {line.interval[1]:.3f}" if line.interval else ""
            lines.append(f"| {line.name} | {line.value:.3f} | {interval} | {line.twin:.3f} |")
    lines += [
        "",
        f"- Shrinking changed accuracy by {points(change['accuracy'])} points ({points(low)} to {points(high)}).",
        f"- Always answering “{_plain(scores.majority)}” would score {percent(scores.majority_share)}.",
        *_coverage(facts),
        "",
        "| class | precision | recall | F1 | test images |",
        "|---|---|---|---|---|",
    ]
    for one in sorted(scores.classes, key=lambda one: facts.use.labels.index(one.label)):
        shares = " | ".join("–" if share is None else percent(share) for share in (one.precision, one.recall, one.f1))
        lines.append(f"| {_plain(one.label)} | {shares} | {one.support:,} |")
    return lines


def _coverage(facts: Facts) -> list[str]:
    lines = []
    for level in facts.coverage:
        wanted, answered = percent(level.wanted, 0), percent(level.coverage)
        if level.precision is None:
            lines.append(f"- At {wanted} precision, as set on validation, it answers no test image.")
        else:
            lines.append(
                f"- At {wanted} precision, as set on validation, it answers {answered} of the test images, "
                f"{percent(level.precision)} of them rightly."
            )
    if lines:
        lines.append(f"- `predict` and `serve` abstain by the thresholds for {percent(ALONE, 0)}.")
    return lines


def _impact(facts: Facts) -> list[str]:
    seconds = sum(taken for _, taken in facts.run.stage_seconds)
    if not seconds:
        return ["- **Hours used:** not kept."]
    return [f"- **Hardware:** {facts.scores.machine}.", f"- **Time used:** {duration(seconds)}, all stages together."]


def _technical(facts: Facts) -> list[str]:
    size, scores = facts.use.input_size_px, facts.scores
    median, p95 = milliseconds(scores.latency_ms_median), milliseconds(scores.latency_ms_p95)
    changes = ", plus changes that were not committed" if facts.run.uncommitted else ""
    commit = [f"- **Commit:** `{facts.run.commit}`{changes}"] if facts.run.commit else []
    return [
        f"- **File:** `model.tflite`, {file_size(scores.size_bytes)}.",
        f"- **Input:** one RGB image, uint8, 1 × {size} × {size} × 3. **Output:** one probability a class.",
        f"- **Latency:** {median} an image (95th percentile {p95}) on {counted(scores.threads, 'thread')}, "
        f"{scores.machine}.",
        *commit,
        f"- **Data digest:** `{facts.run.data_digest}`, over paths, labels and pixels.",
        f"- **Software:** {', '.join(f'{name} {number}' for name, number in facts.run.versions)}.",
    ]


def _plain(text: str) -> str:
    """A user's text on one line, without meaning to Markdown or HTML."""
    return _SPECIAL.sub(r"\\\1", escape(" ".join(tame(text).split()), quote=False))
