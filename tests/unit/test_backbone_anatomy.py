"""What a backbone costs, told without TensorFlow, is what its authors published."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.models.anatomy import anatomy_of
from automl_cnn.models.application_table import COUNTS, OWN_NAMES, TABLE
from automl_cnn.models.registry import BACKBONES, backbone_of

CLASSES = 1000
# millions of multiply-adds with the 1,000-class head, at the network's own input size, as the papers print them
PUBLISHED = {
    "mobilenet-1.0": 569, "mobilenet-0.75": 325, "mobilenet-0.5": 149, "mobilenet-0.25": 41, "mobilenetv2-1.0": 300,
    "mobilenetv2-0.75": 209, "mobilenetv2-0.5": 97, "mobilenetv2-0.35": 59, "mobilenetv2-1.3": 509,
    "mobilenetv2-1.4": 582,
    "efficientnet-b0": 390, "efficientnet-b1": 700, "efficientnet-b2": 1000, "efficientnet-b3": 1800,
    "efficientnet-b4": 4200, "efficientnet-b5": 9900, "efficientnet-b6": 19000, "efficientnet-b7": 37000,
    "efficientnetv2-b0": 720, "efficientnetv2-b1": 1200, "efficientnetv2-b2": 1700, "efficientnetv2-b3": 3000,
    "efficientnet-lite0": 407, "efficientnet-lite1": 631, "efficientnet-lite2": 899, "efficientnet-lite3": 1440,
    "efficientnet-lite4": 2640,
}  # fmt: skip
# Lite's authors count more than convolutions, which is 4 to 6 % on top; EfficientNet's round to two digits.
TOLERANCE = {"EfficientNet-Lite": 0.06, "EfficientNet": 0.05, "EfficientNetV2": 0.02}


@pytest.mark.parametrize("name", PUBLISHED)
def test_multiply_adds_are_the_published_ones(name: str) -> None:
    backbone = BACKBONES[name]
    counted = anatomy_of(backbone, backbone.input_size_px).multiply_adds + backbone.width * CLASSES
    assert counted / 1e6 == pytest.approx(PUBLISHED[name], rel=TOLERANCE.get(backbone.family, 0.012))


@pytest.mark.parametrize(("name", "hidden", "published"), [("small", 1024, 56), ("large", 1280, 219)])
def test_multiply_adds_of_mobilenet_v3_are_the_published_ones(name: str, hidden: int, published: int) -> None:
    backbone = BACKBONES[f"mobilenetv3-{name}-1.0"]
    head = backbone.width * hidden + hidden * CLASSES  # its classifier has a hidden layer
    assert (anatomy_of(backbone, 224).multiply_adds + head) / 1e6 == pytest.approx(published, rel=0.02)


# "Computing receptive fields of convolutional neural networks", Araujo et al. 2019
@pytest.mark.parametrize(
    ("name", "field_px"), [("mobilenet-1.0", 315), ("VGG16", 212), ("ResNet50", 483), ("InceptionV3", 1311)]
)
def test_receptive_fields_are_the_published_ones(name: str, field_px: int) -> None:
    backbone = backbone_of(name)
    assert anatomy_of(backbone, backbone.input_size_px).receptive_field_px == field_px


@pytest.mark.parametrize("name", BACKBONES)
def test_the_registry_says_how_wide_the_features_are(name: str) -> None:
    backbone = BACKBONES[name]
    assert anatomy_of(backbone, 96).width == backbone.width


def test_networks_from_scratch_stay_small() -> None:
    assert anatomy_of(BACKBONES["smallnet"], 96).parameters < 200_000
    assert anatomy_of(BACKBONES["lenet5"], 64).parameters < 100_000


def test_lenet_sees_exactly_the_paper_s_image_and_gives_one_place_of_it() -> None:
    assert anatomy_of(BACKBONES["lenet5"], 32).receptive_field_px == 32
    multiply_adds = 28 * 28 * 6 * 75 + 10 * 10 * 16 * 150 + 120 * 400 + 84 * 120
    assert anatomy_of(BACKBONES["lenet5"], 32).multiply_adds == multiply_adds


def test_folding_takes_the_normalizations_away_and_no_multiply_add() -> None:
    backbone = BACKBONES["efficientnetv2-b1"]
    whole, folded = anatomy_of(backbone, 96), anatomy_of(backbone, 96, folded=True)
    assert folded.parameters < whole.parameters
    assert folded.multiply_adds == whole.multiply_adds


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(sorted(BACKBONES)), st.integers(48, 320), st.integers(1, 64))
def test_larger_images_never_cost_less_and_never_more_parameters(name: str, size_px: int, more_px: int) -> None:
    small, large = (anatomy_of(BACKBONES[name], size) for size in (size_px, size_px + more_px))
    assert large.multiply_adds >= small.multiply_adds
    assert large.parameters == small.parameters


def test_every_class_of_keras_applications_that_can_be_named_has_its_counts() -> None:
    assert set(COUNTS) == set(TABLE)
    assert set(OWN_NAMES.values()) <= set(BACKBONES)


def test_a_class_that_is_defined_here_is_known_by_both_names() -> None:
    assert backbone_of("MobileNetV2") is backbone_of("mobilenetv2-1.0")
