"""What travels with a model: thresholds that keep their word, strange images found, features from the file itself."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from colour_model import LABELS, colour_model
from colour_run import write_colour_run
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from test_serve_predict import PREPROCESSING, model  # noqa: F401  a fixture

from automl_cnn.artifacts import SPLITS, read_table, write_table
from automl_cnn.errors import ModelFileError
from automl_cnn.litert import LiteCopies, LiteModel
from automl_cnn.reference import ood
from automl_cnn.reference.abstention import thresholds
from automl_cnn.reference.build import build_reference
from automl_cnn.reference.record import Reference
from automl_cnn.reference.sketch import Sketcher
from automl_cnn.reference.statistics import STATISTICS, image_statistics
from automl_cnn.serve.predict import Predictor
from automl_cnn.tflite_features import with_features


def _images(count: int, seed: int = 1) -> NDArray[np.uint8]:
    """Pictures of one colour each, with some noise: uint8 [count, 32, 32, 3]."""
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (count, 1, 1, 3))
    return np.clip(colours + rng.integers(-9, 10, (count, 32, 32, 3)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("quantized", [False, True])
def test_the_file_gives_its_features_beside_the_same_probabilities(quantized: bool) -> None:
    content, images = colour_model(32, quantized=quantized), _images(5)
    both = LiteModel(with_features(content), outputs=2)
    for image in images:
        probabilities, features = both.run_outputs(image[None])
        assert (probabilities == LiteModel(content).run(image[None])).all()
        assert features[0] == pytest.approx(image.mean(axis=(0, 1)), abs=1e-3)  # what its head receives: mean colour


def test_copies_give_features_in_the_order_of_the_images() -> None:
    images = _images(9)
    probabilities, features = LiteCopies(with_features(colour_model(32)), threads=2, outputs=2).run_each_outputs(images)
    assert features == pytest.approx(images.mean(axis=(1, 2)), abs=1e-3)
    assert (probabilities == LiteCopies(colour_model(32), threads=1).run_each(images)).all()


def test_a_file_of_one_output_is_refused_where_features_are_wanted() -> None:
    with pytest.raises(ModelFileError, match="2 outputs"):
        LiteModel(colour_model(32), outputs=2)


answers_and_probabilities = st.integers(0, 2**32 - 1).flatmap(
    lambda seed: st.tuples(st.just(seed), st.integers(1, 80), st.integers(2, 4), st.sampled_from([0.5, 0.9, 0.99]))
)


@given(answers_and_probabilities)
def test_from_the_threshold_on_answers_are_as_precise_as_was_wanted(case: tuple[int, int, int, float]) -> None:
    seed, n, classes, precision = case
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(classes, 0.5), n).astype(np.float32)
    probabilities = np.round(probabilities * 16) / 16  # many equal ones, as in an int8 file
    answers = np.where(rng.random(n) < 0.8, probabilities.argmax(axis=1), rng.integers(0, classes, n))
    labels = [str(index) for index in range(classes)]
    predicted, given_probability = probabilities.argmax(axis=1), probabilities.max(axis=1)
    for index, (label, least) in enumerate(thresholds(answers, probabilities, labels, precision).items()):
        assert label == labels[index]
        if least is not None:
            kept = (predicted == index) & (given_probability >= least)
            assert (answers[kept] == index).sum() >= precision * (kept.sum() + 1) - 1e-6


def test_few_images_promise_nothing() -> None:
    probabilities = np.tile(np.array([[0.9, 0.1]], np.float32), (8, 1))
    found = thresholds(np.zeros(8, np.int64), probabilities, ["a", "b"], 0.9)
    assert found == {"a": None, "b": None}  # eight of eight are eight of nine


def test_answers_that_are_all_right_are_all_kept() -> None:
    probabilities = np.column_stack([np.linspace(0.5, 1, 30), np.linspace(0.5, 0, 30)]).astype(np.float32)
    assert thresholds(np.zeros(30, np.int64), probabilities, ["a", "b"], 0.9)["a"] == 0.0


def test_a_twentieth_of_the_usual_images_lies_above_the_threshold_and_strange_ones_do() -> None:
    rng = np.random.default_rng(1)
    usual = rng.normal(0, 1, (1500, 12)).astype(np.float32) * np.array([4, 2] + [0.1] * 10, np.float32) + 5
    sketcher = Sketcher.fit(usual[:500])
    bank, seen, new = (sketcher(usual[start : start + 500]) for start in (0, 500, 1000))
    least = ood.threshold(ood.scores(seen, bank))
    assert 0.95 <= (ood.scores(seen, bank) <= least).mean() <= 0.955
    assert (ood.scores(new, bank) > least).mean() < 0.1
    strange = sketcher(rng.normal(0, 9, (100, 12)).astype(np.float32))
    assert (ood.scores(strange, bank) > least).mean() > 0.9


def test_a_sketch_has_unit_length_and_no_more_numbers_than_there_are_axes() -> None:
    features = np.random.default_rng(1).normal(size=(10, 200)).astype(np.float32)
    sketches = Sketcher.fit(features)(features)
    assert sketches.shape[1] <= 64
    assert np.linalg.norm(sketches, axis=1) == pytest.approx(1, abs=1e-3)


def test_statistics_leave_the_letterbox_out() -> None:
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[16:48] = 200  # a picture of 2 × 1 in its letterbox
    found = dict(zip(STATISTICS, image_statistics(picture, 400, 200, "letterbox"), strict=True))
    assert found["brightness"] == 200
    assert found["contrast"] == 0
    assert found["aspect"] == 2
    assert found["megapixels"] == pytest.approx(0.08)


def _reference(sha256: str) -> Reference:
    images = _images(60)
    probabilities, features = LiteCopies(
        with_features(colour_model(32, quantized=True)), threads=1, outputs=2
    ).run_each_outputs(images)
    sketcher = Sketcher.fit(features)
    sketches = sketcher(features)
    right = probabilities.argmax(axis=1)
    answers = np.where(probabilities.max(axis=1) > 0.8, right, (right + 1) % 3)  # wrong wherever it is in doubt
    return Reference(
        tuple(LABELS), sha256, sketcher, sketches, sketches, probabilities, answers, np.arange(60),
        np.array([image_statistics(image, 32, 32, "stretch") for image in images]),
        {each: thresholds(answers, probabilities, LABELS, each) for each in (0.8, 0.9)}, 0.8,
        ood.threshold(ood.scores(sketches, sketches)),
    )  # fmt: skip


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    saved = _reference("0" * 64)
    saved.save(tmp_path / "reference.npz")
    loaded = Reference.load(tmp_path / "reference.npz")
    assert (loaded.labels, loaded.thresholds, loaded.precision) == (saved.labels, saved.thresholds, saved.precision)
    assert loaded.sketches == pytest.approx(saved.sketches, abs=1e-3)
    assert loaded.statistics == pytest.approx(saved.statistics, rel=1e-6)
    features = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)
    assert loaded.sketcher(features) == pytest.approx(saved.sketcher(features), abs=1e-6)
    first = (tmp_path / "reference.npz").read_bytes()
    saved.save(tmp_path / "reference.npz")
    assert (tmp_path / "reference.npz").read_bytes() == first


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut short", b"no archive at all"])
def test_a_damaged_reference_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "reference.npz").write_bytes(content)
    with pytest.raises(ModelFileError, match=r"reference\.npz"):
        Reference.load(tmp_path / "reference.npz")


def test_with_a_reference_doubtful_answers_and_strange_images_are_marked(model: Path) -> None:  # noqa: F811
    reference = _reference(hashlib.sha256(model.read_bytes()).hexdigest())
    plain = Predictor(model)
    reference.save(model.with_name("reference.npz"))
    marked = Predictor(model)
    path = model.with_name("grey.png")
    Image.new("RGB", (40, 40), (120, 121, 120)).save(path)
    [before], [after] = plain.predict([path]), marked.predict([path])
    assert after.probabilities == before.probabilities
    assert (before.abstain, before.ood_score, before.out_of_distribution) == (None, None, None)
    assert after.abstain  # a third for each colour is no answer
    examined = marked.examine_bytes(path.read_bytes(), str(path))
    assert examined.prediction == after
    assert examined.sketch.shape == (3,)
    assert dict(zip(STATISTICS, examined.statistics, strict=True))["brightness"] == pytest.approx(120.6, abs=1)
    tight = replace(reference, ood_threshold=-1.0)
    tight.save(model.with_name("reference.npz"))
    assert Predictor(model).predict([path])[0].out_of_distribution


def test_the_reference_knows_training_and_validation_and_nothing_of_the_test_split(tmp_path: Path) -> None:
    files = write_colour_run(tmp_path)
    found = Reference.load(files.quantized / "reference.npz")
    assert (len(found.bank), len(found.sketches)) == (18, 9)
    assert found.model_sha256 == hashlib.sha256((files.quantized / "model.tflite").read_bytes()).hexdigest()
    assert (found.probabilities.argmax(axis=1) == found.answers).all()
    assert sorted(set(found.groups)) == [0, 1, 2]
    splits = read_table(files.split / "splits.parquet", SPLITS)
    write_table(files.split / "splits.parquet", splits[splits["split"] != "test"], SPLITS)
    build_reference(files, files.quantized / "model.tflite", seed=1).save(tmp_path / "without_test.npz")
    assert (tmp_path / "without_test.npz").read_bytes() == (files.quantized / "reference.npz").read_bytes()


def test_the_reference_of_another_file_is_refused(model: Path) -> None:  # noqa: F811
    _reference("0" * 64).save(model.with_name("reference.npz"))
    with pytest.raises(ModelFileError, match="that of another file"):
        Predictor(model)
