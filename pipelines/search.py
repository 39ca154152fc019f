"""Search heads, augmentation and backbone on cached features, inside the time budget."""

from automl_cnn.quiet import import_quietly
from automl_cnn.search.inputs import data_digest, gather
from automl_cnn.search.results import write_results
from automl_cnn.search.space import head_space
from automl_cnn.search.study import StudyPlan, run_study, study_path
from automl_cnn.search.trial import evaluate
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    stage.progress("loading TensorFlow", 0, 1)
    import_quietly("keras")
    search = stage.params.search
    size_px = search.input_size_px or stage.params.data.working_size_px
    data = gather(stage.files, list(search.backbones), list(search.augmentations or ["none"]))
    space = head_space(list(search.backbones), list(search.augmentations or ["none"]))
    plan = StudyPlan(search.tuner, 60 * (search.budget_minutes or 1.0), search.max_trials or 40, search.seed)
    log = study_path(stage.cache / "search", space, data_digest(data), plan, search.objective)
    records = run_study(
        space, lambda values: evaluate(values, data, search.objective, search.seed, size_px), plan, log, stage.progress
    )
    best = write_results(stage.files.search, records, size_px, search.objective)
    print(f"{len(records)} trials; best {search.objective} on validation {best.score:.4f} (trial {best.trial_id})")
    print("  " + ", ".join(f"{name} {value}" for name, value in best.values.items()))


if __name__ == "__main__":
    run_stage("search", main)
