"""How weights move in fine-tuning: rates that fall from the head down, and a running average that is what is kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from automl_cnn.models.classifier import HEAD

NOT_DECAYED = ["bias", "gamma", "beta"]


def layerwise_optimizer(
    keras: Any,
    kind: str,
    levels: dict[str, int],
    layer_decay: float,
    weight_decay: float,
    momentum: float = 0.9,
    accumulate: int = 1,
) -> Any:
    """An optimizer that gives every layer its own rate.

    Args:
        keras: the Keras 3 namespace.
        kind: adamw, or sgd with Nesterov's momentum.
        levels: layer name → how high it stands, 0 to 9, by `models.classifier.levels`.
        layer_decay: the rate of level b is that of the head times layer_decay to the power of 9 − b.
        weight_decay: decoupled decay of the kernels, in proportion to their rates.
        momentum: of sgd.
        accumulate: batches whose gradients are averaged into one step.
    Returns:
        A Keras optimizer; its `learning_rate` is that of the head.
    Source: layer-wise decay as in Howard and Ruder 2018.
    """

    class Layerwise(keras.optimizers.AdamW if kind == "adamw" else keras.optimizers.SGD):  # type: ignore[misc]
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            super().update_step(gradient, variable, learning_rate * _share(variable))

        def _apply_weight_decay(self, variables: Iterable[Any]) -> None:
            for variable in variables:
                if self._use_weight_decay(variable):
                    variable.assign(variable * (1 - self.learning_rate * _share(variable) * self.weight_decay))

    def _share(variable: Any) -> float:
        name = variable.path if hasattr(variable, "path") else variable.name  # TensorFlow's own variable has the latter
        return float(layer_decay ** (HEAD - levels[name.split("/")[-2]]))

    own = {} if kind == "adamw" else {"momentum": momentum, "nesterov": True}
    optimizer = Layerwise(
        weight_decay=weight_decay, gradient_accumulation_steps=accumulate if accumulate > 1 else None, **own
    )
    optimizer.exclude_from_weight_decay(var_names=NOT_DECAYED)
    return optimizer


class WeightAverage:
    """An exponential moving average of weights. Without averaging (decay 0) it does nothing.

    Early on it forgets faster, so that a short training is not held to its start: in step t the decay is at most
    (1 + t) / (10 + t).

    Args:
        variables: Keras variables that are averaged.
        decay: share of the average that a step keeps, 0 to below 1.
    Attributes:
        state: TensorFlow variables that a checkpoint must keep.
    """

    def __init__(self, variables: list[Any], decay: float) -> None:
        import tensorflow as tf

        self._variables = variables if decay else []
        self._average = [tf.Variable(variable.value) for variable in self._variables]
        self._steps = tf.Variable(0.0)
        self.state = [*self._average, self._steps] if decay else []

        def update() -> None:
            kept = tf.minimum(decay, (1 + self._steps) / (10 + self._steps))
            self._steps.assign_add(1.0)
            for average, variable in zip(self._average, self._variables, strict=True):
                average.assign_sub((1 - kept) * (average - tf.cast(variable.value, average.dtype)))

        self._update = tf.function(update)

    def update(self) -> None:
        """Take in the weights of one more step."""
        if self._variables:
            self._update()

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Put the average in the weights' place for as long as the block runs."""
        own = [variable.numpy() for variable in self._variables]
        for variable, average in zip(self._variables, self._average, strict=True):
            variable.assign(average)
        try:
            yield
        finally:
            for variable, value in zip(self._variables, own, strict=True):
                variable.assign(value)
