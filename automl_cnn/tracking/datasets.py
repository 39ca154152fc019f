"""The data of a run as MLflow data sets: the whole, and one a side of the split, by digest, with counts and audit."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from automl_cnn.tracking.finished import SIDES, Finished, audit_in_short, table_digest

if TYPE_CHECKING:
    import pandas as pd

WHOLE = "all"
_SOURCE = json.dumps({"uri": "artifacts/split/splits.parquet"})


def log_datasets(client: Any, run: Any, finished: Finished) -> None:
    """Log the data sets that the run does not hold yet.

    Args:
        client: MlflowClient.
        run: the run as it is in MLflow now.
        finished: what was trained and judged on.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    held = {tag.value for given in run.inputs.dataset_inputs for tag in given.tags} if run.inputs else set()
    made = []
    for context, (digest, images, profile) in _described(finished).items():
        if context not in held:
            schema = {"mlflow_colspec": [{"name": name, "type": "string"} for name in images.columns]}
            dataset = Dataset(
                name=context, digest=digest, source_type="local", source=_SOURCE,
                schema=json.dumps(schema), profile=json.dumps(profile),
            )  # fmt: skip
            made.append(DatasetInput(dataset, [InputTag("mlflow.data.context", context)]))
    if made:
        client.log_inputs(run.info.run_id, made)


def _described(finished: Finished) -> dict[str, tuple[str, pd.DataFrame, dict[str, Any]]]:
    """Context → digest, rows and profile."""
    images = finished.images
    whole = {
        "num_rows": len(images),
        "class_counts": {str(k): int(v) for k, v in images["label"].value_counts().sort_index().items()},
        "split_digest": finished.split_digest,
        "audit": audit_in_short(finished.audit),
    }
    described = {WHOLE: (finished.data_digest, images, whole)}
    for side, counts in finished.class_counts.items():
        rows = images[images["split"] == side]
        profile = {"num_rows": len(rows), "groups": int(rows["group"].nunique()), "class_counts": counts}
        described[side] = (table_digest(rows), rows, {**profile, "split_digest": finished.split_digest})
    return {context: described[context] for context in (WHOLE, *SIDES) if context in described}
