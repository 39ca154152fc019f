"""The front matter of the model card, by which the Hugging Face hub and other programs read it."""

from __future__ import annotations

import io
import re
from typing import Any

from ruamel.yaml import YAML

from automl_cnn.report.facts import Facts
from automl_cnn.report.wording import tame

# key in metrics.json, the hub's name of the metric, ours, further arguments
_METRICS: tuple[tuple[str, str, str, dict[str, str]], ...] = (
    ("accuracy", "accuracy", "accuracy", {}), ("macro_f1", "f1", "macro F1", {"average": "macro"}),
    ("balanced_accuracy", "balanced_accuracy", "balanced accuracy", {}),
    ("roc_auc", "roc_auc", "area under ROC", {"average": "macro", "multi_class": "ovr"}),
)  # fmt: skip


def front_matter(facts: Facts, license_id: str) -> str:
    """YAML between two lines of three dashes.

    Args:
        facts: of the run.
        license_id: as the hub writes it; other where the owner of the data decides.
    Source: the hub's specification of model cards (license, library_name, tags, model-index).
    """
    text = io.StringIO()
    yaml = YAML()
    yaml.default_flow_style, yaml.width, yaml.allow_unicode = False, 1000, True
    yaml.dump(_metadata(facts, license_id), text)
    return f"---\n{text.getvalue()}---\n"


def _metadata(facts: Facts, license_id: str) -> dict[str, Any]:
    name = " ".join(tame(facts.name).split())
    found: dict[str, Any] = {"license": license_id}
    if license_id == "other":
        found["license_name"] = "set-by-the-owner-of-the-data"
    test = facts.scores.test
    known = [row for row in _METRICS if test.get(row[0]) is not None]
    tags = ["image-classification", "tflite", facts.search.backbone, "automl-cnn"]
    return found | {
        "library_name": "tflite",
        "pipeline_tag": "image-classification",
        "tags": [*tags, "int8"] if "int8" in facts.scores.rung else tags,
        "metrics": [hub_name for _, hub_name, _, _ in known],
        "model-index": [
            {
                "name": name,
                "results": [
                    {
                        "task": {"type": "image-classification", "name": "Image Classification"},
                        "dataset": {
                            "name": name,
                            "type": _slug(name),
                            "split": "test",
                            "revision": facts.run.data_digest,
                        },
                        "metrics": [
                            {"type": hub_name, "value": round(float(test[key]), 6), "name": ours}
                            | ({"args": dict(arguments)} if arguments else {})
                            for key, hub_name, ours, arguments in known
                        ],
                    }
                ],
            }
        ],
    }


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "images"
