"""Fine-tune the best candidate of the search in Keras 3."""

from automl_cnn.quiet import import_quietly
from automl_cnn.stage import Stage, run_stage


def main(stage: Stage) -> None:
    stage.progress("loading TensorFlow", 0, 1)
    import_quietly("keras")
    from automl_cnn.train.candidate import Candidate
    from automl_cnn.train.winner import train_winner

    best = Candidate.load(stage.files.search / "best.yaml")
    result = train_winner(stage.params, stage.files, best, stage.cache, stage.progress)
    print(
        f"validation {best.objective} {result['validation_score']:.4f} at epoch {result['best_epoch']} of fine-tuning, "
        f"{result['head_score']:.4f} with the head alone; temperature {result['temperature']:.2f}"
    )


if __name__ == "__main__":
    run_stage("train", main)
