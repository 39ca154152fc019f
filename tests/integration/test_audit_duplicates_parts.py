"""The parts of the search for copies: hashes, neighbours, alignment, clusters."""

from __future__ import annotations

import tracemalloc

import imagehash
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter

from automl_cnn.audit.align import align_coarsely, align_finely, inner_part, lay_over
from automl_cnn.audit.clusters import Link, cluster_links
from automl_cnn.audit.duplicates import between
from automl_cnn.audit.search import MOST_CANDIDATES, near_hashes, nearest
from automl_cnn.audit.thumbnails import orientations, perceptual_hashes, shrunk

Floats = NDArray[np.float32]


def pictures(number: int, size_px: int) -> Floats:
    rng = np.random.default_rng(number)
    layers = [gaussian_filter(rng.normal(size=(number, size_px, size_px)), (0, s, s)) * s for s in (1, 3, 9)]
    grey: Floats = np.clip(128 + 90 * sum(layers), 0, 255).astype(np.float32)
    return grey


def test_the_hash_is_the_one_of_imagehash() -> None:
    small = np.rint(shrunk(pictures(5, 64), 32))
    theirs = [imagehash.phash(Image.fromarray(picture.astype(np.uint8))).hash.ravel() for picture in small]
    assert np.array_equal(perceptual_hashes(small) > 0, np.array(theirs))


def unit(number: int, width: int = 32) -> Floats:
    vectors = np.random.default_rng(number).normal(size=(number, width)).astype(np.float32)
    vectors[number // 2 :] = vectors[: number - number // 2] + 0.2 * vectors[number // 2 :]
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_neighbours_are_those_of_the_whole_matrix() -> None:
    vectors = unit(700)
    rows, similarity = nearest(vectors, 3, index_above=1000, seed=1)
    whole = vectors @ vectors.T
    np.fill_diagonal(whole, -2)
    assert np.array_equal(rows, np.argsort(-whole, axis=1)[:, :3])
    assert np.allclose(similarity, np.sort(whole, axis=1)[:, :-4:-1], atol=1e-6)


def test_the_index_finds_nearly_all_near_neighbours() -> None:
    vectors = unit(3000)
    exact, similarity = nearest(vectors, 1, index_above=5000, seed=1)
    indexed, _ = nearest(vectors, 1, index_above=100, seed=1)
    assert np.mean((exact == indexed)[similarity > 0.9]) >= 0.99


@pytest.mark.parametrize("radius", [0, 3, 6, 11, 14])
def test_the_index_finds_the_same_near_hashes_as_comparing_all(radius: int) -> None:
    small = shrunk(pictures(40, 64), 32)
    small = np.concatenate([small, small[:20, ::-1] + np.random.default_rng(1).normal(0, 9, (20, 32, 32))])
    views = [perceptual_hashes(view) for view in orientations(small)]
    exact = near_hashes(views[0], views, radius, index_above=100)
    indexed = near_hashes(views[0], views, radius, index_above=10)
    assert np.array_equal(exact.first, indexed.first)
    assert np.array_equal(exact.second, indexed.second)
    assert radius < 3 or len(exact.first) >= 10


def test_comparing_all_hashes_holds_two_blocks_however_many_orientations_there_are() -> None:
    n = 4000
    hashes = np.where(np.random.default_rng(1).random((n, 64)) < 0.5, -1, 1).astype(np.float32)
    tracemalloc.start()
    near_hashes(hashes, [hashes] * 8, 6, index_above=n)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4 * 512 * n * 4


def test_images_with_more_candidates_than_are_compared_are_named() -> None:
    hashes = np.ones((MOST_CANDIDATES + 3, 64), np.float32)
    found = near_hashes(hashes, [hashes], 0, index_above=1000)
    assert found.capped.tolist() == [0, 1]
    assert np.bincount(found.first).max() == MOST_CANDIDATES


def test_a_rotated_crop_is_laid_over_its_picture_and_another_picture_is_not() -> None:
    large = pictures(6, 320)
    thumbnail = (64, 64), Image.Resampling.BOX
    whole = [Image.fromarray(picture.astype(np.uint8)) for picture in large]
    templates = np.stack([np.asarray(image.resize(*thumbnail), np.float32) for image in whole])
    crops = [image.rotate(5, Image.Resampling.BICUBIC).crop((20, 16, 300, 296)) for image in whole]
    images = np.stack([np.asarray(image.resize(*thumbnail), np.float32) for image in crops])

    def agreement(images: Floats, templates: Floats) -> Floats:
        maps = align_finely(images, templates, align_coarsely(images, templates))
        seen, still = lay_over(images, maps, 24)[0], inner_part(templates, 24)
        return np.array([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(seen, still, strict=True)])

    assert agreement(images, templates).min() > 0.85
    assert agreement(images, np.roll(templates, 1, axis=0)).max() < 0.8


def test_a_chain_does_not_join_its_ends() -> None:
    links = [Link(row, row + 1, "phash", 0.1) for row in range(6)]
    clusters = cluster_links(links, lambda _, others: np.zeros(len(others), bool))
    assert max(len(cluster.links) for cluster in clusters) <= 3
    whole = cluster_links(links, lambda _, others: np.ones(len(others), bool))
    assert [sorted(cluster.links) for cluster in whole] == [[0, 1, 2, 3, 4, 5, 6]]


def test_links_between_clusters_are_told_and_those_within_are_not() -> None:
    images = pd.DataFrame({"image_id": list("abcdef")})
    links = [Link(row, row + 1, "phash", 0.1) for row in range(5)]
    clusters = cluster_links(links, lambda _, others: np.zeros(len(others), bool))
    home = {row: number for number, cluster in enumerate(clusters) for row in cluster.links}
    parted = [link for link in links if home.get(link.first) is None or home.get(link.first) != home.get(link.second)]
    assert 0 < len(parted) < len(links)
    found = between(images, links, clusters)
    assert list(zip(found["image_id"], found["other_image_id"], strict=True)) == [
        ("abcdef"[link.first], "abcdef"[link.second]) for link in parted
    ]


links_of_rows = st.lists(
    st.tuples(st.integers(0, 15), st.integers(0, 15), st.sampled_from(["sha256", "pixels", "phash", "embedding"]))
    .filter(lambda link: link[0] != link[1])
    .map(lambda link: Link(min(link[:2]), max(link[:2]), link[2], 0.0 if link[2] in ("sha256", "pixels") else 0.1)),
    max_size=30,
)


@settings(max_examples=100, deadline=None)
@given(links_of_rows, st.sets(st.integers(0, 15)))
def test_clusters_part_the_rows_and_never_part_equal_pixels(links: list[Link], strangers: set[int]) -> None:
    clusters = cluster_links(links, lambda _, others: np.array([row not in strangers for row in others], bool))
    rows = [row for cluster in clusters for row in cluster.links]
    assert len(rows) == len(set(rows))
    assert all(len(cluster.links) >= 2 and cluster.centre in cluster.links for cluster in clusters)
    home = {row: number for number, cluster in enumerate(clusters) for row in cluster.links}
    assert all(home[link.first] == home[link.second] for link in links if link.method in ("sha256", "pixels"))
