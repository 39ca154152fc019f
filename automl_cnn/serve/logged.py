"""Answers as the prediction log takes them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from automl_cnn.errors import DataError
from automl_cnn.monitor.log import PredictionLog
from automl_cnn.monitor.record import LogRecord
from automl_cnn.serve.predict import Examined, Prediction, Predictor


def predict_and_log(predictor: Predictor, paths: Sequence[Path], folder: Path) -> list[Prediction]:
    """Label image files and log each answer under its path.

    Args:
        predictor: of the model.
        paths: the files, in the order of the answer.
        folder: of the log; made where it is missing.
    Raises:
        DataError: an image is missing or none, or the folder cannot be written to; what came before is logged.
    """
    predictions = []
    try:
        with PredictionLog(folder) as log:
            for path in paths:
                examined = predictor.examine(path)
                log.append([log_record(examined, str(path), predictor.model_sha256)])
                predictions.append(examined.prediction)
    except OSError as error:
        raise DataError(str(folder), expected="a folder that can be written to", received=str(error),
                        action="Give another folder with --log.") from None  # fmt: skip
    return predictions


def log_record(examined: Examined, image_id: str, model_sha256: str) -> LogRecord:
    """The row of one image, of now.

    Args:
        examined: from `Predictor.examine` or `examine_bytes`.
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
