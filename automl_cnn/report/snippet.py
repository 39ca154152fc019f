"""The few lines of Python that run the shipped file without this package."""

from __future__ import annotations

from automl_cnn.report.run_facts import UseFacts

_FIT = {
    "letterbox": "photo = ImageOps.pad(photo, ({size}, {size}), Image.Resampling.BILINEAR)  # black bars",
    "crop": "photo = ImageOps.fit(photo, ({size}, {size}), Image.Resampling.BILINEAR)  # the middle square",
    "stretch": "photo = photo.resize(({size}, {size}), Image.Resampling.BILINEAR)",
}
_SNIPPET = """\
import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image, ImageOps

labels = open("artifacts/quantized/labels.txt", encoding="utf-8").read().splitlines()
model = Interpreter("artifacts/quantized/model.tflite")
model.allocate_tensors()

photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("RGB")
{fit}
photo = photo.resize(({input}, {input}), Image.Resampling.BILINEAR)

model.set_tensor(model.get_input_details()[0]["index"], np.asarray(photo)[None])  # uint8 [1, {input}, {input}, 3]
model.invoke()
output = model.get_output_details()[0]
probabilities = model.get_tensor(output["index"])[0] * (output["quantization"][0] or 1)
print(labels[probabilities.argmax()], probabilities.max())
"""


def python_snippet(use: UseFacts) -> str:
    """Python for `use`: numpy, Pillow and ai-edge-litert are all it needs.

    Sizes are those of the pipeline: every picture goes through the working size, as in training.
    """
    fit = _FIT[use.resize].format(size=use.working_size_px)
    return _SNIPPET.format(fit=fit, input=use.input_size_px)
