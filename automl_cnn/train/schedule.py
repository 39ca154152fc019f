"""Learning rates over a training: linear warm-up, then half a cosine down to zero."""

from __future__ import annotations

import math


def warmup_cosine(step: int, total_steps: int, peak: float, warmup_steps: int) -> float:
    """The learning rate of one step.

    Args:
        step: from 0 to total_steps − 1.
        total_steps: steps of the whole training.
        peak: the rate at the end of the warm-up, above 0.
        warmup_steps: steps that climb towards the peak; fewer than total_steps.
    Returns:
        Above 0 and at most `peak`.
    Source: Loshchilov and Hutter 2017 (SGDR), without restarts.
    """
    if step < warmup_steps:
        return peak * (step + 1) / (warmup_steps + 1)
    done = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return peak * 0.5 * (1 + math.cos(math.pi * min(done, 0.999)))
