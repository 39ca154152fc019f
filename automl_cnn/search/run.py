"""The stage search: from images, split and params.yaml to the best candidate, within the budget of all stages."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from automl_cnn.artifacts import Files, read_json, write_json
from automl_cnn.config import Params
from automl_cnn.data.split_images import split_rows
from automl_cnn.errors import ArtifactError
from automl_cnn.progress import Progress, silent
from automl_cnn.search.arms import choose_arms
from automl_cnn.search.budget import STAGES, Clock, Work, corrections_of, steps_within
from automl_cnn.search.climb import climb
from automl_cnn.search.climb_terms import ClimbPlan, Oracle
from automl_cnn.search.costs import MeasuredCosts
from automl_cnn.search.frontier import Target, frontier
from automl_cnn.search.identity import announce, identity_of, log_path
from automl_cnn.search.results import Outcome
from automl_cnn.search.space import SearchSpace, Space, arm_of, class_weight_for, plain_head
from automl_cnn.search.study import run_study
from automl_cnn.search.trial import Fidelity, TrialResult, evaluate
from automl_cnn.search.trial_log import best_of, read_log
from automl_cnn.train.candidate import Candidate
from automl_cnn.train.material import Material

IDLE_SHARE = 0.1  # of the budget: more than this unused is said


def search(
    params: Params, files: Files, folder: Path, import_s: float, started: float, progress: Progress = silent
) -> Outcome:
    """Search as long as the budget leaves time for the stages after it.

    Args:
        params: the sections search, target, train and quantize are read.
        files: images and split are read.
        folder: keeps features, trainings and the logs of studies.
        import_s: what loading TensorFlow took.
        started: `time.perf_counter()` when the stage began.
        progress: told of everything that takes long.
    Raises:
        ConfigError: a backbone is unknown or has no weights.
        BudgetError: not one trial succeeded.
    """
    material = Material.of(params, files, folder)
    studies = folder / "search"
    clock = Clock(60 * (params.search.budget_minutes or 7.0), started)
    steps = params.quantize.steps or 0
    work = Work(
        len(material.training.rows), len(material.validation.rows), len(split_rows(files, "test").store_rows),
        params.quantize.calibration_images or 0, params.quantize.batch_size,
    )  # fmt: skip
    corrections = _corrections(studies / "promised.json", files)
    probed = MeasuredCosts(studies / "probed.json", material, work, steps, clock.budget_s, import_s, corrections)
    choice = choose_arms(params, material.store.size_px, lambda arm: probed.cost(arm).latency_ms)
    space = SearchSpace(
        choice.arms, tuple(params.search.augmentations or ["none"]), params.train.depths,
        params.train.learning_rate or 4e-4, choice.from_scratch, class_weight_for(params.search.objective),
    )  # fmt: skip
    plan = _plan(params, len(material.training.rows))
    identity = identity_of(space, plan, material)
    lines = [f"left out: {line}" for line in choice.left_out]
    lines += filter(None, [announce(studies, identity)])
    for line in lines:
        progress(line, 1, 1)

    log = log_path(studies, identity)
    costs = MeasuredCosts(log.with_suffix(".costs.json"), material, work, steps, clock.budget_s, import_s, corrections)
    promised_s = clock.budget_s - costs.reserve_s(plain_head((*choice.arms, *choice.from_scratch)[0]))
    steered = climb(space, plan, costs, clock, _oracle(params), read_log(log))
    end = run_study(steered, _trial(material, progress, clock, costs), log, clock, progress)
    best = best_of(end.records)
    left_s = clock.budget_s - clock.read()
    reserved = costs.reserved(best.values)
    steps = steps_within(left_s, reserved, steps)
    promised = {
        "search": promised_s, "train": reserved.train_s, "quantize": reserved.quantize_s + steps * reserved.step_s,
        "evaluate": reserved.evaluate_s,
    }  # fmt: skip
    promised = {stage: round(seconds, 1) for stage, seconds in promised.items()}
    write_json(studies / "promised.json", {"promised": promised, "corrections": costs.corrections})
    idle_s = left_s - reserved.total_s(steps)
    lines.append(f"the search ended: {end.reason}")
    if idle_s > IDLE_SHARE * clock.budget_s:
        lines.append(f"{idle_s:,.0f} s of the budget will be left over")
    if idle_s < -IDLE_SHARE * clock.budget_s:
        lines.append(f"the later stages will take {-idle_s:,.0f} s more than search.budget_minutes leaves them")
    candidate = Candidate(
        best.trial_id,
        params.search.objective,
        round(best.score or 0.0, 6),
        best.delivered_values,
        best.images,
        best.views,
        steps,
    )
    seen = {arm_of(record.values): None for record in end.records if record.score is not None}
    target = Target(params.target.max_latency_ms, params.target.max_size_mb)
    rows = frontier(end.records, {arm: costs.cost(arm) for arm in seen}, target, best.images)
    budget = {"budget_s": clock.budget_s, "promised": promised, "quantize_steps": steps, "ended": end.reason}
    return Outcome(end.records, candidate, rows, budget, lines)


def _plan(params: Params, images: int) -> ClimbPlan:
    search, train = params.search, params.train
    return ClimbPlan(
        images, search.max_trials, search.max_fine_tunings, train.epochs or 8, search.finalists or 1, search.views or 3,
        train.batch_size, train.distillation or 0.0,
    )  # fmt: skip


def _oracle(params: Params) -> Callable[[Space], Oracle]:
    def make(space: Space) -> Oracle:
        from automl_cnn.search.tuner import Tuner  # imports keras_tuner

        return Tuner(space, params.search.tuner, params.search.seed)

    return make


def _trial(
    material: Material, progress: Progress, clock: Clock, costs: MeasuredCosts
) -> Callable[[dict[str, Any], Fidelity], TrialResult]:
    def trial(values: dict[str, Any], fidelity: Fidelity) -> TrialResult:
        """One trial; a fine-tuning that comes to be slower than it was probed ends before the later stages' time."""
        left_s = clock.budget_s - clock.read() - costs.reserve_s(values)
        return evaluate(values, fidelity, material, progress, time.perf_counter() + left_s)

    return trial


def _corrections(path: Path, files: Files) -> dict[str, float]:
    """How far the last promise of this project was off, stage by stage."""
    try:
        kept = read_json(path)
        promised, before = dict(kept["promised"]), dict(kept["corrections"])
    except (ArtifactError, KeyError, TypeError):
        return {}
    actual = {}
    for stage in STAGES:
        timing = files.timings / f"{stage}.json"
        if timing.exists() and timing.stat().st_mtime > path.stat().st_mtime:
            actual[stage] = float(read_json(timing)["seconds"])
    return corrections_of(promised, actual, before)
