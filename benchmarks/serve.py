"""`automl-cnn serve` against `mlflow models serve`: python benchmarks/serve.py MODEL IMAGES [--seconds …]

Both serve the same model. MODEL is a .tflite file with its companions, IMAGES a folder of image files. Both servers run
with as many workers as there are cores, at the same time; the load goes to one of them and then to the other, in every
round, from a process of its own. Each client has one request in flight. At last a server with a short queue gets far
more clients than it can answer: every request has to come back, with 200 or with 429 and Retry-After.

Expected: the same probabilities; more requests a second and a lower p99 than MLflow with 1, 8 and 64 clients; not one
request lost.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from harness import Result, Target, installed, parser

from automl_cnn.data.decode_pool import available_cpus
from automl_cnn.serve.bundle import bundle_serving_code

TEMPLATE = Path(__file__).resolve().parents[1] / "automl_cnn" / "templates" / "serve_model.py"
COMPANIONS = ("labels.txt", "preprocessing.json", "reference.npz")
CLIENTS = (1, 8, 64)
OVERLOAD_CLIENTS, OVERLOAD_QUEUE = 256, 16
IMAGES = 64  # of the folder, evenly over it; each is sent again and again
START_TIMEOUT_S = 120.0
OURS, MLFLOW = "automl-cnn serve", "mlflow models serve"


@dataclass(frozen=True)
class Served:
    """A running server: where it answers, and in which form it is asked."""

    url: str
    form: str


def main() -> None:
    line = parser(__doc__)
    line.add_argument("model", type=Path)
    line.add_argument("images", type=Path)
    line.add_argument("--seconds", type=float, default=20.0, help="of load at a time")
    line.add_argument("--rounds", type=int, default=3)
    line.add_argument("--workers", type=int, default=available_cpus(), help="of either server")
    asked = line.parse_args()
    settings = {
        "model": asked.model.name, "model_bytes": asked.model.stat().st_size, "seconds": asked.seconds,
        "rounds": asked.rounds, "workers": asked.workers, "mlflow": installed("mlflow"),
    }  # fmt: skip
    result = Result("serve", settings)
    with tempfile.TemporaryDirectory(prefix="serve-benchmark-") as scratch:
        images = _sample(asked.images, Path(scratch) / "images")
        with (
            _ours(asked.model, asked.workers) as ours,
            _mlflow(asked.model, asked.workers, Path(scratch)) as mlflow,
        ):
            servers = {OURS: ours, MLFLOW: mlflow}
            result.targets.append(
                Target("largest difference of a probability", _difference(servers, images), at_most=1e-6)
            )
            _compare(result, servers, images, asked.seconds, asked.rounds)
        with _ours(asked.model, asked.workers, "--max-queue", str(OVERLOAD_QUEUE)) as ours:
            _overload(result, ours, images, asked.seconds)
    result.write(asked.out)


def _sample(folder: Path, target: Path) -> Path:
    """Some of the files of a folder and its subfolders."""
    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if not found:
        sys.exit(f"{folder}: expected JPEG, PNG or WebP files; received none. Name a folder of images.")
    target.mkdir()
    for number, place in enumerate(np.linspace(0, len(found) - 1, min(IMAGES, len(found))).round().astype(int)):
        shutil.copy(found[place], target / f"{number:03}{found[place].suffix}")
    return target


@contextlib.contextmanager
def _ours(model: Path, workers: int, *options: str) -> Iterator[Served]:
    port = _free_port()
    command = [sys.executable, "-c", "from automl_cnn.cli import main; main()", "serve", str(model)]
    with _running([*command, "--port", str(port), "--workers", str(workers), *options], port, "/health"):
        yield Served(f"http://127.0.0.1:{port}/predict", "raw")


@contextlib.contextmanager
def _mlflow(model: Path, workers: int, scratch: Path) -> Iterator[Served]:
    """The same files as the register stage gives them to MLflow, served by MLflow."""
    os.environ["MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR"] = "false"
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, DataType, Schema

    (scratch / "quantized").mkdir()
    shutil.copy(model, scratch / "quantized" / "model.tflite")
    for name in COMPANIONS:
        if model.with_name(name).exists():
            shutil.copy(model.with_name(name), scratch / "quantized" / name)
    mlflow.pyfunc.save_model(
        scratch / "model", python_model=str(TEMPLATE), artifacts={"quantized": str(scratch / "quantized")},
        code_paths=[str(bundle_serving_code(scratch))], pip_requirements=[],
        signature=ModelSignature(inputs=Schema([ColSpec(DataType.binary, "image")])),
    )  # fmt: skip
    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(scratch / "model")]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers)]
    with _running(command, port, "/ping"):
        yield Served(f"http://127.0.0.1:{port}/invocations", "mlflow")


@contextlib.contextmanager
def _running(command: list[str], port: int, ready: str) -> Iterator[None]:
    """A server for as long as the block runs; what it says goes nowhere."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        env={**os.environ, "PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(f"http://127.0.0.1:{port}{ready}"):
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit(f"{' '.join(command)}: it does not answer")
            time.sleep(0.2)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def _difference(servers: dict[str, Served], images: Path) -> float:
    """The largest difference between the two servers' probabilities."""
    largest = 0.0
    for path in sorted(images.iterdir())[:16]:
        content = path.read_bytes()
        ours = _post(servers[OURS].url, content, "application/octet-stream")["probabilities"]
        table = {"columns": ["image"], "data": [[base64.b64encode(content).decode()]]}
        text = json.dumps({"dataframe_split": table}).encode()
        [row] = _post(servers[MLFLOW].url, text, "application/json")["predictions"]
        theirs = json.loads(row["probabilities"])
        largest = max(largest, *(abs(ours[label] - theirs[label]) for label in ours))
    return largest


def _post(url: str, body: bytes, kind: str) -> Any:
    with urllib.request.urlopen(urllib.request.Request(url, body, {"Content-Type": kind}), timeout=60) as answer:
        return json.load(answer)


def _compare(result: Result, servers: dict[str, Served], images: Path, seconds: float, rounds: int) -> None:
    found: dict[tuple[str, int], list[dict[str, Any]]] = {}
    for _ in range(rounds):
        for clients in CLIENTS:
            for name, server in servers.items():
                found.setdefault((name, clients), []).append(_load(server, images, clients, seconds))
    rows: list[list[Any]] = []
    for clients in CLIENTS:
        of = {name: [_figures(one) for one in found[name, clients]] for name in servers}
        medians = {name: [statistics.median(column) for column in zip(*of[name], strict=True)] for name in servers}
        for name in servers:
            lost = sum(_lost(one) for one in found[name, clients])
            spread = f"{min(row[0] for row in of[name]):.1f} to {max(row[0] for row in of[name]):.1f}"
            rows.append([clients, name, *medians[name], spread, lost])
            if name == OURS:
                result.targets.append(Target(f"{clients} clients: requests lost", lost, at_most=0))
        rates = [ours[0] / theirs[0] for ours, theirs in zip(of[OURS], of[MLFLOW], strict=True)]
        tails = [ours[2] / theirs[2] for ours, theirs in zip(of[OURS], of[MLFLOW], strict=True)]
        result.targets += [
            Target(f"{clients} clients: requests a second, ours / MLflow", statistics.median(rates), at_least=1.0),
            Target(f"{clients} clients: p99, ours / MLflow", statistics.median(tails), at_most=1.0),
        ]
    columns = ("clients", "server", "requests a second", "p50, ms", "p99, ms", "requests a second, all rounds", "lost")
    result.table(f"Medians of {rounds} rounds of {seconds:g} s", columns, rows)


def _overload(result: Result, server: Served, images: Path, seconds: float) -> None:
    found = _load(server, images, OVERLOAD_CLIENTS, seconds)
    lost = _lost(found) + found["no_retry_after"]
    rate, p50, p99 = _figures(found)
    answered, refused = found["statuses"].get("200", 0), found["statuses"].get("429", 0)
    result.table(
        f"{OVERLOAD_CLIENTS} clients that never wait, a queue of {OVERLOAD_QUEUE}",
        ("answered (200)", "refused (429, Retry-After)", "lost", "answered a second", "p50, ms", "p99, ms"),
        [[answered, refused, lost, rate, p50, p99]],
    )
    result.targets += [
        Target("overload: requests lost", lost, at_most=0),
        Target("overload: requests refused", refused, at_least=1),
    ]


def _load(server: Served, images: Path, clients: int, seconds: float) -> dict[str, Any]:
    script = Path(__file__).with_name("serve_load.py")
    command = [sys.executable, script, server.url, server.form, images, clients, seconds]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _figures(found: dict[str, Any]) -> tuple[float, float, float]:
    """Requests answered a second, and p50 and p99 in ms."""
    p50, p99 = (1000 * float(np.percentile(found["seconds"], q)) for q in (50, 99))
    return len(found["seconds"]) / found["elapsed_s"], p50, p99


def _lost(found: dict[str, Any]) -> int:
    """Requests without an answer, or with one that is neither 200 nor 429."""
    return sum(count for status, count in found["statuses"].items() if status not in ("200", "429"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
