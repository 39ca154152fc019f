"""What MLflow runs to serve the registered model: image bytes in, labels out. Stored with the model, not imported here.

Input: a table with the column `image`: the bytes of an image file, or the same as base64 text.
Output: one row an image: label, probability (0…1), probabilities (JSON, class → probability).
"""

from __future__ import annotations

import base64
import binascii
import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd


class ImageClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc, unused-ignore]
    """The pipeline's decoding, shrinking and .tflite file behind MLflow's common interface."""

    def load_context(self, context: Any) -> None:
        """Open the three files; the code that does it was stored with them."""
        from automl_cnn_serving.serve.predict import Predictor  # type: ignore[import-not-found, unused-ignore]

        self._predictor = Predictor(Path(context.artifacts["quantized"]) / "model.tflite")

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Label every image of the column `image`."""
        found = [
            self._predictor.predict_bytes(_to_bytes(image), name=f"image[{i}]")
            for i, image in enumerate(model_input["image"])
        ]
        return pd.DataFrame(
            {
                "label": [one.label for one in found],
                "probability": [one.probability for one in found],
                "probabilities": [json.dumps(one.probabilities, ensure_ascii=False) for one in found],
            }
        )


def _to_bytes(image: bytes | str) -> bytes:
    """Bytes as they are; text decoded from base64, or left as bytes that are then refused as no image."""
    if not isinstance(image, str):
        return bytes(image)
    try:
        return base64.b64decode(image, validate=True)
    except binascii.Error:
        return image.encode()


mlflow.models.set_model(ImageClassifier())
