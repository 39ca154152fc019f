"""Make a model version champion, if it is shown to be better on the same test images, or if a person says why."""

from __future__ import annotations

import getpass
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from automl_cnn.config import EvaluateParams, Params
from automl_cnn.errors import PromotionError
from automl_cnn.evaluate.paired import IN_WORDS
from automl_cnn.progress import Progress, silent
from automl_cnn.tracking.connection import connected
from automl_cnn.tracking.pairs import ENOUGH, compare_pairs, pair_images
from automl_cnn.tracking.places import find_places
from automl_cnn.tracking.snapshot import Snapshot
from automl_cnn.tracking.sources import find_named, read_version

CHALLENGER, CHAMPION = "challenger", "champion"
_ACTION = 'Keep the champion, label more test images, or give a reason: --force --reason "…".'
_REPEAT = "See to MLflow, then repeat the command."
_TAG_CHARS = 4000
_GUARDS = ("balanced_accuracy", "macro_f1")  # a mean over classes: each counts alike, however rare


@dataclass(frozen=True)
class Promotion:
    """What `promote` did.

    Attributes:
        name, version: the champion now.
        previous: the version that was champion before, or None.
        because: the sentence of the paired test, the reason that was given, or that there was no champion.
        forced: a person decided, not the test.
    """

    name: str
    version: str
    previous: str | None
    because: str
    forced: bool

    def sentence(self) -> str:
        """What the command prints."""
        if self.previous == self.version:
            return f"{self.name} version {self.version} is the champion already."
        followed = f", after version {self.previous}" if self.previous else ""
        forced = "Forced: " if self.forced else ""
        return f"{self.name} version {self.version} is champion now{followed}. {forced}{self.because}"


def promote(
    params: Params, version: str | None = None, reason: str | None = None, progress: Progress = silent
) -> Promotion:
    """Point alias champion at a version and record on it why.

    A version follows a champion if `require_better` lets it pass, or if a person gives a reason. Every comparison looks
    at the test split once more: of many challengers one is better by luck alone.

    Args:
        params: where MLflow is; evaluate.bootstrap, .confidence and .seed of the test.
        version: a number or alias; challenger by default.
        reason: makes it champion whatever the test would say; is recorded.
        progress: told part by part.
    Raises:
        PromotionError: it is not shown to be better than the champion, or cannot be compared with it.
        TrackingError: MLflow cannot be reached, or there is no such version.
    """
    name = params.tracking.model_name
    progress("starting MLflow", 0, 1)
    with connected(find_places(params.tracking, os.environ), _REPEAT) as mlflow:
        client = mlflow.MlflowClient()
        candidate = find_named(client, version or CHALLENGER, name)
        holder = client.get_registered_model(name).aliases.get(CHAMPION)
        if candidate.name != name:
            raise PromotionError(
                str(version), expected=f"a version of {name} (tracking.model_name)",
                received=f"one of {candidate.name}", action=f"Name a version or alias of {name}.",
            )  # fmt: skip
        made = str(candidate.version)
        if holder is not None and str(holder) == made:
            return Promotion(name, made, made, "", forced=False)
        if reason is not None:
            because = reason
        elif holder is None:
            because = "There was no champion to compare it with."
        else:
            progress("comparing", 0, 1)
            champion = client.get_model_version(name, str(holder))
            runs = [read_version(client, f"version {one.version}", one) for one in (champion, candidate)]
            because = require_better(runs[0], runs[1], params.evaluate, f"{name} version {made}")
        promotion = Promotion(name, made, None if holder is None else str(holder), because, reason is not None)
        _record(client, promotion)
    progress("in MLflow", 1, 1)
    return promotion


def require_better(first: Snapshot, second: Snapshot, params: EvaluateParams, name: str) -> str:
    """The sentences of a test that the second run's model passes.

    It passes where it is shown to be better in what its search was after (search.objective as it was recorded;
    accuracy where none was), and is not shown to be worse in balanced accuracy or macro F1: a model may win accuracy by
    giving up a rare class.

    Args:
        first: of the champion.
        second: of the model that would follow it; the names of both stand in the sentences.
        params: resamples, confidence and seed of the test.
        name: of the second model, for the error.
    Raises:
        PromotionError: it does not pass, or too few test images are in both runs.
    """
    pairs = pair_images(first, second)
    found = compare_pairs(pairs, params)
    if found is None:
        raise PromotionError(
            name,
            expected=f"at least {ENOUGH} test images that it shares with the champion, {first.name}",
            received=f"{len(pairs.table)}; {pairs.only_first:,} are only in the champion's test split",
            action=_ACTION,
        )
    objective = second.params.get("search.objective", "")
    decisive = objective if objective in IN_WORDS else "accuracy"
    worse = [guard for guard in _GUARDS if guard != decisive and found.verdict_on(guard) == "worse"]
    sentence = " ".join(
        [*(found.sentence(first.name, second.name, metric) for metric in (decisive, *worse)), *pairs.notes()]
    )
    if found.verdict_on(decisive) != "better" or worse:
        unharmed = ", and worse in none" if worse else ""
        raise PromotionError(
            name,
            expected=f"a model shown to be better than the champion, {first.name}{unharmed}",
            received=sentence.rstrip("."),
            action=_ACTION,
        )
    return sentence


def _record(client: Any, promotion: Promotion) -> None:
    """Why, by whom, when, over whom; the alias last, so that a champion always has its reason."""
    name, version = promotion.name, promotion.version
    tags = {
        "promoted.because": promotion.because[:_TAG_CHARS],
        "promoted.forced": str(promotion.forced).lower(),
        "promoted.over": promotion.previous or "",
        "promoted.by": _user(),
        "promoted.at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    for key, value in tags.items():
        client.set_model_version_tag(name, version, key, value)
    client.set_registered_model_alias(name, CHAMPION, version)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"
