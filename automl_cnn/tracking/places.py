"""Where the record goes: the environment wins over params.yaml, and what is said of a place never shows a password."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from automl_cnn.config import TrackingParams
from automl_cnn.passwords import without_password

TRACKING, REGISTRY = "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"
_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")


@dataclass(frozen=True)
class Places:
    """The two servers, or databases, of MLflow.

    Attributes:
        tracking: URI of runs and files.
        tracking_from: where that was read: MLFLOW_TRACKING_URI or tracking.uri.
        registry: URI of model versions and aliases; the same as `tracking` unless another is given.
        registry_from: where that was read.
    """

    tracking: str
    tracking_from: str
    registry: str
    registry_from: str

    def sentence(self) -> str:
        """What the output says of them."""
        record = f"Record: {without_password(self.tracking)} ({self.tracking_from})"
        if self.registry == self.tracking:
            return f"{record}."
        return f"{record}; registry: {without_password(self.registry)} ({self.registry_from})."


def find_places(params: TrackingParams, environment: Mapping[str, str]) -> Places:
    """Read both places from the environment, else from params.yaml.

    Args:
        params: tracking.uri and tracking.registry_uri.
        environment: `os.environ`; an empty value counts as none.
    """
    given = environment.get(TRACKING)
    tracking, tracking_from = (given, TRACKING) if given else (params.uri, "tracking.uri")
    if given := environment.get(REGISTRY):
        return Places(tracking, tracking_from, given, REGISTRY)
    if params.registry_uri:
        return Places(tracking, tracking_from, params.registry_uri, "tracking.registry_uri")
    return Places(tracking, tracking_from, tracking, tracking_from)


def is_database(uri: str) -> bool:
    """Whether MLflow opens it itself, without a server: files then lie on this machine."""
    return uri.partition(":")[0].partition("+")[0] in _DATABASES
