"""keras-tuner behind three methods: ask for values, tell a score, replay what an earlier run told. Its sole importer.

The oracle stays in this process and knows nothing of models, so that a trial can run anywhere.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from typing import Any

import keras_tuner as kt
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from automl_cnn.search.space import Space

RANDOM_TRIALS_BEFORE_BAYES = 10
MAX_FAILURES_IN_A_ROW = 5
KERNEL_RESTARTS = 1
CANDIDATES = 1000


class Tuner:
    """Proposes the values of the next trial.

    Args:
        space: what can be chosen.
        kind: bayesian or random.
        max_trials: most trials that are proposed.
        seed: 1 or more; keras-tuner takes 0 as random.
    """

    def __init__(self, space: Space, kind: str, max_trials: int, seed: int) -> None:
        self._space = _to_hyperparameters(space)
        self._defaults = space.defaults()
        self._trials: dict[str, Trial] = {}
        self._digits = len(str(max_trials))  # as the oracle pads its ids
        common: dict[str, Any] = {
            "objective": kt.Objective("score", "max"),
            "max_trials": max_trials,
            "hyperparameters": self._space,
            "allow_new_entries": False,
            "tune_new_entries": True,
            "seed": seed,
            "max_consecutive_failed_trials": MAX_FAILURES_IN_A_ROW,
        }
        if kind == "random":
            self._oracle = kt.oracles.RandomSearchOracle(**common)
        else:
            self._oracle = _QuickBayesianOracle(num_initial_points=RANDOM_TRIALS_BEFORE_BAYES, **common)
        self._oracle.verbose = 0
        # The oracle insists on writing its state; the study keeps its own log, which survives a kill in mid-write.
        self._folder = tempfile.TemporaryDirectory(prefix="automl-cnn-tuner-")
        self._oracle._set_project_dir(self._folder.name, "oracle")

    def ask(self) -> tuple[str, dict[str, Any]] | None:
        """The next trial's id and values; None when the space or the number of trials is exhausted."""
        trial = self._oracle.create_trial("driver")
        if trial.status == TrialStatus.STOPPED:
            return None
        if not self._oracle.end_order:  # the first trial is the sound default, so that a short budget ends well
            trial.hyperparameters.values = dict(self._defaults)
        self._trials[trial.trial_id] = trial
        return trial.trial_id, dict(trial.hyperparameters.values)

    def tell(self, trial_id: str, score: float | None) -> None:
        """Report a finished trial; None for one that failed.

        Raises:
            RuntimeError: too many trials failed one after the other.
        """
        trial = self._trials.pop(trial_id)
        if score is None:
            trial.status = TrialStatus.FAILED
        else:
            self._oracle.update_trial(trial_id, {"score": score})
            trial.status = TrialStatus.COMPLETED
        self._oracle.end_trial(trial)

    def replay(self, values: Mapping[str, Any], score: float | None) -> None:
        """Tell of a trial that an earlier run finished, without proposing it (and fitting its surrogate) again."""
        number = len(self._oracle.trials)
        hyperparameters = self._space.copy()
        hyperparameters.values = dict(values)
        trial = Trial(hyperparameters, trial_id=f"{number:0{self._digits}d}", status=TrialStatus.RUNNING)
        self._oracle.trials[trial.trial_id] = trial
        self._oracle.start_order.append(trial.trial_id)
        self._oracle._seed_state += len(self._space.space)  # one draw a dimension, as if it had been proposed
        self._trials[trial.trial_id] = trial
        self.tell(trial.trial_id, score)


class _QuickBayesianOracle(kt.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """keras-tuner's Gaussian process, asked about a few thousand random points instead of fifty gradient descents.

    The original takes 7 s of CPU a proposal in eight dimensions, several times what a trial on cached features takes,
    and this 0.25 s; the descents also end between the values of a choice, where nothing can be tried.
    """

    def _make_gpr(self) -> Any:
        process = super()._make_gpr()
        process.n_restarts_optimizer = KERNEL_RESTARTS
        return process

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        completed = [trial for trial in self.trials.values() if trial.status == TrialStatus.COMPLETED]
        if len(completed) < self.num_initial_points:
            return dict(super().populate_space(trial_id))
        vectors, losses = self._vectorize_trials()
        self.gpr.fit(vectors, losses)
        candidates = [self._random_point() for _ in range(CANDIDATES)]
        mean, deviation = self.gpr.predict(np.array([self._vector(values) for values in candidates]), return_std=True)
        for position in np.argsort(mean - self.beta * deviation, kind="stable"):
            if not self._duplicate(candidates[position]):
                return {"status": TrialStatus.RUNNING, "values": candidates[position]}
        return {"status": TrialStatus.STOPPED, "values": None}

    def _random_point(self) -> dict[str, Any]:
        values = {}
        for parameter in self.hyperparameters.space:
            values[parameter.name] = parameter.random_sample(self._seed_state)
            self._seed_state += 1
        return values

    def _vector(self, values: Mapping[str, Any]) -> list[float]:
        return [parameter.value_to_prob(values[parameter.name]) for parameter in self._nonfixed_space()]


def _to_hyperparameters(space: Space) -> kt.HyperParameters:
    parameters = kt.HyperParameters()
    for dimension in space.dimensions:
        if dimension.bounds is not None:
            low, high = dimension.bounds
            parameters.Float(dimension.name, low, high, sampling="log", default=dimension.default)
        elif len(dimension.choices) == 1:
            parameters.Fixed(dimension.name, dimension.choices[0])
        else:
            parameters.Choice(dimension.name, list(dimension.choices), default=dimension.default)
    return parameters
