"""Grad-CAM: which part of a picture speaks for a class, for every network that this project builds.

All of them end alike: a last feature map, `pooled` to a vector, and a head. So the network is cut before its pooling;
the lower part is run once a batch, and only the few layers above it are differentiated.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl_cnn.models.classifier import POOLED, build_classifier
from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.models.weights import Weights, assign_weights
from automl_cnn.progress import Progress, silent

BATCH = 16


class GradCam:
    """A trained network, cut before its pooling.

    Args:
        spec: what it is built from, with average or GeM pooling, with or without a hidden layer.
        weights: by layer name, of the unfolded network.
    Raises:
        WeightsError: the weights belong to another network.
        ConfigError: the backbone is unknown.
    """

    def __init__(self, spec: ClassifierSpec, weights: Weights) -> None:
        import keras

        network = build_classifier(keras, replace(spec, dropout=0.0))
        assign_weights(network, weights)
        pooling = next(layer for layer in network.layers if layer.name.startswith(POOLED))
        last_map = pooling.input
        self._lower = keras.Model(network.inputs[0], last_map)
        self._upper = keras.Model(last_map, network.get_layer("logits").output)
        self.size_px = spec.input_size_px

    def explain(
        self, images: NDArray[np.uint8], classes: NDArray[np.int64], progress: Progress = silent
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Draw one heat map an image and class.

        Args:
            images: uint8 RGB [n, S, S, 3], S = size_px.
            classes: int64 [n, c], the classes that are asked about for each image.
            progress: told after every BATCH images.
        Returns:
            Heat uint8 [n, c, S, S]: 255 where most speaks for the class, 0 where nothing does; all 0 where nothing in
            the whole picture does. And the class that the network itself answers, int64 [n].
        Source: Selvaraju et al. 2017, equations 1 and 2.
        """
        heat = np.zeros((*classes.shape, self.size_px, self.size_px), np.uint8)
        answers = np.empty(len(images), np.int64)
        for start in range(0, len(images), BATCH):
            part = slice(start, start + BATCH)
            maps = self._lower(images[part].astype(np.float32), training=False)
            for number in range(classes.shape[1]):
                logits, coarse = self._speaks(maps, classes[part, number])
                heat[part, number] = [_spread(one, self.size_px) for one in coarse]
            answers[part] = logits.argmax(axis=1)
            progress("explanations", min(start + BATCH, len(images)), len(images))
        return heat, answers

    def _speaks(self, maps: Any, wanted: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits [b, classes], and what speaks for the wanted class, float32 [b, h, w], at least 0."""
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(maps)
            logits = self._upper(maps, training=False)
            asked = tf.gather(logits, wanted, batch_dims=1)
        importance = tf.reduce_mean(tape.gradient(asked, maps), axis=(1, 2), keepdims=True)  # (b, 1, 1, channels)
        speaks = tf.nn.relu(tf.reduce_sum(importance * maps, axis=-1))
        return np.asarray(logits), np.asarray(speaks)


def _spread(coarse: NDArray[np.float32], size_px: int) -> NDArray[np.uint8]:
    """A map of a few places as a smooth one of the picture's size, its highest place at 255."""
    top = float(coarse.max())
    if not top > 0:
        return np.zeros((size_px, size_px), np.uint8)
    smooth = Image.fromarray(coarse / top).resize((size_px, size_px), Image.Resampling.BICUBIC)
    return np.asarray(np.clip(np.asarray(smooth) * 255, 0, 255).round(), np.uint8)
