"""The frame-phrase loss against its formula, pair by pair."""

import math

import pytest
import torch

from auricle.training.losses.frame_phrase_loss import active_frames, frame_phrase_loss


def unit(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=-1)


@pytest.mark.parametrize(("temperature", "bias"), [(0.1, -10.0), (1.0, 0.0)])
def test_loss_equals_its_formula(temperature, bias):
    frames, phrases = unit(7, 5, seed=0), unit(3, 5, seed=1)
    generator = torch.Generator().manual_seed(2)
    active = torch.rand(7, 3, generator=generator) < 0.4
    known = torch.rand(7, 3, generator=generator) < 0.7
    known[4] = False
    total = 0.0
    for frame in range(7):
        for phrase in range(3):
            if known[frame, phrase]:
                cosine = sum(
                    float(one) * float(other)
                    for one, other in zip(frames[frame], phrases[phrase], strict=True)
                )
                sign = 1 if active[frame, phrase] else -1
                total += math.log1p(math.exp(-sign * (cosine / temperature + bias)))
    wanted = total / sum(bool(row.any()) for row in known)
    found = frame_phrase_loss(frames, phrases, active, known, temperature=temperature, bias=bias)
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_unknown_pairs_have_no_gradient_and_true_pairs_draw_together():
    frames = unit(4, 6, seed=3).requires_grad_()
    phrases = unit(2, 6, seed=4)
    active, known = torch.zeros(4, 2, dtype=torch.bool), torch.zeros(4, 2, dtype=torch.bool)
    active[0, 0] = known[0, 0] = known[1, 1] = True
    frame_phrase_loss(frames, phrases, active, known, bias=0.0).backward()
    assert not frames.grad[2:].any()
    assert float(frames.grad[0] @ phrases[0]) < 0 < float(frames.grad[1] @ phrases[1])
    assert float(frame_phrase_loss(frames.detach(), phrases, active, torch.zeros_like(known))) == 0


def test_frames_that_an_event_covers_by_half_are_active():
    starts, ends = torch.tensor([0.0, 0.74, 1.0]), torch.tensor([0.25, 1.26, 1.9])
    assert active_frames(starts, ends, 4, 0.5).int().T.tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]


def test_wrong_shapes_are_named():
    frames, phrases = unit(4, 6, seed=0), unit(2, 6, seed=1)
    right = torch.zeros(4, 2, dtype=torch.bool)
    with pytest.raises(
        ValueError, match=r"known has shape \(2, 4\); with 4 frames and 2 phrases it must be \(4, 2\)"
    ):
        frame_phrase_loss(frames, phrases, right, right.T)
    with pytest.raises(ValueError, match="temperature=0 must be above 0"):
        frame_phrase_loss(frames, phrases, right, right, temperature=0)
