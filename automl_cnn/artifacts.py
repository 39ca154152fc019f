"""Every file that passes between stages: where it lies, what is in it, how it is read and written.

Files are written beside their place under a temporary name and renamed, so a reader never sees half of one.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automl_cnn.errors import ArtifactError

if TYPE_CHECKING:  # pandas takes 0.7 s to import and `automl-cnn predict` does without it
    import pandas as pd


LEFT_BEHIND_S = 86_400.0  # a folder half written and not touched for a day is nobody's any more


@dataclass(frozen=True)
class Files:
    """The places under artifacts/. `Files(Path("artifacts"))` is the usual one."""

    root: Path

    @property
    def manifest(self) -> Path:
        return self.root / "manifest.parquet"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def decisions(self) -> Path:
        """The checked copy of the reviewer's decisions.csv; a header alone where there is none."""
        return self.root / "decisions.csv"

    @property
    def decision_problems(self) -> Path:
        """The lines of decisions.csv that could not be read."""
        return self.root / "decision_problems.json"

    @property
    def scan_issues(self) -> Path:
        """What ingest saw of folders and names, before any picture: an ISSUES table."""
        return self.root / "scan_issues.parquet"

    @property
    def ledger(self) -> Path:
        """Where every image has stood since it was first split; it outlives every run."""
        return self.root / "ledger.parquet"

    @property
    def features(self) -> Path:
        return self.root / "features"

    @property
    def embeddings(self) -> Path:
        """What audit and split see of the images: <backbone>/base.npy, at audit.input_size_px."""
        return self.root / "embeddings"

    @property
    def audit(self) -> Path:
        return self.root / "audit"

    @property
    def split(self) -> Path:
        return self.root / "split"

    @property
    def search(self) -> Path:
        return self.root / "search"

    @property
    def model(self) -> Path:
        return self.root / "model"

    @property
    def quantized(self) -> Path:
        return self.root / "quantized"

    @property
    def evaluation(self) -> Path:
        return self.root / "evaluation"

    @property
    def explanations(self) -> Path:
        """Where the network looked in the failures of the test split: index.parquet and heat.npz."""
        return self.root / "explanations"

    @property
    def report(self) -> Path:
        return self.root / "report"

    @property
    def registered(self) -> Path:
        return self.root / "registered"

    @property
    def timings(self) -> Path:
        """Seconds a stage, beside the outs that DVC knows: a time is not a result."""
        return self.root / "timings"


@dataclass(frozen=True)
class Table:
    """The contract of one parquet table: columns that are always there. More may stand beside them."""

    name: str
    version: int
    columns: tuple[str, ...]


MANIFEST = Table(
    "manifest", 1,
    ("image_id", "path", "label", "sha256", "pixel_sha", "bytes", "format", "mode", "width", "height", "frames",
     "exif_orientation", "capture_time", "camera", "status", "error", "store_row"),
)  # fmt: skip
ISSUES = Table("issues", 1, ("image_id", "path", "issue", "severity", "score", "threshold", "evidence"))
PROPERTIES = Table(
    "properties", 1,
    ("image_id", "brightness", "contrast", "sharpness", "entropy", "saturation", "aspect", "megapixels"),
)  # fmt: skip
LABELS = Table(
    "labels", 1,
    ("image_id", "path", "label", "suggested_label", "p_given", "p_suggested", "score", "rank", "flagged"),
)  # fmt: skip
DUPLICATES = Table("duplicates", 1, ("cluster", "image_id", "path", "method", "distance", "label_conflict"))
NEAR_PAIRS = Table("near_pairs", 1, ("image_id", "other_image_id", "distance"))
GROUPS = Table("groups", 1, ("image_id", "group", "reason"))
JOINS = Table("joins", 1, ("image_id", "other_image_id", "source", "value"))
SPLITS = Table("splits", 1, ("image_id", "path", "label", "group", "split", "reason"))
LEDGER = Table("ledger", 1, ("sha256", "pixel_sha", "path", "split"))
TRIALS = Table("trials", 1, ("trial_id", "status", "backbone", "fidelity", "images", "score", "seconds"))
PREDICTIONS = Table("predictions", 1, ("image_id", "path", "label", "predicted"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it into place if the block ends well, drop it otherwise.

    Works for files; the folder is made where it is missing.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(folder: Path) -> Iterator[Path]:
    """As `replacing`, for a whole folder: the old one is swapped out only when the new one is complete."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_left_behind(folder)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".tmp", dir=folder.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        if folder.exists():
            retired = temporary.with_suffix(".old")
            folder.rename(retired)
            temporary.rename(folder)
            shutil.rmtree(retired)
        else:
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _remove_left_behind(folder: Path) -> None:
    """What a killed process left of earlier attempts to write the folder, once nobody can be at work on it any more."""
    for pattern in (f".{folder.name}.*.tmp", f".{folder.name}.*.old"):
        for path in folder.parent.glob(pattern):
            if path.is_dir() and time.time() - path.stat().st_mtime > LEFT_BEHIND_S:
                shutil.rmtree(path, ignore_errors=True)


def write_table(path: Path, frame: pd.DataFrame, table: Table) -> None:
    """Write a table so that the same rows give the same bytes.

    Raises:
        ArtifactError: a column of the contract is missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    _require_columns(path, list(frame.columns), table)
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    arrow = arrow.replace_schema_metadata({"table": table.name, "version": str(table.version)})
    with replacing(path) as temporary:
        pq.write_table(arrow, temporary, compression="zstd")


def read_table(path: Path, table: Table) -> pd.DataFrame:
    """Read a table that `write_table` wrote.

    Raises:
        ArtifactError: the file is missing or damaged, of another version, or lacks a column of the contract.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        arrow = pq.read_table(path)
    except FileNotFoundError:
        raise _missing(path) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise ArtifactError(
            str(path),
            expected="a parquet table",
            received=str(error),
            action="Remove it and run `dvc repro`.",
        ) from None
    version = (arrow.schema.metadata or {}).get(b"version", b"?").decode()
    if version != str(table.version):
        raise ArtifactError(
            str(path), expected=f"version {table.version} of {table.name}", received=f"version {version}",
            action="It was written by another release: run `dvc repro`.",
        )  # fmt: skip
    _require_columns(path, arrow.column_names, table)
    frame: pd.DataFrame = arrow.to_pandas()
    return frame


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, two spaces, UTF-8; NaN is refused."""
    with replacing(path) as temporary:
        text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read what `write_json` wrote.

    Raises:
        ArtifactError: the file is missing or damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _missing(path) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(
            str(path), expected="JSON", received=str(error), action="Remove it and run `dvc repro`."
        ) from None


def write_lines(path: Path, lines: list[str]) -> None:
    """Write one entry a line, such as labels.txt; an entry holds no line break."""
    with replacing(path) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def read_lines(path: Path) -> list[str]:
    """Read what `write_lines` wrote.

    Raises:
        ArtifactError: the file is missing.
    """
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise _missing(path) from None


def _missing(path: Path) -> ArtifactError:
    return ArtifactError(str(path), expected="a file", received="none there", action="Run `dvc repro` first.")


def _require_columns(path: Path, present: list[str], table: Table) -> None:
    absent = [column for column in table.columns if column not in present]
    if absent:
        raise ArtifactError(
            str(path), expected=f"the columns of {table.name}", received=f"no {', '.join(absent)}",
            action="Run the stage that writes it again.",
        )  # fmt: skip
