"""What a classifier is made of: the few values from which any process can build the same network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from automl_cnn.artifacts import read_json, write_json
from automl_cnn.errors import ArtifactError

Pooling = Literal["average", "gem"]


@dataclass(frozen=True)
class ClassifierSpec:
    """A backbone with a head.

    Attributes:
        backbone: name in the registry, such as efficientnet-lite0.
        input_size_px: height and width of the square input.
        classes: number of classes, at least 2.
        hidden_units: width of the hidden layer between pooling and output; 0 for none.
        dropout: share of pooled features dropped in training, 0 to below 1.
        pooling: how the last feature map becomes a vector: average, or gem (generalized mean, power 3), which does not
            quantize.
    """

    backbone: str
    input_size_px: int
    classes: int
    hidden_units: int = 0
    dropout: float = 0.2
    pooling: Pooling = "average"

    def save(self, path: Path) -> None:
        """Write as JSON."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: Path) -> ClassifierSpec:
        """Read what `save` wrote.

        Raises:
            ArtifactError: the file is missing, damaged or from another release.
        """
        values: dict[str, Any] = read_json(path)
        try:
            return cls(**values)
        except TypeError:
            raise ArtifactError(
                str(path), expected="a classifier's values", received=", ".join(values), action="Run `dvc repro`."
            ) from None
