"""Images through several copies of a file give what each gives alone, in order."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from colour_model import colour_model

from automl_cnn.litert import LiteCopies, LiteModel


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_copies_answer_as_one_model_does_one_image_after_the_other(threads: int) -> None:
    content = colour_model(16)
    images = np.random.default_rng(1).integers(0, 256, (7, 16, 16, 3)).astype(np.uint8)
    alone = LiteModel(content)
    copies = LiteCopies(content, threads)
    np.testing.assert_array_equal(copies.run_each(images), np.concatenate([alone.run(image[None]) for image in images]))
    assert copies.run_each(images[:0]).shape == (0, *copies.output_shape[1:])


def test_threads_that_share_a_file_get_their_own_answers() -> None:
    model = LiteModel(colour_model(512, sharpness=1.0))
    shades = [np.full(model.input_shape, 8 * number, np.uint8) for number in range(16)]
    for number, shade in enumerate(shades):
        shade[..., number % 3] += number
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(model.run, shades * 8))
    expected = [model.run(shade) for shade in shades] * 8
    assert np.array_equal(found, expected)
