"""What trials and later stages take on this machine: measured once a study, and kept beside its log.

A continued study decides by the same figures as before it was killed, so it makes the same decisions.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from automl_cnn.artifacts import write_json
from automl_cnn.features.engine import build_engine
from automl_cnn.litert import LiteModel
from automl_cnn.models.registry import backbone_of
from automl_cnn.search.arms import file_size_mb, multiply_adds
from automl_cnn.search.budget import Pace, Reserve, Work, reserve, tuning_seconds
from automl_cnn.search.frontier import ArmCost
from automl_cnn.search.space import Arm, arm_of
from automl_cnn.search.trial import Fidelity
from automl_cnn.search.trial_log import TrialRecord
from automl_cnn.train.material import Material
from automl_cnn.train.tuned import probe_candidate

LATENCY_ROUNDS = 7
FIXED_IMAGE_S, SECONDS_A_MULTIPLY_ADD = 5e-4, 1.6e-11  # of a network that no engine is made for: two cores, LiteRT
QAT_SHARE = 0.2  # of the budget, at most, is kept for quantization-aware training; it may take more of what is left
PROBE_FROM_S = 480.0  # with a smaller budget fine-tuning is not probed: that would take the time of an epoch or two
AUGMENTING = 1.3  # an augmented view against the image itself


class MeasuredCosts:
    """The costs of a study; see `search.climb_terms.Costs`.

    Args:
        path: JSON file that keeps what was measured.
        material: images, features and settings.
        work: of the later stages.
        steps: most of quantization-aware training.
        budget_s: of all stages.
        import_s: what loading TensorFlow took; of the first run, where the study is continued.
        corrections: of the later stages, by `budget.corrections_of`.
    """

    def __init__(
        self,
        path: Path,
        material: Material,
        work: Work,
        steps: int,
        budget_s: float,
        import_s: float,
        corrections: Mapping[str, float],
    ) -> None:
        self._path, self._material, self._work = path, material, work
        self._steps, self._budget_s = steps, budget_s
        self._kept: dict[str, Any] = {
            "import_s": import_s,
            "corrections": dict(corrections),
            "paces": {},
            "missing": {},
            "tunings": {},
        }
        if path.exists():
            self._kept = json.loads(path.read_text(encoding="utf-8"))
        self._covered: dict[str, int] = {}
        self._tuned: set[str] = set()

    def told(self, record: TrialRecord) -> None:
        """Count the features that a trial needed as computed."""
        for part in _parts(record.values, record.views):
            self._covered[part] = max(self._covered.get(part, 0), record.images)
        if record.phase == "fine_tuning":
            self._tuned.add(arm_of(record.values).name)

    def features_s(self, values: Mapping[str, Any], fidelity: Fidelity) -> float:
        """Features that such a trial needs and no trial of this study has needed before."""
        if not backbone_of(values["backbone"]).pretrained:
            return 0.0
        whole = len(self._material.training.rows)
        image_s = self.pace(arm_of(values)).image_s
        seconds = 0.0
        for part in _parts(values, self._material.distinct(values["augmentation"], fidelity.views)):
            policy, view = json.loads(part)[-2:]
            new = max(0, fidelity.images - self._covered.get(part, 0)) / whole
            if new:
                seconds += new * self._missing(part, values, policy, view) * image_s * (AUGMENTING if policy else 1.0)
        return seconds

    def tuning_s(self, values: Mapping[str, Any]) -> tuple[float, float]:
        """Fine-tuning with these values: once, and for every epoch."""
        arm = arm_of(values)
        once_s, epoch_s = self.expected_tuning_s(values)
        if self._budget_s < PROBE_FROM_S:
            return once_s, epoch_s
        probes = self._kept["tunings"]
        if arm.name not in probes:
            probes[arm.name] = self._probe(values, once_s, epoch_s)
            write_json(self._path, self._kept)
        once, epoch, probing_s = probes[arm.name]
        # the clock that the climb reads does not know of the probe before the trial that follows it has ended
        return once * once_s + (0.0 if arm.name in self._tuned else probing_s), epoch * epoch_s

    def expected_tuning_s(self, values: Mapping[str, Any]) -> tuple[float, float]:
        """As `tuning_s`, by the network's pace alone: no step is tried."""
        images = len(self._material.training.rows), len(self._material.validation.rows)
        once_s, epoch_s = tuning_seconds(self.pace(arm_of(values)), *images, values["unfreeze_from_block"])
        if "teacher" in values:  # asked about every view that it has not seen; with few different ones that ends early
            epoch_s += images[0] * self.pace(arm_of(values["teacher"])).image_s
        return once_s, epoch_s

    def reserve_s(self, values: Mapping[str, Any]) -> float:
        """The later stages, with all steps of quantization-aware training or a part of the budget for them."""
        reserved = self.reserved(values)
        return reserved.total_s(0) + min(self._steps * reserved.step_s, QAT_SHARE * self._budget_s)

    def reserved(self, values: Mapping[str, Any]) -> Reserve:
        """The later stages in detail, if these values win."""
        return reserve(self.pace(arm_of(values)), self._work, self._kept["corrections"])

    def _probe(self, values: Mapping[str, Any], once_s: float, epoch_s: float) -> list[float]:
        """Factors on the estimates of an arm's fine-tuning from a few real steps, and what they took."""
        started = time.perf_counter()
        try:
            found = probe_candidate({**values, "epochs": 1}, 0, self._material)
        except Exception:  # noqa: BLE001  whatever stops a probe stops the fine-tuning too, whose record says what it is
            return [1.0, 1.0, time.perf_counter() - started]
        return [found.once_s / once_s, found.epoch_s / epoch_s, time.perf_counter() - started]

    @property
    def corrections(self) -> dict[str, float]:
        """Those that this study's promises are made with."""
        return dict(self._kept["corrections"])

    def cost(self, arm: Arm) -> ArmCost:
        """What an arm costs whoever uses it."""
        return ArmCost(round(1000 * self.pace(arm).latency_s, 3), round(file_size_mb(arm), 3))

    def pace(self, arm: Arm) -> Pace:
        """How fast the arm's network runs; measured when it is asked for the first time."""
        paces = self._kept["paces"]
        if arm.name not in paces and not backbone_of(arm.backbone).pretrained:
            image_s = FIXED_IMAGE_S + SECONDS_A_MULTIPLY_ADD * multiply_adds(arm)
            return Pace(self._kept["import_s"], image_s, image_s)
        if arm.name not in paces:
            material = self._material
            image_s = material.cached.seconds_per_image(material.network(arm.values()), material.store)
            latency_s = self._latency_s(arm)
            paces[arm.name] = asdict(Pace(self._kept["import_s"], image_s, latency_s))
            write_json(self._path, self._kept)
        return Pace(**paces[arm.name])

    def _latency_s(self, arm: Arm) -> float:
        material = self._material
        model = LiteModel(build_engine(material.network(arm.values()), material.folder / "engines"), threads=1)
        images = np.random.default_rng(1).integers(0, 256, model.input_shape).astype(model.input_dtype)
        taken = []
        for _ in range(LATENCY_ROUNDS):
            started = time.perf_counter()
            model.run(images)
            taken.append((time.perf_counter() - started) / len(images))
        return statistics.median(taken)

    def _missing(self, part: str, values: Mapping[str, Any], policy: str, view: int) -> int:
        """Images whose features were not in the cache when the study asked for the first time."""
        missing = self._kept["missing"]
        if part not in missing:
            material = self._material
            rows = [material.training.rows] if policy else [material.training.rows, material.validation.rows]
            missing[part] = material.cached.missing(
                material.network(values), material.store, np.concatenate(rows), policy or "none", view,
                material.forbidden,
            )  # fmt: skip
            write_json(self._path, self._kept)
        return int(missing[part])


def _parts(values: Mapping[str, Any], views: int) -> list[str]:
    """Names of the sets of features that a trial needs: arm, policy (empty for the images themselves), view."""
    parts = []
    for member in values.get("members", [values]):
        arm = arm_of(member).name
        parts.append(json.dumps([arm, "", 0]))
        parts += [json.dumps([arm, member["augmentation"], view]) for view in range(views)]
    return list(dict.fromkeys(parts))
