"""Where the record goes: the environment wins, the output says so, and no password is ever shown."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from automl_cnn.config import TrackingParams
from automl_cnn.passwords import without_password
from automl_cnn.tracking.places import find_places, is_database

SERVER, OTHER = "http://127.0.0.1:5000", "http://127.0.0.1:5001"


def test_params_say_where_unless_the_environment_does() -> None:
    params = TrackingParams(uri="sqlite:///a.db", registry_uri=OTHER)
    places = find_places(params, {})
    assert (places.tracking, places.tracking_from) == ("sqlite:///a.db", "tracking.uri")
    assert (places.registry, places.registry_from) == (OTHER, "tracking.registry_uri")
    places = find_places(params, {"MLFLOW_TRACKING_URI": SERVER, "MLFLOW_REGISTRY_URI": "sqlite:///b.db"})
    assert (places.tracking, places.tracking_from) == (SERVER, "MLFLOW_TRACKING_URI")
    assert (places.registry, places.registry_from) == ("sqlite:///b.db", "MLFLOW_REGISTRY_URI")


def test_versions_go_where_the_runs_go_unless_another_place_is_given() -> None:
    places = find_places(TrackingParams(), {"MLFLOW_TRACKING_URI": SERVER, "MLFLOW_REGISTRY_URI": ""})
    assert places.registry == SERVER
    assert places.sentence() == f"Record: {SERVER} (MLFLOW_TRACKING_URI)."


def test_two_places_are_both_named_with_their_sources() -> None:
    places = find_places(TrackingParams(), {"MLFLOW_REGISTRY_URI": OTHER})
    assert places.sentence() == f"Record: sqlite:///mlflow.db (tracking.uri); registry: {OTHER} (MLFLOW_REGISTRY_URI)."


PASSWORDS = st.text(st.characters(exclude_characters="@", codec="utf-8").filter(lambda c: not c.isspace()), min_size=1)


@given(PASSWORDS)
@example("a/b:c")
@example("12/34")
def test_no_password_is_shown(password: str) -> None:
    uri = f"postgresql://ann:{password}@db:5432/mlflow"
    said = without_password(f"API request to {uri} failed")
    assert said == "API request to postgresql://ann:***@db:5432/mlflow failed"


@given(PASSWORDS.filter(lambda text: "&" not in text))
def test_no_password_in_a_query_is_shown(password: str) -> None:
    said = without_password(f"at postgresql://db/mlflow?user=ann&password={password}&sslmode=require it failed")
    assert said == "at postgresql://db/mlflow?user=ann&password=***&sslmode=require it failed"


def test_an_address_without_a_password_stays_as_it_is() -> None:
    said = "http://127.0.0.1:5000/api/2.0, sqlite:///mlflow.db and postgresql://ann@db:5432/mlflow?sslmode=require"
    assert without_password(said) == said


def test_a_database_is_told_from_a_server() -> None:
    assert all(is_database(uri) for uri in ("sqlite:///x.db", "postgresql://h/d", "postgresql+psycopg2://h/d"))
    assert not any(is_database(uri) for uri in (SERVER, "https://mlflow.example", "databricks"))
