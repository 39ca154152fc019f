"""From `predict --log` to `monitor`: clean images are quiet, spoilt ones alarm, and every word of a user stays text."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from colour_run import write_colour_run
from PIL import Image

from automl_cnn.cli import main
from automl_cnn.monitor.log import PredictionLog
from automl_cnn.monitor.page import render_page, write_page
from automl_cnn.monitor.read import read_log
from automl_cnn.monitor.watch import Findings, watch
from automl_cnn.reference import ood
from automl_cnn.reference.record import Reference
from automl_cnn.serve.logged import log_record
from automl_cnn.serve.predict import Predictor

START = datetime(2026, 11, 1, tzinfo=UTC)


def _picture(path: Path, number: int, *, light: float = 1.0) -> Path:
    """Noise with a channel that stands out, brighter or darker from picture to picture."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 120, (40, 60, 3)) + rng.integers(0, 40)
    pixels[..., number % 3] += rng.integers(10, 60)
    Image.fromarray(np.clip(light * pixels, 0, 255).astype(np.uint8)).save(path)
    return path


def _pictures(folder: Path, numbers: range, *, light: float = 1.0) -> list[Path]:
    folder.mkdir(parents=True)
    return [_picture(folder / f"{number}.png", number, light=light) for number in numbers]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose reference is made of 150 such pictures."""
    folder = tmp_path_factory.mktemp("delivered")
    (folder / "project").mkdir()
    model = write_colour_run(folder / "project").quantized / "model.tflite"
    predictor = Predictor(model)
    assert predictor.reference is not None
    seen = [predictor.examine(path) for path in _pictures(folder / "pictures", range(150))]
    sketches = np.stack([one.sketch for one in seen])
    reference = replace(
        predictor.reference,
        sketches=sketches,
        probabilities=np.array([list(one.prediction.probabilities.values()) for one in seen], np.float32),
        answers=np.arange(150) % 3,
        groups=np.arange(150),
        statistics=np.array([one.statistics for one in seen]),
        ood_threshold=ood.threshold(predictor.reference.ood_scores(sketches)),
    )
    reference.save(model.with_name("reference.npz"))
    assert reference.model_sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    return model


def _command(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def _log(model: Path, folder: Path, numbers: range, *, light: float = 1.0, minutes: int = 0) -> None:
    predictor = Predictor(model)
    with PredictionLog(folder) as log:
        for path in _pictures(folder.parent / f"pictures-{numbers.start}", numbers, light=light):
            record = log_record(predictor.examine(path), path.stem, predictor.model_sha256)
            log.append([replace(record, time=START + timedelta(minutes=minutes + int(path.stem)))])


def _found(model: Path, folder: Path, **how: object) -> Findings:
    return watch(read_log(folder), Reference.load(model.with_name("reference.npz")), **how)  # type: ignore[arg-type]


def test_predict_logs_and_monitor_is_quiet_on_pictures_like_those_before(model: Path, tmp_path: Path) -> None:
    paths = _pictures(tmp_path / "pictures", range(1000, 1150))
    plain, logged = (_command("predict", model, *paths, "--json", *more) for more in ([], ["--log", tmp_path / "log"]))
    assert json.loads(plain.stdout) == json.loads(logged.stdout)
    done = _command("monitor", tmp_path / "log", "--model", model)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Quiet: nothing differs beyond chance")
    assert read_log(tmp_path / "log")["id"].to_pylist() == [str(path) for path in paths]


def test_predict_says_in_words_what_json_says_of_doubt_and_strangeness(model: Path, tmp_path: Path) -> None:
    paths = [*_pictures(tmp_path / "usual", range(20)), *_pictures(tmp_path / "dark", range(20), light=0.05)]
    found = json.loads(_command("predict", model, *paths, "--json").stdout)
    lines = _command("predict", model, *paths).stdout.splitlines()
    assert {each["out_of_distribution"] for each in found} == {True, False}
    for each, line in zip(found, lines, strict=True):
        assert ("strange to the model" in line) == each["out_of_distribution"]
        assert ("too doubtful to rely on" in line) == each["abstain"]


def test_a_change_of_light_ends_with_three_and_says_what_differs(model: Path, tmp_path: Path) -> None:
    _log(model, tmp_path / "log", range(1000, 1100), light=0.6)
    done = _command("monitor", tmp_path / "log", "--model", model, "--json", "--html", tmp_path / "page.html")
    assert done.exit_code == 3
    found = json.loads(done.stdout)
    assert found["verdict"] == "alarm"
    assert {"brightness", "contrast"} <= {check["name"] for check in found["checks"] if check["alarm"]}
    assert "</html>" in (tmp_path / "page.html").read_text()


def test_an_alarm_ends_with_three_also_where_the_page_cannot_be_written(model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    page = tmp_path / "file" / "page.html"
    _log(model, tmp_path / "dark" / "log", range(1000, 1030), light=0.1)
    _log(model, tmp_path / "few" / "log", range(2000, 2003))
    for folder, code in (("dark", 3), ("few", 2)):
        done = _command("monitor", tmp_path / folder / "log", "--model", model, "--html", page)
        assert (done.exit_code, f"{page}: expected a file that can be written" in done.output) == (code, True)


def test_the_last_window_counts_and_the_course_shows_those_before(model: Path, tmp_path: Path) -> None:
    _log(model, tmp_path / "log", range(1000, 1100), light=0.6)
    _log(model, tmp_path / "log", range(2000, 2100))
    assert _found(model, tmp_path / "log", window=100).verdict == "quiet"
    found = _found(model, tmp_path / "log", window=timedelta(minutes=100))
    assert (found.verdict, [one.images for one in found.course]) == ("quiet", [100, 100])
    brightness = [one.statistics["brightness"] for one in _found(model, tmp_path / "log", window=50).course]
    assert max(brightness[:2]) < min(brightness[2:])
    assert _command("monitor", tmp_path / "log", "--model", model, "--until", "2026-11-02T00:00").exit_code == 3


def test_too_few_images_are_called_so_and_a_great_change_is_seen_in_few(model: Path, tmp_path: Path) -> None:
    _log(model, tmp_path / "few" / "log", range(1000, 1012))
    _log(model, tmp_path / "dark" / "log", range(1000, 1012), light=0.1)
    assert _found(model, tmp_path / "few" / "log").verdict == "too_few"
    assert _found(model, tmp_path / "dark" / "log").verdict == "alarm"
    nothing = _command("monitor", tmp_path / "few" / "log", "--model", model, "--since", "1h")
    assert nothing.exit_code == 0
    assert nothing.stdout.startswith("Too few images to tell: the log has none")


def test_wrong_answers_alarm_once_their_labels_arrive(model: Path, tmp_path: Path) -> None:
    _log(model, tmp_path / "log", range(1000, 1100))
    assert _found(model, tmp_path / "log").quality is None
    labels = tmp_path / "labels.csv"
    labels.write_text("id,label\n" + "".join(f"{i},{'cyan' if i % 2 else 'red'}\n" for i in range(1000, 1100)))
    done = _command("monitor", tmp_path / "log", "--model", model, "--labels", labels)
    assert done.exit_code == 3
    assert "wrong answers" in done.stdout.splitlines()[0]
    assert "50 of them name a class that the model does not know" in done.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--since", "yesterday"], "--since: expected a time such as"),
        (["--window", "0"], "--window: expected a number of images"),
        (["--labels", "nowhere.csv"], r"nowhere.csv: expected a UTF-8 CSV"),
        (["--model", "nowhere.tflite"], "reference.npz: expected"),
    ],
)
def test_a_users_mistakes_end_with_two(model: Path, tmp_path: Path, options: list[str], said: str) -> None:
    _log(model, tmp_path / "log", range(1000, 1003))
    done = _command("monitor", tmp_path / "log", "--model", model, *options)
    assert (done.exit_code, said in done.output) == (2, True), done.output


def test_rows_of_another_model_are_no_part_of_it(model: Path, tmp_path: Path) -> None:
    _log(model, tmp_path / "log", range(1000, 1060))
    [row] = [log_record(Predictor(model).examine(_picture(tmp_path / "a.png", 5, light=0.1)), "a", "b" * 64)]
    with PredictionLog(tmp_path / "log") as log:
        log.append([row])
    found = _found(model, tmp_path / "log")
    assert (found.images, found.other_models) == (60, 1)
    with PredictionLog(tmp_path / "other") as log:
        log.append([row])
    done = _command("monitor", tmp_path / "other", "--model", model)
    assert done.exit_code == 2
    assert "received rows of bbbbbbbbbbbb" in done.output


def test_a_model_without_reference_logs_and_cannot_be_monitored(model: Path, tmp_path: Path) -> None:
    for name in ("model.tflite", "labels.txt", "preprocessing.json"):
        shutil.copy(model.with_name(name), tmp_path / name)
    bare = tmp_path / "model.tflite"
    assert _command("predict", bare, _picture(tmp_path / "a.png", 1), "--log", tmp_path / "log").exit_code == 0
    done = _command("monitor", tmp_path / "log", "--model", model)
    assert done.exit_code == 2
    assert "rows that were logged without reference.npz" in done.output


def test_every_name_on_the_page_is_escaped_and_nothing_is_loaded(model: Path, tmp_path: Path) -> None:
    _log(model, tmp_path / "log", range(1000, 1060))
    hostile = "<script>alert(1)</script>"
    reference = Reference.load(model.with_name("reference.npz"))
    renamed = replace(reference, labels=(hostile, "green", "blue"))
    page = render_page(watch(read_log(tmp_path / "log"), renamed), hostile)
    assert hostile not in page
    assert page.count("&lt;script&gt;") >= 3
    assert "<script" not in page
    assert page.replace("http://www.w3.org/2000/svg", "").count("://") == 0


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_the_page_fits_a_desk_and_a_phone(model: Path, tmp_path: Path, width: int) -> None:
    _log(model, tmp_path / "log", range(1000, 1060), light=0.6)
    write_page(_found(model, tmp_path / "log"), "a-long-name-without-any-space-" * 5, tmp_path / "page.html")
    frame = tmp_path / "frame.html"  # a window of less than 500 px is not to be had otherwise
    frame.write_text(
        f'<iframe id=f width={width} height=900 src=page.html></iframe><script>onload=()=>document.title='
        '(d=>`wide ${d.scrollWidth} of ${d.clientWidth}`)(f.contentDocument.documentElement);</script>'
    )  # fmt: skip
    done = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=3000", "--dump-dom", frame.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    title = done.stdout.partition("<title>")[2].partition("</title>")[0].split()
    assert title[0] == "wide", done.stdout[:500]
    assert title[1] == title[3]
