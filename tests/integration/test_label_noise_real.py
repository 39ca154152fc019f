"""Labels swapped among real photographs are found, from the frozen backbone's embeddings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from automl_cnn.audit.labels import find_label_issues
from automl_cnn.data.decode import decode
from automl_cnn.features.engine import FeatureEngine, build_engine
from automl_cnn.features.frozen import FrozenNetwork

CLOTHING = Path(__file__).parents[3] / "shared" / "data" / "clothing"
SIZE_PX = 160


@pytest.mark.real_data
@pytest.mark.slow
@pytest.mark.skipif(not CLOTHING.is_dir(), reason="the clothing images are not here")
def test_one_swapped_label_in_ten_is_found_among_photographs_and_the_rate_is_told(tmp_path: Path) -> None:
    listed = pd.read_csv(CLOTHING / "metadata.csv")
    chosen = [
        rows.sort_values("path")[:80]
        for label, rows in listed.groupby("label")
        if label in ("hat", "pants", "shoes", "skirt")
    ]
    frame = pd.concat(chosen).reset_index(drop=True)
    pictures = [
        decode((CLOTHING / "images" / path).read_bytes(), SIZE_PX, "letterbox", 100).pixels for path in frame["path"]
    ]
    engine = FeatureEngine(build_engine(FrozenNetwork("efficientnet-lite0", SIZE_PX), tmp_path))
    embeddings = engine.embed(np.stack(pictures))
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)

    rng = np.random.default_rng(1)
    names = sorted(frame["label"].unique())
    swapped = rng.choice(len(frame), len(frame) // 10, replace=False)
    for row in swapped:
        frame.loc[row, "label"] = rng.choice([name for name in names if name != frame.loc[row, "label"]])
    groups = frame["sender_id"].astype(str).to_numpy(np.object_)
    found = find_label_issues(frame.assign(image_id=frame["path"]), embeddings, groups, folds=5, seed=1)

    score = found.table.set_index("path").loc[frame["path"], "score"].to_numpy()
    wrong = np.isin(np.arange(len(frame)), swapped)
    assert average_precision_score(wrong, score) >= 0.8
    assert found.report["noise"]["low"] <= wrong.mean() <= found.report["noise"]["high"]
    assert wrong[np.isin(frame["path"], found.table.loc[found.table["flagged"], "path"])].sum() >= 0.75 * wrong.sum()
