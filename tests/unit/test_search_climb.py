"""A search climbs from many cheap trials to few dear ones, keeps its time, survives failures and kills."""

import os
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from search_landscape import ARMS, PLAN, SPACE, WORTH, run, worth

from automl_cnn.errors import BudgetError
from automl_cnn.search.space import arm_of, class_weight_for, plain_head
from automl_cnn.search.trial import Fidelity, TrialResult
from automl_cnn.search.trial_log import best_of, read_log


def test_the_first_trial_is_the_fastest_linear_head(tmp_path: Path) -> None:
    end, _ = run(tmp_path / "log.jsonl")
    assert end.records[0].values == plain_head(ARMS[0])
    assert end.records[0].images < PLAN.images


def test_an_arm_is_judged_on_few_images_before_any_is_judged_on_all(tmp_path: Path) -> None:
    records = run(tmp_path / "log.jsonl")[0].records
    judged = [{arm_of(r.values) for r in records if r.images == images} for images in (400, 1600, 4000)]
    assert judged[0] == set(ARMS)
    assert len(judged[1]) == 3
    assert judged[2] == set(sorted(ARMS, key=lambda arm: -WORTH[arm])[: PLAN.finalists])


def test_fidelity_climbs_to_fine_tuning_of_few(tmp_path: Path) -> None:
    end, _ = run(tmp_path / "log.jsonl")
    counts = Counter(record.fidelity for record in end.records)
    assert counts["cached_features"] > counts["more_views"] > 0
    assert counts["fine_tuning"] == PLAN.max_fine_tunings
    assert best_of(end.records).fidelity == "fine_tuning"
    assert "max_trials" in end.reason


def test_an_ensemble_is_of_heads_on_one_arm_and_of_one_kind(tmp_path: Path) -> None:
    ensembles = [r.values for r in run(tmp_path / "log.jsonl")[0].records if r.phase == "ensemble"]
    assert ensembles
    for values in ensembles:
        assert {arm_of(member) for member in values["members"]} == {arm_of(values)}
        assert len({bool(member["hidden_units"]) for member in values["members"]}) == 1


def test_the_same_seed_gives_the_same_trials(tmp_path: Path) -> None:
    first, second = (run(tmp_path / name)[0].records for name in ("a.jsonl", "b.jsonl"))
    assert [(r.values, r.score) for r in first] == [(r.values, r.score) for r in second]


@pytest.mark.parametrize("budget_s", [1e6, 1500.0])
@pytest.mark.parametrize("killed_after", [1, 7, 14, 33])
def test_a_killed_search_repeats_no_finished_trial_and_ends_as_if_nothing_had_happened(
    tmp_path: Path, killed_after: int, budget_s: float
) -> None:
    class Killed(BaseException):
        """As sudden as kill -9: nothing in the study may catch it."""

    whole = run(tmp_path / "whole.jsonl", budget_s=budget_s)[0].records
    log, calls = tmp_path / "log.jsonl", []

    def dies(values: dict[str, Any], fidelity: Fidelity) -> TrialResult:
        calls.append(values)
        if len(calls) == killed_after + 1:
            raise Killed
        return TrialResult(worth(values, fidelity), worth(values, fidelity), values.get("epochs", 16), 0.0)

    with pytest.raises(Killed):
        run(log, dies, budget_s=budget_s)
    with log.open("a") as file:
        file.write('{"trial_id": 5, "status": "comp')  # the kill came in mid-write
    finished = read_log(log)
    assert len(finished) == killed_after
    records = run(log, dies, budget_s=budget_s)[0].records
    assert records[:killed_after] == finished
    assert [r.values for r in records] == [r.values for r in whole]
    assert len(calls) == len(records) + 1  # only the interrupted one ran twice


def test_a_longer_budget_goes_on_where_the_shorter_one_ended(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    short, _ = run(log, budget_s=300.0)
    longer, _ = run(log, budget_s=1200.0)
    assert longer.records[: len(short.records)] == short.records
    assert len(longer.records) > len(short.records)
    values = [str((r.values, r.fidelity, r.images)) for r in longer.records]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("budget_s", [200.0, 600.0, 1800.0])
def test_the_time_is_used_to_the_end_and_the_later_stages_get_theirs(tmp_path: Path, budget_s: float) -> None:
    endless = replace(PLAN, max_trials=None, max_fine_tunings=None)
    end, clock = run(tmp_path / "log.jsonl", plan=endless, budget_s=budget_s)
    assert 0.95 * (budget_s - 60) <= clock.at_s <= budget_s - 60
    assert "time" in end.reason


def test_a_budget_too_short_for_anything_still_gives_the_fastest_linear_head_and_says_so(tmp_path: Path) -> None:
    end, _ = run(tmp_path / "log.jsonl", budget_s=1.0)
    assert [r.values for r in end.records] == [plain_head(ARMS[0])]
    assert "too short" in end.reason
    assert "fastest linear head" in end.reason


def test_a_budget_that_misses_a_head_on_all_images_by_a_tenth_is_overrun_for_it(tmp_path: Path) -> None:
    end, clock = run(tmp_path / "log.jsonl", budget_s=100.0)
    assert [record.images for record in end.records] == [400, PLAN.images]
    assert 100.0 < clock.at_s + 60.0 <= 110.0
    assert f"{PLAN.images:,} of {PLAN.images:,} images" in end.reason


def test_the_best_network_teaches_each_that_costs_no_more_once(tmp_path: Path) -> None:
    teaching = replace(PLAN, max_fine_tunings=12, distillation=0.5)
    tuned = [r for r in run(tmp_path / "log.jsonl", plan=teaching)[0].records if r.phase == "fine_tuning"]
    taught = [record for record in tuned if "teacher" in record.values]
    assert taught
    for record in taught:
        before = [r for r in tuned if r.trial_id < record.trial_id and "teacher" not in r.values]
        assert len(before) >= 2
        assert record.values["teacher"] == best_of(before).values
        assert record.values["distillation"] == 0.5
        student = {n: v for n, v in record.values.items() if n not in ("teacher", "teacher_views", "distillation")}
        assert student in [r.values for r in before]
    assert len({repr(record.values) for record in taught}) == len(taught)


def test_a_depth_for_which_too_few_epochs_fit_gives_way_to_a_shallower_one(tmp_path: Path) -> None:
    shallow_first = replace(SPACE, depths=(4, 8))
    endless = replace(PLAN, max_fine_tunings=None)
    tuned = [
        record
        for record in run(tmp_path / "log.jsonl", plan=endless, budget_s=420.0, space=shallow_first)[0].records
        if record.phase == "fine_tuning"
    ]
    assert tuned[0].values["unfreeze_from_block"] == 8
    assert tuned[0].values["epochs"] >= 2 / 3 * PLAN.epochs


def test_a_failed_or_diverged_trial_does_not_end_the_search(tmp_path: Path) -> None:
    def sometimes(values: dict[str, Any], fidelity: Fidelity) -> TrialResult:
        if values["dropout"] == 0.4:
            raise ValueError("no weights for this class")
        score = float("nan") if values["label_smoothing"] == 0.1 else worth(values, fidelity)
        return TrialResult(score, score, 3, 0.0)

    records = run(tmp_path / "log.jsonl", sometimes)[0].records
    messages = {r.message.split(":")[0] for r in records if r.status == "failed"}
    assert messages == {"ValueError", "the loss diverged"}
    assert best_of(records).status == "completed"


def test_a_fine_tuning_that_runs_out_of_memory_is_tried_with_smaller_batches(tmp_path: Path) -> None:
    def hungry(values: dict[str, Any], fidelity: Fidelity) -> TrialResult:
        if values.get("batch_size", 0) > 8:
            raise MemoryError
        return TrialResult(worth(values, fidelity), 0.5, 3, 0.0)

    tuned = [r for r in run(tmp_path / "log.jsonl", hungry)[0].records if r.phase == "fine_tuning"]
    assert [r.values["batch_size"] for r in tuned][:3] == [32, 16, 8]
    assert [r.status for r in tuned][:3] == ["failed", "failed", "completed"]


def test_a_fine_tuning_that_diverges_is_tried_at_a_lower_rate(tmp_path: Path) -> None:
    def diverges(values: dict[str, Any], fidelity: Fidelity) -> TrialResult:
        high = values.get("fine_tuning_rate", 0.0) > 2e-4
        return TrialResult(float("nan") if high else worth(values, fidelity), 0.5, 3, 0.0)

    tuned = [r for r in run(tmp_path / "log.jsonl", diverges)[0].records if r.phase == "fine_tuning"]
    assert [r.status for r in tuned][:2] == ["failed", "completed"]
    assert tuned[1].values["fine_tuning_rate"] < tuned[0].values["fine_tuning_rate"]


def test_a_search_without_one_success_says_why(tmp_path: Path) -> None:
    def always(values: dict[str, Any], fidelity: Fidelity) -> TrialResult:
        raise MemoryError("out of memory")

    with pytest.raises(BudgetError, match="out of memory"):
        run(tmp_path / "log.jsonl", always)


def test_a_search_that_failed_as_a_whole_tries_again_once_the_cause_is_mended(tmp_path: Path) -> None:
    log, broken = tmp_path / "log.jsonl", True

    def while_broken(values: dict[str, Any], fidelity: Fidelity) -> TrialResult:
        if broken:
            raise OSError("no space left on the disk")
        return TrialResult(worth(values, fidelity), 0.5, 3, 0.0)

    with pytest.raises(BudgetError, match="no space left"):
        run(log, while_broken)
    broken = False
    assert all(record.score is not None for record in run(log, while_broken)[0].records)


def test_a_fine_tuning_that_time_cut_short_is_known_by_what_it_became(tmp_path: Path) -> None:
    def hurried(values: dict[str, Any], fidelity: Fidelity) -> TrialResult:
        epochs = 2 if "epochs" in values else 0
        return TrialResult(worth(values, fidelity), 0.5, epochs, 0.0, epochs)

    tuned = [
        record
        for record in run(tmp_path / "log.jsonl", hurried, plan=replace(PLAN, distillation=0.5))[0].records
        if record.phase == "fine_tuning"
    ]
    assert {record.delivered_values["epochs"] for record in tuned} == {2}
    assert {record.values["teacher"]["epochs"] for record in tuned if "teacher" in record.values} == {2}


@pytest.mark.parametrize("weight", ["none", "balanced"])
def test_fine_tuning_weighs_classes_as_the_objective_does_whatever_its_head_did(tmp_path: Path, weight: str) -> None:
    records = run(tmp_path / "log.jsonl", space=replace(SPACE, tuning_class_weight=weight))[0].records
    tuned = [record.values for record in records if record.phase == "fine_tuning"]
    assert {values["tuning_class_weight"] for values in tuned} == {weight}
    assert class_weight_for("accuracy") == "none"
    assert class_weight_for("balanced_accuracy") == "balanced"


def test_of_scores_that_validation_cannot_tell_apart_the_lower_log_loss_wins(tmp_path: Path) -> None:
    def trial(values: dict[str, Any], fidelity: Fidelity) -> TrialResult:
        lucky = values["dropout"] == 0.2
        return TrialResult(0.60 if lucky else 0.57, 0.5, 3, 0.0, 0, 0.04, 1.2 if lucky else 0.7 + values["dropout"])

    records = run(tmp_path / "log.jsonl", trial)[0].records
    assert {record.values["dropout"] for record in records} >= {0.0, 0.2}
    assert best_of(records).values["dropout"] == 0.0
    sure = [replace(record, standard_error=0.02) for record in records]
    assert best_of(sure).values["dropout"] == 0.2


def test_a_single_arm_is_not_compared_with_itself(tmp_path: Path) -> None:
    end, _ = run(tmp_path / "log.jsonl", space=replace(SPACE, arms=ARMS[:1]))
    assert sum(r.phase == "screening" for r in end.records) == 1


def test_a_search_that_was_killed_with_signal_9_goes_on_where_it_was(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    program = (
        "import os, signal; from pathlib import Path; from search_landscape import run, worth\n"
        "from automl_cnn.search.trial import TrialResult\n"
        "done = []\n"
        "def trial(values, fidelity):\n"
        "    done.append(values)\n"
        "    if len(done) == 9: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return TrialResult(worth(values, fidelity), 0.5, 3, 0.0)\n"
        f"run(Path({str(log)!r}), trial)\n"
    )
    here = str(Path(__file__).parents[1])
    killed = subprocess.run([sys.executable, "-c", program], env={**os.environ, "PYTHONPATH": here}, check=False)
    assert killed.returncode == -signal.SIGKILL
    finished = read_log(log)
    assert len(finished) == 8
    assert run(log)[0].records[:8] == finished


def test_a_network_from_scratch_is_trained_as_a_whole_and_is_never_asked_for_features(tmp_path: Path) -> None:
    whole = replace(ARMS[0], backbone="smallnet")

    def trial(values: dict[str, Any], fidelity: Fidelity) -> TrialResult:
        score = 0.7 if values["backbone"] == "smallnet" else worth(values, fidelity)
        return TrialResult(score, score, values.get("epochs", 16), 0.0)

    for name, arms in (("beside", ARMS), ("alone", ())):
        end, _ = run(tmp_path / f"{name}.jsonl", trial, space=replace(SPACE, arms=arms, from_scratch=(whole,)))
        trained = [r for r in end.records if r.values["backbone"] == "smallnet"]
        assert {(r.phase, r.values["unfreeze_from_block"]) for r in trained} == {("fine_tuning", 1)}
