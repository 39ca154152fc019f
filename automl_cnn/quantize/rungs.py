"""How the file of every rung is made, from the tf_keras twin of the trained network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from automl_cnn.config import QuantizeParams
from automl_cnn.errors import QuantizeError
from automl_cnn.models.registry import backbone_of
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.progress import Progress
from automl_cnn.quantize import convert
from automl_cnn.quantize.ai_edge import convert_ai_edge_int8
from automl_cnn.quantize.calibrate import Ranges
from automl_cnn.quantize.gate import AI_EDGE_INT8, FLOAT16, FLOAT32, FLOAT_HEAD, PTQ_INT8, QAT_INT8, WEIGHT_ONLY
from automl_cnn.quantize.images import LabelledImages
from automl_cnn.quantize.ladder import Yardstick, run_all, validation_rank
from automl_cnn.quantize.qat import QatSettings, checkpoints, draw_batches, mix_targets, train_simulated
from automl_cnn.quantize.support import unsupported_layers

Exports = Mapping[str, Callable[[], bytes]]
"""Name of a rung → what makes its file."""


@dataclass(frozen=True)
class Making:
    """How every rung of the ladder is made.

    Attributes:
        spec, twin: the trained network.
        equalized: the same with equalized channels and room for its biases, from which int8 files are made.
        ranges: of its outputs on the calibration images; none where the network is in Keras 3 alone.
        calibration: uint8 [n, H, W, 3].
        training: images to learn from.
        yardstick: validation images, and by what the best of late checkpoints is chosen.
        params: no value is None.
        folder: where the files are; the float32 file teaches the simulation.
        progress: told about every batch, step and image.
    """

    spec: ClassifierSpec
    twin: Any
    equalized: Any
    ranges: Ranges
    calibration: NDArray[np.uint8]
    training: LabelledImages
    yardstick: Yardstick
    params: QuantizeParams
    folder: Path
    progress: Progress

    def exports(self) -> Exports:
        """How each rung's file is made, the one that teaches and the ones that are compared first."""
        return {
            FLOAT32: partial(convert.convert_float32, self.twin),
            FLOAT16: partial(convert.convert_float16, self.twin),
            PTQ_INT8: partial(convert.convert_ptq_int8, self.equalized, self.calibration),
            AI_EDGE_INT8: partial(convert_ai_edge_int8, self.equalized, self.calibration),
            QAT_INT8: partial(self._trained, convert.convert_qat_int8, float_head=False),
            FLOAT_HEAD: partial(self._trained, convert.convert_float_head, float_head=True),
            WEIGHT_ONLY: partial(convert.convert_weight_only, self.twin),
        }

    def _trained(self, convert_simulated: Callable[[Any], bytes], *, float_head: bool) -> bytes:
        """Simulate int8, train under the float file as teacher, convert; the best of the late checkpoints."""
        if not (backbone_of(self.spec.backbone).quantizes and self.spec.pooling == "average"):
            layers = ", ".join(unsupported_layers(self.twin)) or "built by Keras 3 alone"
            why = layers if self.spec.pooling == "average" else f"{self.spec.pooling} pooling"
            raise QuantizeError(
                "quantization-aware training", expected="a network of layers that it can simulate",
                received=f"{self.spec.backbone}: {why}",
                action="Ship what passes without it, or name one that `automl-cnn backbones` marks as fit for it.",
            )  # fmt: skip
        from automl_cnn.quantize.scheme import simulate_int8

        params, training = self.params, self.training
        assert params.steps is not None  # the preset fills them in
        assert params.learning_rate is not None
        settings = QatSettings(params.steps, params.batch_size, params.learning_rate, params.seed)
        simulated = simulate_int8(self.equalized, self.ranges, float_head=float_head)
        if not params.steps:
            return convert_simulated(simulated)
        batches = draw_batches(len(training.labels), settings)
        targets = np.zeros((len(training.labels), self.twin.output_shape[-1]), np.float32)
        # Asked once and through LiteRT: three times as fast as Keras, and only for images that training will see.
        seen = np.unique(batches).tolist()
        teacher = self.folder / f"{FLOAT32}.tflite"
        answers = run_all(teacher, training.images, seen, "asking the float network", self.progress)
        targets[seen] = mix_targets(answers, training.labels[seen])
        steps = train_simulated(simulated, training.images, targets, batches, settings.learning_rate, self.progress)
        # Late checkpoints differ by the rounding of a few weights, which on a small validation set is a few images.
        files = (convert_simulated(simulated) for done in steps if done in checkpoints(params.steps))
        return max(files, key=partial(validation_rank, yardstick=self.yardstick, progress=self.progress))
