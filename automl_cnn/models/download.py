"""Fetch a weights file from where Keras fetches it, into the folder where Keras would look for it."""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from automl_cnn.artifacts import replacing
from automl_cnn.errors import WeightsError

TIMEOUT_S = 5.0  # of every answer that is waited for, not of the whole file
PIECE_BYTES = 2**20

_unreachable: dict[str, str | None] = {}


def keras_folder() -> Path:
    """Where Keras keeps what it downloaded."""
    home = os.environ.get("KERAS_HOME")
    return (Path(home) if home else Path.home() / ".keras") / "models"


def why_unreachable(url: str) -> str | None:
    """Why the host of a URL does not answer, None when it does; asked once, and remembered for the process."""
    host = urlsplit(url).netloc
    if host not in _unreachable:
        try:
            _open(url, "HEAD").close()
            _unreachable[host] = None
        except urllib.error.HTTPError:  # it does answer; that this file is missing says nothing of the others
            _unreachable[host] = None
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            _unreachable[host] = f"{host} does not answer ({reason})"
    return _unreachable[host]


def fetch(url: str, folder: Path) -> Path:
    """Download a file, whole or not at all.

    Args:
        url: of the file.
        folder: where it is kept under its own name; a file that is there is not fetched again.
    Raises:
        WeightsError: there is no network, the file is not there, or the connection breaks.
    """
    path = folder / url.rpartition("/")[2]
    if path.exists():
        return path
    if reason := why_unreachable(url):
        raise _refused(url, reason)
    try:
        with _open(url) as answer, replacing(path) as temporary:
            with temporary.open("wb") as file:
                shutil.copyfileobj(answer, file, PIECE_BYTES)
            expected, received = answer.headers.get("Content-Length"), temporary.stat().st_size
            if expected is not None and int(expected) != received:
                raise OSError(f"the connection broke after {received} of {expected} bytes")
    except (OSError, http.client.HTTPException) as error:
        raise _refused(url, str(error)) from None
    return path


def _open(url: str, method: str = "GET") -> http.client.HTTPResponse:
    request = urllib.request.Request(url, method=method)  # noqa: S310  the registry's own URLs, all of them https
    answer: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=TIMEOUT_S)  # noqa: S310
    return answer


def _refused(url: str, reason: str) -> WeightsError:
    return WeightsError(
        "Keras download", expected=url.rpartition("/")[2], received=reason,
        action="Put the file into search.weights_dir, or name another backbone.",
    )  # fmt: skip
