"""What starts fast stays fast: no light command or unit under test pulls in TensorFlow, MLflow or pandas."""

import subprocess
import sys

HEAVY = ("tensorflow", "keras", "tf_keras", "keras_tuner", "mlflow", "dvc", "torch")


def _heavy_after(statement: str, heavy: tuple[str, ...]) -> str:
    program = f"import sys; {statement}; print(*[name for name in {heavy!r} if name in sys.modules])"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip()


def test_help_needs_nothing_heavy() -> None:
    assert _heavy_after("import automl_cnn.cli", (*HEAVY, "pandas", "sklearn", "scipy")) == ""


def test_predicting_needs_nothing_heavy() -> None:
    assert _heavy_after("import automl_cnn.serve.predict", (*HEAVY, "pandas", "sklearn", "scipy", "pydantic")) == ""


def test_importing_any_module_of_the_science_does_not_start_tensorflow() -> None:
    modules = (
        "data.ingest", "audit.labels", "audit.duplicates", "split.solver", "search.study", "search.results",
        "train.winner", "quantize.gate", "quantize.deliver", "evaluate.judge", "report.page", "stage",
        "tracking.record", "tracking.promotion", "tracking.compare",
    )  # fmt: skip
    assert _heavy_after("import " + ", ".join(f"automl_cnn.{module}" for module in modules), HEAVY) == ""
