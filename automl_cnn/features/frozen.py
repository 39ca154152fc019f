"""A frozen network: what gives features, and the short name by which they are kept; told without TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from automl_cnn.errors import WeightsError
from automl_cnn.models import pretrained
from automl_cnn.models.registry import backbone_of
from automl_cnn.models.spec import Pooling
from automl_cnn.models.weights import Weights

ENGINE_VERSION = 2  # raise it when the same weights and pixels give other features


@dataclass(frozen=True)
class FrozenNetwork:
    """A pretrained network up to its pooled features.

    Attributes:
        backbone: name in the registry.
        input_size_px: height and width it is given.
        pooling: how the last feature map becomes a vector.
        weights_dir: where weights are looked for first.
        download: whether Keras's file of weights may be fetched where no other is at hand.
    """

    backbone: str
    input_size_px: int
    pooling: Pooling = "average"
    weights_dir: str | None = None
    download: bool = False

    @property
    def width(self) -> int:
        """Number of features."""
        return backbone_of(self.backbone).width

    def key(self) -> str:
        """What its features depend on besides the picture; the LiteRT and the Keras engine share it.

        Raises:
            WeightsError: no pretrained weights can be had, or the network has none: it is trained from scratch.
        """
        known = backbone_of(self.backbone)
        if not known.pretrained:
            raise WeightsError(
                f"features of {known.name}", expected="a network with pretrained weights",
                received="one that is trained from scratch", action="Train it as a whole, or name another backbone.",
            )  # fmt: skip
        source = pretrained.find(known.name, self.weights_dir, self.download)
        if source is None:
            self.load()  # says what is missing and where it was looked for
        return f"{known.name}-{self.input_size_px}-{self.pooling}-{pretrained.source_key(source)}-v{ENGINE_VERSION}"

    def load(self) -> Weights:
        """Its pretrained weights.

        Raises:
            WeightsError: they cannot be had.
        """
        return pretrained.load(self.backbone, self.weights_dir, self.download)
