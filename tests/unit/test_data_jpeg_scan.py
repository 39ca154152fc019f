"""Bytes overwritten inside a JPEG are told from whatever an encoder may write."""

from __future__ import annotations

import io

import numpy as np
import pytest
from corpus import photo
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from automl_cnn.data.decode import DecodeError, decode
from automl_cnn.data.jpeg_scan import jpeg_damage


def jpeg(image: Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **options)
    return buffer.getvalue()


PICTURES = {
    "photo": photo(1, 200, 150),
    "one colour": Image.new("RGB", (400, 300), (30, 90, 200)),
    "noise": Image.fromarray(np.random.default_rng(2).integers(0, 256, (90, 120, 3), dtype=np.uint8)),
}


@given(
    st.sampled_from(sorted(PICTURES)),
    st.sampled_from(["RGB", "L", "CMYK"]),
    st.fixed_dictionaries({
        "quality": st.sampled_from([1, 10, 75, 100]), "optimize": st.booleans(), "progressive": st.booleans(),
        "subsampling": st.integers(0, 2), "restart_marker_rows": st.integers(0, 2),
    }),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_no_jpeg_of_an_encoder_is_called_damaged(name: str, mode: str, options: dict[str, int]) -> None:
    assert jpeg_damage(jpeg(PICTURES[name].convert(mode), **options)) is None


@pytest.mark.parametrize("size", [64, 512, 4096])
def test_a_hole_of_zeros_is_found_wherever_it_lies(size: int) -> None:
    whole = jpeg(PICTURES["noise"], quality=95)
    for start in range(len(whole) // 4, len(whole) - size - 100, len(whole) // 7):
        assert jpeg_damage(whole[:start] + bytes(size) + whole[start + size :]) is not None


def test_most_foreign_bytes_are_found() -> None:
    whole, rng = jpeg(PICTURES["noise"], quality=95), np.random.default_rng(1)
    start = len(whole) // 2
    found = [jpeg_damage(whole[:start] + rng.bytes(1024) + whole[start + 1024 :]) for _ in range(40)]
    assert sum(damage is not None for damage in found) >= 36


def test_a_lost_piece_between_two_restarts_is_found() -> None:
    whole = jpeg(PICTURES["noise"], restart_marker_rows=1)
    second, third = whole.index(b"\xff\xd1"), whole.index(b"\xff\xd2")
    damage = jpeg_damage(whole[:second] + whole[third:])
    assert damage is not None
    assert "restart" in damage


def test_what_stands_behind_the_picture_does_not_count() -> None:
    whole = jpeg(PICTURES["photo"])
    assert jpeg_damage(whole + bytes(5000) + b"\xff\xd3" * 20 + whole) is None


def test_a_damaged_jpeg_gives_no_picture_but_a_reason() -> None:
    whole = jpeg(PICTURES["noise"], quality=95)
    start = len(whole) // 2
    with pytest.raises(DecodeError, match="overwritten") as caught:
        decode(whole[:start] + bytes(300) + whole[start + 300 :], 32, "letterbox", 10)
    assert caught.value.status == "damaged"
