"""The prediction log loses no row: not to rotation, not to a kill, not to other writers, not to a full disk."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_rows import START, row

from automl_cnn.errors import ArtifactError, ConfigError, DataError
from automl_cnn.monitor.labels import add_labels
from automl_cnn.monitor.log import PredictionLog
from automl_cnn.monitor.read import read_log
from automl_cnn.monitor.record import LogRecord
from automl_cnn.monitor.times import parse_time
from automl_cnn.reference.statistics import STATISTICS


def _ids(folder: Path) -> list[str]:
    return read_log(folder)["id"].to_pylist()


def test_what_was_logged_is_read_back(tmp_path: Path) -> None:
    record = row(7, id="Käse <b>.jpg", label="naïve", abstain=True)
    with PredictionLog(tmp_path) as log:
        log.append([record])
        [waiting] = read_log(tmp_path).to_pylist()
    [packed] = read_log(tmp_path).to_pylist()
    for found in (waiting, packed):
        assert (found["id"], found["label"], found["abstain"]) == (record.id, record.label, True)
        assert (found["time"], found["probabilities"]) == (record.time, [0.75, 0.25])
        assert [found[name] for name in STATISTICS] == record.statistics
        np.testing.assert_array_equal(np.array(found["sketch"], np.float16), record.sketch.astype(np.float16))
        assert found["true_label"] is None


def test_a_model_without_a_reference_is_logged_all_the_same(tmp_path: Path) -> None:
    with PredictionLog(tmp_path) as log:
        log.append([LogRecord("a", "cat", 1.0, [1.0, 0.0], "a" * 64), row(1)])
    bare, full = sorted(read_log(tmp_path).to_pylist(), key=lambda found: found["id"])
    assert {bare[name] for name in (*STATISTICS, "sketch", "abstain", "ood_score")} == {None}
    assert full["sketch"] is not None


@settings(max_examples=20, deadline=None)
@given(batches=st.lists(st.integers(0, 7), max_size=8), rotate=st.integers(1, 6))
def test_rotation_keeps_every_row_once(
    tmp_path_factory: pytest.TempPathFactory, batches: list[int], rotate: int
) -> None:
    folder, written = tmp_path_factory.mktemp("log"), []
    with PredictionLog(folder, rotate_rows=rotate) as log:
        for size in batches:
            rows = [row(len(written) + i) for i in range(size)]
            log.append(rows)
            written += [one.id for one in rows]
            assert _ids(folder) == written
    assert _ids(folder) == written
    assert not list(folder.glob("*.lines"))


def test_an_old_file_is_packed_by_the_next_append(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, rotate_minutes=0) as log:
        log.append([row(0)])
        log.append([row(1)])
        assert len(list(tmp_path.glob("*.parquet"))) == 1
        assert _ids(tmp_path) == ["image-0", "image-1"]


def test_rows_of_a_killed_process_are_read_and_packed_by_the_next(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; sys.path.insert(0, 'tests'); from log_rows import row\n"
        "from automl_cnn.monitor.log import PredictionLog\n"
        "log = PredictionLog(Path(sys.argv[1]), rotate_rows=1000)\n"
        "for i in range(10**6): log.append([row(i)]); print(i, flush=True)"
    )
    repository = Path(__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=repository
    )
    assert process.stdout is not None
    acknowledged = -1
    while acknowledged < 50:
        acknowledged = int(process.stdout.readline())
    process.send_signal(signal.SIGKILL)
    acknowledged = max([acknowledged, *(int(line) for line in process.stdout.read().split())])
    process.wait()
    process.stdout.close()
    left = _ids(tmp_path)
    assert left[: acknowledged + 1] == [f"image-{i}" for i in range(acknowledged + 1)]
    PredictionLog(tmp_path).close()
    assert not list(tmp_path.glob("*.lines"))
    assert _ids(tmp_path) == left


def test_a_line_torn_by_a_crash_is_left_out(tmp_path: Path) -> None:
    with PredictionLog(tmp_path) as log:
        log.append([row(0), row(1)])
        [lines] = tmp_path.glob("*.lines")
        torn = lines.read_bytes()[:-20]
    for packed in tmp_path.glob("*.parquet"):
        packed.unlink()
    lines.write_bytes(torn)
    assert _ids(tmp_path) == ["image-0"]
    PredictionLog(tmp_path).close()
    assert _ids(tmp_path) == ["image-0"]


def test_a_crash_between_packing_and_removal_counts_no_row_twice(tmp_path: Path) -> None:
    with PredictionLog(tmp_path) as log:
        log.append([row(0)])
        [lines] = tmp_path.glob("*.lines")
        content = lines.read_bytes()
    lines.write_bytes(content)
    assert _ids(tmp_path) == ["image-0"]
    PredictionLog(tmp_path).close()
    assert (_ids(tmp_path), list(tmp_path.glob("*.lines"))) == (["image-0"], [])


def test_threads_and_processes_log_to_one_folder(tmp_path: Path) -> None:
    def write(log: PredictionLog, first: int) -> None:
        for i in range(first, first + 20):
            log.append([row(i)])

    context = multiprocessing.get_context("fork")
    with PredictionLog(tmp_path, rotate_rows=7) as log:
        log.append([row(1000)])
        child = context.Process(target=write, args=(log, 500))  # inherits the open file
        child.start()
        threads = [threading.Thread(target=write, args=(log, 20 * i)) for i in range(4)]
        for thread in threads:
            thread.start()
        with PredictionLog(tmp_path):  # a second writer that starts meanwhile takes nothing away
            pass
        for thread in threads:
            thread.join()
        child.join()
    assert sorted(_ids(tmp_path)) == sorted(f"image-{i}" for i in [*range(80), *range(500, 520), 1000])


def test_a_full_disk_keeps_the_rows_before_and_after(tmp_path: Path) -> None:
    import resource

    log = PredictionLog(tmp_path)
    log.append([row(0)])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    [lines] = tmp_path.glob("*.lines")
    resource.setrlimit(resource.RLIMIT_FSIZE, (lines.stat().st_size + 100, hard))
    try:
        with pytest.raises(OSError, match="the disk is full"):
            log.append([row(1)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.append([row(2)])
    log.close()
    assert _ids(tmp_path) == ["image-0", "image-2"]


@pytest.mark.parametrize("how", [{"rotate_rows": 3}, {"rotate_minutes": 0}])
def test_a_file_that_cannot_be_packed_costs_no_row_and_is_packed_later(tmp_path: Path, how: dict[str, int]) -> None:
    log = PredictionLog(tmp_path, **how)
    log.append([row(0), row(1)])
    [lines] = tmp_path.glob("*.lines")
    in_the_way = tmp_path / f".{lines.stem}.parquet.{os.getpid()}.tmp"
    in_the_way.mkdir()
    log.append([row(2)])
    log.append([row(3)])
    assert lines.exists()
    assert _ids(tmp_path) == [f"image-{i}" for i in range(4)]
    in_the_way.rmdir()
    log.append([row(4), row(5)])
    log.close()
    assert _ids(tmp_path) == [f"image-{i}" for i in range(6)]
    assert not list(tmp_path.glob("*.lines"))


def test_since_and_until_bound_what_is_read(tmp_path: Path) -> None:
    with PredictionLog(tmp_path, rotate_rows=4) as log:
        log.append([row(i) for i in range(4)])
        log.append([row(i) for i in range(4, 7)])
        minutes = [START + timedelta(minutes=i) for i in range(8)]
        found = read_log(tmp_path, since=minutes[2], until=minutes[6])
    assert found["id"].to_pylist() == [f"image-{i}" for i in range(2, 6)]


def test_a_record_that_is_not_whole_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    log = PredictionLog(tmp_path)
    for wrong in ({"statistics": [1.0]}, {"time": datetime(2026, 1, 1)}):
        with pytest.raises(ValueError, match="expected .*; received"):
            log.append([row(0), row(1, **wrong)])
    log.close()
    assert _ids(tmp_path) == []


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "2026-11-01T00-00-00.0Z-1-aa.parquet").write_bytes(b"PAR1 and then nothing")
    with pytest.raises(ArtifactError, match=r"-aa\.parquet: expected a file that PredictionLog wrote"):
        read_log(tmp_path)
    with pytest.raises(DataError, match="expected the folder of a log; received none there"):
        read_log(tmp_path / "elsewhere")


def test_damage_in_the_middle_of_a_line_file_does_not_keep_a_server_from_starting(tmp_path: Path) -> None:
    (tmp_path / "2026-11-01T00-00-00.0Z-1-aa.lines").write_bytes(b"{\n{}\n")
    with PredictionLog(tmp_path) as log:
        log.append([row(0)])
    with pytest.raises(ArtifactError, match=r"-aa\.lines: expected"):
        read_log(tmp_path)


def test_true_labels_are_joined_by_id_and_the_last_word_counts(tmp_path: Path) -> None:
    folder, labels = tmp_path / "log", tmp_path / "labels.csv"
    with PredictionLog(folder) as log:
        log.append([row(i) for i in range(3)])
    labels.write_text("id;label;who\nimage-0;dog;A\nimage-2; cat;B\nunknown;cat;B\n")
    assert vars(add_labels(folder, labels)) == {"labels": 3, "in_log": 2, "changed": 0}
    labels.write_text("id,label\nimage-0,cat\n")
    assert vars(add_labels(folder, labels)) == {"labels": 1, "in_log": 1, "changed": 1}
    assert read_log(folder)["true_label"].to_pylist() == ["cat", None, "cat"]


@pytest.mark.parametrize(
    ("text", "received"),
    [
        ("path,label\na,b\n", "no column id"),
        ("id,label\na,\n", "an empty cell in line 2"),
        ("id,label\na,b\na,c\n", "two labels for 'a', the second in line 3"),
        ("", "no column id and label"),
        ("id,label\na,b\n", "none of 1 ids in the log, such as 'a'"),
        (f'id,label\na,"{"b" * 200_000}"\n', "line 1: field larger than field limit"),
    ],
)
def test_a_csv_that_cannot_be_joined_is_refused(tmp_path: Path, text: str, received: str) -> None:
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(DataError, match=received):
        add_labels(tmp_path, tmp_path / "labels.csv")


def test_labels_that_cannot_be_kept_are_told_by_the_name_of_their_file(tmp_path: Path) -> None:
    with PredictionLog(tmp_path) as log:
        log.append([row(0)])
    (tmp_path / "new.csv").write_text("id,label\nimage-0,cat\n")
    (tmp_path / ".labels.lock").mkdir()
    with pytest.raises(ArtifactError, match=r"labels\.parquet: expected a file that can be written; received Is a dir"):
        add_labels(tmp_path, tmp_path / "new.csv")


@pytest.mark.parametrize("text", ["999999d", "0001-01-01T00:00+14:00", "10000-01-01", "yesterday"])
def test_a_time_beyond_the_calendar_is_refused_like_any_other_word(text: str) -> None:
    with pytest.raises(ConfigError, match="--since: expected a time such as"):
        parse_time("--since", text, START)


def test_appending_imports_nothing_heavy(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, 'tests'); from log_rows import row; "
        "from automl_cnn.monitor.log import PredictionLog; PredictionLog(Path(sys.argv[1])).append([row(0)]); "
        "print([m for m in ('pyarrow', 'pandas', 'scipy', 'sklearn') if m in sys.modules]); import os; os._exit(0)"
    )
    done = subprocess.run(
        [sys.executable, "-uc", script, str(tmp_path)], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parents[2], env=dict(os.environ),
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert read_log(tmp_path, since=datetime(2020, 1, 1, tzinfo=UTC)).num_rows == 1
