"""Shrink the trained model: five files measured on validation, one of them ships."""

import os

from automl_cnn.quiet import import_quietly
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    # Before anything imports TensorFlow: the quantization library knows tf_keras alone.
    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    stage.progress("loading TensorFlow", 0, 1)
    import_quietly("tensorflow_model_optimization")
    from automl_cnn.evaluate.paired import IN_WORDS
    from automl_cnn.quantize.deliver import quantize_winner
    from automl_cnn.train.candidate import Candidate

    best = Candidate.load(stage.files.search / "best.yaml")
    # as many steps as the search has left time for
    planned = stage.params.quantize.model_copy(update={"steps": best.quantize_steps})
    params = stage.params.model_copy(update={"quantize": planned})
    for rung in quantize_winner(params, stage.files, best.objective, stage.progress):
        if rung.error:
            print(f"  {rung.rung:12} {rung.error}")
            continue
        print(
            f"{'→' if rung.shipped else ' '} {rung.rung:12} {IN_WORDS[rung.objective]} {rung.val_score:.4f}  "
            f"{(rung.size_bytes or 0) / 1e6:5.2f} MB  {rung.latency_ms:6.1f} ms  {rung.reason}"
        )


if __name__ == "__main__":
    run_stage("quantize", main)
