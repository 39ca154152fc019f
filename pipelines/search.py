"""Stage search: backbones, input sizes, heads, augmentation and fine-tuning, inside the budget of all stages."""

import time

from automl_cnn.quiet import import_quietly
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    started = time.perf_counter()
    stage.progress("loading TensorFlow", 0, 1)
    import_quietly("keras")
    from automl_cnn.search.results import write_results
    from automl_cnn.search.run import search
    from automl_cnn.search.space import NESTED

    import_s = time.perf_counter() - started
    outcome = search(stage.params, stage.files, stage.cache, import_s, started, stage.progress)
    write_results(stage.files.search, outcome)
    best, score = outcome.best, outcome.best.score
    print(f"{len(outcome.records)} trials; best {best.objective} on validation {score:.4f} (trial {best.trial_id})")
    print("  " + ", ".join(f"{name} {value}" for name, value in best.values.items() if name not in NESTED))
    for line in outcome.lines:
        print(f"  {line}")
    promised = ", ".join(f"{stage} {seconds:,.0f} s" for stage, seconds in outcome.budget["promised"].items())
    print(f"  promised within {outcome.budget['budget_s'] / 60:g} minutes: {promised}")


if __name__ == "__main__":
    run_stage("search", main)
