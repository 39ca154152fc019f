"""What a larger set costs: seconds and memory of each stage from 500 to 20,000 images and from 10 to 80 classes.

python benchmarks/search.py growth --growth 500 1000 2000 5000 10000 20000

Each size is a project without any cache, and every stage a process of its own, as DVC runs it: what is told holds
starting Python and loading TensorFlow. Images are the clothing photographs; past the 3,781 real ones the same ones
changed (growth_images.py). Classes past the real ten are the real ones cut by brightness, at 3,000 images that are a
group each. Features are one view an image, for audit and search alike; trials are heads on them, each on 70 % of the
images. The largest set then gets another thousand images and every stage runs again, with its caches: what a user with
more photographs pays.
"""

from __future__ import annotations

import json
import shutil
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import growth_images
import numpy as np
import pandas as pd
import search_project
from growth_images import cut_classes, grow_images
from harness import Result
from search_course import source_digest
from search_ours import Trials
from search_project import REPOSITORY, make_project, run_stage

SIZES = (500, 1_000, 2_000, 5_000, 10_000, 20_000)
PIECES, PIECES_AT, FEWEST_A_CLASS = (1, 2, 4, 8), 3_000, 8
STAGES = ("ingest", "features", "audit", "split")
TRIALS, BACKBONE, SEED, ADDED = 12, "efficientnet-lite0", 1, 1_000


@dataclass(frozen=True)
class Cost:
    """What one set costs.

    Attributes:
        images: how many.
        classes: how many.
        seconds: by stage; "trial": the median of the trials.
        trials_a_minute: on cached features, what the oracle takes included.
        peak_mib: by stage; "search": after the trials.
    """

    images: int
    classes: int
    seconds: dict[str, float]
    trials_a_minute: float
    peak_mib: dict[str, float]


def run(data: Path, work: Path, sizes: tuple[int, ...], size_px: int, fresh: bool = False) -> Result | None:
    """Measure every size, every number of classes, and a thousand images more; finished sets are kept.

    Args:
        data: the folder that holds clothing.
        work: folder of images, projects and what is kept.
        sizes: numbers of images.
        size_px: height and width of stored images and input.
        fresh: measure again what was measured before.
    """
    root = data / "clothing" / "images"
    if not root.is_dir():
        print(f"growth: no {root}, passed over")
        return None
    metadata = pd.read_csv(data / "clothing" / "metadata.csv").rename(columns={"sender_id": "group"})
    listed = metadata.sample(frac=1, random_state=SEED)[["path", "label", "group"]].reset_index(drop=True)
    folder, images, kept = work / "growth", work / "growth" / "images", work / "growth" / "kept"
    if fresh:
        shutil.rmtree(kept, ignore_errors=True)
    print(f"writing {max(sizes) + ADDED:,} images", flush=True)
    table = grow_images(listed, root, images, max(sizes) + ADDED)
    bench = _Bench(folder / "project", images, size_px, kept)

    cut_at = min(PIECES_AT, max(sizes))
    # every image a group of its own: of a cut class one sender may have all images, which cannot be split
    single = table[:cut_at].assign(group=table["path"])
    cuts = [pieces for pieces in PIECES if single["label"].value_counts().min() >= pieces * FEWEST_A_CLASS]
    clock = _Clock(sum(sizes) + len(cuts) * cut_at + max(sizes) + ADDED)
    by_size = [clock.told(f"{count:,} images", count, bench.fresh(table[:count])) for count in sorted(sizes)]
    more = clock.told("a thousand more", max(sizes) + ADDED, bench.more(table, max(sizes)))
    by_class = [
        clock.told(f"classes × {pieces}", cut_at, bench.fresh(cut_classes(single, images, pieces), "classes"))
        for pieces in cuts
    ]
    result = Result(
        "search-growth",
        {"sizes": sorted(sizes), "classes at": cut_at, "size_px": size_px, "backbone": BACKBONE, "trials": TRIALS,
         "seed": SEED, "real images": len(listed)},
    )  # fmt: skip
    columns = ("images", "classes", *(f"{stage}, s" for stage in STAGES), "a trial, s", "trials a minute")
    result.table("Seconds by the number of images, nothing cached", columns, [_seconds(cost) for cost in by_size])
    result.table("Seconds by the number of classes", columns, [_seconds(cost) for cost in by_class])
    result.table(
        "Peak memory in MiB of a stage's largest process", ("images", "classes", *STAGES, "search"),
        [(cost.images, cost.classes, *(round(cost.peak_mib[stage]) for stage in (*STAGES, "search")))
         for cost in [*by_size, *by_class]],
    )  # fmt: skip
    kinds = (*STAGES, "trial")
    result.table(
        "One more, in seconds", ("what", *kinds),
        [
            ("a thousand images, of a line through the sizes",
             *_slopes(by_size, kinds, lambda cost: cost.images / 1000)),
            (f"a thousand images added to {max(sizes):,}, all stages again", *(more.seconds[kind] for kind in kinds)),
            ("a class, of a line through the classes", *_slopes(by_class, kinds, lambda cost: cost.classes)),
        ],
    )  # fmt: skip
    return result


class _Bench:
    """Measures sets in one project folder, and remembers them by what they depend on."""

    def __init__(self, project: Path, images: Path, size_px: int, kept: Path) -> None:
        self._project, self._images, self._size_px, self._kept = project, images, size_px, kept
        own = [Path(__file__), Path(growth_images.__file__), Path(search_project.__file__)]
        self._source = source_digest(REPOSITORY / "automl_cnn", REPOSITORY / "pipelines", *own)

    def fresh(self, table: pd.DataFrame, kind: str = "fresh") -> Callable[[], Cost]:
        """Measures a set in a project without a cache."""
        return lambda: self._remembered(kind, table, lambda: self._from_nothing(table))

    def more(self, table: pd.DataFrame, before: int) -> Callable[[], Cost]:
        """Measures what the rest of the table costs when its first rows have been through all stages."""

        def measure() -> Cost:
            if not (self._project / "artifacts" / "split").exists() or self._listed() != before:
                self._from_nothing(table[:before])
            table.to_csv(self._project / "images.csv", index=False)
            return self._stages(table)

        return lambda: self._remembered(f"after {before}", table, measure)

    def _from_nothing(self, table: pd.DataFrame) -> Cost:
        values = {
            "data.root": self._images.resolve(), "data.labels": "images.csv", "data.group_column": "group",
            "data.working_size_px": self._size_px, "audit.input_size_px": self._size_px,
            "search.backbones": [BACKBONE], "search.input_sizes_px": [self._size_px],
            "search.augmentations": ["none"], "search.max_fine_tunings": 0, "search.budget_minutes": 600,
            "search.seed": SEED,
        }  # fmt: skip
        make_project(self._project, values)
        table.to_csv(self._project / "images.csv", index=False)
        return self._stages(table)

    def _stages(self, table: pd.DataFrame) -> Cost:
        runs = {stage: run_stage(self._project, stage) for stage in STAGES}
        trials, seen = Trials(self._project / ".automl-cnn" / "search"), []

        def enough() -> bool:
            now = time.perf_counter()
            seen.extend((now, trial["seconds"] - trial["features_s"]) for trial in trials.new() if _is_head(trial))
            return len(seen) < TRIALS

        shutil.rmtree(self._project / ".automl-cnn" / "search", ignore_errors=True)
        search = run_stage(self._project, "search", enough)
        first, last = seen[0], seen[-1]
        pace = 60 * (len(seen) - 1) / (last[0] - first[0]) if len(seen) > 1 else float("nan")
        seconds = {stage: round(run.seconds, 2) for stage, run in runs.items()}
        peaks = {stage: round(run.peak_mib, 1) for stage, run in runs.items()} | {"search": round(search.peak_mib, 1)}
        trial = round(statistics.median(float(taken) for _, taken in seen), 3)
        return Cost(len(table), table["label"].nunique(), {**seconds, "trial": trial}, round(pace, 1), peaks)

    def _listed(self) -> int:
        return len(pd.read_csv(self._project / "images.csv"))

    def _remembered(self, kind: str, table: pd.DataFrame, measure: Callable[[], Cost]) -> Cost:
        name = f"{kind}-{len(table)}-{table['label'].nunique()}-{self._size_px}px-{self._source}.json".replace(" ", "-")
        path = self._kept / name
        if not path.exists():
            cost = measure()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(asdict(cost), indent=1), encoding="utf-8")
        return Cost(**json.loads(path.read_text(encoding="utf-8")))


class _Clock:
    """Tells after each set how long the rest will take, if images take equally long."""

    def __init__(self, images: int) -> None:
        self._all, self._done, self._started = images, 0, time.perf_counter()

    def told(self, name: str, images: int, measure: Callable[[], Cost]) -> Cost:
        cost = measure()
        self._done += images
        elapsed = time.perf_counter() - self._started
        left = elapsed / self._done * (self._all - self._done)
        parts = ", ".join(f"{stage} {seconds:g} s" for stage, seconds in cost.seconds.items())
        print(f"{name}: {parts}; about {left / 60:.0f} min left", flush=True)
        return cost


def _is_head(trial: Mapping[str, Any]) -> bool:
    """A head on the features of all training images: no comparison of backbones on a part of them, no extra views."""
    return trial["phase"] == "heads" and trial["status"] == "completed"


def _seconds(cost: Cost) -> tuple[Any, ...]:
    stages = (round(cost.seconds[stage], 1) for stage in STAGES)
    return (cost.images, cost.classes, *stages, cost.seconds["trial"], cost.trials_a_minute)


def _slopes(costs: list[Cost], kinds: tuple[str, ...], of: Callable[[Cost], float]) -> list[float]:
    """Seconds by one more, of a straight line by least squares; NaN of a single set."""
    if len(costs) < 2:
        return [float("nan")] * len(kinds)
    at = [of(cost) for cost in costs]
    return [float(np.polyfit(at, [cost.seconds[kind] for cost in costs], 1)[0]) for kind in kinds]
