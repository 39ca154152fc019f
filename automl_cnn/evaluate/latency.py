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
    """Milliseconds of wall-clock for one image, decoding and shrinking left out.

    Attributes:
        first_ms: the very first run, in which memory is touched for the first time; one of the warm-up runs.
        median_ms, p90_ms, p95_ms: of the timed runs; on a shared machine the median is the steadiest.
        runs: that were timed.
        warm_up_runs: before them.
        threads: CPU threads of the interpreter.
    """

    first_ms: float
    median_ms: float
    p90_ms: float
    p95_ms: float
    runs: int
    warm_up_runs: int
    threads: int


def measure_latency(
    model: Path, runs: int, threads: int, progress: Progress = silent, warm_up_runs: int = WARM_UP_RUNS
) -> Latency:
    """Time single images through a .tflite file.

    Args:
        model: the file; one image [1, H, W, 3] in.
        runs: timed runs, at least 1.
        threads: CPU threads of the interpreter.
        progress: told of every tenth run.
        warm_up_runs: runs before, at least 1.
    Raises:
        ModelFileError: the file is missing or damaged.
    """
    interpreter = LiteModel(model, threads=threads)
    # Noise rather than zeros: some kernels are faster on constant input.
    image = np.random.default_rng(1).integers(0, 256, interpreter.input_shape).astype(interpreter.input_dtype)
    taken_ms = np.empty(warm_up_runs + runs)
    for i in range(len(taken_ms)):
        started = time.perf_counter_ns()
        interpreter.run(image)
        taken_ms[i] = (time.perf_counter_ns() - started) / 1e6
        if (i + 1) % 10 == 0 or i + 1 == len(taken_ms):
            progress(f"latency of {model.name}", i + 1, len(taken_ms))
    median, p90, p95 = (round(float(ms), 4) for ms in np.percentile(taken_ms[warm_up_runs:], [50, 90, 95]))
    return Latency(round(float(taken_ms[0]), 4), median, p90, p95, runs, warm_up_runs, threads)
