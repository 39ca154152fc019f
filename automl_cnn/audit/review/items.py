"""What a reviewer is asked, in the order in which it pays: conflicts, suspected labels, copies, odd pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from automl_cnn.audit.clusters import EXACT
from automl_cnn.audit.decisions import SUSPECT_LABEL
from automl_cnn.audit.settled import COPIES, Settled

BY_EYE = (
    "blank", "dark", "bright", "blurry", "low_information", "odd_aspect_ratio", "odd_size", "grey_among_colour",
)  # fmt: skip
MEMBERS_SHOWN = 12  # of one cluster
NEIGHBOURS_SHOWN = 6
FURTHER = 100  # labels below the cutoff that stand ready, so that a reviewer goes on as long as it pays
Row = dict[Any, Any]


@dataclass(frozen=True)
class Neighbour:
    """An image that looks like the one in question.

    Attributes:
        id: image_id.
        sha256: of its bytes.
        path: relative.
        label: as it stands now.
        similarity: cosine of the embeddings.
    """

    id: str
    sha256: str
    path: str
    label: str
    similarity: float


@dataclass(frozen=True)
class Shown:
    """One image of an item.

    Attributes:
        id: image_id.
        sha256: of its bytes.
        path: relative.
        label: as it stands now.
        given: its label before any decision.
        side: train, validation, test, or empty before the first split.
        issues: what is decided by one key: issue and score of each; None where the issue has no score.
        note: a few words under the picture.
        exact: an exact copy of it is in the cluster.
    """

    id: str
    sha256: str
    path: str
    label: str
    given: str
    side: str
    issues: tuple[tuple[str, float | None], ...]
    note: str = ""
    exact: bool = False


@dataclass(frozen=True)
class Item:
    """One question to the reviewer.

    Attributes:
        kind: conflict, label, cluster, fault or further: a label that is less suspicious than the cutoff.
        images: one, or the images of a cluster.
        evidence: why it is asked, in words.
        again: what was decided before and what has changed since; empty for a new question.
        more: images of the cluster that are not shown.
        rank: of a suspected label, 1 first; 0 else.
        suggested: class that fits better; empty where nothing is suggested.
        p_given: probability of the label; None where it is not judged.
        p_suggested: probability of the suggestion.
        neighbours: most alike first.
    """

    kind: str
    images: tuple[Shown, ...]
    evidence: str = ""
    again: str = ""
    more: int = 0
    rank: int = 0
    suggested: str = ""
    p_given: float | None = None
    p_suggested: float | None = None
    neighbours: tuple[Neighbour, ...] = ()


def collect_items(
    decided: pd.DataFrame,
    issues: pd.DataFrame,
    labels: pd.DataFrame,
    duplicates: pd.DataFrame,
    settled: Settled,
    sides: Mapping[str, str],
) -> list[Item]:
    """List what is open: neither decided, nor excluded, nor unreadable; and, last, what may be looked at further.

    Args:
        decided: of `apply_to_duplicates`.
        issues: ISSUES table; only faults that a person can judge by eye are asked about.
        labels: LABELS table; `neighbours`, where that column is there, is a JSON list of [image_id, label, similarity].
        duplicates: of `apply_to_duplicates`.
        settled: of the same decisions.
        sides: sha256 → split, of `read_sides`.
    """
    usable = decided[(decided["status"] == "ok") & ~decided["excluded"]]
    desk = _Desk({str(row["image_id"]): row for row in usable.to_dict("records")}, labels, settled, sides)
    clusters = _clusters(duplicates, desk)
    flagged = labels["flagged"].astype(bool)
    return [
        *(item for item in clusters if item.kind == "conflict"),
        *_suspected(labels[flagged], "label", desk),
        *(item for item in clusters if item.kind == "cluster"),
        *_faults(issues, desk),
        *_suspected(labels[~flagged & (labels["score"] > -math.inf)], "further", desk)[:FURTHER],
    ]


class _Desk:
    """What every kind of item is made from.

    Attributes:
        rows: image_id → row of the manifest, of the images that are in use.
        settled: what is decided.
    """

    def __init__(self, rows: dict[str, Row], labels: pd.DataFrame, settled: Settled, sides: Mapping[str, str]) -> None:
        self.rows, self.settled, self._sides = rows, settled, sides
        listed = labels["neighbours"].tolist() if "neighbours" in labels.columns else [None] * len(labels)
        self._near = dict(zip(labels["image_id"].tolist(), listed, strict=True))

    def shown(
        self, image_id: str, issues: tuple[tuple[str, float | None], ...], note: str = "", exact: bool = False
    ) -> Shown:
        row = self.rows[image_id]
        key = str(row["sha256"])
        return Shown(
            image_id, key, str(row["path"]), str(row["label"]), str(row["given_label"]), self._sides.get(key, ""),
            issues, note, exact,
        )  # fmt: skip

    def neighbours(self, image_id: str) -> tuple[Neighbour, ...]:
        text = self._near.get(image_id)
        if not isinstance(text, str) or not text:
            return ()
        found = [(str(name), float(similarity)) for name, _, similarity in json.loads(text) if str(name) in self.rows]
        return tuple(
            Neighbour(name, str(self.rows[name]["sha256"]), str(self.rows[name]["path"]),
                      str(self.rows[name]["label"]), round(similarity, 4))
            for name, similarity in found[:NEIGHBOURS_SHOWN]
        )  # fmt: skip

    def question(self, sha256: str, issue: str, score: float) -> str | None:
        """None where it is settled; else why it is asked again, empty for the first time."""
        if self.settled.decision(sha256, issue) is None:
            return ""
        return self.settled.why_again(sha256, issue, score)


def _clusters(duplicates: pd.DataFrame, desk: _Desk) -> list[Item]:
    items = []
    for _, members in duplicates.groupby("cluster", sort=True):
        rows = [row for row in members.to_dict("records") if row["image_id"] in desk.rows]
        asked = [desk.question(str(desk.rows[row["image_id"]]["sha256"]), COPIES[0], row["distance"]) for row in rows]
        why = [words for words in asked if words is not None]
        if len(rows) < 2 or not why:
            continue
        open_first = sorted(range(len(rows)), key=lambda place: asked[place] is None)
        rows = [rows[place] for place in open_first]  # or a large cluster would show what is decided for ever
        images: dict[tuple[str, str], Shown] = {}
        files: dict[tuple[str, str], int] = {}
        for row in rows:
            exact = row["method"] in EXACT
            note = "" if exact else f"{min(0.99, 1 - row['distance']):.0%} alike"  # 100 % would say that it is exact
            found = desk.shown(
                str(row["image_id"]), ((COPIES[0 if exact else 1], _number(row["distance"])),), note, exact
            )
            key = (found.sha256, found.label)  # the same bytes are one picture to judge
            images.setdefault(key, found)
            files[key] = files.get(key, 0) + 1
        conflict = len({label for _, label in images}) > 1
        same = max(files.values())
        evidence = "Their pixels are equal." if all(shown.exact for shown in images.values()) else ""
        evidence += f" One of them lies there in {same} files with the same bytes." if same > 1 else ""
        items.append(
            Item("conflict" if conflict else "cluster", tuple(images.values())[:MEMBERS_SHOWN], evidence.strip(),
                 next((words for words in why if words), ""), max(0, len(images) - MEMBERS_SHOWN))
        )  # fmt: skip
    return items


def _suspected(labels: pd.DataFrame, kind: str, desk: _Desk) -> list[Item]:
    items = []
    for row in labels.sort_values("rank", kind="stable").to_dict("records"):
        image_id = str(row["image_id"])
        if image_id not in desk.rows:
            continue
        again = desk.question(str(desk.rows[image_id]["sha256"]), SUSPECT_LABEL, float(row["score"]))
        if again is not None:
            image = desk.shown(image_id, ((SUSPECT_LABEL, _number(row["score"])),))
            items.append(
                Item(kind, (image,), "", again, 0, int(row["rank"]), str(row["suggested_label"]),
                     _number(row["p_given"]), _number(row["p_suggested"]), desk.neighbours(image_id))
            )  # fmt: skip
    return items


def _faults(issues: pd.DataFrame, desk: _Desk) -> list[Item]:
    items = []
    visible = issues[issues["issue"].isin(BY_EYE) & issues["image_id"].isin(list(desk.rows))]
    for image_id, found in visible.groupby("image_id", sort=False):
        key, rows = str(desk.rows[str(image_id)]["sha256"]), found.to_dict("records")
        asked = [desk.question(key, str(row["issue"]), float(row["score"])) for row in rows]
        why = [words for words in asked if words is not None]
        if why:
            image = desk.shown(str(image_id), tuple((str(row["issue"]), _number(row["score"])) for row in rows))
            evidence = "; ".join(f"{str(row['issue']).replace('_', ' ')}: {row['evidence']}" for row in rows)
            again = next((words for words in why if words), "")
            items.append(Item("fault", (image,), evidence, again, neighbours=desk.neighbours(str(image_id))))
    return items


def _number(value: float) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None
