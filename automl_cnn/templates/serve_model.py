"""What MLflow runs to serve the registered model: images in, labels out. Stored with the model, not imported here.

Input: a table with the column `image`: the bytes of an image file, or the same as base64 text. Whoever loads the model
with model_config={"paths": True} may give paths of this machine as well. That is no parameter of a request: MLflow's
server hands on text as it comes, from CSV and Parquet say, and no client shall have files of the server read.
Output: one row an image: label, probability (0…1), probabilities (JSON, class → probability), abstain (too unsure of
this class), ood_score (how unlike the training images; the drift score), out_of_distribution; the last three are empty
for a model without reference.npz.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

LARGEST_FILE = 256 * 2**20  # bytes; 50 megapixels without compression are 150 MB


class ImageClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc, unused-ignore]
    """The pipeline's decoding, shrinking and .tflite file behind MLflow's common interface."""

    def load_context(self, context: Any) -> None:
        """Open the model's files; the code that does it was stored with them."""
        from automl_cnn_serving.serve.predict import Predictor  # type: ignore[import-not-found, unused-ignore]

        self._predictor = Predictor(Path(context.artifacts["quantized"]) / "model.tflite")
        self._paths = (context.model_config or {}).get("paths") is True

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Label every image of the column `image`; one that is no image is an error that names its row."""
        from automl_cnn_serving.errors import AutoMLError  # type: ignore[import-not-found, unused-ignore]

        try:
            found = [
                self._predictor.predict_bytes(_to_bytes(image, f"image[{row}]", self._paths), name=f"image[{row}]")
                for row, image in enumerate(model_input["image"])
            ]
        except AutoMLError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from None
        return pd.DataFrame(
            {
                "label": [one.label for one in found],
                "probability": [one.probability for one in found],
                "probabilities": [json.dumps(one.probabilities, ensure_ascii=False) for one in found],
                "abstain": [one.abstain for one in found],
                "ood_score": [one.ood_score for one in found],
                "out_of_distribution": [one.out_of_distribution for one in found],
            }
        )


def _to_bytes(image: bytes | str, name: str, paths: bool) -> bytes:
    """Bytes as they are; text as a path, where paths are taken and a file is there, else decoded from base64."""
    if not isinstance(image, str):
        return bytes(image)
    if paths and _is_file(image):
        return _read(Path(image), name)
    try:
        return base64.b64decode(image, validate=True)
    except ValueError:
        raise MlflowException.invalid_parameter_value(
            f"{name}: expected the bytes of an image file, or base64; received other text. Send the file's bytes, or "
            'load the model with model_config={"paths": True} to give paths.'
        ) from None


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # too long for a path, or in a folder that is closed to us
        return False


def _read(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise MlflowException.invalid_parameter_value(
            f"{name}: expected a file that can be read; received {path}: {error.strerror}. Check its permissions."
        ) from None
    if len(content) > LARGEST_FILE:
        raise MlflowException.invalid_parameter_value(
            f"{name}: expected a file of at most {LARGEST_FILE:,} bytes; received {path}, which is larger. Shrink it."
        )
    return content


mlflow.models.set_model(ImageClassifier())
