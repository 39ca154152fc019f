"""Which images must stay on one side of the split, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automl_cnn.artifacts import GROUPS
from automl_cnn.config import GroupSource
from automl_cnn.split.sources import share_copies, share_reviewed, share_source
from automl_cnn.split.union import Links, Texts, components, group_reasons, join_table, link, name_groups


@dataclass(frozen=True)
class Groups:
    """What `build_groups` found.

    Attributes:
        table: GROUPS, one row an image of the manifest, in its order. `group` is the smallest image_id in use of the
            group; `reason` names what joined it and is empty for an image that stands alone.
        joins: JOINS, one row for every image that a source joined to another, with what they share; images out of use
            are among them.
        unnamed: images to which a source gives no group, by source; they stand alone unless another source joins them.
    """

    table: pd.DataFrame
    joins: pd.DataFrame
    unnamed: dict[str, int]


def build_groups(
    manifest: pd.DataFrame,
    duplicates: pd.DataFrame,
    sources: Sequence[GroupSource],
    group_column: str | None = None,
    pattern: str | None = None,
    session_gap_minutes: float = 10.0,
    joins: Sequence[tuple[str, str, str]] = (),
) -> Groups:
    """Join images that share anything by any source; joins carry over from one source to the next.

    Copies, the same bytes or the same pixels, are joined whatever `sources` says: they cannot leak. Images out of use,
    broken or excluded, join nobody.

    Args:
        manifest: MANIFEST table with the columns of the user's CSV; `excluded` (bool) where a reviewer has spoken.
        duplicates: DUPLICATES table.
        sources: of column, folder, pattern, session, duplicates.
        group_column: for column; None means that there is none, and the source is passed over.
        pattern: for pattern: a regular expression searched in the relative path; its first group is the name.
        session_gap_minutes: for session: the longest pause between two photographs of one session.
        joins: pairs that a reviewer joined: image_id, image_id, reason.
    Raises:
        DataError: group_column is not in the manifest; the pattern is invalid, has no group, or matches no path.
    """
    named = [
        (source, share_source(source, manifest, duplicates, group_column, pattern, session_gap_minutes))
        for source in dict.fromkeys(sources)
    ]
    said = [shared for _, shared in named if shared is not None]
    unnamed = {
        shared.source: len(manifest) - len(np.unique(shared.rows))
        for source, shared in named
        if shared is not None and source != "duplicates"
    }
    ids = manifest["image_id"].to_numpy(dtype=object)
    said += [*share_copies(manifest), share_reviewed(manifest, joins)]
    idle = (manifest["status"] != "ok").to_numpy(bool)
    if "excluded" in manifest:
        idle = idle | manifest["excluded"].to_numpy(bool)
    return Groups(group_images(ids, link(said), idle), join_table(said, ids), unnamed)


def group_images(ids: Texts, links: Links, idle: NDArray[np.bool_] | None = None) -> pd.DataFrame:
    """Make the groups of a graph of joins.

    Args:
        ids: image ids, text [n], unique.
        links: what they share.
        idle: bool [n], images that join nobody. One that shares something with a single group belongs to it, any other
            stands alone.
    Returns:
        GROUPS table, in the order of `ids`.
    """
    idle = np.zeros(len(ids), bool) if idle is None else idle
    joining = links.without(idle)
    component = components(joining, len(ids))
    host = _hosts(links, joining, component, idle)
    group, reason = name_groups(component, ids)[host], group_reasons(joining, component)[host]
    columns = {"image_id": ids, "group": group, "reason": reason}
    return pd.DataFrame(columns, columns=list(GROUPS.columns)).astype("str")


def _hosts(links: Links, joining: Links, component: NDArray[np.int64], idle: NDArray[np.bool_]) -> NDArray[np.intp]:
    """In whose group each image is: itself, or for an idle one an image of the only group that it touches: int [n]."""
    host = np.arange(len(idle))
    holder = np.full(len(links.sources), -1, np.int64)
    holder[joining.things] = joining.images
    hanging = idle[links.images] & (holder[links.things] >= 0)
    images, touched = links.images[hanging], holder[links.things[hanging]]
    least, most = np.full(len(idle), len(idle)), np.full(len(idle), -1)
    np.minimum.at(least, images, component[touched])
    np.maximum.at(most, images, component[touched])
    single = least[images] == most[images]
    host[images[single]] = touched[single]
    return host
