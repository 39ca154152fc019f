"""keras-tuner behind three methods: ask for values, tell a score, replay what an earlier run told. Its sole importer.

The oracle stays in this process and knows nothing of models, so that a trial can run anywhere.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from typing import Any

import keras_tuner as kt
import numpy as np
from keras_tuner.engine.trial import Trial, TrialStatus

from automl_cnn.search.space import Space
from automl_cnn.train.head import HeadSettings

RANDOM_TRIALS_BEFORE_BAYES = 10
HYPERBAND_FACTOR = 3
UNLIMITED = 100_000  # trials; the climb ends the search
EPOCHS_KEY = "tuner/epochs"
KERNEL_RESTARTS = 1
CANDIDATES = 1000


class Tuner:
    """Proposes points of a space.

    Args:
        space: what can be chosen.
        kind: random, bayesian or hyperband.
        seed: 1 or more; keras-tuner takes 0 as random.
    """

    def __init__(self, space: Space, kind: str, seed: int) -> None:
        self._space = _to_hyperparameters(space)
        self._defaults = space.defaults()
        self._names = [dimension.name for dimension in space.dimensions]
        self._trials: dict[str, Trial] = {}
        self._kind = kind
        common: dict[str, Any] = {
            "objective": kt.Objective("score", "max"),
            "hyperparameters": self._space,
            "allow_new_entries": False,
            "tune_new_entries": True,
            "seed": seed,
            "max_consecutive_failed_trials": UNLIMITED,  # the climb counts failures: here they would raise
        }
        if kind == "hyperband":
            self._oracle = kt.oracles.HyperbandOracle(
                max_epochs=HeadSettings.epochs, factor=HYPERBAND_FACTOR, hyperband_iterations=0, **common
            )
        elif kind == "random":
            self._oracle = kt.oracles.RandomSearchOracle(max_trials=UNLIMITED, **common)
        else:
            self._oracle = _QuickBayesianOracle(
                max_trials=UNLIMITED, num_initial_points=RANDOM_TRIALS_BEFORE_BAYES, **common
            )
        self._oracle.verbose = 0
        # The oracle insists on writing its state; the study keeps its own log, which survives a kill in mid-write.
        self._folder = tempfile.TemporaryDirectory(prefix="automl-cnn-tuner-")
        self._oracle._set_project_dir(self._folder.name, "oracle")

    def ask(self) -> tuple[str, dict[str, Any]] | None:
        """The next trial's id and point; None when the space is exhausted.

        Hyperband adds `head_epochs` to the point: how long the head may be trained at the rung that it stands on.
        """
        trial = self._oracle.create_trial("driver")
        if trial.status in (TrialStatus.STOPPED, TrialStatus.IDLE):
            return None
        values = trial.hyperparameters.values
        if not self._oracle.end_order:  # the first trial is the sound default, so that a short budget ends well
            values.update(self._defaults)
        self._trials[trial.trial_id] = trial
        point = {name: values[name] for name in self._names}
        return trial.trial_id, {**point, "head_epochs": values[EPOCHS_KEY]} if self._kind == "hyperband" else point

    def tell(self, trial_id: str, score: float | None) -> None:
        """Report a finished trial; None for one that failed."""
        trial = self._trials.pop(trial_id)
        if score is None:
            trial.status = TrialStatus.FAILED
        else:
            self._oracle.update_trial(trial_id, {"score": score})
            trial.status = TrialStatus.COMPLETED
        self._oracle.end_trial(trial)

    def replay(self, point: Mapping[str, Any], score: float | None) -> None:
        """Tell of a trial that an earlier run finished, without proposing it (and fitting its surrogate) again."""
        if self._kind == "hyperband":  # its rungs are known to `ask` alone, which is quick and gives the same point
            asked = self.ask()
            if asked is not None:
                self.tell(asked[0], score)
            return
        hyperparameters = self._space.copy()
        hyperparameters.values = dict(point)
        number = f"{len(self._oracle.trials):0{len(str(UNLIMITED))}d}"  # as the oracle pads its ids
        trial = Trial(hyperparameters, trial_id=number, status=TrialStatus.RUNNING)
        self._oracle.trials[trial.trial_id] = trial
        self._oracle.start_order.append(trial.trial_id)
        self._oracle._seed_state += len(self._space.space)  # one draw a dimension, as if it had been proposed
        self._trials[trial.trial_id] = trial
        self.tell(trial.trial_id, score)


class _QuickBayesianOracle(kt.oracles.BayesianOptimizationOracle):  # type: ignore[misc]
    """keras-tuner's Gaussian process, asked about a thousand random points instead of fifty gradient descents.

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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a kernel's scale that reached its bound
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
