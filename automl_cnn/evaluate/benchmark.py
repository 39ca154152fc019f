"""What a .tflite file costs on this machine: time, memory, size, and whether int8 and XNNPACK reach all of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from automl_cnn.evaluate.latency import Latency, measure_latency
from automl_cnn.evaluate.peak_memory import peak_memory_mib
from automl_cnn.litert import LiteModel, load_runtime
from automl_cnn.progress import Progress, silent


@dataclass(frozen=True)
class FileCost:
    """What `automl-cnn benchmark --json` prints.

    Attributes:
        path: of the file, as it was given.
        size_bytes: of the file.
        input, output: dtype and shape.
        tensors: in the file.
        float_tensors: of these, float32; 0 in a file that is int8 throughout.
        partitions: pieces of the graph that XNNPACK runs; 1 is best, None where it runs nothing.
        load_ms: from the file to a model that can run.
        peak_mib: memory that loading and running takes on one thread; None where it could not be measured.
        latencies: one a number of threads.
    """

    path: str
    size_bytes: int
    input: str
    output: str
    tensors: int
    float_tensors: int
    partitions: int | None
    load_ms: float
    peak_mib: float | None
    latencies: tuple[Latency, ...]


def benchmark_file(
    path: Path, threads: Sequence[int], runs: int, warm_up_runs: int, progress: Progress = silent
) -> FileCost:
    """Measure a file in the manner of LiteRT's benchmark_model: one image at a time, noise for pixels.

    Args:
        path: the .tflite file.
        threads: numbers of CPU threads, each timed for itself.
        runs: timed runs, at least 1.
        warm_up_runs: runs before them, at least 1; the first is told apart.
        progress: told of every tenth run.
    Raises:
        ModelFileError: the file is missing, damaged, or has not exactly one input and one output.
    """
    load_runtime()
    started = time.perf_counter()
    model = LiteModel(path)
    load_ms = 1000 * (time.perf_counter() - started)
    dtypes = model.tensor_dtypes()
    return FileCost(
        path=str(path),
        size_bytes=path.stat().st_size,
        input=f"{model.input_dtype} {list(model.input_shape)}",
        output=f"{model.output_dtype} {list(model.output_shape)}",
        tensors=len(dtypes),
        float_tensors=dtypes.count("float32"),
        partitions=model.partitions(),
        load_ms=round(load_ms, 2),
        peak_mib=peak_memory_mib(path),
        latencies=tuple(measure_latency(path, runs, number, progress, warm_up_runs) for number in threads),
    )


def describe(cost: FileCost) -> list[str]:
    """The same as lines for a screen."""
    several = "" if cost.partitions == 1 else "s"
    pieces = "XNNPACK does not run it" if cost.partitions is None else f"{cost.partitions} XNNPACK partition{several}"
    peak = "peak memory unknown" if cost.peak_mib is None else f"{cost.peak_mib:.1f} MiB at its peak"
    columns = ("threads", "first ms", "median ms", "p90 ms", "p95 ms", "images/s")
    rows = [
        (
            str(one.threads),
            *(f"{value:.2f}" for value in (one.first_ms, one.median_ms, one.p90_ms, one.p95_ms)),
            f"{1000 / one.median_ms:.1f}",
        )
        for one in cost.latencies
    ]
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    table = ["  ".join(text.rjust(width) for text, width in zip(row, widths, strict=True)) for row in (columns, *rows)]
    return [
        f"{cost.path}: {cost.size_bytes / 1e6:.2f} MB, {cost.input} in, {cost.output} out",
        f"{cost.float_tensors} of {cost.tensors} tensors are float32, {pieces}, "
        f"loaded in {cost.load_ms:.1f} ms, {peak}",
        *table,
        f"{cost.latencies[0].runs} runs after {cost.latencies[0].warm_up_runs} to warm up, one image a run",
    ]
