"""params.yaml: one door, all problems at once, each with its key path."""

from pathlib import Path

import pytest

from automl_cnn.config import load_params, parse_params
from automl_cnn.errors import ConfigError
from automl_cnn.params_file import assign
from automl_cnn.presets import PRESETS

PROJECT = Path(__file__).parents[2]


def test_the_shipped_params_file_is_valid_and_names_the_demo_data() -> None:
    assert load_params(PROJECT / "params.yaml").data.root == "data/elpv"


@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_preset_decides_every_value_that_is_left_empty(preset: str) -> None:
    params = parse_params({"data": {"root": "x"}, "search": {"preset": preset}})
    unlimited = {"weights_dir", "max_trials", "max_fine_tunings"}
    for section in ("search", "train", "quantize"):
        assert {name for name, value in getattr(params, section) if value is None} <= unlimited


def test_a_value_of_ones_own_wins_over_the_preset() -> None:
    params = parse_params(
        {"data": {"root": "x"}, "search": {"preset": "quick", "budget_minutes": 7}, "train": {"epochs": 2}}
    )
    assert (params.search.budget_minutes, params.train.epochs) == (7, 2)


def test_every_problem_is_reported_at_once_with_its_key_path() -> None:
    wrong = {
        "data": {"rot": "x", "working_size_px": "a"},
        "split": {"ratios": {"train": 0.5}},
        "serch": {},
        "search": {"preset": "fast"},
    }
    with pytest.raises(ConfigError) as caught:
        parse_params(wrong)
    text = str(caught.value)
    for where in ("data.root", "data.rot", "data.working_size_px", "split.ratios", "serch", "search.preset"):
        assert f"{where}: expected" in text


@pytest.mark.parametrize(
    ("uri", "refused"),
    [
        ("postgresql://ann:secret@db/mlflow", True), ("http://ann:s@cret@host", True),
        ("postgresql://db/mlflow?password=secret", True), ("http://host:5000?token=secret", True),
        ("http://127.0.0.1:5000", False),
        ("sqlite:///mlflow.db", False), ("http://ann@host:5000", False),
    ],
)  # fmt: skip
def test_a_password_in_the_file_is_refused_and_not_repeated(uri: str, refused: bool) -> None:
    raw = {"data": {"root": "x"}, "tracking": {"uri": uri}}
    if not refused:
        assert parse_params(raw).tracking.uri == uri
        return
    with pytest.raises(ConfigError, match="MLFLOW_TRACKING_URI") as caught:
        parse_params(raw)
    assert "cret" not in str(caught.value)


def test_a_misspelt_key_is_answered_with_the_right_one() -> None:
    with pytest.raises(ConfigError, match=r"search.budget_minute: .* Did you mean budget_minutes\?"):
        parse_params({"data": {"root": "x"}, "search": {"budget_minute": 3}})


def test_an_input_larger_than_the_stored_images_is_refused() -> None:
    with pytest.raises(ConfigError, match="search.input_sizes_px: expected at most data.working_size_px, 96"):
        parse_params({"data": {"root": "x", "working_size_px": 96}, "search": {"input_sizes_px": [64, 160]}})


def test_a_preset_never_asks_for_more_pixels_than_are_stored() -> None:
    assert parse_params({"data": {"root": "x", "working_size_px": 96}}).search.input_sizes_px == [96]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("data: [", "valid YAML"),
        ("just text", "sections such as data"),
        ("", "sections such as data"),
        (b"\xff\xfe\x00", "params"),
    ],
)
def test_a_damaged_file_is_a_clear_error(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=said):
        load_params(path)


def test_a_missing_file_says_where_to_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Run the command in the project's folder"):
        load_params(tmp_path / "params.yaml")


def test_setting_a_value_keeps_comments_and_everything_else(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    before = (PROJECT / "params.yaml").read_text()
    path.write_text(before)
    assign(path, [("search.preset", "balanced"), ("train.epochs", "3")])
    changed = [(a, b) for a, b in zip(before.splitlines(), path.read_text().splitlines(), strict=True) if a != b]
    assert [new.split("#")[0].strip() for _, new in changed] == ["preset: balanced", "epochs: 3"]


def test_setting_a_wrong_value_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text("data: {root: x}\n")
    with pytest.raises(ConfigError):
        assign(path, [("search.preset", "fast")])
    assert path.read_text() == "data: {root: x}\n"


@pytest.mark.parametrize(
    ("section", "values", "said"),
    [
        ("search", {"tuner": "grid"}, "search.tuner: expected 'random', 'bayesian' or 'hyperband'"),
        ("search", {"forbid_flips": ["sideways"]}, "search.forbid_flips.0: expected 'horizontal' or 'vertical'"),
        ("search", {"input_sizes_px": [16]}, "search.input_sizes_px.0: expected"),
        ("search", {"input_sizes_px": []}, "search.input_sizes_px: expected"),
        ("train", {"unfreeze_from_block": [9]}, "train.unfreeze_from_block"),
        ("target", {"max_size_mb": 0}, "target.max_size_mb: expected greater than 0"),
    ],
)
def test_a_wrong_value_of_the_search_is_named(section: str, values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_params({"data": {"root": "x"}, section: values})
    assert said in str(caught.value)


def test_depths_of_fine_tuning_are_one_block_or_a_list() -> None:
    depths = [
        parse_params({"data": {"root": "x"}, "train": {"unfreeze_from_block": given}}).train.depths
        for given in (5, [6, 4], None)
    ]
    assert depths == [(5,), (6, 4), (6, 4)]


@pytest.mark.parametrize("value", ["[^/]+_(x)", "*_a", "[a"])
def test_a_value_that_is_no_yaml_is_named_and_changes_nothing(tmp_path: Path, value: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes((PROJECT / "params.yaml").read_bytes())
    with pytest.raises(ConfigError, match=r"split\.pattern: expected a value as YAML has it"):
        assign(path, [("split.pattern", value)])
    assert path.read_bytes() == (PROJECT / "params.yaml").read_bytes()
