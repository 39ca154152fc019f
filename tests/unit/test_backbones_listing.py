"""`automl-cnn backbones`: starts at once, tells the truth about weights, and fits the screen."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from automl_cnn.cli import main
from automl_cnn.models.listing import APPLICATIONS, list_backbones, print_backbones
from automl_cnn.models.registry import BACKBONES


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without params.yaml, and no downloads of Keras."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rendered(columns: int, input_size_px: int | None = None) -> str:
    console = Console(file=io.StringIO(), width=columns, highlight=False)
    print_backbones(list_backbones(input_size_px=input_size_px), console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_listing_needs_nothing_heavy() -> None:
    program = (
        "import sys; from automl_cnn.models.listing import list_backbones; list_backbones();"
        "print(*[name for name in ('tensorflow', 'keras', 'h5py', 'pandas', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.parametrize("columns", [80, 120])
def test_every_name_stands_whole_on_one_line_of_the_screen(columns: int) -> None:
    lines = rendered(columns).splitlines()
    assert max(map(len, lines)) <= columns
    starts = [line.split()[0] for line in lines if line.strip()]
    assert all(starts.count(name) == 1 for name in [*BACKBONES, *APPLICATIONS])


def test_weights_in_the_folder_are_found_and_others_say_how_to_get_them(elsewhere: Path) -> None:
    (elsewhere / "weights").mkdir()
    (elsewhere / "weights" / "efficientnetv2-b1_notop.h5").write_bytes(b"")
    rows = {row.name: row for row in list_backbones(str(elsewhere / "weights"))}
    assert rows["efficientnetv2-b1"].weights == "weights_dir"
    assert rows["efficientnetv2-b0"].weights == "absent"
    assert "search.download" in (rows["efficientnetv2-b0"].get or "")
    assert rows["smallnet"].weights == "from scratch"


def test_weights_that_keras_downloaded_before_are_seen(elsewhere: Path) -> None:
    kept = elsewhere / "keras" / "models" / "efficientnetb0_notop.h5"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"")
    rows = {row.name: row for row in list_backbones()}
    assert rows["efficientnet-b0"].weights == "downloaded"


def test_the_input_size_decides_about_multiply_adds_alone() -> None:
    own = {row.name: row for row in list_backbones()}
    smaller = {row.name: row for row in list_backbones(input_size_px=112)}
    assert smaller["mobilenet-1.0"].parameters == own["mobilenet-1.0"].parameters
    assert smaller["mobilenet-1.0"].multiply_adds < own["mobilenet-1.0"].multiply_adds / 3
    assert "~" in rendered(80, 112)


def test_json_has_the_rows_of_the_table() -> None:
    rows = json.loads(CliRunner().invoke(main, ["backbones", "--json"]).output)
    assert [row["name"] for row in rows] == [*BACKBONES, *APPLICATIONS]
    assert {"parameters", "multiply_adds", "receptive_field_px", "input_size_px", "weights", "quantizes"} <= set(
        rows[0]
    )


def test_params_yaml_says_where_weights_are(elsewhere: Path) -> None:
    (elsewhere / "own").mkdir()
    (elsewhere / "own" / "nasnet_mobile_no_top.h5").write_bytes(b"")
    template = Path(__file__).parents[2] / "params.yaml"
    text = template.read_text(encoding="utf-8").replace("weights_dir: null", "weights_dir: own")
    (elsewhere / "params.yaml").write_text(text, encoding="utf-8")
    rows = json.loads(CliRunner().invoke(main, ["backbones", "--json"]).output)
    assert next(row for row in rows if row["name"] == "NASNetMobile")["weights"] == "weights_dir"


def test_a_folder_that_is_not_there_is_said_in_one_line() -> None:
    result = CliRunner().invoke(main, ["backbones", "--weights-dir", "nowhere"])
    assert result.exit_code == 2
    assert "nowhere" in result.stderr
