"""The learning rate over a run: a linear rise, then a cosine down to a floor, at which it stays."""

import math
from typing import NamedTuple

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class ScheduleSteps(NamedTuple):
    """The ends of the rise and of the cosine, in optimiser steps."""

    warmup_steps: int
    cosine_end_step: int


def schedule_steps(
    total_steps: int,
    epochs: float,
    *,
    warmup_share: float,
    warmup_epochs: float | None = None,
    cosine_end_epoch: float | None = None,
) -> ScheduleSteps:
    """
    Steps of a schedule that is stated in epochs, or in shares of the run.

    Args:
        total_steps: steps of the whole run.
        epochs: epochs of the whole run.
        warmup_share: share of the steps with a linear rise, 0 to 1; used if ``warmup_epochs`` is None.
        warmup_epochs: epochs with a linear rise.
        cosine_end_epoch: epoch at which the cosine reaches its floor, which may be after the run's end; None is
            the run's end.
    """
    steps_per_epoch = total_steps / epochs
    warmup = warmup_share * total_steps if warmup_epochs is None else warmup_epochs * steps_per_epoch
    end = total_steps if cosine_end_epoch is None else cosine_end_epoch * steps_per_epoch
    return ScheduleSteps(round(warmup), round(end))


def warmup_cosine_factor(step: int, *, warmup_steps: int, cosine_end_step: int, floor: float) -> float:
    """
    The factor for the peak rate.

    Args:
        step: optimiser steps done.
        warmup_steps: steps of the linear rise; the first step has a rate above 0.
        cosine_end_step: step at which the cosine reaches the floor.
        floor: factor that the cosine ends at and stays at, 0 to 1.

    Returns:
        Between 0 and 1.
    """
    if step < warmup_steps:
        return (step + 1) / (warmup_steps + 1)
    progress = min(1.0, (step - warmup_steps) / max(1, cosine_end_step - warmup_steps))
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def warmup_cosine_schedule(
    optimizer: Optimizer, *, warmup_steps: int, cosine_end_step: int, min_learning_rate: float
) -> LambdaLR:
    """
    A scheduler in which every parameter group ends at the same absolute floor, independent of its peak.

    Args:
        optimizer: its groups' current rates are their peaks.
        warmup_steps, cosine_end_step: as in [`warmup_cosine_factor`].
        min_learning_rate: the floor; a group whose peak is lower stays at its peak after the rise.
    """
    peaks = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]

    def factor_for(peak: float):
        floor = min(1.0, min_learning_rate / peak)
        return lambda step: warmup_cosine_factor(
            step, warmup_steps=warmup_steps, cosine_end_step=cosine_end_step, floor=floor
        )

    return LambdaLR(optimizer, [factor_for(peak) for peak in peaks])
