"""A line of decisions.csv that is not applied, in the three parts of every message."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automl_cnn.artifacts import read_json, write_json


@dataclass(frozen=True)
class Problem:
    """What is wrong with one line.

    Attributes:
        line: in the reviewer's file, from 1.
        expected: what would have been right.
        received: what stands there.
        action: what happens now and what to do.
        text: the line, where it is not among the decisions that were read; the review page saves it again.
    """

    line: int
    expected: str
    received: str
    action: str
    text: str = ""

    def __str__(self) -> str:
        return f"decisions.csv, line {self.line}: expected {self.expected}; received {self.received}. {self.action}"

    def summary(self) -> dict[str, Any]:
        """As audit/summary.json lists it."""
        return {"line": self.line, "expected": self.expected, "received": self.received, "action": self.action}


def write_problems(path: Path, problems: tuple[Problem, ...]) -> None:
    """Write what ingest found, for the audit to list: usually `Files.decision_problems`."""
    write_json(path, [asdict(problem) for problem in problems])


def read_problems(path: Path) -> tuple[Problem, ...]:
    """Read what `write_problems` wrote; none where there is no file."""
    return tuple(Problem(**entry) for entry in read_json(path)) if path.exists() else ()
