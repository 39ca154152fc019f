"""The artifacts of a small finished run: real pictures in a real store, a real .tflite file, its real evaluation.

What takes TensorFlow in a real run (search, training) is written as those stages write it. Of every class the last
picture, which is a test picture, bears the label of another class.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
from colour_model import colour_model
from colour_run import write_embeddings

from automl_cnn.artifacts import (
    DUPLICATES,
    ISSUES,
    LABELS,
    MANIFEST,
    PROPERTIES,
    SPLITS,
    TRIALS,
    Files,
    read_table,
    write_json,
    write_lines,
    write_table,
)
from automl_cnn.audit.properties import measure_properties
from automl_cnn.config import Params, parse_params
from automl_cnn.data.decode import content_box
from automl_cnn.data.store import ImageStore, StoreWriter
from automl_cnn.evaluate.explain import Explanations, write_explanations
from automl_cnn.evaluate.failures import FAILURES
from automl_cnn.evaluate.judge import judge_shipped, write_evaluation
from automl_cnn.reference.build import build_reference
from automl_cnn.reference.record import REFERENCE
from automl_cnn.train.candidate import Candidate

WORKING_PX, INPUT_PX, A_CLASS = 48, 32, 12
WIDTH, HEIGHT = 60, 40
SPLIT_OF_GROUP = ["train", "train", "validation", "test"]


def write_report_run(project: Path, labels: list[str], *, faultless: bool = False) -> tuple[Params, Files]:
    """Write artifacts/ of every stage before report.

    Args:
        project: folder that gets artifacts/.
        labels: at least two; the first three are red, green and blue pictures, which the model tells apart.
        faultless: the audit found nothing, nobody decided anything, no times were kept.
    """
    files = Files(project / "artifacts")
    params = parse_params(
        {
            "data": {"root": str(project / "tiles"), "working_size_px": WORKING_PX},
            "search": {"input_sizes_px": [INPUT_PX]},
            "evaluate": {"bootstrap": 100, "latency_runs": 10},
        }
    )
    table = _write_images(files, sorted(labels), faultless)
    _write_audit(files, table, faultless)
    _write_model(files, sorted(labels))
    write_evaluation(files.evaluation, judge_shipped(files, params.evaluate))
    _write_explanations(files)
    if not faultless:
        write_json(files.timings / "ingest.json", {"seconds": 1.25})
        write_json(files.timings / "search.json", {"seconds": 95.4})
    return params, files


def _write_images(files: Files, labels: list[str], faultless: bool) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    left, top, right, bottom = content_box(WIDTH, HEIGHT, WORKING_PX, "letterbox")
    rows = []
    files.images.mkdir(parents=True)
    with StoreWriter(files.images, WORKING_PX, "letterbox") as store:
        for number, label in enumerate(labels):
            for i in range(A_CLASS):
                square = np.zeros((WORKING_PX, WORKING_PX, 3), np.uint8)
                square[top:bottom, left:right] = rng.integers(0, 120, (bottom - top, right - left, 3))
                square[top:bottom, left:right, number % 3] += 60
                wrong = i == A_CLASS - 1
                rows.append(
                    {
                        "image_id": hashlib.sha256(f"{number}/{i}".encode()).hexdigest()[:16],
                        "path": f"{label}/{i:02}.png",
                        "label": labels[(number + 1) % len(labels)] if wrong else label,
                        "truth": label,
                        "group": f"{number}-{i // 3}",
                        "split": SPLIT_OF_GROUP[i // 3],
                        "reason": "",
                        "store_row": store.add(square),
                        "width": WIDTH,
                        "height": HEIGHT,
                        "status": "ok",
                        "error": "",
                    }
                )
    if not faultless:
        broken = {"image_id": "f" * 16, "path": f"{labels[0]}/half.png", "split": "quarantine", "store_row": -1}
        faults = {"status": "truncated", "error": "the PNG file ends before the picture does", "reason": "truncated"}
        rows.append({**rows[0], **broken, **faults, "group": "broken"})
    table = pd.DataFrame(rows)
    write_table(files.split / "splits.parquet", table[list(SPLITS.columns)], SPLITS)
    report = {
        "leaks": 0,
        "leak_price": {"sentence": "A random split would have overstated accuracy by about 3.1 points."},
    }
    write_json(files.split / "report.json", report)
    manifest = pd.DataFrame({column: table.get(column, 0) for column in MANIFEST.columns})
    write_table(files.manifest, manifest, MANIFEST)
    return table


def _write_audit(files: Files, table: pd.DataFrame, faultless: bool) -> None:
    sound = table[table["status"] == "ok"].reset_index(drop=True)
    wrong = (sound["label"] != sound["truth"]) & (not faultless)
    verdicts = pd.DataFrame(
        {
            "image_id": sound["image_id"],
            "path": sound["path"],
            "label": sound["label"],
            "suggested_label": sound["truth"],
            "p_given": np.where(wrong, 0.02, 0.9),
            "p_suggested": 0.9,
            "score": np.where(wrong, 3.8, 0.0),
            "rank": (~wrong).astype(int).rank(method="first").astype(int),
            "flagged": wrong,
        }
    )
    write_table(files.audit / "labels.parquet", verdicts, LABELS)
    store = ImageStore.open(files.images)
    write_embeddings(files, store.read(np.arange(len(store))).mean(axis=(1, 2)))
    write_table(files.audit / "properties.parquet", measure_properties(sound, store), PROPERTIES)
    issues, duplicates = pd.DataFrame(columns=list(ISSUES.columns)), pd.DataFrame(columns=list(DUPLICATES.columns))
    if not faultless:
        broken = table.loc[table["status"] != "ok", ["image_id", "path"]]
        issues = broken.assign(issue="broken", severity="block", score=np.nan, threshold=np.nan, evidence="truncated")
        twins = [("c0", 0, False), ("c0", 1, False), ("c1", A_CLASS - 2, True), ("c1", A_CLASS - 1, True)]
        duplicates = pd.DataFrame(
            [
                {
                    "cluster": cluster,
                    "image_id": sound["image_id"][row],
                    "path": sound["path"][row],
                    "method": "exact",
                    "distance": 0.0,
                    "label_conflict": conflict,
                }
                for cluster, row, conflict in twins
            ]
        )
        files.decisions.write_text(f"sha256,decision,new_label,reviewer,note\n{'a' * 64},keep,,Ada,\n")
    write_table(files.audit / "issues.parquet", issues, ISSUES)
    write_table(files.audit / "duplicates.parquet", duplicates, DUPLICATES)
    write_json(files.audit / "summary.json", {"warnings": [], "labels": _label_report(sound["label"], faultless)})


def _label_report(labels: pd.Series, faultless: bool) -> dict[str, object]:
    """As the audit writes it; of labels that could not be judged where it is faultless."""
    if faultless:
        return {"judged": 0, "noise": None, "cutoff": None, "classes": []}
    counts = labels.value_counts().sort_index()
    classes = [
        {
            "label": label, "images": int(images), "flagged_share": 0.08, "confused_with": counts.index[0],
            "noise": {"rate": 0.08 - 0.001 * number, "low": 0.01, "high": 0.2}, "confidence": 0.9,
        }
        for number, (label, images) in enumerate(counts.items())
    ]  # fmt: skip
    cutoff = {"images": 5, "expected_precision": 0.8, "expected_recall": 0.9}
    noise = {"rate": 0.083, "low": 0.021, "high": 0.2}
    return {"judged": len(labels), "noise": noise, "cutoff": cutoff, "classes": classes}


def _write_model(files: Files, labels: list[str]) -> None:
    scores = [0.80, None, 0.84, 0.83, 0.91, 0.90]
    values = {"backbone": "efficientnet-lite0", "augmentation": "flip", "hidden_units": 64, "learning_rate": 0.004}
    trials = pd.DataFrame(
        [
            {
                "trial_id": number,
                "status": "failed" if score is None else "completed",
                "fidelity": "cached_features",
                "images": 700,
                "score": np.nan if score is None else score,
                "accuracy": score,
                "epochs": 12,
                "seconds": 1.5,
                "message": "",
                **values,
                "dropout": 0.1 * number,
            }
            for number, score in enumerate(scores)
        ]
    )
    write_table(files.search / "trials.parquet", trials, TRIALS)
    best = {**values, "dropout": 0.4, "input_size_px": INPUT_PX, "pooling": "average"}
    Candidate(4, "macro_f1", 0.91, best, images=40, views=1, quantize_steps=8).save(files.search / "best.yaml")
    rows = [[4, "fine_tuning", 0.91, 0.9, 5.0, 3.5, True], [2, "cached_features", 0.84, 0.8, 5.0, 3.5, False]]
    columns = ["trial_id", "fidelity", "score", "accuracy", "latency_ms", "size_mb", "on_frontier"]
    network = {"backbone": "efficientnet-lite0", "input_size_px": INPUT_PX, "pooling": "average", "within_target": True}
    pd.DataFrame(rows, columns=columns).assign(**network).to_csv(files.search / "frontier.csv", index=False)
    files.model.mkdir()
    history = {"epoch": [0, 1, 2, 3], "loss": [np.nan, 0.6, 0.4, 0.3], "validation_score": [0.91, 0.90, 0.95, 0.94]}
    pd.DataFrame(history).to_csv(files.model / "history.csv", index=False)
    result = {
        "objective": "macro_f1",
        "validation_score": 0.95,
        "head_score": 0.91,
        "best_epoch": 2,
        "temperature": 1.1,
    }
    write_json(files.model / "result.json", result)
    files.quantized.mkdir()
    ladder = []
    for name in ("float32", "qat_int8"):
        content = colour_model(INPUT_PX, quantized=name == "qat_int8", classes=len(labels))
        (files.quantized / f"{name}.tflite").write_bytes(content)
        rung = {
            "rung": name,
            "path": f"{name}.tflite",
            "val_accuracy": 0.95,
            "val_score": 0.94,
            "size_bytes": len(content),
        }
        shipped = name == "qat_int8"
        ladder.append(
            {
                **rung,
                "latency_ms": 0.02,
                "latency_all_ms": 0.01,
                "peak_mib": 1.5,
                "val_drop_ci95": [-0.01, 0.02],
                "objective": "macro_f1",
                "val_score_drop_ci95": [-0.02, 0.03],
                "val_ece": 0.03,
                "val_log_loss": 0.2,
                "flipped": 2,
                "float_tensors": 0,
                "partitions": 1,
                "class_drops": dict.fromkeys(labels, 0.01),
                "shipped": shipped,
                "reason": "best on validation" if shipped else "",
                "error": None,
            }
        )
        if shipped:
            (files.quantized / "model.tflite").write_bytes(content)
    ladder.append({"rung": "ptq_int8", "path": None, "val_accuracy": None, "shipped": False, "error": "no such kernel"})
    write_json(files.quantized / "ladder.json", ladder)
    write_lines(files.quantized / "labels.txt", labels)
    how = {"working_size_px": WORKING_PX, "input_size_px": INPUT_PX, "resize": "letterbox", "max_megapixels": 1.0}
    write_json(files.quantized / "preprocessing.json", how)
    build_reference(files, files.quantized / "model.tflite", seed=1).save(files.quantized / REFERENCE)


def _write_explanations(files: Files) -> None:
    """As the explain stage writes them; every network looked at the upper left corner of the picture."""
    failures = read_table(files.evaluation / "failures.parquet", FAILURES).drop_duplicates("image_id")
    left, top, *_ = content_box(WIDTH, HEIGHT, INPUT_PX, "letterbox")
    heat = np.zeros((len(failures), INPUT_PX, INPUT_PX), np.uint8)
    heat[:, top : top + 6, left : left + 6] = 255
    heat[:, :top] = 200  # in the letterbox, which is no part of the picture
    index = failures[["image_id", "path", "predicted", "label"]].assign(
        row=np.arange(len(failures)), network_predicted=failures["predicted"]
    )
    write_explanations(files.explanations, Explanations(index, heat, np.zeros_like(heat)))
