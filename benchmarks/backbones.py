"""Does every backbone compute what it should, and what does it cost? python benchmarks/backbones.py [part …]

parity   Every definition against the keras.applications network of the same function: random weights and moving
         statistics carried over, the same raw pixels into both, Keras' own preprocessing on its side; 8 images of 96
         and of 130 px. Ours in Keras 3, and folded in tf_keras, where a definition has to exist too. Largest absolute
         difference of 5 random logits; expected at most 1e-4. In float32 random networks of many layers come to the
         edge of that, and ResNet50 beyond it, by rounding; in float64 the definition is left. `spread` is the largest
         difference between the first two images, beside which the others stand. EfficientNet-Lite has no such
         network: its reference is tests/integration/test_lite_reference.py.
counts   Parameters, multiply-adds and receptive field of `automl-cnn backbones` against Keras; expected equal.
speed    LiteRT with XNNPACK at each backbone's own input size or --size: one image on one core (median of --runs), and
         images a second in batches of 8 on all cores. Random weights: time does not depend on them.

--only takes names, of our own or of keras.applications. Everything takes about half an hour on two quiet cores.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from backbone_parity import difference, reference
from harness import Result, Target, parser
from keras_counts import count

from automl_cnn.features.engine import to_litert
from automl_cnn.litert import LiteModel
from automl_cnn.models.anatomy import anatomy_of
from automl_cnn.models.backbone import Application, Backbone
from automl_cnn.models.classifier import build_embedder
from automl_cnn.models.listing import APPLICATIONS
from automl_cnn.models.registry import BACKBONES, backbone_of

SEED, PARITY_SIZES_PX, BATCH = 1, (96, 130), 8
TOLERANCE = 1e-4


def main() -> None:
    parts: dict[str, Callable[[Result, list[Backbone], Any], None]] = {
        "parity": measure_parity,
        "counts": measure_counts,
        "speed": measure_speed,
    }
    command = parser(__doc__, list(parts))
    command.add_argument("--only", nargs="+", metavar="NAME", default=[*BACKBONES, *APPLICATIONS])
    command.add_argument("--size", type=int, help="input size in pixels for the speed; each network's own by default")
    command.add_argument("--runs", type=int, default=30, help="single images a network")
    args = command.parse_args()
    named = [backbone_of(name, "--only") for name in args.only]
    result = Result("backbones", {"seed": SEED, "parity_sizes_px": PARITY_SIZES_PX, "batch": BATCH, "runs": args.runs})
    for part in args.parts:
        parts[part](result, named, args)
    result.write(args.out)


def measure_parity(result: Result, named: list[Backbone], args: Any) -> None:
    """Largest absolute difference to keras.applications, a row a network and size."""
    import keras

    rows: list[tuple[Any, ...]] = []
    worst = dict.fromkeys(("float32", "float64"), 0.0)
    for backbone in named:
        if not isinstance(backbone.weights, Application):
            continue
        for size_px in PARITY_SIZES_PX:
            found = {number: _difference(backbone, size_px, number) for number in worst}
            for number, (here, folded, _) in found.items():
                worst[number] = max(worst[number], here, folded or 0.0)
            (here, folded, spread), exact = found["float32"], found["float64"][0]
            shown = "—" if folded is None else f"{folded:.2e}"
            rows.append((backbone.name, size_px, f"{here:.2e}", shown, f"{exact:.2e}", f"{spread:.2f}"))
            print(*rows[-1], flush=True)
            keras.backend.clear_session()
    result.table(
        "Largest difference of logits to keras.applications",
        ("backbone", "px", "Keras 3", "tf_keras, folded", "Keras 3, float64", "spread"),
        rows,
    )
    for number, value in worst.items():
        name = f"largest difference of a logit to keras.applications, {number}"
        result.targets.append(Target(name, value, at_most=TOLERANCE))


def _difference(backbone: Backbone, size_px: int, number: str) -> tuple[float, float | None, float]:
    """Difference in Keras 3, folded in tf_keras (in float32 alone), and the spread of the logits between two images."""
    import keras
    import tf_keras

    keras.config.set_floatx(number)
    keras.config.set_dtype_policy(number)
    try:
        expected = reference(backbone, size_px, SEED)
        here = difference(backbone, expected, keras).logits
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")
    twice = number == "float32" and not backbone.keras_only
    folded = difference(backbone, expected, tf_keras, folded=True).logits if twice else None
    return here, folded, float(np.abs(expected.logits[0] - expected.logits[1]).max())


def measure_counts(result: Result, named: list[Backbone], args: Any) -> None:
    """What `automl-cnn backbones` prints, and whether Keras says the same."""
    import keras

    rows, unequal = [], 0
    for backbone in named:
        size_px = backbone.input_size_px
        with keras.StatelessScope():  # shapes are enough
            inputs = keras.Input((size_px, size_px, 3))
            by_keras = count(keras.Model(inputs, backbone.build(keras, inputs, folded=False)))
        ours = anatomy_of(backbone, size_px)
        unequal += ours != by_keras
        rows.append(
            (backbone.name, size_px, ours.parameters, ours.multiply_adds, ours.receptive_field_px, ours == by_keras)
        )
        keras.backend.clear_session()
    result.table("Counts", ("backbone", "px", "parameters", "multiply-adds", "field px", "as Keras"), rows)
    result.targets.append(Target("networks whose counts differ from Keras", float(unequal), at_most=0))


def measure_speed(result: Result, named: list[Backbone], args: Any) -> None:
    """LiteRT: milliseconds an image on one core, images a second on all cores."""
    import keras

    rng, cores, rows = np.random.default_rng(SEED), os.cpu_count() or 1, []
    for backbone in named:
        size_px = args.size or backbone.input_size_px
        model = build_embedder(keras, backbone.name, size_px)
        images = rng.integers(0, 256, (BATCH, size_px, size_px, 3)).astype(np.uint8)
        alone = _seconds(LiteModel(to_litert(model, 1), 1), images[:1], args.runs)
        together = _seconds(LiteModel(to_litert(model, BATCH), cores), images, max(3, args.runs // BATCH))
        multiply_adds = anatomy_of(backbone, size_px).multiply_adds
        rows.append(
            (
                backbone.name,
                size_px,
                round(multiply_adds / 1e6),
                alone * 1e3,
                BATCH / together,
                multiply_adds / alone / 1e9,
            )
        )
        print(backbone.name, f"{alone * 1e3:.1f} ms", flush=True)
        keras.backend.clear_session()
    result.table(
        f"LiteRT, {cores} cores",
        ("backbone", "px", "M multiply-adds", "ms alone", "images/s", "G multiply-adds/s a core"),
        rows,
    )


def _seconds(model: LiteModel, batch: Any, runs: int) -> float:
    """Median of some runs, after three that warm up."""
    times = []
    for _ in range(runs + 3):
        started = time.perf_counter()
        model.run(batch)
        times.append(time.perf_counter() - started)
    return statistics.median(times[3:])


if __name__ == "__main__":
    main()
