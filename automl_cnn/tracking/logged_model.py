"""The model in MLflow: one LoggedModel that holds all that answering takes, and the versions that are made of it.

A LoggedModel is a folder: the .tflite file with labels.txt, preprocessing.json and reference.npz beside it, golden
images with their answers, the few modules of this package that prediction needs, and the packages to install.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from automl_cnn.artifacts import Files
from automl_cnn.export.golden import golden_of, write_golden
from automl_cnn.serve.bundle import bundle_serving_code
from automl_cnn.tracking.finished import SERVED
from automl_cnn.tracking.places import Places, is_database

DIGEST = "content_digest"
REQUIREMENTS = ("mlflow-skinny", "numpy", "pandas", "pillow", "ai-edge-litert")
TEMPLATE = Path(__file__).parents[1] / "templates" / "serve_model.py"


def log_model(mlflow: Any, client: Any, run: Any, files: Files, tags: Mapping[str, str]) -> Any:
    """Store the model of a run, unless the run holds it already; a half stored one is completed.

    Args:
        mlflow: from `connected`.
        client: MlflowClient.
        run: the parent run as it is in MLflow now.
        files: where quantized/ and model/golden.npz lie.
        tags: of the LoggedModel; `content_digest` is what it is found by.
    Returns:
        The LoggedModel, ready to be registered.
    Raises:
        ArtifactError: a file of it is missing.
    """
    from mlflow.entities import LoggedModelOutput

    experiment, run_id = run.info.experiment_id, run.info.run_id
    found = client.search_logged_models([experiment], f"tags.{DIGEST} = '{tags[DIGEST]}'")
    model = next((one for one in found if one.source_run_id == run_id), None)
    if model is None:
        model = client.create_logged_model(experiment, "model", source_run_id=run_id, tags=dict(tags))
    outputs = run.outputs.model_outputs if run.outputs else []
    if model.model_id not in {output.model_id for output in outputs}:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    if str(model.status) != "READY":
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "model"
            _save(mlflow, model, run_id, files, folder)
            client.log_model_artifacts(model.model_id, str(folder))
        model = client.finalize_logged_model(model.model_id, "READY")
    return model


def find_version(client: Any, name: str, content_digest: str) -> Any:
    """The newest version registered from the same results, or None."""
    versions = client.search_model_versions(f"name = '{name}'")
    same = [one for one in versions if one.tags.get(DIGEST) == content_digest]
    return max(same, key=lambda one: int(one.version), default=None)


def make_version(client: Any, name: str, model: Any, places: Places, tags: Mapping[str, str]) -> Any:
    """Register the LoggedModel as the next version of `name`.

    A registry on a server of its own knows no LoggedModel of the tracking server: it is told where the files lie.
    """
    if not client.search_registered_models(f"name = '{name}'"):
        client.create_registered_model(name, description="Made by automl-cnn; takes images, gives labels.")
    if places.registry == places.tracking or is_database(places.registry):
        source, model_id = f"models:/{model.model_id}", model.model_id
    else:
        source, model_id = model.artifact_location, None
    return client.create_model_version(name, source, run_id=model.source_run_id, tags=dict(tags), model_id=model_id)


def _save(mlflow: Any, model: Any, run_id: str, files: Files, folder: Path) -> None:
    """Write MLflow's model folder."""
    from mlflow.models import Model

    golden = golden_of(files)
    with tempfile.TemporaryDirectory() as temporary:
        served = Path(temporary) / "quantized"
        served.mkdir()
        for name in SERVED:
            shutil.copyfile(files.quantized / name, served / name)
        write_golden(golden, served)
        mlflow.pyfunc.save_model(
            str(folder),
            python_model=str(TEMPLATE),
            artifacts={"quantized": str(served)},
            code_paths=[str(bundle_serving_code(Path(temporary)))],
            signature=_signature(),
            model_config={"paths": False},  # MLflow lets whoever loads the model change what stands here, and no more
            input_example=_example(golden.images[0]),
            pip_requirements=[f"{package}=={version(package)}" for package in REQUIREMENTS],
            mlflow_model=Model(artifact_path=model.artifact_location, run_id=run_id, model_id=model.model_id),
        )
    for bytecode in folder.rglob("__pycache__"):
        shutil.rmtree(bytecode)


def _signature() -> Any:
    """A binary column in; label, its probability, all of them as JSON, and how far both can be trusted out."""
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    columns = (
        ("string", "label"), ("double", "probability"), ("string", "probabilities"),
        ("boolean", "abstain"), ("double", "ood_score"), ("boolean", "out_of_distribution"),
    )  # fmt: skip
    outputs = Schema([ColSpec(kind, name) for kind, name in columns])
    return ModelSignature(inputs=Schema([ColSpec(DataType.binary, "image")]), outputs=outputs)


def _example(picture: NDArray[np.uint8]) -> Any:
    """One golden image, uint8 [H, W, 3], as the bytes of a PNG file."""
    import pandas as pd

    encoded = io.BytesIO()
    Image.fromarray(picture).save(encoded, format="PNG")
    return pd.DataFrame({"image": [encoded.getvalue()]})
