"""What a look at a log says holds also where rows lack a sketch, labels were chosen, or images come in groups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from monitored import log_of, reference_of, sample

from automl_cnn.errors import DataError, ModelFileError
from automl_cnn.monitor.describe import describe
from automl_cnn.monitor.page import render_page
from automl_cnn.monitor.sample import UNKNOWN, Sample
from automl_cnn.monitor.watch import Findings, watch
from automl_cnn.reference.record import Reference


def _said(found: Findings) -> str:
    return "\n".join(describe(found))


def _doubtful_labelled(live: Sample, share: float) -> Sample:
    """Only the most doubtful share of the images have their true label."""
    return replace(
        live, answers=np.where(live.confidence <= np.quantile(live.confidence, share), live.answers, UNKNOWN)
    )


def test_rows_without_a_sketch_are_left_out_and_counted() -> None:
    reference, live = reference_of(sample(150, 1)), sample(90, 2)
    found = watch(log_of(live, bare=5), reference)
    assert (found.images, found.unexamined, found.other_models) == (90, 5, 0)
    assert "5 rows that were logged without reference.npz are left out" in _said(found)
    assert found.checks == watch(log_of(live), reference).checks
    with pytest.raises(DataError, match="none but rows that were logged without reference"):
        watch(log_of(live, bare=5).slice(90), reference)


def test_labels_of_doubtful_images_alone_raise_no_alarm_and_that_is_said() -> None:
    reference, live = reference_of(sample(400, 1)), sample(700, 6)
    found = watch(log_of(_doubtful_labelled(live, 0.3)), reference)
    [errors] = [check for check in found.checks if check.name == "errors"]
    assert errors.live is not None
    assert errors.reference is not None
    assert errors.live > errors.reference + 0.1
    assert (errors.p_value < 0.003, errors.alarm, found.verdict) == (True, False, "quiet")
    assert "Wrong answers cannot alarm here" in _said(found)
    assert "Wrong answers cannot alarm here" in render_page(found, "log")


@pytest.mark.parametrize("labelled", [1.0, 0.96, 0.3])
def test_wrong_answers_alarm_where_all_or_any_images_are_labelled(labelled: float) -> None:
    live = sample(300, 2)
    wrong = replace(live, answers=(live.predicted + 1) % 3)
    if labelled < 0.9:  # whichever they are
        told = replace(wrong, answers=np.where(np.random.default_rng(0).random(300) < labelled, wrong.answers, UNKNOWN))
    else:
        told = _doubtful_labelled(wrong, labelled)
    found = watch(log_of(told), reference_of(sample(400, 1)))
    assert {"errors", "overconfidence"} <= {check.name for check in found.alarms}
    assert "cannot alarm" not in _said(found)


def test_what_would_have_been_noticed_counts_images_of_a_group_as_fewer() -> None:
    alone = watch(log_of(sample(120, 2)), reference_of(sample(240, 1)))
    grouped = watch(log_of(sample(120, 2, group_size=6)), reference_of(sample(240, 1, group_size=6)))
    assert alone.noticed_sd is not None
    assert grouped.noticed_sd is not None
    assert grouped.noticed_sd > 1.8 * alone.noticed_sd  # a sixth of the images: √6 where they are copies
    assert (alone.verdict, grouped.verdict) == ("quiet", "too_few")


def test_the_rate_of_false_alarms_is_told_with_what_it_holds_for() -> None:
    found = watch(log_of(sample(60, 2)), reference_of(sample(120, 1)))
    assert "5 % false alarms a look at most where images come independently of one another" in _said(found)
    assert render_page(found, "log").count("images come independently of one another") == 2


def test_a_damaged_reference_is_told_wherever_the_damage_is(tmp_path: Path) -> None:
    path = tmp_path / "reference.npz"
    reference_of(sample(60, 1)).save(path)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for place in rng.choice(len(whole), 300, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            Reference.load(path)  # a few bytes do not matter: dates in the zip's directory
        except ModelFileError as error:
            refused += "Copy it again" in str(error)
    assert refused > 250
