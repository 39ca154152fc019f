"""What MLflow runs to serve the registered model: images in, labels out. Stored with the model, not imported here.

Input: a table with the column `image`: the bytes of an image file, the same as base64 text, or the path of one. Over
HTTP MLflow decodes base64 itself, so that nobody can ask for a path of the server.
Output: one row an image: label, probability (0…1), probabilities (JSON, class → probability), abstain (too unsure of
this class), ood_score (how unlike the training images; the drift score), out_of_distribution; the last three are empty
for a model without reference.npz.
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.exceptions import MlflowException

LONGEST_PATH = 4096


class ImageClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc, unused-ignore]
    """The pipeline's decoding, shrinking and .tflite file behind MLflow's common interface."""

    def load_context(self, context: Any) -> None:
        """Open the model's files; the code that does it was stored with them."""
        from automl_cnn_serving.serve.predict import Predictor  # type: ignore[import-not-found, unused-ignore]

        self._predictor = Predictor(Path(context.artifacts["quantized"]) / "model.tflite")

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Label every image of the column `image`; one that is no image is an error that names its row."""
        from automl_cnn_serving.errors import AutoMLError  # type: ignore[import-not-found, unused-ignore]

        try:
            found = [
                self._predictor.predict_bytes(_to_bytes(image), name=f"image[{row}]")
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


def _to_bytes(image: bytes | str) -> bytes:
    """Bytes as they are; text as a path where a file is, else decoded from base64, else refused as no image."""
    if not isinstance(image, str):
        return bytes(image)
    if len(image) <= LONGEST_PATH and "\0" not in image and Path(image).is_file():
        return Path(image).read_bytes()
    try:
        return base64.b64decode(image, validate=True)
    except binascii.Error:
        return image.encode()


mlflow.models.set_model(ImageClassifier())
