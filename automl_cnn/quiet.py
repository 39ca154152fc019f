"""Keep what C++ libraries print past Python off the user's screen."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def native_messages_dropped() -> Iterator[None]:
    """Drop everything written on stderr while the block runs; what matters comes as an exception.

    TensorFlow greets on import, its converter narrates, XNNPACK announces itself, whatever TF_CPP_MIN_LOG_LEVEL says.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
        sys.stderr.flush()
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def import_quietly(*modules: str) -> None:
    """Import modules that greet on stderr, TensorFlow above all, and hold their loggers to errors."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_messages_dropped():
        for module in modules:
            importlib.import_module(module)
    for logger in ("absl", "tensorflow"):
        logging.getLogger(logger).setLevel(logging.ERROR)
