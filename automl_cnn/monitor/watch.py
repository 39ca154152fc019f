"""Say whether the images that a model meets are still like those that it was judged on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.stats import norm

from automl_cnn.errors import DataError
from automl_cnn.monitor.checks import Check, compare
from automl_cnn.monitor.course import Stretch, course_of, cut
from automl_cnn.monitor.prior import ClassShare, class_shares
from automl_cnn.monitor.quality import Quality, quality_of
from automl_cnn.monitor.sample import UNKNOWN, Sample, examined_rows, sample_of_log, sample_of_reference
from automl_cnn.reference.record import Reference

Verdict = Literal["alarm", "quiet", "too_few"]
MOST_IMAGES = 2_000  # a side that are tested; what only more of them could show is too small to matter
_NOTICED_SD, _POWER = 0.5, 0.8


@dataclass(frozen=True)
class Findings:
    """What one look at a log found; `dataclasses.asdict` gives what `automl-cnn monitor --json` prints.

    Attributes:
        verdict: alarm; quiet; or too_few images for quiet to mean anything.
        alpha: probability of an alarm, if nothing has changed and images come independently of one another, of one such
            look.
        model_sha256: of the model whose rows were looked at.
        since, until: times of the first and last row of the window; None where there is none.
        images: rows in the window; `tested` of them, drawn at random where there are more than MOST_IMAGES.
        other_models: rows of the same time that other models wrote; they are left out.
        unexamined: rows of the same time and this model that were logged without reference.npz; they are left out.
        reference_images, reference_groups: that the window was compared with.
        noticed_sd: shift of a mean, in standard deviations, that a test of this size finds four times out of five, also
            where images come in groups.
        checks: all tests.
        shares: of the classes.
        quality: of the answers whose true label has arrived; None where none has.
        course: the window and those before it, oldest first.
    """

    verdict: Verdict
    alpha: float
    model_sha256: str
    since: datetime | None
    until: datetime | None
    images: int
    tested: int
    other_models: int
    unexamined: int
    reference_images: int
    reference_groups: int
    noticed_sd: float | None
    checks: tuple[Check, ...]
    shares: tuple[ClassShare, ...]
    quality: Quality | None
    course: tuple[Stretch, ...]

    @property
    def alarms(self) -> list[Check]:
        """The checks that alarm, the most significant first."""
        return sorted((check for check in self.checks if check.alarm), key=lambda check: check.p_value)


def watch(
    table: pa.Table,
    reference: Reference,
    *,
    window: int | timedelta | None = None,
    alpha: float = 0.05,
    seed: int = 0,
) -> Findings:
    """Compare the last window of a log with the reference that travels with the model.

    Args:
        table: from `read_log`.
        reference: of the model that wrote it.
        window: so many images, or so long a time; all there is where none is given.
        alpha: false-alarm rate of the whole look, 0…1.
        seed: of permutations and draws.
    Raises:
        DataError: the log has rows, and none is of this model, or they lack what the reference needs.
    """
    own = table.filter(pc.equal(table["model_sha256"], reference.model_sha256))
    if table.num_rows and not own.num_rows:
        raise _other_model(table, reference)
    examined = examined_rows(own)
    all_times = examined["time"].to_pylist()
    windows = cut(all_times, window)
    live = sample_of_log(examined, reference.labels)
    before = sample_of_reference(reference)
    rng = np.random.default_rng(seed)
    last = windows[-1] if windows else slice(0, 0)
    current, tested_reference = live.rows(last), _at_most(before, rng)
    tested = _at_most(current, rng)
    labelled = _at_most(current.rows(current.answers != UNKNOWN), rng)  # few as they are, none may be lost
    checks: Sequence[Check] = ()
    noticed = None
    if len(tested):
        permutations = round(100 / alpha) - 1  # a test alone can then reach alpha / 100
        threshold = float(reference.ood_threshold)
        checks = compare(
            tested_reference, tested, threshold, labelled=labelled, alpha=alpha, permutations=permutations, seed=seed
        )
        effect = max(check.effect for check in checks if check.measure == "ks")
        noticed = _noticed_sd(len(tested), len(tested_reference), sum(check.judged for check in checks), effect, alpha)
    times = all_times[last]
    return Findings(
        verdict=_verdict(checks, noticed),
        alpha=alpha,
        model_sha256=reference.model_sha256,
        since=times[0] if times else None,
        until=times[-1] if times else None,
        images=len(current),
        tested=len(tested),
        other_models=table.num_rows - own.num_rows,
        unexamined=own.num_rows - examined.num_rows,
        reference_images=len(tested_reference),
        reference_groups=len(np.unique(tested_reference.groups)),
        noticed_sd=noticed,
        checks=tuple(checks),
        shares=class_shares(tested_reference, tested, reference.labels, seed) if len(tested) else (),
        quality=quality_of(before, current),
        course=tuple(course_of(all_times, live, windows, float(reference.ood_threshold))),
    )


def _verdict(checks: Sequence[Check], noticed_sd: float | None) -> Verdict:
    if any(check.alarm for check in checks):
        return "alarm"
    return "too_few" if noticed_sd is None or noticed_sd > _NOTICED_SD else "quiet"


def _noticed_sd(images: int, reference: int, checks: int, effect: float, alpha: float) -> float:
    """The shift of a mean that a two-sided test at alpha / checks finds with a probability of _POWER.

    Args:
        images, reference: on each side.
        checks: that share alpha.
        effect: the largest design effect of a mean's difference: images that come in groups count as fewer.
    """
    needed = norm.isf(alpha / 2 / max(checks, 1)) + norm.ppf(_POWER)
    return float(needed * sqrt(effect * (1 / images + 1 / reference)))


def _at_most(sample: Sample, rng: np.random.Generator) -> Sample:
    if len(sample) <= MOST_IMAGES:
        return sample
    chosen: NDArray[np.int64] = np.sort(rng.choice(len(sample), MOST_IMAGES, replace=False))
    return sample.rows(chosen)


def _other_model(table: pa.Table, reference: Reference) -> DataError:
    found = sorted({str(digest)[:12] for digest in table["model_sha256"].unique().to_pylist()})
    return DataError(
        "log", expected=f"rows of the model {reference.model_sha256[:12]}…", received=f"rows of {', '.join(found)}",
        action="Give the model that wrote the log with --model.",
    )  # fmt: skip
