"""How long one image takes a .tflite file on this machine's CPU."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from automl_cnn.litert import LiteModel
from automl_cnn.progress import Progress, silent

WARM_UP_RUNS = 10


@dataclass(frozen=True)
class Latency:
    """Milliseconds of wall-clock for one image, decoding and shrinking left out."""

    median_ms: float
    p95_ms: float
    runs: int
    warm_up_runs: int
    threads: int


def measure_latency(model: Path, runs: int, threads: int, progress: Progress = silent) -> Latency:
    """Time single images through a .tflite file.

    Args:
        model: the file; uint8 [1, H, W, 3] in.
        runs: timed runs, after WARM_UP_RUNS that are not counted.
        threads: CPU threads of the interpreter.
        progress: told of every tenth run.
    Returns:
        Median and 95th percentile; on a shared machine the median is the steadier of the two.
    Raises:
        ModelFileError: the file is missing or damaged.
    """
    interpreter = LiteModel(model, threads=threads)
    # Noise rather than zeros: some kernels are faster on constant input.
    image = np.random.default_rng(1).integers(0, 256, interpreter.input_shape).astype(interpreter.input_dtype)
    for _ in range(WARM_UP_RUNS):
        interpreter.run(image)
    taken_ms = np.empty(runs)
    for i in range(runs):
        started = time.perf_counter_ns()
        interpreter.run(image)
        taken_ms[i] = (time.perf_counter_ns() - started) / 1e6
        if (i + 1) % 10 == 0 or i + 1 == runs:
            progress(f"latency of {model.name}", i + 1, runs)
    median, p95 = np.percentile(taken_ms, [50, 95])
    return Latency(round(float(median), 4), round(float(p95), 4), runs, WARM_UP_RUNS, threads)
