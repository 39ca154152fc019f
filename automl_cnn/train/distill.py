"""Distillation: a smaller network also learns from what a larger, fine-tuned one says of the same view."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from automl_cnn.features.engine import Engine, FeatureEngine, KerasEngine, gpu_present, to_litert
from automl_cnn.models.classifier import build_classifier
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import Weights, assign_weights


@dataclass(frozen=True)
class Teacher:
    """A trained network that is asked, never trained.

    Attributes:
        engine: uint8 images of its own input size to logits float32 [n, classes].
        input_size_px: height and width it takes.
    """

    engine: Engine
    input_size_px: int


def teacher_of(spec: ClassifierSpec, weights: Weights) -> Teacher:
    """Make a teacher of a network that was fine-tuned.

    Args:
        spec: of the teacher; its classes are the student's.
        weights: of every layer of `build_classifier`.
    """
    import keras

    model = build_classifier(keras, spec)
    assign_weights(model, weights)
    network = keras.Model(model.inputs[0], model.get_layer("logits").output)
    engine = KerasEngine(network) if gpu_present() else FeatureEngine(to_litert(network))
    return Teacher(engine, spec.input_size_px)


def loss_function(keras: Any, label_smoothing: float, weight: float, temperature: float) -> Any:
    """The loss of a student.

    Args:
        keras: the namespace.
        label_smoothing: of the labels' part, 0 to below 1.
        weight: of the teacher's part, 0 to 1; 0 is plain cross-entropy.
        temperature: softens both sides of the teacher's part.
    Returns:
        A function of targets and logits [b, classes]. Targets are one-hot labels [b, classes]; where the weight is
        above 0 the teacher's logits stand beside them, [b, 2 · classes].
    Source: Hinton et al. 2015; the teacher's part times the temperature squared, so that the rates stay comparable.
    """
    smoothed = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing, reduction="none")
    if not weight:
        return keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)

    def distilling(targets: Any, logits: Any) -> Any:
        classes = logits.shape[-1]
        labels, advice = targets[:, :classes], targets[:, classes:]
        softened = keras.losses.categorical_crossentropy(
            keras.ops.softmax(advice / temperature), logits / temperature, from_logits=True
        )
        return (1 - weight) * smoothed(labels, logits) + weight * temperature**2 * softened

    return distilling
