"""The learning rate over a run, against the formula written out."""

import math

import pytest
import torch

from auricle.training.learning_rate import schedule_steps, warmup_cosine_factor, warmup_cosine_schedule

WARMUP, TOTAL, FLOOR = 4, 20, 1e-4


def optimizer_with(*peaks: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": peak} for peak in peaks])


def rates(*peaks: float, warmup: int = WARMUP, steps: int = TOTAL + 1) -> list[list[float]]:
    """The rate of every group at every step."""
    optimizer = optimizer_with(*peaks)
    scheduler = warmup_cosine_schedule(
        optimizer, warmup_steps=warmup, cosine_end_step=TOTAL, min_learning_rate=FLOOR
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
    assert warmup_cosine_factor(9, warmup_steps=10, cosine_end_step=10, floor=0.0) == pytest.approx(10 / 11)
    assert warmup_cosine_factor(10, warmup_steps=10, cosine_end_step=10, floor=0.0) == 1.0


def test_a_restored_schedule_goes_on_where_it_was():
    whole = rates(0.1, 2e-3)
    optimizer = optimizer_with(0.1, 2e-3)
    options = {"warmup_steps": WARMUP, "cosine_end_step": TOTAL, "min_learning_rate": FLOOR}
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


def test_a_schedule_in_epochs_rises_for_one_falls_until_the_sixteenth_and_stays_at_the_floor():
    """The DCASE 2025 baseline's: 1 epoch up, 15 down to 1e-7, the rest of 20 epochs at 1e-7."""
    steps_an_epoch = 50
    steps = schedule_steps(20 * steps_an_epoch, 20, warmup_share=0.1, warmup_epochs=1, cosine_end_epoch=16)
    assert steps == (steps_an_epoch, 16 * steps_an_epoch)
    optimizer = optimizer_with(2e-5)
    scheduler = warmup_cosine_schedule(optimizer, **steps._asdict(), min_learning_rate=1e-7)
    seen = []
    for _ in range(20 * steps_an_epoch):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert seen[steps_an_epoch] == pytest.approx(2e-5)
    for epoch in range(1, 16):
        turn = math.cos(math.pi * (epoch - 1) / 15)
        assert seen[epoch * steps_an_epoch] == pytest.approx(1e-7 + (2e-5 - 1e-7) * (1 + turn) / 2, rel=1e-9)
    assert seen[16 * steps_an_epoch :] == pytest.approx([1e-7] * (4 * steps_an_epoch))


def test_a_schedule_in_shares_is_what_it_was():
    assert schedule_steps(1000, 20, warmup_share=0.1) == (100, 1000)
    assert schedule_steps(7, 2, warmup_share=0.0) == (0, 7)
    # A run that ends before its cosine stays above the floor.
    assert schedule_steps(100, 10, warmup_share=0.1, warmup_epochs=0.5, cosine_end_epoch=16) == (5, 160)
