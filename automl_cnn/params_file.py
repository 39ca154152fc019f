"""Change values in params.yaml as a careful person would: comments and order stay, wrong values never get in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from automl_cnn.artifacts import replacing
from automl_cnn.config import load_params, parse_params
from automl_cnn.errors import AutoMLError, ConfigError


def assign(path: Path, assignments: list[tuple[str, str]]) -> None:
    """Set values by key path.

    Args:
        path: params.yaml; left alone if anything is wrong.
        assignments: (key path such as search.preset, value as YAML) pairs.
    Raises:
        ConfigError: the file, a key or a value is wrong.
    """
    load_params(path)
    yaml = YAML()
    yaml.preserve_quotes = True
    # null stays the word that the comments beside it speak of
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    yaml.width = 4096
    document = yaml.load(path)
    for key, value in assignments:
        _place(document, key)[key.rpartition(".")[2]] = _value(key, value)
    parse_params(document, str(path))
    with replacing(path) as temporary:
        yaml.dump(document, temporary)


def _value(key: str, text: str) -> Any:
    try:
        return YAML(typ="safe").load(text)
    except YAMLError:
        problem = AutoMLError(
            key, expected="a value as YAML has it", received=repr(text),
            action=f"""Put a text with special signs into quotes of its own: automl-cnn set '{key}="…"'.""",
        )  # fmt: skip
        raise ConfigError([problem]) from None


def _place(document: Any, key: str) -> Any:
    """The mapping that holds the last part of a key path; sections that are missing are made."""
    node = document
    for part in key.split(".")[:-1]:
        if node.get(part) is None:
            node[part] = {}
        node = node[part]
        if not isinstance(node, dict):
            problem = AutoMLError(
                key, expected="a section before the last dot", received=f"the value {node!r}", action="Correct the key."
            )
            raise ConfigError([problem])
    return node
