"""The moment head's losses against brute force."""

import itertools

import numpy as np
import pytest
import torch

from auricle.evaluation.metrics.moment_metrics import temporal_iou
from auricle.training.moments.moment_losses import (
    dense_losses,
    focal_loss,
    frame_targets,
    match_spans,
    set_losses,
)
from auricle.training.moments.moment_rows import moments_in_part


def random_moments(generator, seconds):
    starts = generator.uniform(0, seconds - 1, size=int(generator.integers(1, 5)))
    return [(float(start), float(min(seconds, start + generator.uniform(0.1, 8)))) for start in starts]


def test_targets_equal_brute_force():
    generator = np.random.default_rng(0)
    for _ in range(200):
        step = float(generator.choice([0.25, 0.5, 1.0]))
        frames = int(generator.integers(1, 60))
        moments = random_moments(generator, max(1.5, frames * step))
        inside, spans = frame_targets(moments, frames, step)
        # Moments without a frame's middle take the nearest frame.
        small = {}
        for place, (start, end) in enumerate(moments):
            middles = [(frame + 0.5) * step for frame in range(frames)]
            if not any(start <= middle < end for middle in middles):
                small[place] = min(range(frames), key=lambda frame: abs(middles[frame] - (start + end) / 2))
        for frame in range(frames):
            middle = (frame + 0.5) * step
            own = [
                (end - start, place)
                for place, (start, end) in enumerate(moments)
                if start <= middle < end or small.get(place) == frame
            ]
            assert inside[frame] == bool(own)
            wanted = moments[min(own)[1]] if own else (0.0, 0.0)
            assert spans[frame].tolist() == pytest.approx(wanted, abs=1e-5)


def test_focal_loss_equals_its_formula():
    logits = torch.tensor([-2.0, 0.3, 4.0, -30.0])
    for target in (0.0, 1.0):
        found = focal_loss(logits, torch.full((4,), target))
        for logit, value in zip(logits.tolist(), found.tolist(), strict=True):
            probability = 1 / (1 + np.exp(-logit))
            right = probability if target else 1 - probability
            balance = 0.25 if target else 0.75
            wanted = -balance * (1 - right) ** 2 * np.log(max(right, 1e-300))
            assert value == pytest.approx(wanted, rel=1e-4, abs=1e-7)


def test_dense_losses_equal_sums_over_frames():
    generator = torch.Generator().manual_seed(0)
    logits, quality = torch.randn(2, 2, 12, generator=generator)
    starts = torch.rand(2, 12, generator=generator) * 5
    spans = torch.stack([starts, starts + 0.5 + torch.rand(2, 12, generator=generator) * 4], dim=-1)
    real = torch.ones(2, 12, dtype=torch.bool)
    real[1, 9:] = False
    inside, true = np.zeros((2, 12), bool), np.zeros((2, 12, 2), np.float32)
    for pair, moments in enumerate(([(1.0, 3.0), (4.0, 4.6)], [(2.0, 6.0)])):
        inside[pair], true[pair] = frame_targets(moments, 12, 0.5)
    inside[1, 10] = True  # padding that claims to be a moment counts nowhere
    found = dense_losses(logits, quality, spans, real, torch.from_numpy(inside), torch.from_numpy(true))
    saliency = overlap = qualities = count = 0.0
    for pair, frame in itertools.product(range(2), range(12)):
        if not real[pair, frame]:
            continue
        target = float(inside[pair, frame])
        saliency += float(focal_loss(logits[pair, frame], torch.tensor(target)))
        if target:
            count += 1
            one, other = spans[pair, frame].numpy(), true[pair, frame]
            iou = float(temporal_iou([one], [other])[0, 0])
            around = max(one[1], other[1]) - min(one[0], other[0])
            union = (one[1] - one[0]) + (other[1] - other[0])
            union -= max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
            overlap += 1 - iou + (around - union) / around
            logit = float(quality[pair, frame])
            qualities += iou * np.log1p(np.exp(-logit)) + (1 - iou) * np.log1p(np.exp(logit))
    wanted = {"saliency": saliency / count, "span": overlap / count, "quality": qualities / count}
    assert {name: float(value) for name, value in found.items()} == pytest.approx(wanted, rel=1e-4)


def test_dense_losses_without_a_moment_are_finite():
    zeros = torch.zeros(1, 5)
    nothing = torch.zeros(1, 5, dtype=torch.bool)
    found = dense_losses(zeros, zeros, torch.zeros(1, 5, 2), ~nothing, nothing, torch.zeros(1, 5, 2))
    assert float(found["span"]) == 0 and float(found["quality"]) == 0 and float(found["saliency"]) > 0


def test_matching_is_the_cheapest_assignment():
    generator = torch.Generator().manual_seed(1)
    for moments in (1, 2, 4):
        logits = torch.randn(4, generator=generator)
        starts = torch.rand(4, generator=generator) * 20
        spans = torch.stack([starts, starts + 3], dim=-1)
        begin = torch.rand(moments, generator=generator) * 20
        true = torch.stack([begin, begin + 2], dim=-1)
        chosen, meant = match_spans(logits, spans, true, 30.0)

        def cost(places, moments=moments, spans=spans, true=true, logits=logits):
            total = 0.0
            for moment, place in enumerate(places[:moments]):
                one, other = spans[place].tolist(), true[moment].tolist()
                around = max(one[1], other[1]) - min(one[0], other[0])
                shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
                union = 5 - shared
                overlap = shared / union - (around - union) / around
                distance = abs(one[0] - other[0]) + abs(one[1] - other[1])
                total += -2 * float(logits[place].sigmoid()) + 5 * distance / 30 - 2 * overlap
            return total

        best = min(itertools.permutations(range(4), moments), key=cost)
        assert dict(zip(meant.tolist(), chosen.tolist(), strict=True)) == dict(enumerate(best))


def test_set_losses_fall_when_spans_come_true():
    true = [torch.tensor([[2.0, 5.0], [8.0, 9.0]]), torch.zeros(0, 2)]
    real, inside = torch.ones(2, 20, dtype=torch.bool), torch.zeros(2, 20, dtype=torch.bool)
    inside[0, 4:10] = inside[0, 16:18] = True
    right = torch.tensor([[[2.0, 5.0], [8.0, 9.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]])
    logits = torch.tensor([[5.0, 5.0, -5.0], [-5.0, -5.0, -5.0]])
    saliency = torch.where(inside, 5.0, -5.0)
    good = set_losses(logits, torch.full((2, 3), 5.0), right, saliency, real, inside, true, 30.0)
    assert float(good["distance"]) == pytest.approx(0, abs=1e-6)
    assert float(good["span"]) == pytest.approx(0, abs=1e-6)
    bad = set_losses(-logits, torch.full((2, 3), -5.0), right + 3, -saliency, real, inside, true, 30.0)
    assert all(float(bad[name]) > float(good[name]) + 0.01 for name in good)
    nothing = set_losses(logits, logits, right, saliency, real, inside, [true[1], true[1]], 30.0)
    assert set(nothing) == {"class", "saliency"}


def test_moments_in_part_equal_what_is_heard_there():
    moments = [(0.0, 2.0), (3.0, 9.0), (9.8, 30.0), (40.0, 41.0), (19.7, 19.9)]
    assert moments_in_part(moments, 4.0, 10.2) == [(0.0, 5.0)]
    assert moments_in_part(moments, 4.0, 10.4) == [(0.0, 5.0), (pytest.approx(5.8), pytest.approx(6.4))]
    assert moments_in_part(moments, 19.0, 42.0) == [
        (0.0, 11.0),
        (21.0, 22.0),
        (pytest.approx(0.7), pytest.approx(0.9)),
    ]
    assert moments_in_part(moments, 31.0, 39.0) == []
