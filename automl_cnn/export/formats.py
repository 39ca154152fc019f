"""What `automl-cnn export` can write: one trained network as the files that different runtimes load.

Every format takes raw pixels, uint8 RGB of the network's input size in 0 to 255, and gives calibrated probabilities:
normalization and temperature are inside. tflite is the file that the pipeline has scored and ships; all others are the
float network that it was made from.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from automl_cnn.artifacts import Files
from automl_cnn.errors import ExportError
from automl_cnn.quiet import import_quietly, native_messages_dropped

ONNX_OPSET = 17


LISTING = "export.json"  # names the files of an export


@dataclass(frozen=True)
class Format:
    """One kind of file.

    Attributes:
        name: on the command line.
        file: what is written, file or folder.
        needs: packages that writing takes beside the project's own.
        write: (artifacts, where to).
        shipped: it is the file that the pipeline has scored; False for the float network.
        about: where it runs, for people.
    """

    name: str
    file: str
    needs: tuple[str, ...]
    write: Callable[[Files, Path], None]
    shipped: bool
    about: str


def chosen_formats(names: str) -> list[Format]:
    """The formats that a comma-separated list names.

    Raises:
        ExportError: one is unknown, or needs a package that is not installed.
    """
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown or not wanted:
        raise ExportError(
            "--format", expected=f"some of {', '.join(FORMATS)}, with commas between them",
            received=", ".join(unknown) or "none", action="Name the formats you want.",
        )  # fmt: skip
    for name in wanted:
        if missing := [package for package in FORMATS[name].needs if find_spec(package) is None]:
            raise ExportError(
                f"format {name}", expected=f"the package {' and '.join(missing)}", received="none installed",
                action="Install it: pip install 'automl-cnn[export]'.",
            )  # fmt: skip
    return [FORMATS[name] for name in dict.fromkeys(wanted)]


def _tflite(files: Files, target: Path) -> None:
    shutil.copyfile(files.quantized / "model.tflite", target)


def _keras(files: Files, target: Path) -> None:
    shutil.copyfile(files.model / "model.keras", target)


def _saved_model(files: Files, target: Path) -> None:
    import_quietly("tensorflow")
    import tensorflow as tf

    function, variables = _on_pixels(files)
    module = tf.Module()
    module.kept_variables, module.classify = variables, function
    with native_messages_dropped():
        tf.saved_model.save(module, str(target), signatures={"serving_default": function})


def _onnx(files: Files, target: Path) -> None:
    import_quietly("tensorflow")
    import tf2onnx.convert

    function, _ = _on_pixels(files)
    with native_messages_dropped():
        tf2onnx.convert.from_function(
            function, input_signature=function.input_signature, opset=ONNX_OPSET, output_path=str(target)
        )


def _openvino(files: Files, target: Path) -> None:
    import openvino

    model = openvino.convert_model(files.quantized / "float32.tflite")
    openvino.save_model(model, target, compress_to_fp16=False)


def _on_pixels(files: Files) -> tuple[Any, list[Any]]:
    """A TensorFlow function, uint8 [n, H, W, 3] to float32 [n, classes], and the variables that it reads."""
    import_quietly("keras")
    import keras
    import tensorflow as tf

    from automl_cnn.models.classifier import build_classifier
    from automl_cnn.models.spec import ClassifierSpec
    from automl_cnn.models.weights import assign_weights, load_weights

    spec = ClassifierSpec.load(files.model / "spec.json")
    model = build_classifier(keras, replace(spec, dropout=0.0))
    assign_weights(model, load_weights(files.model / "weights.npz"))
    signature = tf.TensorSpec((None, spec.input_size_px, spec.input_size_px, 3), tf.uint8, name="image")

    @tf.function(input_signature=[signature], autograph=False)  # type: ignore[untyped-decorator]
    def classify(image: Any) -> dict[str, Any]:
        return {"probabilities": model(tf.cast(image, tf.float32), training=False)}

    return classify, [variable.value for variable in model.variables]


FORMATS = {
    known.name: known
    for known in (
        Format(
            "tflite", "model.tflite", (), _tflite, shipped=True,
            about="LiteRT, MediaPipe Tasks, Android, iOS, browsers; labels and preprocessing are inside",
        ),
        Format("keras", "model.keras", (), _keras, shipped=False, about="Keras 3: to train further"),
        Format("savedmodel", "saved_model", (), _saved_model, shipped=False, about="TensorFlow and TF Serving"),
        Format(
            "onnx", "model.onnx", ("tf2onnx", "onnx"), _onnx, shipped=False, about="ONNX Runtime and what reads ONNX"
        ),
        Format("openvino", "model.xml", ("openvino",), _openvino, shipped=False, about="OpenVINO, with its .bin"),
    )
}  # fmt: skip
