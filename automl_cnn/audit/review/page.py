"""audit/review.html: one file, nothing loaded from anywhere, in which a person decides and saves decisions.csv."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib import resources
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from automl_cnn.artifacts import replacing
from automl_cnn.audit.decisions import Decisions
from automl_cnn.audit.problems import Problem
from automl_cnn.audit.review.items import Item
from automl_cnn.audit.settled import LAST, STOP_BELOW, label_history
from automl_cnn.config import Resize
from automl_cnn.data.decode import content_box
from automl_cnn.data.picture import encode_jpeg
from automl_cnn.data.store import ImageStore
from automl_cnn.progress import Progress, silent

THUMBNAIL_PX = 192
PICTURE_BYTES = 12_000_000  # of base64 in the page; some 1,200 thumbnails
_SCRIPTS = ("store.js", "page.js", "dialogs.js")


def write_review(
    path: Path,
    items: Sequence[Item],
    decided: pd.DataFrame,
    labels: pd.DataFrame,
    decisions: Decisions,
    problems: Sequence[Problem],
    store: ImageStore,
    progress: Progress = silent,
) -> dict[str, int]:
    """Write the page; the same values give the same bytes.

    Args:
        path: usually audit/review.html.
        items: of `collect_items`, in the order in which they are shown.
        decided: of `apply_to_duplicates`.
        labels: LABELS table, for the order of earlier decisions.
        decisions: what decisions.csv holds; the page saves it with what is decided in it.
        problems: lines that are not applied; those that could not be read are saved again as they stand.
        store: the decoded images.
        progress: told every fifty items.
    Returns:
        items: all that could be shown; shown: how many of them the page holds (its pictures stay below 12 MB); bytes.
    """
    pictures: dict[str, str] = {}
    rows = {str(row["image_id"]): row for row in decided.to_dict("records")}
    used, shown = 0, 0
    for item in items:
        wanted = [image.id for image in item.images] + [near.id for near in item.neighbours]
        new = {name: _picture(rows[name], store) for name in dict.fromkeys(wanted) if name not in pictures}
        used += sum(map(len, new.values()))
        if used > PICTURE_BYTES:
            break
        pictures |= new
        shown += 1
        if shown % 50 == 0 or shown == len(items):
            progress("review page", shown, len(items))
    data = {
        "hashes": "".join(sorted({str(key)[:8] for key in decided["sha256"]})),
        "classes": sorted(set(decided["label"].tolist()) | set(decided["given_label"].tolist())),
        "given": sorted(set(decided["given_label"].tolist())),
        "items": [asdict(item) for item in items[:shown]],
        "pictures": pictures,
        "decisions": decisions.rows(),
        "own_columns": decisions.own_columns(),
        "unread": [problem.text for problem in problems if problem.text],
        "history": [{"sha256": key, "hit": hit} for key, hit in label_history(labels, decided, decisions)],
        "last": LAST,
        "stop_below": STOP_BELOW,
    }
    page = render_page(data, _notices(len(items), shown, problems))
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return {"items": len(items), "shown": shown, "bytes": len(page.encode())}


def render_page(data: dict[str, Any], notices: Sequence[str] = ()) -> str:
    """The page as HTML; nothing that the user named can end the script or become markup."""
    folder = resources.files("automl_cnn.audit.review")
    script = "\n" + "\n".join((folder / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    text = json.dumps(data, ensure_ascii=False, sort_keys=True, allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string((folder / "template.html").read_text(encoding="utf-8")).render(
        # Our own script and style, and JSON without a single < > or &: the only texts that are not escaped here.
        script=Markup(script),  # noqa: S704
        style=Markup(_style()),  # noqa: S704
        data=Markup(text),  # noqa: S704
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        notices=notices,
    )


def _picture(row: dict[Any, Any], store: ImageStore) -> str:
    if row["store_row"] < 0:
        return ""
    box = content_box(int(row["width"]), int(row["height"]), store.size_px, cast(Resize, store.resize))
    pixels = store.read(np.array([row["store_row"]]))[0]
    return encode_jpeg(pixels, box, THUMBNAIL_PX)


def _notices(items: int, shown: int, problems: Sequence[Problem]) -> list[str]:
    said = []
    if shown < items:
        said.append(
            f"This page shows the first {shown:,} of {items:,}: its pictures stay below {PICTURE_BYTES / 1e6:.0f} MB. "
            "The others follow when these are decided and the audit has run again."
        )
    if problems:
        lines = f"{len(problems):,} line{'' if len(problems) == 1 else 's'} of decisions.csv"
        said.append(f"{lines} cannot be applied. {problems[0]}{' …' if len(problems) > 1 else ''}")
    return said


def _style() -> str:
    package = resources.files("automl_cnn")
    parts = (package / "palette.css", package / "audit" / "review" / "style.css")
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)
