"""Our search against what else there is, its growth and its promise: python benchmarks/search.py [part …] [options].

recipe      keras-tuner as a careful user would write it, and ours, on the same images: seconds until the recipe's best
            validation accuracy. Expected: ours at most a tenth of the recipe's.
              python benchmarks/search.py recipe --set clothing --minutes 60 --seeds 1
autokeras   AutoKeras 3.0.0 with the same clock, in an environment of its own (--env FOLDER; made where it is missing).
            Expected: it does not get to the recipe's best.
              python benchmarks/search.py autokeras --set clothing --minutes 60 --seeds 1
growth      seconds and peak memory of ingest, features, audit, split and a trial, for 500 to 20,000 images.
              python benchmarks/search.py growth
budget      `automl-cnn run` with search.budget_minutes: promised against actual. Expected: within 10 %.
              python benchmarks/search.py budget --minutes 3 10 30

Every finished piece is kept under --work, and taken from there by the next run unless --fresh is given or the code that
it measured has changed.
"""

from __future__ import annotations

from argparse import Namespace
from itertools import product
from pathlib import Path

from harness import Result, parser
from search_sets import SETS, image_set

PARTS = ("recipe", "autokeras", "growth", "budget")
WORK = Path(__file__).resolve().parents[1] / ".automl-cnn" / "benchmarks" / "search"


def main() -> None:
    line = parser(__doc__, PARTS)
    line.add_argument("--set", dest="sets", nargs="+", choices=SETS, default=["clothing"], metavar="set",
                      help=f"of {', '.join(SETS)}; budget takes the first, growth has clothing")  # fmt: skip
    line.add_argument("--minutes", nargs="+", type=float, default=None, metavar="minutes",
                      help="recipe, autokeras: the clock of a side (60); budget: promises (3 10 30)")  # fmt: skip
    line.add_argument("--our-minutes", type=float, default=None, metavar="minutes",
                      help="recipe: what ours is told as search.budget_minutes (a fifth of the clock)")  # fmt: skip
    line.add_argument("--seeds", nargs="+", type=int, default=[1], metavar="seed", help="1 or more")
    line.add_argument("--epochs", type=int, default=5, help="most epochs of a training, on all sides")
    line.add_argument("--size", type=int, default=160, help="height and width of the input in pixels")
    line.add_argument("--backbone", default="efficientnet-lite0")
    line.add_argument("--tuner", choices=("random", "hyperband"), default="random", help="keras-tuner's, of the recipe")
    line.add_argument("--images", type=int, default=None, help="at most so many, for a trial run")
    line.add_argument("--growth", nargs="+", type=int, default=None, metavar="images", help="sizes of the growing set")
    line.add_argument("--env", type=Path, default=WORK / "autokeras-env", help="environment of AutoKeras")
    line.add_argument("--work", type=Path, default=WORK, help="what is kept between runs")
    line.add_argument("--fresh", action="store_true", help="measure again what was measured before")
    arguments = line.parse_args()
    for part in arguments.parts:
        result = _run(part, arguments)
        if result is not None:
            result.write(arguments.out)


def _run(part: str, asked: Namespace) -> Result | None:
    work = asked.work.resolve()
    if part in ("recipe", "autokeras"):
        from search_recipe import Race

        sets = [found for name in asked.sets if (found := image_set(name, asked.data, work, asked.images)) is not None]
        minutes = max(asked.minutes or [60])
        races = [
            Race(
                images, minutes, asked.our_minutes or minutes / 5, asked.size, asked.epochs, seed, asked.backbone,
                asked.tuner, work,
            )
            for images, seed in product(sets, asked.seeds)
        ]  # fmt: skip
        if not races:
            return None
        if part == "recipe":
            from search_recipe import run as run_recipe

            return run_recipe(races, asked.fresh)
        from search_autokeras import run as run_autokeras

        return run_autokeras(races, asked.env.resolve(), asked.fresh)
    if part == "growth":
        from search_growth import SIZES
        from search_growth import run as run_growth

        return run_growth(asked.data, work, tuple(asked.growth or SIZES), asked.size, asked.fresh)
    from search_budget import MINUTES
    from search_budget import run as run_budget

    images = image_set(asked.sets[0], asked.data, work, asked.images)
    return run_budget(images, work, tuple(asked.minutes or MINUTES), asked.fresh) if images is not None else None


if __name__ == "__main__":
    main()
