"""How much memory a .tflite file needs: measured in a process that does nothing else.

Run as a program it prints the MiB that loading and running the file took beyond Python, numpy and LiteRT themselves.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from automl_cnn.litert import LiteModel, load_runtime

RUNS = 3
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_memory_mib(model: Path, threads: int = 1) -> float | None:
    """Largest resident memory of a file that is loaded and run.

    Args:
        model: a .tflite file that LiteModel can load.
        threads: CPU threads.
    Returns:
        MiB beyond those of the process before it loaded the file; None where the process failed.
    """
    command = [sys.executable, "-m", __name__, str(model), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else None


def _measure(model: Path, threads: int) -> float:
    warm = model.read_bytes()  # reading is not what is measured
    _forget_peak()
    before = _resident_mib("VmRSS")
    loaded = LiteModel(warm, threads=threads)
    image = np.zeros(loaded.input_shape, loaded.input_dtype)
    for _ in range(RUNS):
        loaded.run(image)
    return _resident_mib("VmHWM") - before


def _forget_peak() -> None:
    """Linux lets a process reset its own high-water mark; elsewhere importing counts where it took more."""
    if RESET.exists():
        RESET.write_text("5", encoding="ascii")


def _resident_mib(kind: str) -> float:
    if STATUS.exists():
        line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(kind))
        return float(line.split()[1]) / 1024
    import resource  # not on Windows

    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024**2 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    load_runtime()  # what it takes is not the file's
    print(round(_measure(Path(sys.argv[1]), int(sys.argv[2])), 2))
