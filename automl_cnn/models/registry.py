"""Every backbone that can be named in params.yaml."""

from __future__ import annotations

import difflib

from automl_cnn.errors import AutoMLError, ConfigError
from automl_cnn.models import (
    efficientnet,
    efficientnet_lite,
    efficientnet_v2,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    scratch,
)
from automl_cnn.models.application_table import OWN_NAMES, TABLE
from automl_cnn.models.applications import application_backbone
from automl_cnn.models.backbone import Application, Backbone, Normalization, TorchPackage

__all__ = ["BACKBONES", "Application", "Backbone", "Normalization", "TorchPackage", "backbone_of"]

FAMILIES = (
    efficientnet_lite.BACKBONES,
    efficientnet.BACKBONES,
    efficientnet_v2.BACKBONES,
    mobilenet.BACKBONES,
    mobilenet_v2.BACKBONES,
    mobilenet_v3.BACKBONES,
    scratch.BACKBONES,
)
BACKBONES: dict[str, Backbone] = {backbone.name: backbone for family in FAMILIES for backbone in family}


def backbone_of(name: str, where: str = "search.backbones") -> Backbone:
    """Look a backbone up.

    Args:
        name: as in params.yaml: of BACKBONES, or a class of keras.applications.
        where: the key that the name came from, for the error.
    Raises:
        ConfigError: there is none of this name; says which is closest.
    """
    own = OWN_NAMES.get(name, name)
    if own in BACKBONES:
        return BACKBONES[own]
    if application := application_backbone(name):
        return application
    close = difflib.get_close_matches(name, [*BACKBONES, *TABLE], n=1, cutoff=0.5)
    raise ConfigError(
        [
            AutoMLError(
                where, expected=f"one of {', '.join(BACKBONES)} or a class of keras.applications", received=repr(name),
                action=f"Did you mean {close[0]}?" if close else "`automl-cnn backbones` lists them.",
            )
        ]
    )  # fmt: skip
