"""Feature shards on disk: whole or absent, found by digest, shared by processes, and no victim of a damaged file."""

import logging
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl_cnn.features.shards import DIGEST_BYTES, FeatureShards

WIDTH = 6


def digest(number: int) -> bytes:
    return number.to_bytes(DIGEST_BYTES, "little")  # many zero bytes at the end, which some array types drop


def vectors(numbers: list[int]) -> np.ndarray:
    return np.repeat(np.array(numbers, np.float16)[:, None], WIDTH, axis=1)


def filled(folder: Path, *groups: range) -> FeatureShards:
    shards = FeatureShards(folder)
    for group in groups:
        shards.add([digest(n) for n in group], vectors(list(group)))
    return shards


@given(st.lists(st.integers(0, 29), min_size=1, max_size=40))
@settings(max_examples=20)
def test_vectors_come_back_in_the_order_that_is_asked_for(
    tmp_path_factory: pytest.TempPathFactory, asked: list[int]
) -> None:
    shards = filled(tmp_path_factory.mktemp("shards"), range(10), range(10, 30))
    found = shards.read([digest(n) for n in asked])
    np.testing.assert_array_equal(found, vectors(asked))


def test_only_the_first_of_equal_pictures_is_missing(tmp_path: Path) -> None:
    shards = filled(tmp_path, range(3))
    assert shards.missing([digest(n) for n in (7, 1, 7, 8, 0)]) == [0, 3]
    assert shards.read([digest(1), digest(7)]) is None


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "other"])
def test_a_damaged_shard_is_set_aside_with_one_line_and_the_others_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    filled(tmp_path, range(50), range(50, 60))
    victim = max(tmp_path.glob("*.npz"), key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[content.index(vectors([42]).tobytes()[:8])] ^= 0xFF
    changed = {"truncated": content[: len(content) // 2], "flipped": content, "empty": b"", "other": b"hello"}[damage]
    victim.write_bytes(bytes(changed))
    with caplog.at_level(logging.WARNING):
        shards = FeatureShards(tmp_path)
        shards.refresh()
        assert shards.read([digest(n) for n in range(60)]) is None
    (line,) = caplog.messages
    assert victim.name in line
    assert "computed anew" in line
    assert len(shards.missing([digest(n) for n in range(60)])) == 50
    shards.add([digest(n) for n in range(50)], vectors(list(range(50))))
    np.testing.assert_array_equal(shards.read([digest(n) for n in range(60)]), vectors(list(range(60))))


def test_a_shard_that_another_process_pruned_is_simply_missing(tmp_path: Path) -> None:
    shards = filled(tmp_path, range(5))
    for path in tmp_path.glob("*.npz"):
        path.unlink()
    assert shards.read([digest(0)]) is None
    assert shards.missing([digest(0)]) == [0]
