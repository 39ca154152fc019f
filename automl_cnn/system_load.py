"""What a stage takes of the machine while it runs, sampled beside it: nothing of MLflow is in it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from automl_cnn.artifacts import replacing

COLUMNS = ("time_ms", "cpu_percent", "machine_memory_mb", "stage_memory_mb", "stage_processes")
MOST = 600  # samples kept of a stage; beyond them every second one goes and the pause doubles


@contextmanager
def sampled_load(path: Path, every_s: float = 2.0) -> Iterator[None]:
    """Sample while the block runs, and write the samples when it has ended, well or not.

    Args:
        path: the CSV to write: time_ms (since 1970), cpu_percent (0…100, of all cores), machine_memory_mb (in use),
            stage_memory_mb (resident, this process and its children), stage_processes.
        every_s: the pause between two samples, at first.
    """
    ended = threading.Event()
    samples: list[tuple[float, ...]] = []
    thread = threading.Thread(target=_sample, args=(samples, ended, every_s), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=every_s)
        lines = [",".join(f"{value:.14g}" for value in sample) for sample in list(samples)]
        with replacing(path) as temporary:
            temporary.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n", encoding="utf-8")


def _sample(samples: list[tuple[float, ...]], ended: threading.Event, every_s: float) -> None:
    import psutil

    process = psutil.Process()
    psutil.cpu_percent()  # the first call only begins the measurement
    while True:
        last = ended.wait(every_s)
        resident, count = 0, 0
        try:
            family = [process, *process.children(recursive=True)]
        except psutil.Error:
            family = [process]
        for one in family:
            try:
                resident += one.memory_info().rss
                count += 1
            except psutil.Error:  # it has ended since it was listed
                continue
        used = psutil.virtual_memory()
        busy = psutil.cpu_percent()
        megabytes = [round(taken / 1e6, 1) for taken in (used.total - used.available, resident)]
        samples.append((round(1000 * time.time()), busy, *megabytes, count))
        if last:
            return
        if len(samples) >= MOST:
            del samples[1::2]
            every_s *= 2
