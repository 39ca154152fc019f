"""Stage explain: where the network looked in the failures of the test split."""

from __future__ import annotations

from automl_cnn.quiet import import_quietly
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    """Draw heat maps, then write artifacts/explanations/."""
    stage.progress("loading TensorFlow", 0, 1)
    import_quietly("keras")
    from automl_cnn.evaluate.explain import explain_failures, write_explanations

    found = explain_failures(stage.files, stage.progress)
    write_explanations(stage.files.explanations, found)
    print(f"{len(found.index)} images: what spoke for the answer, and what for the label")


if __name__ == "__main__":
    run_stage("explain", main)
