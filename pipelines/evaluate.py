"""Stage evaluate: the shipped .tflite file on the locked test split, the float model beside it."""

from __future__ import annotations

from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    """Score, then write artifacts/evaluation/."""
    from automl_cnn.evaluate.judge import judge_shipped, write_evaluation

    evaluation = judge_shipped(stage.files, stage.params.evaluate, stage.progress)
    write_evaluation(stage.files.evaluation, evaluation)
    test, twin, model = (evaluation.metrics[key] for key in ("test", "float", "model"))
    low, high = test["accuracy_ci95"]
    print(f"{test['n']} test images: accuracy {test['accuracy']:.3f} (95 % interval {low:.3f} to {high:.3f}),")
    print(f"macro F1 {test['macro_f1']:.3f}; float model {twin['accuracy']:.3f} and {twin['macro_f1']:.3f}.")
    print(f"{model['rung']}: {model['size_bytes'] / 1e6:.2f} MB, {model['latency_ms_median']:.1f} ms an image.")
    for level in evaluation.coverage:
        reached = f", {level['precision']:.1%} of them rightly" if level["answered"] else ""
        print(f"Held to {level['wanted']:.0%} precision it answers {level['coverage']:.1%} of the images{reached}.")
    weak = [one for one in evaluation.slices["slices"] if one["weak"]]
    print(f"{len(weak)} weak slices among {evaluation.slices['looks']} looked at.")
    for one in weak[:3]:
        print(f"  {one['name']} {one['value']}: {one['accuracy']:.1%} of {one['images']} images, elsewhere "
              f"{one['rest_accuracy']:.1%}")  # fmt: skip
    print(evaluation.learning_curve["sentence"])


if __name__ == "__main__":
    run_stage("evaluate", main)
