"""The frame-phrase loss against its formula, pair by pair."""

import math

import pytest
import torch

from auricle.training.losses.frame_phrase_loss import frame_phrase_loss, heard_phrases


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


def test_phrases_are_true_where_an_event_of_their_label_is_heard():
    generator = torch.Generator().manual_seed(5)
    middles = torch.rand(40, generator=generator) * 5
    clips = torch.randint(0, 3, (40,), generator=generator)
    starts = torch.rand(9, generator=generator) * 4
    events = torch.stack(
        [
            torch.randint(0, 3, (9,), generator=generator).float(),
            torch.randint(0, 4, (9,), generator=generator).float(),
            starts,
            starts + 1,
        ],
        dim=-1,
    )
    labels = torch.tensor([0, 1, 1, 3, 7])
    found = heard_phrases(middles, clips, events, labels)
    for frame in range(40):
        for phrase in range(5):
            wanted = any(
                clip == clips[frame] and label == labels[phrase] and start <= middles[frame] < end
                for clip, label, start, end in events
            )
            assert bool(found[frame, phrase]) == bool(wanted)
    assert found.any() and not found[:, 4].any()
    assert not heard_phrases(middles, clips, events[:0], labels).any()


def test_wrong_shapes_are_named():
    frames, phrases = unit(4, 6, seed=0), unit(2, 6, seed=1)
    right = torch.zeros(4, 2, dtype=torch.bool)
    with pytest.raises(
        ValueError, match=r"known has shape \(2, 4\); with 4 frames and 2 phrases it must be \(4, 2\)"
    ):
        frame_phrase_loss(frames, phrases, right, right.T)
    with pytest.raises(ValueError, match="temperature=0 must be above 0"):
        frame_phrase_loss(frames, phrases, right, right, temperature=0)
