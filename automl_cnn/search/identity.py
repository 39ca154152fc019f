"""Which study a search belongs to: the same space, data, code and settings continue it, all else starts a new one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from automl_cnn.artifacts import read_json, write_json
from automl_cnn.errors import ArtifactError
from automl_cnn.search.climb_terms import ClimbPlan
from automl_cnn.search.space import SearchSpace
from automl_cnn.train.material import Material
from automl_cnn.train.tuned import code_digest

Identity = dict[str, str]
"""What differs → its digest; the keys are the words that an analyst is told."""


def identity_of(space: SearchSpace, plan: ClimbPlan, material: Material) -> Identity:
    """Tell one study from another. Budget and numbers of trials are not part of it: a longer search continues."""
    params, store = material.params, material.store
    settings = [params.search.tuner, params.search.seed, params.search.objective, params.train.model_dump()]
    settings += [plan.finalists, plan.views, plan.epochs, plan.batch_size]
    data = [
        store.digest,
        material.training.digest(),
        material.validation.digest(),
        material.classes,
        material.forbidden,
    ]
    # those from scratch have no weights
    keys = {arm.name: material.network(arm.values()).key() for arm in space.arms}
    return {
        "the space": _digest(space.describe()),
        "images, labels or split": _digest(data),
        "pretrained weights": _digest(keys),
        "the code": _digest([code_digest(), _code_of_the_search()]),
        "settings": _digest(settings),
    }


def log_path(folder: Path, identity: Identity) -> Path:
    """Where the log of a study lies."""
    return folder / f"{_digest(identity)[:16]}.jsonl"


def announce(folder: Path, identity: Identity) -> str | None:
    """Remember this study as the last one.

    Returns:
        What to tell the analyst where the last study was another one and is therefore not continued; else None.
    """
    path = folder / "last.json"
    last: Any = None
    if path.exists():
        try:
            last = read_json(path)
        except ArtifactError:  # the cache may be damaged or cut short: it only saves words here
            last = None
    write_json(path, identity)
    if not isinstance(last, dict) or last == identity:
        return None
    changed = [name for name, digest in identity.items() if last.get(name) != digest]
    continued = ", which was begun earlier" if log_path(folder, identity).exists() else ""
    return f"another study than the last one{continued}: {' and '.join(changed)} changed"


def _code_of_the_search() -> str:
    sha = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        sha.update(path.read_bytes())
    return sha.hexdigest()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
