"""One side of a race: a process with a clock, the accuracies that it reaches and when.

A side is a command that appends a line of JSON to a file each time a validation accuracy is known: time (seconds since
1970) and accuracy, with whatever else tells what it was. The clock starts when the process does, so that loading of
libraries and reading of images count on every side. It is ended, with all its children, when the time is over.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

TOLD_EVERY_S = 30.0
Point = tuple[float, float, str]  # seconds since the process began, validation accuracy, what it was


@dataclass(frozen=True)
class Course:
    """What a side reached, and when.

    Attributes:
        side: its name.
        points: in the order of time.
        seconds: until it ended or was ended.
        ended: "clock", "by itself", or "failed: …" with the last line that it printed.
    """

    side: str
    points: tuple[Point, ...]
    seconds: float
    ended: str

    @property
    def best(self) -> float:
        """The highest validation accuracy; NaN where there is none."""
        return max((accuracy for _, accuracy, _ in self.points), default=float("nan"))

    def reached(self, accuracy: float) -> float | None:
        """Seconds until a validation accuracy was reached for the first time; None: never."""
        return next((seconds for seconds, value, _ in self.points if value >= accuracy - 1e-6), None)

    def best_at(self, seconds: float) -> float:
        """The highest validation accuracy by then; NaN where there is none yet."""
        return max((value for at, value, _ in self.points if at <= seconds), default=float("nan"))


def run_course(
    side: str, command: Sequence[str], folder: Path, minutes: float, events: Path, identity: Sequence[object]
) -> Course:
    """Run one side to its end or the clock's; the course of an earlier, finished run is taken instead.

    Args:
        side: its name.
        command: what runs it.
        folder: its own; receives what it prints (printed.txt) and course.json.
        minutes: the clock.
        events: the file that the command appends to.
        identity: whatever the course depends on, the clock among it.
    """
    if (earlier := kept_course(folder, identity)) is not None:
        print(f"{side}: taken from the run before, {earlier.seconds:,.0f} s")
        return earlier
    kept = folder / "course.json"
    kept.unlink(missing_ok=True)
    events.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "printed.txt").open("wb") as printed:
        started, clock = time.time(), time.perf_counter()
        # Keras's progress and messages in other languages would come in the terminal's own encoding
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "TF_CPP_MIN_LOG_LEVEL": "3"}
        process = subprocess.Popen(
            command, stdout=printed, stderr=subprocess.STDOUT, start_new_session=True, env=environment
        )
        try:
            in_time = _wait(side, process, 60 * minutes, lambda: _points(events, started))
        finally:
            _end(process)
    seconds = time.perf_counter() - clock
    ended = "by itself" if process.returncode == 0 else f"failed: {_last_line(folder / 'printed.txt')}"
    course = Course(side, tuple(_points(events, started)), seconds, ended if in_time else "clock")
    content = {"identity": _digest(identity), "course": asdict(course)}
    kept.write_text(json.dumps(content, indent=1), encoding="utf-8")
    print(f"{side}: best {course.best:.4f} in {seconds:,.0f} s, ended {course.ended}", flush=True)
    return course


def kept_course(folder: Path, identity: Sequence[object]) -> Course | None:
    """The course of an earlier run that came to its end; None where there is none, or it is another's."""
    kept = folder / "course.json"
    if not kept.exists():
        return None
    found = json.loads(kept.read_text(encoding="utf-8"))
    if found["identity"] != _digest(identity):
        return None
    course = found["course"]
    points = tuple((at, accuracy, what) for at, accuracy, what in course["points"])
    return Course(course["side"], points, course["seconds"], course["ended"])


def forget(folder: Path) -> None:
    """Throw an earlier run of a side away."""
    shutil.rmtree(folder, ignore_errors=True)


def source_digest(*paths: Path) -> str:
    """Sixteen hexadecimal digits of source files; folders stand for the Python files in them."""
    sha = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            sha.update(file.name.encode() + file.read_bytes())
    return sha.hexdigest()[:16]


def python(script: str, *arguments: object) -> list[str]:
    """The command that runs a script of this folder with this Python."""
    return [sys.executable, str(Path(__file__).with_name(script)), *(str(argument) for argument in arguments)]


def _wait(side: str, process: subprocess.Popen[bytes], limit_s: float, points: Callable[[], list[Point]]) -> bool:
    """Wait for the end, tell how it goes; False where the clock came first."""
    started = told = time.perf_counter()
    while process.poll() is None:
        now = time.perf_counter()
        if now - started >= limit_s:
            return False
        if now - told >= TOLD_EVERY_S:
            told = now
            _tell(side, points(), now - started, limit_s)
        time.sleep(0.2)
    return True


def _tell(side: str, points: list[Point], elapsed_s: float, limit_s: float) -> None:
    best = f"best {max(accuracy for _, accuracy, _ in points):.4f}, {points[-1][2]}" if points else "no score yet"
    print(f"{side}: {elapsed_s:,.0f} s, {best}; at most {limit_s - elapsed_s:,.0f} s left", flush=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all that it started."""
    for kind in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, kind)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)


def _points(events: Path, started: float) -> list[Point]:
    """What has been reached; a line that is still being written is left for later."""
    if not events.exists():
        return []
    found = []
    for line in events.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(json.JSONDecodeError):
            event = json.loads(line)
            what = ", ".join(f"{key} {value}" for key, value in event.items() if key not in ("time", "accuracy"))
            found.append((round(event["time"] - started, 2), float(event["accuracy"]), what))
    return found


def _last_line(printed: Path) -> str:
    lines = [line.strip() for line in printed.read_text(encoding="utf-8", errors="replace").splitlines()]
    return next((line for line in reversed(lines) if line), "it printed nothing")[:300]


def _digest(identity: Sequence[object]) -> str:
    return hashlib.sha256(json.dumps([str(part) for part in identity]).encode()).hexdigest()
