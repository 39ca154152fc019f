"""The promise of the monitor: where nothing has changed, one look in twenty alarms at most."""

from __future__ import annotations

import pytest
from monitored import SHARED, sample

from automl_cnn.monitor.checks import compare


@pytest.mark.parametrize("group_size", [1, 6])
def test_clean_windows_alarm_no_oftener_than_promised(group_size: int) -> None:
    alarms = 0
    for seed in range(60):
        reference, live = sample(120, seed, group_size=group_size), sample(60, 1000 + seed, group_size=group_size)
        checks = compare(reference, live, SHARED, alpha=0.05, permutations=399, seed=seed)
        alarms += any(check.alarm for check in checks)
    assert alarms <= 8  # 3 are expected; a rate of 5 % gives more than 8 once in 200
