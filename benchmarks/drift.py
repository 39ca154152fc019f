"""How often drift is noticed, and how often it is cried for nothing.

Held-out images of finished projects, clean and spoilt (blur, noise, brightness, JPEG, a sensor's tint, five strengths
each), are labelled by the shipped file and logged; windows of them are held against the reference that travels with it.

    alarms      false alarms: windows of clean test images against the reference as it is delivered, and against a
                reference drawn anew each time from validation and test images together, by whole groups and image by
                image; in both of these nothing but chance differs, and at most 5 % of the windows are to alarm
    detection   share of windows that alarm, by change, strength and size of the window
    tests       single tests on the same windows, each at 5 %: which statistic sees most
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from drift_images import CHANGES, STRENGTHS, Project, log_test_images, open_project
from drift_tests import SINGLE_TESTS, single_p_values
from harness import Result, Target, parser
from joblib import Parallel, delayed
from numpy.typing import NDArray

from automl_cnn.monitor.checks import Check, compare
from automl_cnn.monitor.sample import Sample, sample_of_reference

PARTS = ("alarms", "detection", "tests")
ALPHA, PERMUTATIONS, SEED = 0.05, 499, 1


def main() -> None:
    arguments = parser(__doc__, PARTS)
    arguments.add_argument(
        "--project", action="append", type=Path, required=True, help="a finished run; may be repeated"
    )
    arguments.add_argument("--windows", type=int, nargs="*", default=[50, 100, 200], help="images in a window")
    arguments.add_argument(
        "--trials", type=int, default=40, help="windows of each kind; of clean ones ten times as many"
    )
    arguments.add_argument("--kept", type=Path, default=Path(".automl-cnn/benchmarks/drift"), help="logs are kept here")
    options = arguments.parse_args()
    result = Result("drift", {"alpha": ALPHA, "permutations": PERMUTATIONS, "seed": SEED, "trials": options.trials})
    for project in map(open_project, options.project):
        if "alarms" in options.parts:
            _alarms(result, project, options.kept, options.windows, 10 * options.trials)
        if "detection" in options.parts:
            _detection(result, project, options.kept, options.windows, options.trials)
        if "tests" in options.parts:
            _tests(result, project, options.kept, options.windows, options.trials)
    result.write(options.out)


def _alarms(result: Result, project: Project, kept: Path, windows: list[int], trials: int) -> None:
    reference, clean = sample_of_reference(project.reference), log_test_images(project, kept)
    pool = joined(reference, clean)
    rows = []
    for size in windows:
        delivered = [(reference, clean.rows(drawn(clean, size, seed))) for seed in range(trials)]
        redrawn = [dealt(pool, len(reference), size, seed) for seed in range(trials)]
        single = [
            dealt(replace(pool, groups=np.arange(len(pool))), len(reference), size, seed) for seed in range(trials)
        ]
        rates = [float(np.mean([any(one.alarm for one in checks) for checks in _all(project, pairs)]))
                 for pairs in (delivered, redrawn, single)]  # fmt: skip
        rows.append((size, trials, *rates))
        # 1.645 standard errors above: a rate of exactly 5 % stays below it in 95 % of benchmarks
        bound = ALPHA + 1.645 * np.sqrt(ALPHA * (1 - ALPHA) / trials)
        for kind, rate in zip(("whole groups", "image by image"), rates[1:], strict=True):
            result.targets.append(Target(f"{project.name}: false alarms, {size} images, {kind}", rate, at_most=bound))
    columns = ("images", "windows", "reference as delivered", "drawn anew, whole groups", "drawn anew, image by image")
    result.table(f"{project.name}: share of clean windows that alarm", columns, rows)


def _detection(result: Result, project: Project, kept: Path, windows: list[int], trials: int) -> None:
    reference = sample_of_reference(project.reference)
    for size in windows:
        rows = []
        for change, strength, live in _spoilt(project, kept):
            pairs = [(reference, live.rows(drawn(live, size, seed))) for seed in range(trials)]
            found = list(_all(project, pairs))
            first = [min((one for one in checks if one.alarm), key=lambda one: one.p_value).name
                     for checks in found if any(one.alarm for one in checks)]  # fmt: skip
            accuracy = float((live.predicted == live.answers).mean())
            seen = ", ".join(sorted(set(first), key=lambda name: -first.count(name))[:2])
            rows.append((change, CHANGES[change][1][strength - 1], len(first) / trials, accuracy, seen))
        columns = ("change", "strength", "alarms", "accuracy", "most telling")
        result.table(f"{project.name}: share of {trials} windows of {size} that alarm", columns, rows)


def _tests(result: Result, project: Project, kept: Path, windows: list[int], trials: int) -> None:
    reference, clean = sample_of_reference(project.reference), log_test_images(project, kept)
    pool = joined(reference, clean)
    for size in windows:
        dealt_anew = [dealt(pool, len(reference), size, seed) for seed in range(4 * trials)]
        quiet = _share_below(dealt_anew)
        loud = np.zeros((len(SINGLE_TESTS), STRENGTHS))
        for _, strength, live in _spoilt(project, kept):
            pairs = [(reference, live.rows(drawn(live, size, seed))) for seed in range(trials)]
            loud[:, strength - 1] += _share_below(pairs) / len(CHANGES)
        rows = [
            (name, float(quiet[i]), *loud[i].tolist(), float(loud[i].mean())) for i, name in enumerate(SINGLE_TESTS)
        ]
        columns = ("test", "clean", *(f"strength {i + 1}" for i in range(STRENGTHS)), "mean")
        title = f"{project.name}: share of windows of {size} with p of at most 5 %, mean over {len(CHANGES)} changes"
        result.table(title, columns, rows)


def _share_below(pairs: list[tuple[Sample, Sample]]) -> NDArray[np.float64]:
    found = Parallel(n_jobs=2)(delayed(single_p_values)(*pair, PERMUTATIONS, SEED) for pair in pairs)
    return np.asarray((np.array(found) <= ALPHA).mean(axis=0))


def _all(project: Project, pairs: list[tuple[Sample, Sample]]) -> Iterator[list[Check]]:
    return iter(Parallel(n_jobs=2)(
        delayed(compare)(
            *pair, project.reference.ood_threshold, alpha=ALPHA, permutations=PERMUTATIONS, seed=SEED
        ) for pair in pairs
    ))  # fmt: skip


def _spoilt(project: Project, kept: Path) -> Iterator[tuple[str, int, Sample]]:
    for change in CHANGES:
        for strength in range(1, STRENGTHS + 1):
            yield change, strength, log_test_images(project, kept, change, strength)


def drawn(sample: Sample, size: int, seed: int) -> NDArray[np.int64]:
    """Rows of whole groups in random order, until there are `size`."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(int(sample.groups.max()) + 1)[sample.groups]
    return np.argsort(order, kind="stable")[:size]


def dealt(pool: Sample, first: int, second: int, seed: int) -> tuple[Sample, Sample]:
    """A reference and a window without a group in common, from the same images."""
    rows = drawn(pool, len(pool), seed)
    reference = pool.rows(rows[:first])
    rest = rows[first:][~np.isin(pool.groups[rows[first:]], reference.groups)]
    return reference, pool.rows(rest[:second])


def joined(one: Sample, other: Sample) -> Sample:
    """Both, with groups of their own; true labels are left out, so that only images are compared."""
    groups = np.concatenate([one.groups, other.groups + one.groups.max() + 1])
    fields: dict[str, Callable[[Sample], NDArray[np.generic]]] = {
        "statistics": lambda s: s.statistics, "sketches": lambda s: s.sketches,
        "probabilities": lambda s: s.probabilities, "ood_scores": lambda s: s.ood_scores,
        "abstained": lambda s: s.abstained,
    }  # fmt: skip
    values = {name: np.concatenate([get(one), get(other)]) for name, get in fields.items()}
    return replace(one, **values, groups=groups, answers=np.full(len(groups), -1))


if __name__ == "__main__":
    main()
