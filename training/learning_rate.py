"""The learning rate over a run: a linear rise, then a cosine down to a floor."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def warmup_cosine_factor(step: int, *, warmup_steps: int, total_steps: int, floor: float) -> float:
    """
    Factor on the peak rate.

    Args:
        step: optimiser steps done.
        warmup_steps: steps of the linear rise; the first of them already moves.
        total_steps: steps of the whole run.
        floor: factor that the cosine ends at and stays at, 0 to 1.

    Returns:
        Between 0 and 1.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def warmup_cosine_schedule(
    optimizer: Optimizer, *, warmup_steps: int, total_steps: int, min_learning_rate: float
) -> LambdaLR:
    """
    Scheduler under which every parameter group ends at the same absolute floor, whatever its peak.

    Args:
        optimizer: its groups' current rates are their peaks.
        warmup_steps, total_steps: as in [`warmup_cosine_factor`].
        min_learning_rate: the floor; a group whose peak is lower stays at its peak after the rise.
    """
    peaks = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]

    def factor_for(peak: float):
        floor = min(1.0, min_learning_rate / peak)
        return lambda step: warmup_cosine_factor(
            step, warmup_steps=warmup_steps, total_steps=total_steps, floor=floor
        )

    return LambdaLR(optimizer, [factor_for(peak) for peak in peaks])
