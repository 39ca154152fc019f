"""What the benchmarks share: where the real images are, a table for people, JSON for machines."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
REAL_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def parser(description: str | None, parts: Sequence[str] = ()) -> argparse.ArgumentParser:
    """What every benchmark's command line has: the parts to run, where the real images are, where the JSON goes."""
    common = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if parts:
        common.add_argument(
            "parts", nargs="*", metavar="part", type=_one_of(parts), default=list(parts),
            help=f"of {', '.join(parts)}; all of them where none is named",
        )  # fmt: skip
    common.add_argument("--data", type=Path, default=REAL_DATA, help="the folder that holds clothing and magnetic-tile")
    common.add_argument("--out", type=Path, default=Path("benchmarks/results"), help="where the JSON goes")
    return common


def _one_of(parts: Sequence[str]) -> Callable[[str], str]:
    def part(name: str) -> str:
        if name not in parts:
            raise argparse.ArgumentTypeError(f"no such part: {name}; there are {', '.join(parts)}")
        return name

    return part


@dataclass(frozen=True)
class Target:
    """One figure that is promised: `value` is held against `at_least` or `at_most`."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    @property
    def met(self) -> bool:
        above = self.at_least is None or self.value >= self.at_least
        return above and (self.at_most is None or self.value <= self.at_most)

    def line(self) -> str:
        bound = f"at least {self.at_least:g}" if self.at_least is not None else f"at most {self.at_most:g}"
        return f"{'met   ' if self.met else 'MISSED'} {self.name}: {self.value:.4g} ({bound})"


@dataclass
class Result:
    """What one benchmark found.

    Attributes:
        name: of the benchmark; the JSON file is called after it.
        settings: seeds, sizes, versions: whatever decides about the figures.
        tables: title, columns and rows of each table.
        targets: the promised figures.
    """

    name: str
    settings: dict[str, Any]
    tables: list[tuple[str, Sequence[str], list[Sequence[Any]]]] = field(default_factory=list)
    targets: list[Target] = field(default_factory=list)

    def table(self, title: str, columns: Sequence[str], rows: list[Sequence[Any]]) -> None:
        """Add a table and print it at once."""
        self.tables.append((title, columns, rows))
        texts = [list(columns), *([_text(value) for value in row] for row in rows)]
        widths = [max(len(row[i]) for row in texts) for i in range(len(columns))]
        print(f"\n{title}")
        for number, row in enumerate(texts):
            print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
            if number == 0:
                print("  ".join("-" * width for width in widths))

    def write(self, folder: Path) -> Path:
        """Print the promised figures and write everything as JSON: <folder>/<name>.json."""
        print()
        for target in self.targets:
            print(target.line())
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        content = {
            "name": self.name, "written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "machine": machine(),
            "settings": self.settings,
            "tables": [
                {"title": title, "rows": [dict(zip(columns, row, strict=True)) for row in rows]}
                for title, columns, rows in self.tables
            ],
            "targets": [{**vars(target), "met": target.met} for target in self.targets],
        }  # fmt: skip
        path.write_text(json.dumps(content, indent=2, default=float) + "\n", encoding="utf-8")
        print(f"{path} written")
        return path


def alternate(ways: Mapping[str, Callable[[], T]], rounds: int) -> tuple[dict[str, list[float]], dict[str, T]]:
    """Run every way once to warm up, then in turn.

    Returns:
        Way → seconds of each round; way → what it gave when it warmed up.
    """
    given = {name: way() for name, way in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name, way in ways.items():
            started = time.perf_counter()
            way()
            taken[name].append(time.perf_counter() - started)
        seconds = ", ".join(f"{taken[name][-1]:.2f} s" for name in ways)
        print(f"round {number + 1} of {rounds}: {seconds}", flush=True)
    return taken, given


def times_faster(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Median of the ratios of the rounds: their seconds over ours."""
    return statistics.median(b / a for a, b in zip(ours, theirs, strict=True))


def machine() -> dict[str, Any]:
    """Processor, cores and the versions that matter."""
    packages = ("numpy", "scipy", "scikit-learn", "pillow", "pandas", "cleanlab", "cleanvision", "faiss-cpu")
    return {
        "processor": _processor(), "cores": os.cpu_count(), "python": platform.python_version(),
        "versions": {name: found for name in packages if (found := installed(name))},
    }  # fmt: skip


def installed(package: str) -> str | None:
    """The version of an installed distribution, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _text(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)
