"""int8 files against their float parents: python benchmarks/quantize.py [--sets …] [--networks …] [--seeds 1 2 3]

Every network is fine-tuned on every set (from block 4 up, --epochs, at --size pixels), then quantized post training by
TensorFlow's converter, by tfmot as its guide has it (quantize_model, one epoch, rate 1e-5) and by ours (--steps of 32
images); each file is run by LiteRT on the test side. "Shipped" is what the ladder would take by validation: ours, or
one of the two post-training files of the equalized network. What is finished is kept in --work and not run again; a run
of one network, set and seed takes about six minutes on two cores. Networks without weights at hand are trained from
scratch.

Expected: ours at or above post-training; within 0.3 points of float for EfficientNet-Lite, MobileNet V1 and V2, 1.0 for
the others; simulation and file of the same class on 99.5 % of the images; no float tensor, one XNNPACK partition; at
least 3.3 times smaller than float; latency at most 1.05 of the post-training file and 1.25 of float; quantization-aware
training at most twice fine-tuning for the same number of images. The documented way loses points.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_sets import prepared, seeded
from harness import Result, Target, parser

from automl_cnn.models.pretrained import find
from automl_cnn.quantize.gate import paired_drop

WORK = Path(__file__).resolve().parents[1] / ".automl-cnn" / "benchmarks" / "quantize"
SETS = ("clothing", "elpv", "magnetic-tile")
NETWORKS = ("efficientnet-lite0", "mobilenet-1.0", "mobilenetv2-1.0", "mobilenetv3-small-0.75")
CLOSE = ("efficientnet-lite", "mobilenet-", "mobilenetv2")  # families that quantize as they are
WAYS = ("float", "post-training", "ai-edge", "tfmot as documented", "ours", "shipped")
FLOAT, POST_TRAINING, OURS, SHIPPED = WAYS[0], WAYS[1], WAYS[-2], WAYS[-1]
EQUALIZED = "post-training, equalized"  # beside the same without; ours always is
POINTS = 100.0


def main() -> None:
    line = parser(__doc__)
    line.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    line.add_argument("--networks", nargs="+", default=list(NETWORKS))
    line.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    line.add_argument("--size", type=int, default=128, help="height and width of the input in pixels")
    line.add_argument("--epochs", type=int, default=5, help="of fine-tuning")
    line.add_argument("--steps", type=int, default=120, help="of quantization-aware training")
    line.add_argument("--weights", default="", help="a folder of more weights, as search.weights_dir")
    line.add_argument("--work", type=Path, default=WORK, help="what is kept between runs")
    asked = line.parse_args()
    asked.work = asked.work.resolve()
    runs = []
    for seed, name, network in product(asked.seeds, asked.sets, asked.networks):  # something of every set at first
        found = _run(asked, name, network, seed)
        if found is not None:
            runs.append({**found, "set": name})
            print(_line(runs[-1]), flush=True)
    _report(asked, runs).write(asked.out)


def _run(asked: Any, name: str, network: str, seed: int) -> dict[str, Any] | None:
    """One run, or what is kept of it; None where the set is absent."""
    kept = asked.work / f"{name}-{network}-{asked.size}px-{asked.epochs}e-{asked.steps}s-seed{seed}.json"
    if not kept.exists():
        base = prepared(name, asked.data, asked.work)
        if base is None:
            return None
        project = seeded(name, seed, base, asked.work)
        script = Path(__file__).with_name("quantize_run.py")
        arguments = [project.folder, kept, network, asked.size, seed, asked.epochs, asked.steps, asked.weights]
        subprocess.run([sys.executable, str(script), *map(str, arguments)], check=True)
    found: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    return found


def _line(run: dict[str, Any]) -> str:
    worth = ", ".join(f"{way} {_text(run['files'][way])}" for way in WAYS)
    return f"{run['set']}, {run['backbone']}, seed {run['seed']}: {worth}"


def _text(file: dict[str, Any]) -> str:
    return "refused" if "refused" in file else f"{np.mean(file['right']):.4f}"


def _report(asked: Any, runs: list[dict[str, Any]]) -> Result:
    settings = {key: getattr(asked, key) for key in ("seeds", "size", "epochs", "steps")}
    result = Result("quantize", settings)
    accuracy, losses, equalized, shape, speed = [], [], [], [], []
    for name, network in product(asked.sets, asked.networks):
        of_both = [run for run in runs if run["set"] == name and run["backbone"] == network]
        if not of_both:
            continue
        from_scratch = "" if find(network, asked.weights or None) else " (from scratch)"
        right = {way: _right(of_both, way) for way in WAYS}
        means = [float(right[way].mean()) if len(right[way]) else float("nan") for way in WAYS]
        accuracy.append((name, network + from_scratch, len(of_both), *means))
        losses.append((
            name, network, len(of_both),
            *(_loss(right, before, after) for after in (OURS, SHIPPED) for before in (FLOAT, POST_TRAINING)),
            ", ".join(run["shipped"] for run in of_both),
        ))  # fmt: skip
        loss, behind = (POINTS * float(right[way].mean() - right[OURS].mean()) for way in (FLOAT, POST_TRAINING))
        equalized.append((name, network, len(of_both), _gain(of_both, EQUALIZED)))
        bound = 0.3 if network.startswith(CLOSE) else 1.0
        result.targets += [
            Target(f"{name}, {network}: points lost against float", loss, at_most=bound),
            Target(f"{name}, {network}: points lost against post-training", behind, at_most=0.0),
        ]
        shape.append(_shape(result, name, network, of_both))
        speed.append(_speed(result, name, network, of_both))
    result.table(
        "Accuracy on the test side, mean of the seeds", ("set", "network", "seeds", *WAYS), accuracy,
    )  # fmt: skip
    result.table(
        "Points lost, with paired 95 % intervals over all seeds",
        ("set", "network", "seeds", "ours, of float", "ours, of post-training", "shipped, of float",
         "shipped, of post-training", "what ships"), losses,
    )  # fmt: skip
    result.table(
        "Points gained by equalizing channels first, with paired 95 % intervals",
        ("set", "network", "seeds", POST_TRAINING), equalized,
    )  # fmt: skip
    result.table(
        "The int8 file", ("set", "network", "float tensors", "partitions", "times smaller", "simulated: same class"),
        shape,
    )  # fmt: skip
    result.table(
        "Time", ("set", "network", "float, ms", "post-training, ms", "ours, ms", "ours / post-training", "ours / float",
                 "training, s / 1,000 images", "fine-tuning, s / 1,000 images"), speed,
    )  # fmt: skip
    return result


def _right(runs: list[dict[str, Any]], way: str) -> np.ndarray:
    return np.concatenate([np.array(run["files"][way].get("right", []), np.int64) for run in runs])


def _loss(right: dict[str, np.ndarray], before: str, after: str) -> str:
    low, high = (POINTS * end for end in paired_drop(right[before] > 0, right[after] > 0))
    return f"{POINTS * (right[before].mean() - right[after].mean()):+.2f} ({low:+.2f} to {high:+.2f})"


def _gain(runs: list[dict[str, Any]], way: str) -> str:
    having = [run for run in runs if way in run["files"]]  # a network without ReLU has nothing to equalize
    if not having:
        return "nothing to equalize"
    plain, equalized = _right(having, way.partition(",")[0]), _right(having, way)
    low, high = (POINTS * end for end in paired_drop(equalized > 0, plain > 0))
    return f"{POINTS * (equalized.mean() - plain.mean()):+.2f} ({low:+.2f} to {high:+.2f})"


def _shape(result: Result, name: str, network: str, runs: list[dict[str, Any]]) -> tuple[Any, ...]:
    ours = [run["files"]["ours"] for run in runs]
    smaller = min(run["files"]["float"]["bytes"] / run["files"]["ours"]["bytes"] for run in runs)
    same = float(np.mean([run["simulated"]["same_class"] for run in runs]))
    tensors, partitions = max(file["float_tensors"] for file in ours), max(file["partitions"] or 0 for file in ours)
    result.targets += [
        Target(f"{name}, {network}: float tensors", tensors, at_most=0),
        Target(f"{name}, {network}: XNNPACK partitions", partitions, at_most=1),
        Target(f"{name}, {network}: times smaller", smaller, at_least=3.3),
        Target(f"{name}, {network}: simulation and file of the same class", same, at_least=0.995),
    ]
    return name, network, tensors, partitions, smaller, same


def _speed(result: Result, name: str, network: str, runs: list[dict[str, Any]]) -> tuple[Any, ...]:
    medians = [
        statistics.median(ms for run in runs for ms in run["latency"][way]) for way in (FLOAT, POST_TRAINING, OURS)
    ]
    against = {
        way: statistics.median(
            ours / other
            for run in runs
            for ours, other in zip(run["latency"]["ours"], run["latency"][way], strict=True)
        )
        for way in (POST_TRAINING, FLOAT)
    }
    qat, tuning = (statistics.median(run[key] for run in runs) for key in ("qat_s_per_1000", "tuning_s_per_1000"))
    result.targets += [
        Target(f"{name}, {network}: latency, ours / post-training", against[POST_TRAINING], at_most=1.05),
        Target(f"{name}, {network}: latency, ours / float", against[FLOAT], at_most=1.25),
        Target(f"{name}, {network}: time of training, ours / fine-tuning", qat / tuning, at_most=2.0),
    ]
    return name, network, *medians, against[POST_TRAINING], against[FLOAT], qat, tuning


if __name__ == "__main__":
    main()
