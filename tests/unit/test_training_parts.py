"""The parts of training and search that need no network: schedule, temperature, augmentation, candidates."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_cnn.errors import ArtifactError
from automl_cnn.train.calibration import fit_temperature, fold_temperature
from automl_cnn.train.candidate import Candidate, head_settings_of, spec_of
from automl_cnn.train.objective import decisive_loss, objective_score, standard_error
from automl_cnn.train.schedule import warmup_cosine

VALUES = {
    "backbone": "efficientnet-lite0", "input_size_px": 160, "pooling": "average", "augmentation": "flip",
    "hidden_units": 64, "dropout": 0.2, "weight_decay": 1e-3, "label_smoothing": 0.05, "mixup": 0.2, "loss": "focal",
    "optimizer": "adamw", "learning_rate": 4e-3, "class_weight": "balanced",
}  # fmt: skip


@given(total=st.integers(2, 5000), peak=st.floats(1e-6, 1.0), share=st.floats(0.0, 0.9))
def test_the_learning_rate_stays_above_zero_and_below_its_peak(total: int, peak: float, share: float) -> None:
    warmup = int(share * total)
    rates = [warmup_cosine(step, total, peak, warmup) for step in range(total)]
    assert all(0 < rate <= peak * (1 + 1e-9) for rate in rates)
    assert rates[warmup] == max(rates)


def test_overconfident_logits_get_a_temperature_above_one() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 400)
    shown = np.where(rng.random(400) < 0.7, labels, rng.integers(0, 3, 400))
    logits = 12 * np.eye(3, dtype=np.float32)[shown]
    assert fit_temperature(logits, labels) > 1.5


def test_folding_a_temperature_keeps_the_ranking_and_divides_the_logits() -> None:
    weights = {
        "logits": [np.ones((4, 2), np.float32), np.full(2, 3.0, np.float32)],
        "top_conv": [np.ones(1, np.float32)],
    }
    folded = fold_temperature(weights, 2.0)
    np.testing.assert_allclose(folded["logits"][1], 1.5)
    assert folded["top_conv"] is weights["top_conv"]


def test_a_candidate_survives_its_file(tmp_path: Path) -> None:
    candidate = Candidate(7, "macro_f1", 0.91, VALUES, images=1837, views=3, quantize_steps=40)
    candidate.save(tmp_path / "best.yaml")
    assert Candidate.load(tmp_path / "best.yaml") == candidate


@pytest.mark.parametrize("content", ["", "trial_id: 1", "[1, 2]", "a: ["])
def test_a_damaged_candidate_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "best.yaml").write_text(content)
    with pytest.raises(ArtifactError, match=r"best\.yaml"):
        Candidate.load(tmp_path / "best.yaml")


def test_a_trials_values_become_network_and_training() -> None:
    assert spec_of(VALUES, 5).hidden_units == 64
    assert spec_of({**VALUES, "members": [VALUES] * 3}, 5).hidden_units == 192
    settings = head_settings_of(VALUES, seed=1)
    assert settings.balanced
    assert settings.seed == head_settings_of(dict(reversed(VALUES.items())), seed=1).seed
    assert settings.seed != head_settings_of({**VALUES, "dropout": 0.4}, seed=1).seed
    # fine-tuning starts from the head that its trial on cached features has fitted
    assert settings == head_settings_of({**VALUES, "epochs": 8, "unfreeze_from_block": 6}, seed=1)


def test_a_diverged_trial_scores_not_a_number_and_not_zero() -> None:
    assert np.isnan(objective_score("macro_f1", np.array([0, 1]), np.full((2, 2), np.nan, np.float32)))


@pytest.mark.parametrize("objective", ["accuracy", "balanced_accuracy", "macro_f1"])
def test_the_standard_error_is_what_drawing_the_images_anew_shows(objective: str) -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [300, 60, 30])
    answers = np.where(rng.random(390) < 0.7, labels, (labels + 1) % 3)
    certain = np.eye(3, dtype=np.float32)[answers]
    drawn = [
        objective_score(objective, labels[rows], certain[rows])
        for rows in (np.concatenate([rng.choice(np.flatnonzero(labels == k), (labels == k).sum()) for k in range(3)])
                     for _ in range(400))
    ]  # fmt: skip
    assert standard_error(objective, labels, certain) == pytest.approx(np.std(drawn), rel=0.25)


def test_the_log_loss_that_settles_does_not_depend_on_how_sharp_the_logits_are() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], [50, 30, 10])
    logits = rng.normal(0, 1, (90, 3)).astype(np.float32) + 2 * np.eye(3, dtype=np.float32)[labels]
    for objective in ("accuracy", "balanced_accuracy"):
        found = [decisive_loss(objective, labels, scale * logits) for scale in (np.float32(0.5), np.float32(2))]
        assert found[0] == pytest.approx(found[1], abs=1e-3)
    assert np.isnan(decisive_loss("accuracy", labels, np.full((90, 3), np.nan, np.float32)))


@pytest.mark.parametrize(
    ("objective", "expected"), [("accuracy", 0.75), ("balanced_accuracy", 5 / 6), ("macro_f1", 11 / 15)]
)
def test_objectives_are_those_of_the_field(objective: str, expected: float) -> None:
    labels, predicted = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    assert objective_score(objective, labels, np.eye(2, dtype=np.float32)[predicted]) == pytest.approx(expected)
