"""What a feature depends on besides the picture, as a short name; told without TensorFlow, from the file of weights."""

from __future__ import annotations

from automl_cnn.errors import WeightsError
from automl_cnn.models import pretrained
from automl_cnn.models.registry import backbone_of
from automl_cnn.models.spec import Pooling

ENGINE_VERSION = 2  # raise it when the same weights and pixels give other features


def engine_key(
    backbone: str,
    input_size_px: int,
    weights_dir: str | None = None,
    pooling: Pooling = "average",
    download: bool = False,
) -> str:
    """Name the engine of a backbone; the LiteRT and the Keras engine share it, as their features do.

    Args:
        backbone: name in the registry.
        input_size_px: height and width it will be given.
        weights_dir: where weights are looked for first.
        pooling: how the last feature map becomes a vector.
        download: whether Keras's file may be fetched where no other is at hand.
    Raises:
        WeightsError: no pretrained weights can be had, or the network has none: it is trained from scratch.
    """
    known = backbone_of(backbone)
    if not known.pretrained:
        raise WeightsError(
            f"features of {known.name}", expected="a network with pretrained weights",
            received="one that is trained from scratch", action="Train it as a whole, or name another backbone.",
        )  # fmt: skip
    source = pretrained.find(known.name, weights_dir, download)
    if source is None:
        pretrained.load(known.name, weights_dir, download)  # says what is missing and where it was looked for
    return f"{known.name}-{input_size_px}-{pooling}-{pretrained.source_key(source)}-v{ENGINE_VERSION}"
