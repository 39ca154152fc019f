"""The door to MLflow: quiet, without reports to its makers, and every failure of it one clear message.

Autologging stays off: it iterates whole data sets and logs a model a fit.
"""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from automl_cnn.errors import TrackingError
from automl_cnn.passwords import without_password
from automl_cnn.tracking.places import REGISTRY, TRACKING, Places, is_database

# MLflow itself repeats a request whose answer got lost, and so makes a run or a version twice. Here whoever can look
# first what came of it repeats: see `record_run`.
_NO_RETRIES = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
_QUIET = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_SHOWN = 300  # characters of MLflow's message
_SQLITE = "sqlite:///"


@contextlib.contextmanager
def connected(places: Places, action: str) -> Iterator[Any]:
    """Give the module mlflow, pointed at the two places.

    Args:
        places: from `find_places`.
        action: what the user can do when MLflow does not answer; the last sentence of the error.
    Raises:
        TrackingError: MLflow cannot be reached, or refuses what it was asked.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import mlflow
    from requests import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    loud = {name: logging.getLogger(name).level for name in ("mlflow", "alembic", "urllib3")}
    # mlflow.set_tracking_uri writes into the environment, where it would pass for the user's own choice afterwards
    environment = {name: os.environ.get(name) for name in (*_NO_RETRIES, TRACKING, REGISTRY)}
    os.environ.update(_NO_RETRIES)
    for name in loud:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about MLflow's own internals; none is for the analyst
            for uri in {places.tracking, places.registry}:
                _try_database(uri)
            mlflow.set_tracking_uri(_absolute(places.tracking))
            mlflow.set_registry_uri(_absolute(places.registry))
            yield mlflow
    except (mlflow.MlflowException, RequestException, SQLAlchemyError) as error:
        raise TrackingError(
            without_password(places.tracking),
            expected=f"an MLflow that answers ({places.tracking_from})",
            received=_shorten(str(error)),
            action=action,
        ) from error
    finally:
        mlflow.set_tracking_uri(None)  # from here on what the environment says counts again
        mlflow.set_registry_uri(None)
        for name, had in environment.items():
            if had is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = had
        for name, level in loud.items():
            logging.getLogger(name).setLevel(level)


def _absolute(uri: str) -> str:
    """A SQLite file by its whole path: MLflow keeps a connection by its URI, wherever the process has gone since."""
    scheme, file = uri[: len(_SQLITE)], uri[len(_SQLITE) :]
    return f"{_SQLITE}{Path(file).absolute()}" if scheme == _SQLITE and file else uri


def _try_database(uri: str) -> None:
    """Connect once to a database on a server: MLflow itself tries for a hundred seconds before it gives up."""
    from sqlalchemy import create_engine

    if not is_database(uri) or uri.startswith("sqlite"):
        return
    try:
        engine = create_engine(uri)
    except ModuleNotFoundError as error:
        raise TrackingError(
            without_password(uri), expected="the driver of this database", received=f"no module {error.name}",
            action="Install it; for PostgreSQL: `pip install psycopg2-binary`, and postgresql+psycopg2://… as address.",
        ) from None  # fmt: skip
    with engine.connect():
        pass
    engine.dispose()


def _shorten(message: str) -> str:
    """The first line of what MLflow says, without passwords."""
    line = without_password(" ".join(message.strip().splitlines()[0].split()) if message.strip() else "no reason")
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 1]}…"
