"""Keep what C++ libraries print past Python off the user's screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def native_messages_dropped() -> Iterator[None]:
    """Drop everything written on stderr while the block runs; what matters comes as an exception.

    TensorFlow greets on import, and its converter narrates, whatever TF_CPP_MIN_LOG_LEVEL says.
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
