"""The cluster losses against their definition written out in Python, in double precision."""

import math

import numpy as np
import pytest
import torch

from auricle.training.losses.cluster_loss import cluster_losses


def brute_loss(logits, labels):
    """Minus the log-probability of the right cluster, averaged over the rows."""
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        peak = max(row)
        total -= row[label] - peak - math.log(sum(math.exp(value - peak) for value in row))
    return total / len(labels)


def random_case(seed, rows, clusters):
    rng = np.random.default_rng(seed)
    audio, text = (torch.tensor(rng.normal(0, 8, (rows, clusters))) for _ in range(2))
    return audio, text, torch.tensor(rng.integers(0, clusters, rows))


@pytest.mark.parametrize(("rows", "clusters"), [(1, 2), (6, 3), (2, 40)])
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition(seed, rows, clusters):
    audio, text, labels = random_case(seed, rows, clusters)
    losses = cluster_losses(audio, text, labels)
    for loss, logits in zip(losses, (audio, text), strict=True):
        assert loss.dtype == torch.float64 and loss.shape == ()
        assert loss.item() == pytest.approx(brute_loss(logits, labels), rel=1e-10)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_half_precision_logits_lose_nothing_further(dtype):
    audio, text, labels = random_case(3, 12, 15)
    audio, text = audio.to(dtype), text.to(dtype)
    for loss, logits in zip(cluster_losses(audio, text, labels), (audio, text), strict=True):
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(brute_loss(logits.double(), labels), rel=1e-6)


def test_bfloat16_stays_within_a_thousandth_of_the_exact_loss():
    audio, text, labels = random_case(4, 256, 30)
    losses = cluster_losses(audio.bfloat16(), text.bfloat16(), labels)
    for loss, logits in zip(losses, (audio, text), strict=True):
        assert loss.item() == pytest.approx(brute_loss(logits, labels), rel=1e-3)


def test_gradient_equals_finite_differences():
    audio, text, labels = random_case(5, 4, 5)
    assert torch.autograd.gradcheck(
        lambda *logits: cluster_losses(*logits, labels), (audio.requires_grad_(), text.requires_grad_())
    )


def test_parts_of_the_rows_average_to_the_whole():
    """What several processes do: each row stands alone."""
    audio, text, labels = random_case(6, 8, 5)
    parts = [cluster_losses(audio[half], text[half], labels[half]) for half in (slice(4), slice(4, 8))]
    for head, logits in enumerate((audio, text)):
        first, second = (part[head].item() for part in parts)
        assert first != pytest.approx(second, rel=1e-3)
        assert (first + second) / 2 == pytest.approx(brute_loss(logits, labels), rel=1e-9)


@pytest.mark.parametrize(
    ("audio", "text", "labels", "message"),
    [
        ((3, 5), (3, 5), [0, 5, 1], r"labels\[1\] is 5; the heads have 5 clusters, 0 to 4"),
        ((3, 5), (3, 5), [0, 1, -1], r"labels\[2\] is -1"),
        ((3, 5), (3, 6), [0, 1, 2], "audio_logits are for 5 clusters, text_logits for 6"),
        ((3, 5), (4, 5), [0, 1, 2], r"text_logits have shape \(4, 5\), labels have \(3,\)"),
        ((3, 5), (3, 5), [0, 1], r"audio_logits have shape \(3, 5\), labels have \(2,\)"),
        ((3,), (3, 5), [0, 1, 2], r"audio_logits have shape \(3,\)"),
        ((0, 5), (0, 5), [], "not empty"),
        ((3, 5), (3, 5), [0.0, 1.0, 2.0], "labels are torch.float32, but must be int64"),
    ],
)
def test_faulty_input_is_named(audio, text, labels, message):
    with pytest.raises(ValueError, match=message):
        cluster_losses(torch.zeros(audio), torch.zeros(text), torch.tensor(labels))
