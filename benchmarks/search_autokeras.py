"""AutoKeras 3.0.0 on the same images with the same clock, in a virtual environment of its own.

python benchmarks/search.py autokeras --set clothing --minutes 60 --epochs 5 --seeds 1 --env FOLDER

Its mark is the best validation accuracy of the recipe, where the part `recipe` has been run before with the same set,
size, epochs and seed; ours stands beside it then too. AutoKeras trains from scratch or downloads weights from the
internet, as its own search decides: it is given the images and no weights.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import Result
from search_course import Course, forget, run_course, source_digest
from search_recipe import Race, kept_courses, settings, tell_courses
from search_sets import write_folders

HERE = Path(__file__).parent
REQUIREMENTS = HERE / "autokeras-requirements.txt"
SCRIPT = HERE / "search_autokeras_script.py"


def run(races: list[Race], env: Path, fresh: bool = False) -> Result:
    """Run AutoKeras on every race.

    Args:
        races: as for the recipe.
        env: folder of the virtual environment; made, which needs a package index, where it is missing.
        fresh: run again what was run before.
    """
    lacking = make_environment(env)
    result = Result("search-autokeras", {**settings(races), "autokeras environment": lacking or _versions(env)})
    rows: list[tuple[Any, ...]] = []
    courses: list[tuple[Race, Course]] = []
    for race in races:
        autokeras = Course("autokeras", (), 0.0, lacking) if lacking else autokeras_course(race, env, fresh)
        others = kept_courses(race)
        courses += [(race, course) for course in [*others, autokeras]]
        mark = next((course.best for course in others if course.side == "recipe"), float("nan"))
        for course in [*others, autokeras]:
            reached = course.reached(mark)
            rows.append((
                race.images.name, race.seed, course.side, course.best, "not run" if math.isnan(mark) else mark,
                "not reached" if reached is None else f"{reached:.0f}", course.ended,
            ))  # fmt: skip
    result.table(
        "Seconds until the recipe's best validation accuracy is reached",
        ("set", "seed", "side", "best", "recipe's best", "reached after, s", "ended"), list(rows),
    )  # fmt: skip
    tell_courses(result, courses)
    return result


def make_environment(env: Path) -> str:
    """Make the environment where it is missing; "", or what it lacks and why."""
    wanted = [line for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    if not (env / "bin" / "python").exists():
        print(f"making {env} with {', '.join(wanted)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
    if not _missing(env, wanted):
        return ""
    done = subprocess.run(
        [str(env / "bin" / "python"), "-m", "pip", "install", "--quiet", "--requirement", str(REQUIREMENTS)],
        stderr=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    missing = _missing(env, wanted)
    said = (done.stderr.strip().splitlines() or ["nothing"])[-1]
    return f"failed: its environment lacks {', '.join(missing)}; pip said: {said}" if missing else ""


def autokeras_course(race: Race, env: Path, fresh: bool) -> Course:
    """AutoKeras's course."""
    folder = race.folder / "autokeras"
    if fresh:
        forget(folder)
    images, events = race.folder / "images", folder / "events.jsonl"
    write_folders(race.images, images)
    command = [
        str(env / "bin" / "python"), str(SCRIPT), str(images), str(folder / "tuner"), str(events),
        *(str(number) for number in (race.size_px, race.epochs, race.seed)),
    ]  # fmt: skip
    return run_course(
        "autokeras", command, folder, race.minutes, events, [*race.identity(), source_digest(SCRIPT, REQUIREMENTS)]
    )


def _missing(env: Path, wanted: list[str]) -> list[str]:
    found = _versions(env)
    return [line for line in wanted if found.get(line.partition("==")[0]) != line.partition("==")[2]]


def _versions(env: Path) -> dict[str, str]:
    told = subprocess.run(
        [str(env / "bin" / "python"), "-m", "pip", "list", "--format", "json", "--disable-pip-version-check"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True,
    ).stdout  # fmt: skip
    names = ("autokeras", "keras", "keras-tuner", "tensorflow", "tensorboard", "numpy")
    return {entry["name"]: entry["version"] for entry in json.loads(told) if entry["name"] in names}
