"""What is measured of a picture is what a person would say of it, and the set decides what is unusual."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from corpus import photo
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from automl_cnn.audit.odd_looks import look_issues
from automl_cnn.config import Thresholds
from automl_cnn.data.look import Look, measure_look


def looks(*images: Image.Image) -> list[Look]:
    return [measure_look(np.asarray(image)) for image in images]


def named(issue: str, looks: list[Look], sizes: list[tuple[int, int]] | None = None) -> list[int]:
    """Positions of the pictures that an issue is raised for."""
    sizes = sizes or [(100, 100)] * len(looks)
    usable = pd.DataFrame(sizes, columns=["width", "height"])
    usable["image_id"] = usable["path"] = [str(number) for number in range(len(looks))]
    properties = pd.DataFrame([vars(look) for look in looks]).assign(
        image_id=usable["image_id"], aspect=[max(size) / min(size) for size in sizes], megapixels=0.01
    )
    return [int(row["image_id"]) for row in look_issues(usable, properties, Thresholds()) if row["issue"] == issue]


def test_the_measures_are_those_of_their_definitions() -> None:
    pixels = np.asarray(photo(1))
    grey = np.asarray(photo(1).convert("L"), np.float64)
    inner = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * grey[1:-1, 1:-1]
    shares = np.bincount(grey.astype(int).ravel(), minlength=256) / grey.size
    found = measure_look(pixels)
    assert found.brightness == pytest.approx(grey.mean())
    assert found.contrast == pytest.approx(grey.std())
    assert found.sharpness == pytest.approx(inner.var())
    assert found.entropy == pytest.approx(-sum(share * np.log2(share) for share in shares if share))
    assert found.saturation == pytest.approx((pixels.max(axis=2).astype(float) - pixels.min(axis=2)).mean())
    assert found.grey_p99 == pytest.approx(np.percentile(grey, 99), abs=1)


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**32 - 1), st.integers(1, 256))
@settings(max_examples=80, deadline=None)
def test_every_picture_has_finite_measures_in_their_ranges(width: int, height: int, seed: int, top: int) -> None:
    found = measure_look(np.random.default_rng(seed).integers(0, top, (height, width, 3), dtype=np.uint8))
    assert all(np.isfinite(list(vars(found).values())))
    assert 0 <= found.entropy <= 8
    assert found.sharpness >= 0
    assert 0 <= found.grey_p05 <= found.grey_p99 <= 255


def test_a_set_that_is_soft_throughout_has_no_blurry_pictures_and_a_soft_one_among_sharp_ones_is_one() -> None:
    soft = [photo(seed).filter(ImageFilter.GaussianBlur(8)) for seed in range(6)]
    assert named("blurry", looks(*soft)) == []
    assert named("blurry", looks(*map(photo, range(6)), soft[0])) == [6]


def test_grey_pictures_are_named_where_colour_is_usual_and_not_where_they_are() -> None:
    grey = [photo(seed).convert("L").convert("RGB") for seed in range(4)]
    assert named("grey_among_colour", looks(*grey)) == []
    assert named("grey_among_colour", looks(*map(photo, range(9)), grey[0])) == [9]


def test_a_small_colourful_thing_on_white_is_not_grey_bright_or_blank() -> None:
    product = Image.new("RGB", (100, 100), "white")
    product.paste(photo(1, 40, 40), (30, 30))
    several = looks(*map(photo, range(5)), product)
    assert not [issue for issue in ("grey_among_colour", "bright", "blank") if named(issue, several)]


def test_sizes_that_are_nearly_all_equal_do_not_make_the_others_odd() -> None:
    sizes = [(400, 533)] * 60 + [(533, 400)] * 15 + [(400, 400)] * 15 + [(400, 711)] * 10
    assert named("odd_size", looks(photo(1)) * 100, sizes) == []


def test_a_size_far_from_all_others_is_odd_in_both_directions() -> None:
    sizes = [(400, 533)] * 40 + [(60, 80), (4000, 3000)]
    assert named("odd_size", looks(photo(1)) * 42, sizes) == [40, 41]


def test_a_set_of_panoramas_has_no_odd_aspect_ratio() -> None:
    assert named("odd_aspect_ratio", looks(photo(1)) * 10, [(900, 200)] * 10) == []
    assert named("odd_aspect_ratio", looks(photo(1)) * 10, [(400, 300)] * 9 + [(900, 200)]) == [9]


def test_no_pictures_have_no_issues() -> None:
    empty = pd.DataFrame(columns=["image_id", "path", "width", "height"])
    assert look_issues(empty, pd.DataFrame(columns=list(Look.__annotations__)), Thresholds()) == []
