"""What a user may rely on of augmentation: nothing is lost but what a policy says, and chance is repeatable."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.data.augment import AXES, POLICIES, augment, cached_view, distinct_views
from automl_cnn.data.image_changes import erase, relit, shifted, turned, warp

policies = st.sampled_from(sorted(POLICIES))
seeds = st.integers(0, 1000)
forbidden = st.sets(st.sampled_from(sorted(AXES)))


def picture(seed: int, size: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)


@given(policy=policies, seed=seeds, forbid=forbidden)
@settings(max_examples=40)
def test_augmentation_keeps_shape_dtype_and_the_original_and_repeats_itself(
    policy: str, seed: int, forbid: set[str]
) -> None:
    image = picture(seed)
    before = image.copy()
    drawn, again = (augment(image, policy, np.random.default_rng(seed), forbid) for _ in range(2))
    assert (drawn.shape, drawn.dtype) == (image.shape, image.dtype)
    np.testing.assert_array_equal(drawn, again)
    np.testing.assert_array_equal(image, before)


@given(policy=policies, view=st.integers(0, 50), seed=seeds)
@settings(max_examples=30)
def test_a_cached_view_is_the_same_every_time(policy: str, view: int, seed: int) -> None:
    image = picture(seed)
    first, again = (cached_view(image, policy, view, seed) for _ in range(2))
    assert (first.shape, first.dtype) == (image.shape, image.dtype)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("policy", sorted(set(POLICIES) - {"none", "randaugment"}))  # two of its changes may be none
def test_the_first_views_differ_from_the_image_and_from_each_other(policy: str) -> None:
    image = picture(3)
    views = [image, *(cached_view(image, policy, view, 5) for view in range(min(3, distinct_views(policy) or 3)))]
    assert len({view.tobytes() for view in views}) == len(views) > 1


@given(seed=seeds)
@settings(max_examples=20)
def test_forbidden_flips_are_never_drawn(seed: int) -> None:
    image = picture(seed, 8)
    for policy in ("flip", "flips"):
        np.testing.assert_array_equal(augment(image, policy, np.random.default_rng(seed), set(AXES)), image)
        np.testing.assert_array_equal(cached_view(image, policy, seed, 1, set(AXES)), image)
    upright = {image.tobytes(), image[:, ::-1].tobytes()}
    assert augment(image, "flips", np.random.default_rng(seed), {"vertical"}).tobytes() in upright
    assert cached_view(image, "flips", seed, 1, {"vertical"}).tobytes() in upright


def test_flips_end_after_three_views_and_other_policies_never() -> None:
    assert [distinct_views(policy) for policy in ("none", "flip", "flips", "crop")] == [0, 1, 3, None]
    assert distinct_views("flips", {"horizontal"}) == 1
    assert distinct_views("flip", {"horizontal"}) == 0


@pytest.mark.parametrize("policy", ["rotation", "randaugment", "crop"])
def test_no_policy_leaves_black_corners(policy: str) -> None:
    plain = np.full((32, 32, 3), 200, np.uint8)
    for view in range(40):
        assert np.ptp(cached_view(plain, policy, view, 1)) == 0


@given(degrees=st.floats(-45, 45), seed=seeds)
@settings(max_examples=15)
def test_turning_there_and_back_keeps_the_middle(degrees: float, seed: int) -> None:
    smooth = np.kron(picture(seed, 4), np.ones((16, 16, 1), np.uint8))
    for _ in range(3):
        smooth = (smooth // 2 + np.roll(smooth, 3, 0) // 4 + np.roll(smooth, 3, 1) // 4).astype(np.uint8)
    back = turned(turned(smooth, degrees), -degrees)
    middle = np.s_[24:40, 24:40]
    assert np.abs(back[middle].astype(int) - smooth[middle]).mean() < 8


def test_a_warp_by_nothing_is_the_picture_and_a_shift_moves_it() -> None:
    image = picture(1)
    np.testing.assert_array_equal(warp(image, (1, 0, 0, 1)), image)
    np.testing.assert_array_equal(shifted(image, right=0.25)[:, 6:], image[:, :-6])
    np.testing.assert_array_equal(shifted(image, down=-0.25)[:-6], image[6:])


def test_light_changes_keep_grey_grey_and_the_mean_under_contrast() -> None:
    grey = np.broadcast_to(picture(2)[:, :, :1] // 2 + 64, (24, 24, 3)).copy()
    np.testing.assert_array_equal(relit(grey), grey)
    pale = relit(grey, saturation=0.2).astype(int)
    assert np.ptp(pale, axis=2).max() <= 1
    assert abs(relit(grey, contrast=0.5).mean() - grey.mean()) < 1.5
    assert relit(grey, brightness=1.2).mean() == pytest.approx(1.2 * grey.mean(), rel=0.02)


@given(seed=seeds)
@settings(max_examples=20)
def test_erasing_hides_no_more_than_it_says(seed: int) -> None:
    image = np.zeros((40, 40, 3), np.uint8)
    hidden = (erase(image, np.random.default_rng(seed), areas=(0.02, 0.2)) > 0).any(axis=2).mean()
    assert 0.005 < hidden < 0.22
