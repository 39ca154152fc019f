"""Units run without TensorFlow, and this holds them to it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def _no_tensorflow() -> Iterator[None]:
    yield
    assert "tensorflow" not in sys.modules, "a unit test has imported TensorFlow: move it to tests/integration"
