"""An answer as the prediction log takes it."""

from __future__ import annotations

from automl_cnn.monitor.record import LogRecord
from automl_cnn.serve.predict import Examined


def log_record(examined: Examined, image_id: str, model_sha256: str) -> LogRecord:
    """The row of one image, of now.

    Args:
        examined: from `Predictor.examine_bytes`.
        image_id: unique; true labels are joined by it later.
        model_sha256: `Predictor.model_sha256`.
    """
    prediction = examined.prediction
    return LogRecord(
        id=image_id,
        label=prediction.label,
        probability=prediction.probability,
        probabilities=list(prediction.probabilities.values()),
        model_sha256=model_sha256,
        abstain=prediction.abstain,
        ood_score=prediction.ood_score,
        statistics=examined.statistics,
        sketch=examined.sketch,
    )
