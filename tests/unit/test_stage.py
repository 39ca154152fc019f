"""How a stage ends: well, with a user's mistake, or with a full disk; anything else keeps its traceback."""

import errno
from pathlib import Path

import pytest

from automl_cnn.stage import USER_ERROR, Stage, run_stage


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_text("data: {root: x}")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_in_three_parts_and_ends_with_2(number: int, capsys: pytest.CaptureFixture[str]) -> None:
    def work(stage: Stage) -> None:
        raise OSError(number, "No space left on device", "artifacts/images/0.npy")

    with pytest.raises(SystemExit) as ended:
        run_stage("ingest", work)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "ingest: artifacts/images/0.npy: expected room on the disk; received" in said
    assert "Free some, then run again" in USER_ERROR.read_text()


def test_a_fault_of_ours_keeps_its_traceback() -> None:
    def work(stage: Stage) -> None:
        raise OSError(errno.EIO, "broken disk")

    with pytest.raises(OSError, match="broken disk"):
        run_stage("ingest", work)
