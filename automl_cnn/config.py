"""The one door to params.yaml: frozen models, every error at once, each with its key path."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from automl_cnn.errors import AutoMLError, ConfigError
from automl_cnn.passwords import without_password
from automl_cnn.presets import PRESETS

Resize = Literal["letterbox", "crop", "stretch"]
GroupSource = Literal["column", "folder", "pattern", "session", "duplicates"]
Preset = Literal["quick", "balanced", "best"]
Objective = Literal["macro_f1", "accuracy", "balanced_accuracy"]
Augmentation = Literal["none", "flip", "flips", "crop", "colour", "rotation", "randaugment", "erasing"]
Depth = Annotated[int, Field(ge=1, le=8)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=32, le=1024)]
Seed = Annotated[int, Field(ge=1)]  # keras-tuner takes seed 0 as random


class Section(BaseModel):
    """A part of params.yaml: unknown keys are errors, values do not change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class DataParams(Section):
    """Where the images are and how they are stored."""

    root: str
    labels: str | None = None
    label_column: str = "label"
    group_column: str | None = None
    resize: Resize = "letterbox"
    working_size_px: Pixels = 224
    max_megapixels: Positive = 100.0


GreyLevel = Annotated[float, Field(ge=0, le=255)]


class Thresholds(Section):
    """From where on a picture or a file counts as odd."""

    dark_below: GreyLevel = 60.0
    bright_above: GreyLevel = 230.0
    blank_std_below: Annotated[float, Field(ge=0, le=128)] = 3.0
    blur_below: Annotated[float, Field(ge=0)] = 20.0
    blur_share: Fraction = 0.25
    low_information_below: Annotated[float, Field(ge=0, le=8)] = 3.0
    low_information_share: Fraction = 0.6
    grey_chroma_below: GreyLevel = 6.0
    grey_share_below: Fraction = 0.3
    aspect_ratio_above: Annotated[float, Field(ge=1)] = 3.0
    size_iqrs: Positive = 3.0
    size_iqr_floor: Positive = 0.5


class AuditParams(Section):
    """What counts as a fault of the data."""

    backbones: list[str] = ["efficientnet-lite0"]
    input_size_px: Pixels | None = None
    decisions: str = "decisions.csv"
    phash_distance: Annotated[int, Field(ge=0, le=32)] = 6
    embedding_similarity: Annotated[float, Field(gt=0, le=1)] = 0.90
    index_above: Count = 50_000
    thresholds: Thresholds = Thresholds()
    folds: Annotated[int, Field(ge=2, le=20)] = 5
    second_opinion: bool = False
    seed: Seed = 1


class Ratios(Section):
    """Shares of the images; they add up to one."""

    train: Fraction = 0.70
    validation: Fraction = 0.15
    test: Fraction = 0.15

    @model_validator(mode="after")
    def _sum_to_one(self) -> Ratios:
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"shares that add up to 1; they add up to {total:g}")
        return self


class SplitParams(Section):
    """How images are kept apart."""

    ratios: Ratios = Ratios()
    group_by: list[GroupSource] = ["column", "duplicates"]
    pattern: str | None = None
    session_gap_minutes: Positive = 10.0
    folds: Annotated[int, Field(ge=2, le=50)] | None = None
    seed: Seed = 1

    @model_validator(mode="after")
    def _pattern_is_given(self) -> SplitParams:
        if "pattern" in self.group_by and not self.pattern:
            raise ValueError("split.pattern to be set when split.group_by names pattern")
        return self


class SearchParams(Section):
    """What is tried, and for how long. What is None the preset decides, the most trials excepted: None is no limit."""

    preset: Preset = "quick"
    budget_minutes: Positive | None = None
    max_trials: Count | None = None
    max_fine_tunings: Annotated[int, Field(ge=0)] | None = None
    backbones: Annotated[list[str], Field(min_length=1)] | Literal["auto"] = "auto"
    max_arms: Count | None = None
    finalists: Count | None = None
    input_sizes_px: Annotated[list[Pixels], Field(min_length=1)] | None = None
    poolings: Annotated[list[Literal["average", "gem"]], Field(min_length=1)] = ["average"]
    augmentations: Annotated[list[Augmentation], Field(min_length=1)] | None = None
    forbid_flips: list[Literal["horizontal", "vertical"]] = []
    views: Count | None = None
    objective: Objective = "macro_f1"
    tuner: Literal["random", "bayesian", "hyperband"] = "bayesian"
    weights_dir: str | None = None
    download: bool = False
    seed: Seed = 1


class TargetParams(Section):
    """What the shipped file may cost; None is no limit."""

    max_latency_ms: Positive | None = None
    max_size_mb: Positive | None = None


class TrainParams(Section):
    """Fine-tuning of the best candidates. What is None the preset decides."""

    epochs: Count | None = None
    unfreeze_from_block: Depth | Annotated[list[Depth], Field(min_length=1)] | None = None
    learning_rate: Positive | None = None
    optimizer: Literal["adamw", "sgd"] = "adamw"
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 0.8
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.98
    distillation: Annotated[float, Field(ge=0, le=1)] | None = None
    batch_size: Count = 32
    patience: Count = 4
    seed: Seed = 1

    @property
    def depths(self) -> tuple[int, ...]:
        """Lowest blocks that fine-tuning may start from, the first to be tried in front."""
        given = self.unfreeze_from_block or 4
        return (given,) if isinstance(given, int) else tuple(given)


class QuantizeParams(Section):
    """How the winner is shrunk. What is None the preset decides."""

    max_drop: Annotated[float, Field(ge=0, le=1)] = 0.003
    calibration_images: Count | None = None
    steps: Annotated[int, Field(ge=0)] | None = None
    learning_rate: Positive | None = None
    batch_size: Count = 32
    seed: Seed = 1


class EvaluateParams(Section):
    """How the shipped file is judged."""

    bootstrap: Annotated[int, Field(ge=100, le=100_000)] = 2000
    confidence: Fraction = 0.95
    calibration_bins: Annotated[int, Field(ge=2, le=100)] = 15
    latency_runs: Annotated[int, Field(ge=10)] = 100
    threads: Count = 1
    seed: Seed = 1


class ReportParams(Section):
    """What the model card says that no measurement can."""

    license: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]*$")] = "other"


class TrackingParams(Section):
    """Where the record goes."""

    uri: str = "sqlite:///mlflow.db"
    registry_uri: str | None = None
    experiment: str = "automl-cnn"
    model_name: str = "automl-cnn"


class Params(Section):
    """Everything in params.yaml, with the preset's values filled in."""

    data: DataParams
    audit: AuditParams = AuditParams()
    split: SplitParams = SplitParams()
    search: SearchParams = SearchParams()
    target: TargetParams = TargetParams()
    train: TrainParams = TrainParams()
    quantize: QuantizeParams = QuantizeParams()
    evaluate: EvaluateParams = EvaluateParams()
    report: ReportParams = ReportParams()
    tracking: TrackingParams = TrackingParams()

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        filled = dict(raw)
        search = filled.get("search") or {}
        preset = search.get("preset", "quick") if isinstance(search, dict) else "quick"
        if not isinstance(preset, str):
            return filled  # the wrong type is reported by its own field
        for section, values in PRESETS.get(preset, {}).items():
            given = filled.get(section) or {}
            if isinstance(given, dict):
                values = _within(values, filled.get("data"))
                filled[section] = {**given, **{k: v for k, v in values.items() if given.get(k) is None}}
        return filled


def _within(values: dict[str, Any], data: Any) -> dict[str, Any]:
    """A preset's values, its inputs no larger than the stored images."""
    default = DataParams.model_fields["working_size_px"].default
    working = data.get("working_size_px", default) if isinstance(data, dict) else None
    if "input_sizes_px" in values and isinstance(working, int):
        sizes = [min(size_px, max(working, 32)) for size_px in values["input_sizes_px"]]
        return {**values, "input_sizes_px": list(dict.fromkeys(sizes))}
    return values


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read params.yaml and fill in what the preset decides.

    Args:
        path: the YAML file.
    Returns:
        Every section, frozen; no preset-decided value is None.
    Raises:
        ConfigError: the file is missing or not YAML, or has unknown keys or wrong values; all problems in one error.
    """
    try:
        raw = YAML(typ="safe").load(path)
    except FileNotFoundError:
        raise _problem(str(path), "a readable file", "none there", "Run the command in the project's folder.") from None
    except OSError as error:
        raise _problem(str(path), "a readable file", str(error), "Check the file's permissions.") from None
    except (YAMLError, UnicodeDecodeError) as error:
        first = " ".join(str(error).split())
        raise _problem(str(path), "valid YAML", first, "Mend the line that is named.") from None
    return parse_params(raw, source=str(path))


def parse_params(raw: object, source: str = "params.yaml") -> Params:
    """Check values read from YAML; as `load_params`, without the file."""
    if not isinstance(raw, dict):
        raise _problem(
            source,
            "sections such as data and split",
            repr(raw),
            "Start from the params.yaml of this repository.",
        )
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise ConfigError([_explain(dict(problem)) for problem in error.errors()]) from None
    given = [("audit.input_size_px", params.audit.input_size_px or 0)]
    given += [("search.input_sizes_px", size_px) for size_px in params.search.input_sizes_px or []]
    for where, size_px in given:
        if size_px > params.data.working_size_px:
            raise _problem(
                where, f"at most data.working_size_px, {params.data.working_size_px}",
                str(size_px), "Lower it, or raise data.working_size_px.",
            )  # fmt: skip
    for name, variable in (("uri", "MLFLOW_TRACKING_URI"), ("registry_uri", "MLFLOW_REGISTRY_URI")):
        address = getattr(params.tracking, name) or ""
        if without_password(address) != address:
            raise _problem(
                f"tracking.{name}", "an address without a password",
                "one with a password, which git, dvc.lock and the record would keep",
                f"Put the whole address into the environment as {variable}, which wins over params.yaml.",
            )  # fmt: skip
    return params


def _problem(where: str, expected: str, received: str, action: str) -> ConfigError:
    return ConfigError([AutoMLError(where, expected=expected, received=received, action=action)])


def _explain(problem: dict[str, Any]) -> AutoMLError:
    """One pydantic problem in three parts."""
    location = [part for part in problem["loc"] if part not in ("list[str]", "literal['auto']")]
    where = ".".join(str(part) for part in location)
    received = repr(problem["input"])
    if problem["type"] == "extra_forbidden":
        known = _known_keys(location[:-1])
        close = difflib.get_close_matches(str(location[-1]), known, n=1)
        hint = f"Did you mean {close[0]}?" if close else "Remove it from params.yaml."
        return AutoMLError(where, expected=f"one of {', '.join(known)}", received="an unknown key", action=hint)
    if problem["type"] == "missing":
        return AutoMLError(where, expected="a value", received="nothing", action=f"Set {where} in params.yaml.")
    message = problem["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if len(received) > 80:
        received = received[:77] + "…"
    return AutoMLError(where, expected=message, received=received, action=f"Correct {where} in params.yaml.")


def _known_keys(location: list[Any]) -> list[str]:
    model: Any = Params
    for part in location:
        model = model.model_fields[part].annotation
    return sorted(model.model_fields)
