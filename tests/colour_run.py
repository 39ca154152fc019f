"""The artifacts of a small pipeline run up to quantize: real pictures, a real store, the real classifier of colours.

Twelve pictures a class of plain colour with noise, grouped in threes. One test picture a class bears a wrong label.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
from colour_model import LABELS, colour_model
from PIL import Image

from automl_cnn.artifacts import LABELS as LABELS_TABLE
from automl_cnn.artifacts import (
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
from automl_cnn.data.decode import decode
from automl_cnn.data.store import ImageStore, StoreWriter
from automl_cnn.reference.build import build_reference
from automl_cnn.reference.record import REFERENCE

WORKING_PX, INPUT_PX, A_CLASS = 48, 32, 12
SPLIT_OF_GROUP = ["train", "train", "validation", "test"]


def write_colour_run(project: Path, a_class: int = A_CLASS) -> Files:
    """Write params.yaml, the pictures under data/ and artifacts/ of every stage before evaluate that others read.

    Args:
        project: an empty folder.
        a_class: pictures a class, a multiple of `A_CLASS`; a quarter of them is in the test split.
    """
    files = Files(project / "artifacts")
    (project / "params.yaml").write_text(
        f"data:\n  root: data\n  working_size_px: {WORKING_PX}\nsearch:\n  input_sizes_px: [{INPUT_PX}]\n"
    )
    _write_images(project / "data", files, a_class)
    _write_audit(files)
    _write_model(files)
    return files


def _write_images(folder: Path, files: Files, a_class: int) -> None:
    rng = np.random.default_rng(1)
    rows = []
    files.images.mkdir(parents=True)
    with StoreWriter(files.images, WORKING_PX, "letterbox") as store:
        for channel, colour in enumerate(LABELS):
            (folder / colour).mkdir(parents=True)
            for i in range(a_class):
                pixels = rng.integers(0, 120, (40, 60, 3), dtype=np.uint8)
                pixels[..., channel] += 60
                path = folder / colour / f"{i:02}.png"
                Image.fromarray(pixels).save(path)
                decoded = decode(path.read_bytes(), WORKING_PX, "letterbox", 1.0)
                name = f"{colour}/{path.name}"
                wrong = i % A_CLASS == A_CLASS - 1
                rows.append(
                    {
                        "image_id": hashlib.sha256(name.encode()).hexdigest()[:16],
                        "path": name,
                        "label": LABELS[(channel + 1) % 3] if wrong else colour,
                        "group": f"{colour}-{i // 3}",
                        "split": SPLIT_OF_GROUP[i // 3 % 4],
                        "reason": "",
                        "pixel_sha": decoded.pixel_sha,
                        "width": decoded.width,
                        "height": decoded.height,
                        "store_row": store.add(decoded.pixels),
                    }
                )
    table = pd.DataFrame(rows)
    write_table(files.split / "splits.parquet", table[list(SPLITS.columns)], SPLITS)
    write_json(files.split / "report.json", {"leaks": 0})
    fillers: dict[str, object] = dict.fromkeys(MANIFEST.columns, 0) | {"status": "ok", "error": "", "format": "PNG"}
    manifest = pd.DataFrame({column: table.get(column, fillers[column]) for column in MANIFEST.columns})
    write_table(files.manifest, manifest, MANIFEST)


def _write_audit(files: Files) -> None:
    """Embeddings are mean colours; the audit doubts the three wrong labels."""
    splits = read_table(files.split / "splits.parquet", SPLITS)
    manifest = read_table(files.manifest, MANIFEST).merge(splits[["image_id"]], on="image_id")
    store = ImageStore.open(files.images)
    write_embeddings(files, store.read(np.arange(len(store))).mean(axis=(1, 2)))
    write_table(files.audit / "properties.parquet", measure_properties(manifest, store), PROPERTIES)
    truth = splits["path"].str.split("/").str[0]
    verdicts = splits[["image_id", "path", "label"]].assign(
        suggested_label=truth, p_given=0.5, p_suggested=0.5, score=0.0, rank=np.arange(1, len(splits) + 1),
        flagged=truth != splits["label"],
    )  # fmt: skip
    write_table(files.audit / "labels.parquet", verdicts, LABELS_TABLE)


def write_embeddings(files: Files, values: np.ndarray) -> None:
    """What the features stage leaves: float16 [stored images, d] of one backbone."""
    folder = files.embeddings / "efficientnet-lite0"
    folder.mkdir(parents=True)
    np.save(folder / "base.npy", values.astype(np.float16))


def _write_model(files: Files) -> None:
    files.quantized.mkdir()
    rungs = {"float32": colour_model(INPUT_PX), "qat_int8": colour_model(INPUT_PX, quantized=True)}
    ladder = []
    for name, content in rungs.items():
        (files.quantized / f"{name}.tflite").write_bytes(content)
        ladder.append({"rung": name, "path": f"{name}.tflite", "shipped": name == "qat_int8"})
    (files.quantized / "model.tflite").write_bytes(rungs["qat_int8"])
    write_json(files.quantized / "ladder.json", ladder)
    write_lines(files.quantized / "labels.txt", LABELS)
    preprocessing = {
        "working_size_px": WORKING_PX,
        "input_size_px": INPUT_PX,
        "resize": "letterbox",
        "max_megapixels": 1.0,
    }
    (files.quantized / "preprocessing.json").write_text(json.dumps(preprocessing))
    build_reference(files, files.quantized / "model.tflite", seed=1).save(files.quantized / REFERENCE)
    golden = np.full((3, INPUT_PX, INPUT_PX, 3), 20, np.uint8)
    for channel in range(3):
        golden[channel, ..., channel] = 150
    files.model.mkdir()
    np.savez(files.model / "golden.npz", images=golden, probabilities=np.eye(3, dtype=np.float32))
    write_lines(files.model / "labels.txt", LABELS)
    counts = {"images": {"by_status": {"ok": 3 * A_CLASS}}, "issues": {"by_kind": {"suspect_label": 3}}}
    files.decisions.write_text("sha256,issue,decision,new_label,reviewer,time,note,score_seen,label_seen,_line\n")
    write_json(files.audit / "summary.json", {**counts, "decisions": {"applied": {"relabel": 1}}})
    trials = pd.DataFrame(
        {
            "trial_id": ["0", "1", "2"],
            "status": ["completed", "completed", "failed"],
            "backbone": ["efficientnet-lite0"] * 3,
            "fidelity": ["cached_features"] * 3,
            "images": [60] * 3,
            "score": [0.8, 0.9, np.nan],
            "accuracy": [0.82, 0.91, np.nan],
            "epochs": [30, 25, 0],
            "seconds": [1.0, 1.2, 0.1],
            "dropout": [0.1, 0.3, 0.2],
        }
    )
    write_table(files.search / "trials.parquet", trials, TRIALS)
    write_json(files.timings / "search.json", {"seconds": 2.5})
