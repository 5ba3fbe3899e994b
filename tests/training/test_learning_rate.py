"""The learning rate over a run, against the formula written out."""

import math

import pytest
import torch

from auricle.training.learning_rate import warmup_cosine_factor, warmup_cosine_schedule

WARMUP, TOTAL, FLOOR = 4, 20, 1e-4


def optimizer_with(*peaks: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": peak} for peak in peaks])


def rates(*peaks: float, warmup: int = WARMUP, steps: int = TOTAL + 1) -> list[list[float]]:
    """The rate of every group at every step."""
    optimizer = optimizer_with(*peaks)
    scheduler = warmup_cosine_schedule(
        optimizer, warmup_steps=warmup, total_steps=TOTAL, min_learning_rate=FLOOR
    )
    seen = []
    for _ in range(steps):
        seen.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return seen


def test_every_step_follows_the_formula():
    for step, (rate,) in enumerate(rates(0.1)):
        if step < WARMUP:
            expected = 0.1 * (step + 1) / (WARMUP + 1)
        else:
            turn = math.cos(math.pi * (step - WARMUP) / (TOTAL - WARMUP))
            expected = FLOOR + (0.1 - FLOOR) * (1 + turn) / 2
        assert rate == pytest.approx(expected, rel=1e-12), step


def test_the_first_step_moves_and_the_peak_follows_the_rise():
    seen = [rate for (rate,) in rates(0.1)]
    assert seen[0] > 0
    assert max(seen) == seen[WARMUP] == pytest.approx(0.1)
    assert seen[:WARMUP] == sorted(seen[:WARMUP]) and seen[WARMUP:] == sorted(seen[WARMUP:], reverse=True)


def test_groups_end_at_the_same_absolute_floor_whatever_their_peaks():
    seen = rates(0.1, 2e-3)
    assert seen[WARMUP] == pytest.approx([0.1, 2e-3])
    assert seen[TOTAL] == pytest.approx([FLOOR, FLOOR])


def test_it_stays_at_the_floor_behind_the_end():
    assert all(rate == pytest.approx(FLOOR) for (rate,) in rates(0.1, steps=TOTAL + 9)[TOTAL:])


def test_a_peak_below_the_floor_stays_where_it_is():
    seen = [rate for (rate,) in rates(FLOOR / 2)]
    assert seen[WARMUP:] == pytest.approx([FLOOR / 2] * len(seen[WARMUP:]))


def test_without_a_rise_the_first_step_has_the_peak():
    assert rates(0.1, warmup=0)[0] == pytest.approx([0.1])


def test_a_run_that_is_all_rise():
    assert warmup_cosine_factor(9, warmup_steps=10, total_steps=10, floor=0.0) == pytest.approx(10 / 11)
    assert warmup_cosine_factor(10, warmup_steps=10, total_steps=10, floor=0.0) == 1.0


def test_a_restored_schedule_goes_on_where_it_was():
    whole = rates(0.1, 2e-3)
    optimizer = optimizer_with(0.1, 2e-3)
    options = {"warmup_steps": WARMUP, "total_steps": TOTAL, "min_learning_rate": FLOOR}
    scheduler = warmup_cosine_schedule(optimizer, **options)
    for _ in range(7):
        optimizer.step()
        scheduler.step()
    other = optimizer_with(0.1, 2e-3)
    again = warmup_cosine_schedule(other, **options)
    other.load_state_dict(optimizer.state_dict())
    again.load_state_dict(scheduler.state_dict())
    for step in range(7, TOTAL):
        assert [group["lr"] for group in other.param_groups] == whole[step]
        other.step()
        again.step()
