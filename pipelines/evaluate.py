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


if __name__ == "__main__":
    run_stage("evaluate", main)
