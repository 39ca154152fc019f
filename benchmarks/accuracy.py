"""Accuracy on the locked test, of the float network and of the file that ships: mean and spread over seeds.

    python benchmarks/accuracy.py --sets elpv clothing clothing-by-sender magnetic-tile --seeds 1 2 3 4 5 --preset best

Every set and seed runs the project's own stages (search, train, quantize, evaluate) in a project folder under --work;
the test side is read by evaluate alone. What is finished stands in <work>/accuracy.jsonl, one line a set and seed, and
is not run again; a run that was killed goes on from its checkpoints. With --preset best a seed of a set takes its
budget of an hour.

The table of docs/search.md is of

    --seeds 1 --preset best --minutes 25 --params search.backbones=[efficientnet-lite0] search.input_sizes_px=[224]
    search.finalists=1 search.views=2 search.max_trials=24 train.unfreeze_from_block=4
    search.augmentations=[none,flip,flips,crop]

with 14 minutes for magnetic-tile; it found elpv 0.880 float and 0.881 in the file, clothing 0.933 and 0.930,
magnetic-tile 0.348 and 0.381.

Expected, on two cores: elpv at least 0.902 (Deitsch et al. 2019: 0.8842), clothing at least 0.90 accuracy,
magnetic-tile at least 0.60 balanced accuracy; nothing is promised of clothing by sender.
"""

from __future__ import annotations

import json
import os
import time
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_sets import SETS, prepared, seeded
from harness import Result, Target, parser

from automl_cnn.artifacts import read_json
from automl_cnn.params_file import assign
from automl_cnn.train.candidate import Candidate

WORK = Path(__file__).resolve().parents[1] / ".automl-cnn" / "benchmarks" / "accuracy"
STAGES = ("search", "train", "quantize", "evaluate")
KEYS = ("accuracy", "balanced_accuracy", "macro_f1")


def main() -> None:
    line = parser(__doc__)
    line.add_argument("--sets", nargs="+", choices=tuple(SETS), default=list(SETS), metavar="set",
                      help=f"of {', '.join(SETS)}")  # fmt: skip
    line.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3, 4, 5], metavar="seed", help="1 or more")
    line.add_argument("--preset", choices=("quick", "balanced", "best"), default="best")
    line.add_argument("--minutes", type=float, default=None, help="search.budget_minutes; the preset's where left out")
    line.add_argument(
        "--params", nargs="+", default=[], metavar="key=value", help="of params.yaml, as `automl-cnn set`"
    )
    line.add_argument("--work", type=Path, default=WORK, help="what is kept between runs; another for other params")
    line.add_argument("--fresh", action="store_true", help="run again what is finished")
    asked = line.parse_args()
    asked.work = asked.work.resolve() / f"{asked.preset}-{asked.minutes or 'preset'}"
    finished = _finished(asked)
    for seed in asked.seeds:  # seed by seed, so that a run that is cut off has something of every set
        for name in asked.sets:
            if (name, seed) not in finished and (entry := _run(name, seed, asked)) is not None:
                finished[name, seed] = entry
                _print(entry)
    _report(asked, [entry for entry in finished.values() if entry["set"] in asked.sets]).write(asked.out)


def _finished(asked: Namespace) -> dict[tuple[str, int], dict[str, Any]]:
    log = asked.work / "accuracy.jsonl"
    if asked.fresh or not log.exists():
        return {}
    entries = [json.loads(text) for text in log.read_text(encoding="utf-8").splitlines() if text.endswith("}")]
    return {(entry["set"], entry["seed"]): entry for entry in entries if entry["seed"] in asked.seeds}


def _run(name: str, seed: int, asked: Namespace) -> dict[str, Any] | None:
    """All stages of one set and seed; None where the set is absent."""
    base = prepared(name, asked.data, asked.work)
    if base is None:
        return None
    project = seeded(name, seed, base, asked.work)
    project.set(
        search__preset=asked.preset, search__budget_minutes=asked.minutes, search__objective=SETS[name].objective,
        search__seed=seed, train__seed=seed, quantize__seed=seed,
    )  # fmt: skip
    assign(project.folder / "params.yaml", [tuple(text.split("=", 1)) for text in asked.params])
    started = time.perf_counter()
    for stage in STAGES:
        project.stage(stage)
    metrics = read_json(project.files.evaluation / "metrics.json")
    best = Candidate.load(project.files.search / "best.yaml")
    shipped = next(rung["rung"] for rung in read_json(project.files.quantized / "ladder.json") if rung["shipped"])
    entry = {
        "set": name, "seed": seed, "seconds": round(time.perf_counter() - started), "backbone": best.values["backbone"],
        "input_size_px": best.input_size_px, "shipped": shipped, "validation": best.score, "n": metrics["test"]["n"],
        "kilobytes": round(metrics["model"]["size_bytes"] / 1e3),
        "float": {key: metrics["float"][key] for key in KEYS}, "file": {key: metrics["test"][key] for key in KEYS},
    }  # fmt: skip
    asked.work.mkdir(parents=True, exist_ok=True)
    with (asked.work / "accuracy.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(entry) + "\n")
        log.flush()
        os.fsync(log.fileno())
    return entry


def _print(entry: dict[str, Any]) -> None:
    objective = SETS[entry["set"]].objective
    network = f"{entry['backbone']} at {entry['input_size_px']} px"
    print(
        f"{entry['set']}, seed {entry['seed']}: {objective} {entry['float'][objective]:.4f} float, "
        f"{entry['file'][objective]:.4f} file ({entry['shipped']}), {network}, {entry['seconds'] / 60:.0f} minutes",
        flush=True,
    )


def _report(asked: Namespace, entries: list[dict[str, Any]]) -> Result:
    result = Result("accuracy", {"seeds": asked.seeds, "preset": asked.preset, "minutes": asked.minutes,
                                 "params": asked.params})  # fmt: skip
    rows = []
    for name in asked.sets:
        of_set = [entry for entry in entries if entry["set"] == name]
        if not of_set:
            continue
        for key in KEYS:
            cells = [_spread([entry[side][key] for entry in of_set]) for side in ("float", "file")]
            rows.append([name, SETS[name].protocol, of_set[0]["n"], len(of_set), key, *cells])
        wanted = SETS[name]
        reached = float(np.mean([entry["file"][wanted.objective] for entry in of_set]))
        if wanted.at_least is not None:
            target = Target(f"{name}, {wanted.objective} of the file", reached, at_least=wanted.at_least)
            result.targets.append(target)
    result.table(
        "Locked test, mean ± standard deviation", ["set", "test side", "images", "seeds", "", "float", "file"], rows
    )
    result.table(
        "Every seed", ["set", "seed", "network", "px", "shipped", "kB", "validation", "float", "file", "minutes"],
        [
            [e["set"], e["seed"], e["backbone"], e["input_size_px"], e["shipped"], e["kilobytes"], e["validation"],
             e["float"][SETS[e["set"]].objective], e["file"][SETS[e["set"]].objective], round(e["seconds"] / 60)]
            for e in entries
        ],
    )  # fmt: skip
    return result


def _spread(values: list[float]) -> str:
    spread = f" ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else ""
    return f"{np.mean(values):.4f}{spread}"


if __name__ == "__main__":
    main()
