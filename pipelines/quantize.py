"""Shrink the trained model: four files measured on validation, one of them ships."""

import os
from importlib import import_module

# Before anything imports TensorFlow: the quantization library knows tf_keras alone.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    import absl.logging

    from automl_cnn.quantize.deliver import quantize_winner
    from automl_cnn.quantize.quiet import native_messages_dropped

    absl.logging.set_verbosity(absl.logging.ERROR)
    stage.progress("loading TensorFlow", 0, 1)
    with native_messages_dropped():
        import_module("tensorflow_model_optimization")
    stage.progress("loading TensorFlow", 1, 1)

    for rung in quantize_winner(stage.params, stage.files, stage.progress):
        if rung.error:
            print(f"  {rung.rung:12} {rung.error}")
            continue
        print(
            f"{'→' if rung.shipped else ' '} {rung.rung:12} validation {rung.val_accuracy:.4f}  "
            f"{(rung.size_bytes or 0) / 1e6:5.2f} MB  {rung.latency_ms:6.1f} ms  {rung.reason}"
        )


if __name__ == "__main__":
    run_stage("quantize", main)
