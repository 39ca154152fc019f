"""What an analyst can give up so that every class stands on every side, computed and not guessed, the least first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd

from automl_cnn.errors import SplitError
from automl_cnn.split.coverage import cover_classes
from automl_cnn.split.groups import group_images
from automl_cnn.split.problem import FREE, Sides, make_problem
from automl_cnn.split.proof import SIDES
from automl_cnn.split.sources import COPIES, REVIEWER
from automl_cnn.split.tally import Tally, tally
from automl_cnn.split.union import read_links

_CLASSES_SHOWN = 10
_GROUPS_SHOWN = 3
_CLASSES_TRIED = 20  # classes that are left out one by one to see whether the rest can be split, the smallest first

_NAMED_ALIKE = ("folder", "pattern", "session", "duplicates")  # in reasons as in split.group_by
Relaxations = Mapping[str, Callable[[], pd.DataFrame]]


def relaxed_groupings(joins: pd.DataFrame, ids: Sequence[str]) -> Relaxations:
    """For each source of joins, how the images would be grouped without it.

    Copies stay together: the same picture on two sides is a leak whatever the analyst says.

    Args:
        joins: JOINS table.
        ids: of the images that are to be dealt; others join nobody.
    Returns:
        What to give up, in the words of params.yaml → a function that makes the GROUPS table without it.
    """
    texts = np.asarray(ids, dtype=object)

    def without(source: str) -> pd.DataFrame:
        return group_images(texts, read_links(joins[joins["source"] != source], texts))

    sources = [str(source) for source in joins["source"].unique() if source != COPIES]
    return {_wording(source): partial(without, source) for source in sources}


def explain_scarce(used: pd.DataFrame, told: Tally, relaxations: Relaxations) -> SplitError:
    """Classes in fewer than three groups: name them, their groups, and the smallest way out.

    Args:
        used: SPLITS table of the images that are to be dealt, with group and reason.
        told: their counts, groups by classes.
        relaxations: of `relaxed_groupings`.
    """
    groups_with, images = (told.counts > 0).sum(axis=0), told.counts.sum(axis=0)
    scarce = np.flatnonzero(groups_with < len(SIDES)).tolist()
    described = [
        f"{told.labels[k]} ({_plural(images[k], 'image')} in {_plural(groups_with[k], 'group')}: "
        f"{_groups_of(used, told.labels[k])})"
        for k in scarce[:_CLASSES_SHOWN]
    ]
    more = f" and {len(scarce) - _CLASSES_SHOWN} more" if len(scarce) > _CLASSES_SHOWN else ""
    names = [told.labels[k] for k in scarce]
    offers = [_without_a_source(used, names, relaxations)]
    if len(scarce) == 1:
        offers.append(_for_one_class(told, scarce[0], len(SIDES) - int(groups_with[scarce[0]])))
    else:
        offers.append(
            f"For all of them: collect {_plural(sum(len(SIDES) - groups_with[k] for k in scarce), 'more group')}, "
            f"merge each with another class, or exclude their {_plural(images[scarce].sum(), 'image')} (decisions.csv)."
        )
    return SplitError(
        "split", expected="at least three groups a class, one each for train, validation and test",
        received=", ".join(described) + more, action="".join(offers),
    )  # fmt: skip


def explain_entangled(
    used: pd.DataFrame, told: Tally, ratios: Sequence[float], relaxations: Relaxations, proven: bool
) -> SplitError:
    """Each class has its three groups, but no assignment of all puts every class everywhere: name what is in the way.

    Args:
        used, told, relaxations: as in `explain_scarce`.
        ratios: share of each side.
        proven: no such assignment exists; else none was found.
    """
    groups_with, images = (told.counts > 0).sum(axis=0), told.counts.sum(axis=0)
    obstacle = _class_in_the_way(told, ratios)
    worst = int(groups_with.argmin()) if obstacle is None else obstacle
    name = told.labels[worst]
    if obstacle is None:
        offer = "No single class is in the way: merge classes or collect more groups."
    else:
        offer = (
            f"Collect more groups of {name}, merge it with another class, or exclude its "
            f"{_plural(images[worst], 'image')} (decisions.csv): the other classes can then be split."
        )
    offers = [_without_a_source(used, told.labels, relaxations), offer]
    return SplitError(
        "split", expected="every class in train, validation and test",
        received=f"{len(told.rows):,} groups that hold {len(told.labels)} classes so entangled that no split "
        f"{'exists' if proven else 'was found'}: {name} stands in {_plural(groups_with[worst], 'group')} "
        f"({_groups_of(used, name)})",
        action="".join(offers),
    )  # fmt: skip


def tell_missing(told: Tally, sides: Sides, fixed: Sides) -> list[str]:
    """Classes that the ledger keeps off a side: a sentence each, with the reason and the ways out.

    Args:
        told: counts, groups by classes.
        sides: int64 [groups], the side of each.
        fixed: int64 [groups], the side on which it stood before; FREE where it is new.
    """
    sentences = []
    for label, holds in zip(told.labels, (told.counts > 0).T, strict=True):
        absent = [name for place, name in enumerate(SIDES) if not (holds & (sides == place)).any()]
        if absent:
            groups, stood = int(holds.sum()), fixed[holds & (fixed != FREE)]
            where = ", ".join(f"{SIDES[place]} {int((stood == place).sum()):,}" for place in np.unique(stood))
            old = f"stand where the ledger has them ({where})"
            few = "too few or hold classes that pull them elsewhere"
            if len(stood) == 0:
                why = f"its {groups:,} groups are {few}"
            elif len(stood) == groups:
                why = f"its {groups:,} groups {old}"
            else:
                why = f"of its {groups:,} groups {len(stood):,} {old}; the others are {few}"
            sentences.append(
                f"Class {label} has no image in {' and '.join(absent)}: {why}. Add images of other groups, or split "
                "anew with `automl-cnn resplit`."
            )
    more = len(sentences) - _CLASSES_SHOWN
    return sentences[:_CLASSES_SHOWN] + ([f"So it is with {more:,} more classes."] if more > 0 else [])


def _without_a_source(used: pd.DataFrame, needed: Sequence[str], relaxations: Relaxations) -> str:
    """The source whose absence tears the fewest images from others, among those that make the split possible."""
    possible: list[tuple[int, str, str]] = []
    for wording, regroup in relaxations.items():
        table = regroup().set_index("image_id")["group"]
        group = used["image_id"].map(table)
        told = tally(group, used["label"])
        if cover_classes(make_problem(told.counts, [1 / len(SIDES)] * len(SIDES), None)).missing == 0:
            freed = int(
                (used.groupby("group")["group"].transform("size") > group.groupby(group).transform("size")).sum()
            )
            groups_with = dict(zip(told.labels, (told.counts > 0).sum(axis=0).tolist(), strict=True))
            least = min(needed, key=lambda label: groups_with[label])
            possible.append((freed, wording, f"{least} then has {groups_with[least]} groups"))
    if not possible:
        return ""
    freed, wording, why = min(possible)
    apart = f"{_plural(freed, 'image')} may then stand on another side than images they are joined to now"
    return f"{wording}: {why}, but {apart}. Or: "


def _wording(source: str) -> str:
    if source == REVIEWER:
        return "Take back the reviewer's merge_group (decisions.csv)"
    return f"Leave {source if source in _NAMED_ALIKE else f'column ({source})'} out of split.group_by"


def _for_one_class(told: Tally, scarce: int, lacking: int) -> str:
    name, images = told.labels[scarce], told.counts[:, scarce].sum()
    partner = _closest_class(told, scarce)
    merge = f"merge {name} with {partner}" if partner else f"merge {name} with another class"
    return (
        f"Collect {_plural(lacking, 'more group')} of {name}, {merge}, or exclude its {_plural(images, 'image')} "
        "(decisions.csv)."
    )


def _closest_class(told: Tally, scarce: int) -> str:
    """The class that shares most groups with it and gives it three by a merger; empty where none shares any."""
    holds = told.counts > 0
    shared = holds[holds[:, scarce]].sum(axis=0)
    enough = (holds | holds[:, [scarce]]).sum(axis=0) >= len(SIDES)
    shared = np.where(enough, shared, 0)
    shared[scarce] = 0
    return told.labels[int(shared.argmax())] if shared.max() > 0 else ""


def _class_in_the_way(told: Tally, ratios: Sequence[float]) -> int | None:
    """The class with the fewest images without which the others can be split."""
    for label in np.argsort(told.counts.sum(axis=0), kind="stable")[:_CLASSES_TRIED].tolist():
        rest = np.delete(told.counts, label, axis=1)
        if cover_classes(make_problem(rest[rest.sum(axis=1) > 0], ratios, None)).missing == 0:
            return int(label)
    return None


def _groups_of(used: pd.DataFrame, label: str) -> str:
    """The groups of a class as the analyst knows them: what joined each, or the image that stands alone."""
    rows = used[used["label"] == label].drop_duplicates("group").sort_values("group")
    told = rows["reason"].where(rows["reason"] != "", rows["group"]).astype(str).tolist()
    more = f" and {len(told) - _GROUPS_SHOWN} more" if len(told) > _GROUPS_SHOWN else ""
    return ", ".join(told[:_GROUPS_SHOWN]) + more


def _plural(count: int | np.integer, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
