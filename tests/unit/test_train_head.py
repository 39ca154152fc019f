"""A head on frozen features: what it learns, what it costs the shipped network, what merging keeps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.models.spec import ClassifierSpec
from automl_cnn.train.dense import Dropout, gradients, initial_layers, logits_of
from automl_cnn.train.head import FittedHead, HeadSettings, fit_head, merge_heads, softmax

WIDTH, CLASSES = 12, 3


def features(n: int, seed: int, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping clouds whose features have very different ranges, as those of a backbone do."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % CLASSES
    centres = np.random.default_rng(7).normal(0, 1, (CLASSES, WIDTH))
    ranges = scale * np.logspace(-2, 1, WIDTH)
    return ((centres[labels] + rng.normal(0, 0.8, (n, WIDTH))) * ranges + 3 * ranges).astype(np.float32), labels


def accuracy(labels: np.ndarray, probabilities: np.ndarray) -> float:
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def fit(hidden: int = 0, **changes: object) -> FittedHead:
    train, held_out = features(400, 1), features(150, 2)
    spec = ClassifierSpec("efficientnet-lite0", 64, CLASSES, hidden, 0.1)
    return fit_head(spec, HeadSettings(learning_rate=2e-2, **changes), [train[0]], train[1], held_out, accuracy)


def apply(head: FittedHead, values: np.ndarray) -> np.ndarray:
    return logits_of([tuple(head.weights[name]) for name in ("hidden", "logits") if name in head.weights], values)


@pytest.mark.parametrize("hidden", [0, 16])
@pytest.mark.parametrize(
    "changes",
    [{}, {"loss": "focal"}, {"optimizer": "sgd"}, {"mixup": 0.2}, {"label_smoothing": 0.1}, {"balanced": True}],
    ids=str,
)
def test_every_way_of_training_learns_and_repeats_itself(hidden: int, changes: dict[str, object]) -> None:
    first, again = fit(hidden, **changes), fit(hidden, **changes)
    assert first.score > 0.8
    np.testing.assert_array_equal(first.logits, again.logits)


def test_on_few_images_a_head_is_trained_for_more_epochs_so_that_it_learns_all_the_same() -> None:
    (x, y), held_out = features(90, 1), features(90, 2)
    spec = ClassifierSpec("efficientnet-lite0", 64, CLASSES, 0, 0.0)
    heads = [
        fit_head(spec, HeadSettings(epochs=epochs), [x], y, held_out, lambda *_: next(scores))
        for epochs in (12, 6)
        if (scores := iter(np.linspace(0, 1, 1000)))
    ]
    assert [head.epochs for head in heads] == [200, 100]  # a step an epoch


@pytest.mark.parametrize(("chance", "kept"), [(0.0, 0.9), (0.05, 0.87)])
def test_a_lucky_check_in_the_middle_is_not_what_is_kept(chance: float, kept: float) -> None:
    (x, y), held_out = features(400, 1), features(90, 2)
    spec = ClassifierSpec("efficientnet-lite0", 64, CLASSES, 0, 0.0)
    scores = iter([0.5, 0.9, 0.8, 0.84, 0.86, 0.87, 0.8])
    head = fit_head(spec, HeadSettings(), [x], y, held_out, lambda *_: next(scores), lambda *_: chance)
    assert head.score == kept


@pytest.mark.parametrize("hidden", [0, 16])
def test_the_kernels_take_features_as_the_backbone_gives_them(hidden: int) -> None:
    head = fit(hidden)
    np.testing.assert_allclose(apply(head, features(150, 2)[0]), head.logits, atol=1e-3)


def test_units_of_a_feature_do_not_matter() -> None:
    spec = ClassifierSpec("efficientnet-lite0", 64, CLASSES, 0, 0.0)
    heads = []
    for scale in (1.0, 1000.0):
        (x, y), held_out = features(300, 1, scale), features(100, 2, scale)
        heads.append(fit_head(spec, HeadSettings(), [x], y, held_out, accuracy))
    np.testing.assert_allclose(heads[0].logits, heads[1].logits, atol=1e-3)


@settings(max_examples=15)
@given(count=st.integers(1, 4), hidden=st.sampled_from([0, 5]), seed=st.integers(0, 99))
def test_a_merged_head_gives_the_mean_of_the_logits(count: int, hidden: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (20, WIDTH)).astype(np.float32)
    heads = []
    for units in [hidden + index if hidden else 0 for index in range(count)]:
        layers = [(k + 0.1, b + 0.2) for k, b in initial_layers(WIDTH, units, CLASSES, rng)]
        weights = dict(zip(["hidden", "logits"][-len(layers) :], map(list, layers), strict=True))
        heads.append(FittedHead(weights, logits_of(layers, x), 0.5, 1))
    merged = merge_heads(heads)
    np.testing.assert_allclose(apply(merged, x), np.mean([head.logits for head in heads], axis=0), atol=1e-5)
    np.testing.assert_allclose(merged.logits, apply(merged, x), atol=1e-5)


def test_linear_heads_and_others_are_not_merged() -> None:
    with pytest.raises(ValueError, match="hidden layer"):
        merge_heads([fit(0), fit(16)])


@pytest.mark.parametrize("hidden", [0, 4])
@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_gradients_are_those_of_the_loss(hidden: int, loss: str) -> None:
    rng = np.random.default_rng(3)
    layers = [(k + 0.05, b + 0.1) for k, b in initial_layers(WIDTH, hidden, CLASSES, rng)]
    batch = rng.normal(0, 1, (8, WIDTH)).astype(np.float32)
    targets = rng.dirichlet(np.ones(CLASSES), 8).astype(np.float32)
    weights = rng.uniform(0.5, 2, 8).astype(np.float32)
    none = Dropout(0.0, batch.size, rng)
    found = gradients(layers, batch.copy(), targets, weights, loss, none)

    def value(changed: list[tuple[np.ndarray, np.ndarray]]) -> float:
        p = softmax(logits_of(changed, batch)).astype(np.float64)
        factor = (1 - p) ** 2 if loss == "focal" else 1.0
        return float(np.mean(weights * -(targets * factor * np.log(p)).sum(axis=1)))

    for layer, (kernel, _) in enumerate(layers):
        for place in [(0, 0), (1, 2)]:
            shifted = []
            for step in (1e-2, -1e-2):
                changed = [(k.copy(), b) for k, b in layers]
                changed[layer][0][place] += step
                shifted.append(value(changed))
            assert found[layer][0][place] == pytest.approx((shifted[0] - shifted[1]) / 2e-2, abs=2e-3), kernel.shape


def test_dropout_keeps_the_mean() -> None:
    dropout = Dropout(0.3, 50_000, np.random.default_rng(1))
    dropout.renew()
    values = np.ones((50, 1000), np.float32)
    dropout.apply(values)
    assert values.mean() == pytest.approx(1.0, abs=0.01)
    assert np.mean(values == 0) == pytest.approx(0.3, abs=0.01)
