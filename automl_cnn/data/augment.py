"""Augmentation policies: one definition for cached feature views and for fine-tuning.

Every policy keeps what an image shows in general; what it may still destroy is named in `Policy.hazard`. Nothing here
leaves black corners behind: what a turn or a shift uncovers is filled with the mirrored picture.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

from automl_cnn.data.image_changes import change_light, crop, erase, rotate
from automl_cnn.data.randaugment import randaugment

AUGMENT_VERSION = 2  # part of the feature cache's keys: raise it when any policy draws other pixels
AXES = {"horizontal": 1, "vertical": 0}
"""Name of a flip, as in search.forbid_flips → the axis of [height, width, 3] that it turns round."""

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels, np.random.Generator], Pixels]


@dataclass(frozen=True)
class Policy:
    """How training views of an image are drawn: mirrored first, then changed.

    Attributes:
        description: what is done, and how strongly.
        hazard: for which labels it does harm; empty where none is known.
        flips: keys of AXES, each taken half of the time.
        change: what follows the flips; None for nothing.
        share: of the training views that are changed; cached views always are.
    """

    description: str
    hazard: str
    flips: tuple[str, ...] = ()
    change: Change | None = None
    share: float = 1.0


_MIRROR = "labels that tell left from right: text, clocks, a left hand"

POLICIES = {
    "none": Policy("the image as it is", ""),
    "flip": Policy("mirrored left to right", _MIRROR, ("horizontal",)),
    "flips": Policy(
        "mirrored left to right and top to bottom",
        f"{_MIRROR}; labels that tell up from down: a 6 and a 9, a landscape",
        ("horizontal", "vertical"),
    ),
    "crop": Policy(
        "mirrored; a random 70 to 100 % of the area, brightness and contrast within 15 %",
        f"{_MIRROR}; what stands at the very edge", ("horizontal",),
        lambda pixels, rng: change_light(crop(pixels, rng, smallest_area=0.7), rng, light=0.15, saturation=0.0),
    ),
    "colour": Policy(
        "mirrored; brightness, contrast and saturation within 25 %, hue untouched",
        f"{_MIRROR}; labels that are a brightness or a paleness", ("horizontal",),
        lambda pixels, rng: change_light(pixels, rng, light=0.25, saturation=0.25),
    ),
    "rotation": Policy(
        "mirrored; turned by up to 15 degrees", f"{_MIRROR}; labels that are an angle", ("horizontal",),
        lambda pixels, rng: rotate(pixels, rng, degrees=15.0),
    ),
    "randaugment": Policy(
        "mirrored; two of the fourteen changes of RandAugment at strength 9 of 30",
        f"{_MIRROR}; labels that are a colour, a brightness or a place in the picture", ("horizontal",), randaugment,
    ),
    "erasing": Policy(
        "mirrored; half of the time a rectangle of 2 to 20 % of the area becomes noise",
        f"{_MIRROR}; small objects and defects, which the rectangle may hide", ("horizontal",),
        lambda pixels, rng: erase(pixels, rng, areas=(0.02, 0.2)), share=0.5,
    ),
}  # fmt: skip


def augment(pixels: Pixels, policy: str, rng: np.random.Generator, forbid_flips: Collection[str] = ()) -> Pixels:
    """Draw one training view of an image.

    Args:
        pixels: uint8 RGB [S, S, 3]; left as it is.
        policy: a key of POLICIES.
        rng: the source of chance; its state moves on.
        forbid_flips: keys of AXES along which no image is mirrored.
    Returns:
        uint8 RGB [S, S, 3], not necessarily contiguous; the same for the same state of `rng`.
    """
    chosen = POLICIES[policy]
    drawn = _flipped(pixels, [axis for axis in _allowed(chosen, forbid_flips) if rng.random() < 0.5])
    if chosen.change is None or (chosen.share < 1 and rng.random() >= chosen.share):
        return drawn
    return chosen.change(drawn, rng)


def cached_view(pixels: Pixels, policy: str, view: int, seed: int, forbid_flips: Collection[str] = ()) -> Pixels:
    """The `view`-th fixed view of an image under a policy.

    Flips take turns from view to view; the policies flip and flips have no more views than flips, and start again.

    Args:
        pixels: uint8 RGB [S, S, 3].
        policy: a key of POLICIES.
        view: from 0; any number.
        seed: 0 or above; identifies the image, so that images differ.
        forbid_flips: as in `augment`.
    Returns:
        uint8 RGB [S, S, 3]; the same for the same arguments. The image itself where the policy changes nothing.
    """
    chosen = POLICIES[policy]
    turns = _turns(_allowed(chosen, forbid_flips))
    if chosen.change is None:
        return _flipped(pixels, turns[1:][view % (len(turns) - 1)]) if len(turns) > 1 else pixels
    return chosen.change(_flipped(pixels, turns[view % len(turns)]), np.random.default_rng([seed, view]))


def view_name(policy: str, view: int, forbid_flips: Collection[str] = ()) -> str:
    """Name what `cached_view` gives, for caches: equal names, equal pixels; "image" for the image itself."""
    chosen = POLICIES[policy]
    turns = _turns(_allowed(chosen, forbid_flips))
    if chosen.change is not None:
        without = "".join(f"-no-{axis}" for axis in chosen.flips if axis in forbid_flips)
        return f"{policy}-{view}{without}-v{AUGMENT_VERSION}"
    return "mirrored-" + "-".join(turns[1:][view % (len(turns) - 1)]) if len(turns) > 1 else "image"


def distinct_views(policy: str, forbid_flips: Collection[str] = ()) -> int | None:
    """How many cached views of a policy differ from each other and from the image; None where there is no end."""
    chosen = POLICIES[policy]
    return None if chosen.change is not None else len(_turns(_allowed(chosen, forbid_flips))) - 1


def _allowed(policy: Policy, forbid_flips: Collection[str]) -> list[str]:
    return [axis for axis in policy.flips if axis not in forbid_flips]


def _turns(axes: list[str]) -> list[tuple[str, ...]]:
    """Every way to flip, none at all first."""
    return list(chain.from_iterable(combinations(axes, count) for count in range(len(axes) + 1)))


def _flipped(pixels: Pixels, axes: Collection[str]) -> Pixels:
    return np.flip(pixels, tuple(AXES[axis] for axis in axes)) if axes else pixels
