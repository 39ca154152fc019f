"""The few modules that prediction needs, copied under another package name so that a stored model brings its own code.

The other name matters: a stored model's code goes to the front of the import path, and a part of `automl_cnn` there
would hide the installed whole.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

PACKAGE, BUNDLE = "automl_cnn", "automl_cnn_serving"
ENTRY = f"{PACKAGE}.serve.predict"


def bundle_serving_code(folder: Path) -> Path:
    """Copy `automl_cnn.serve.predict` and all that it imports from this package.

    Args:
        folder: an existing folder; the package automl_cnn_serving is made in it.
    Returns:
        The package's folder. `automl_cnn_serving.serve.predict.Predictor` is the class to use.
    """
    source = Path(__file__).parents[1]
    for module in sorted(_needed(ENTRY, source)):
        path = _file_of(module, source)
        copy = folder / BUNDLE / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(re.sub(rf"\b{PACKAGE}\b", BUNDLE, path.read_text(encoding="utf-8")), encoding="utf-8")
    return folder / BUNDLE


def _needed(entry: str, source: Path) -> set[str]:
    """Names of all modules of this package that `entry` imports when it runs, packages included."""
    found: set[str] = set()
    waiting = [entry]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        if "." in module:
            waiting.append(module.rpartition(".")[0])
        waiting += _imports(ast.parse(_file_of(module, source).read_text(encoding="utf-8")), source)
    return found


def _imports(tree: ast.AST, source: Path) -> list[str]:
    """Modules of this package that a syntax tree imports, those for type checkers alone left out."""
    names: list[str] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            names += _imports(node, source)
    ours = [name for name in names if name.split(".")[0] == PACKAGE]
    return [name for name in ours if _file_of(name, source).exists()]


def _file_of(module: str, source: Path) -> Path:
    path = source.joinpath(*module.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
