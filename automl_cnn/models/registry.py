"""Every backbone that can be named in params.yaml."""

from __future__ import annotations

import difflib

from automl_cnn.errors import AutoMLError, ConfigError
from automl_cnn.models import efficientnet_lite, mobilenet, mobilenet_v2, mobilenet_v3
from automl_cnn.models.backbone import Application, Backbone, Normalization, TorchPackage

__all__ = ["BACKBONES", "Application", "Backbone", "Normalization", "TorchPackage", "backbone_of"]

FAMILIES = (efficientnet_lite.BACKBONES, mobilenet.BACKBONES, mobilenet_v2.BACKBONES, mobilenet_v3.BACKBONES)
BACKBONES: dict[str, Backbone] = {backbone.name: backbone for family in FAMILIES for backbone in family}


def backbone_of(name: str, where: str = "search.backbones") -> Backbone:
    """Look a backbone up.

    Args:
        name: as in params.yaml.
        where: the key that the name came from, for the error.
    Raises:
        ConfigError: there is none of this name; says which is closest.
    """
    if name in BACKBONES:
        return BACKBONES[name]
    close = difflib.get_close_matches(name, BACKBONES, n=1, cutoff=0.5)
    raise ConfigError(
        [
            AutoMLError(
                where, expected=f"one of {', '.join(BACKBONES)}", received=repr(name),
                action=f"Did you mean {close[0]}?" if close else "`automl-cnn backbones` lists them.",
            )
        ]
    )  # fmt: skip
