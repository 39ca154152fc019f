"""Our search against the recipe of a careful user, on the same images, split, backbone, weights, size and epochs.

python benchmarks/search.py recipe --set clothing --minutes 60 --epochs 5 --seeds 1

The recipe (search_user_script.py) is keras-tuner over image_dataset_from_directory, the whole network trained a trial.
It runs first, for --minutes; its best validation accuracy is the mark. Ours (search_ours.py) is told --our-minutes as
search.budget_minutes, of which it keeps a part back for quantization and evaluation, which the race does not have; it
too is ended after --minutes. Both are processes whose clock starts before Python does, one after the other, seed by
seed.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import search_ours
from harness import Result, Target, installed
from search_course import Course, forget, kept_course, python, run_course, source_digest
from search_project import REPOSITORY
from search_sets import ImageSet, write_folders

SHARE = 0.1  # of the recipe's time to its best, which is what ours may take
MARKS_MIN = (1, 2, 3, 5, 10, 20, 30, 60, 120)


@dataclass(frozen=True)
class Race:
    """What all sides of a race have in common.

    Attributes:
        images: the set.
        minutes: the clock of a side.
        our_minutes: what ours is told of it, search.budget_minutes.
        size_px: of the input.
        epochs: most epochs of a training.
        seed: 1 or more.
        backbone: of recipe and ours.
        tuner: of the recipe, random or hyperband.
        work: folder for all races.
    """

    images: ImageSet
    minutes: float
    our_minutes: float
    size_px: int
    epochs: int
    seed: int
    backbone: str
    tuner: str
    work: Path

    @property
    def folder(self) -> Path:
        return (
            self.work / f"{self.images.name}-{len(self.images.table)}-{self.size_px}px-{self.epochs}e-seed{self.seed}"
        )

    def identity(self) -> list[object]:
        """What the course of every side depends on."""
        return [self.images.table.to_csv(index=False), self.minutes, self.size_px, self.epochs, self.seed]


def run(races: list[Race], fresh: bool = False) -> Result:
    """Run both sides of every race; what was finished before is not run again unless `fresh`."""
    result = Result("search-recipe", settings(races))
    rows: list[tuple[Any, ...]] = []
    courses: list[tuple[Race, Course]] = []
    for race in races:
        print(f"{race.images.name}, seed {race.seed}: {race.images.describe()}, {race.minutes:g} minutes a side")
        if fresh:
            forget(race.folder)
        recipe, ours = recipe_course(race), our_course(race)
        courses += [(race, recipe), (race, ours)]
        rows.append(_row(race, recipe, ours))
    result.table(
        "Seconds until the recipe's best validation accuracy is reached",
        ("set", "seed", "recipe best", "recipe, s", "ours best", "ours, s", "ours / recipe", "recipe ended",
         "ours ended"),
        list(rows),
    )  # fmt: skip
    tell_courses(result, courses)
    for name in dict.fromkeys(race.images.name for race in races):
        ratios = [row[6] for row in rows if row[0] == name]
        result.targets.append(Target(f"{name}: ours / recipe, slowest seed", max(ratios), at_most=SHARE))
    return result


def recipe_course(race: Race) -> Course:
    """The recipe's course."""
    folder, images = _recipe_folder(race), race.folder / "images"
    events = folder / "events.jsonl"
    write_folders(race.images, images)
    command = python(
        "search_user_script.py", images, folder / "tuner", events, race.backbone, race.size_px, race.epochs, race.seed,
        race.tuner,
    )  # fmt: skip
    return run_course("recipe", command, folder, race.minutes, events, _recipe_identity(race))


def our_course(race: Race) -> Course:
    """Ours, in a project without a cache."""
    folder = _our_folder(race)
    project, events = folder / "project", folder / "events.jsonl"
    search_ours.prepare(race.images, project, race.our_minutes, race.size_px, race.epochs, race.seed, race.backbone)
    command = python("search_ours.py", project, events)
    return run_course("ours", command, folder, race.minutes, events, _our_identity(race))


def kept_courses(race: Race) -> list[Course]:
    """The courses of recipe and ours that an earlier run of this benchmark has kept."""
    found = (
        kept_course(_recipe_folder(race), _recipe_identity(race)),
        kept_course(_our_folder(race), _our_identity(race)),
    )
    return [course for course in found if course is not None]


def _recipe_folder(race: Race) -> Path:
    return race.folder / f"recipe-{race.tuner}"


def _our_folder(race: Race) -> Path:
    return race.folder / "ours"


def _recipe_identity(race: Race) -> list[object]:
    return [*race.identity(), race.backbone, source_digest(Path(__file__).with_name("search_user_script.py"))]


def _our_identity(race: Race) -> list[object]:
    """With all of the package: whatever is changed there may change what ours reaches."""
    source = source_digest(REPOSITORY / "automl_cnn", REPOSITORY / "pipelines", Path(search_ours.__file__))
    return [
        *race.identity(),
        race.backbone,
        race.our_minutes,
        source,
        (REPOSITORY / "params.yaml").read_text(encoding="utf-8"),
    ]


def settings(races: list[Race]) -> dict[str, Any]:
    """What decides about the figures."""
    first = races[0]
    return {
        "sets": list(dict.fromkeys(f"{race.images.name}: {race.images.describe()}" for race in races)),
        "seeds": sorted({race.seed for race in races}), "minutes": first.minutes, "our minutes": first.our_minutes,
        "size_px": first.size_px, "epochs": first.epochs, "backbone": first.backbone, "tuner": first.tuner,
        "versions": {name: installed(name) for name in ("tensorflow", "keras", "keras-tuner", "ai-edge-litert")},
    }  # fmt: skip


def tell_courses(result: Result, courses: list[tuple[Race, Course]]) -> None:
    """Add the table of the best validation accuracy by time."""
    longest = max(race.minutes for race, _ in courses)
    marks = [minutes for minutes in MARKS_MIN if minutes < longest] + [longest]
    result.table(
        "Best validation accuracy after so many minutes",
        ("set", "seed", "side", "scores", "ended, s", *(f"{minutes:g} min" for minutes in marks)),
        [
            (race.images.name, race.seed, course.side, len(course.points), round(course.seconds),
             *chain(course.best_at(60 * minutes) for minutes in marks))
            for race, course in courses
        ],
    )  # fmt: skip


def _row(race: Race, recipe: Course, ours: Course) -> tuple[Any, ...]:
    """A side that never got there counts as having taken longer than any time."""
    recipe_s, ours_s = recipe.reached(recipe.best), ours.reached(recipe.best)
    ratio = ours_s / recipe_s if recipe_s and ours_s else float("inf")
    return (
        race.images.name, race.seed, recipe.best, recipe_s or float("nan"), ours.best, ours_s or float("inf"), ratio,
        recipe.ended, ours.ended,
    )  # fmt: skip
