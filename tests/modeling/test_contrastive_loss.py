"""The contrastive loss against its definition written out in Python and NumPy, in double precision."""

import math

import numpy as np
import pytest
import torch

from auricle.modeling import contrastive_loss, positive_cross_entropy


def brute_direction(logits, mask):
    """H(p, q) row by row: p uniform over the row's positives, q the softmax of its logits."""
    total = 0.0
    for row, positives in zip(logits, mask, strict=True):
        peak = max(row)
        log_normaliser = peak + math.log(sum(math.exp(value - peak) for value in row))
        chosen = [value for value, positive in zip(row, positives, strict=True) if positive]
        total -= sum((value - log_normaliser) / len(chosen) for value in chosen)
    return total / len(logits)


def brute_loss(logits, mask):
    return brute_direction(logits.tolist(), mask.tolist()) + brute_direction(
        logits.T.tolist(), mask.T.tolist()
    )


def brute_gradient(logits, mask):
    """(q - p) / rows of either direction, the derivative of cross-entropy by its logits."""
    total = np.zeros_like(logits)
    for transpose in (False, True):
        values, positives = (logits.T, mask.T) if transpose else (logits, mask)
        softmax = np.exp(values - values.max(axis=1, keepdims=True))
        softmax /= softmax.sum(axis=1, keepdims=True)
        part = (softmax - positives / positives.sum(axis=1, keepdims=True)) / len(values)
        total += part.T if transpose else part
    return total


def random_case(seed, clips, captions):
    """Logits of cosines at a temperature of 0.05, and a mask with a positive in every row and column."""
    rng = np.random.default_rng(seed)
    logits = rng.uniform(-1, 1, (clips, captions)) / 0.05
    mask = rng.random((clips, captions)) < 0.25
    mask[np.arange(clips), rng.integers(0, captions, clips)] = True
    mask[rng.integers(0, clips, captions), np.arange(captions)] = True
    return logits, mask


SHAPES = [(1, 1), (4, 4), (3, 11), (9, 2), (1, 6)]


@pytest.mark.parametrize(("clips", "captions"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition(seed, clips, captions):
    logits, mask = random_case(seed, clips, captions)
    got = contrastive_loss(torch.tensor(logits, dtype=torch.float32), torch.tensor(mask))
    assert got.dtype == torch.float32
    assert got.shape == ()
    assert got.item() == pytest.approx(brute_loss(logits, mask), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("clips", "captions"), SHAPES)
def test_gradient_equals_the_definition(clips, captions):
    logits, mask = random_case(7, clips, captions)
    leaf = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    contrastive_loss(leaf, torch.tensor(mask)).backward()
    np.testing.assert_allclose(leaf.grad.numpy(), brute_gradient(logits, mask), atol=1e-6)


def test_gradient_equals_finite_differences():
    logits, mask = random_case(8, 4, 6)
    leaf = torch.tensor(logits, dtype=torch.float32, requires_grad=True)
    contrastive_loss(leaf, torch.tensor(mask)).backward()
    step = 1e-5
    for row in range(4):
        for column in range(6):
            up, down = logits.copy(), logits.copy()
            up[row, column] += step
            down[row, column] -= step
            slope = (brute_loss(up, mask) - brute_loss(down, mask)) / (2 * step)
            assert leaf.grad[row, column].item() == pytest.approx(slope, abs=1e-6)


def test_it_is_the_sum_of_both_directions():
    for count in (2, 5):
        assert contrastive_loss(torch.zeros(count, count)).item() == pytest.approx(2 * math.log(count))


def test_without_a_mask_clip_i_belongs_to_caption_i():
    logits = torch.tensor(random_case(1, 5, 5)[0], dtype=torch.float32)
    labels = torch.arange(5)
    expected = torch.nn.functional.cross_entropy(logits, labels) + torch.nn.functional.cross_entropy(
        logits.T, labels
    )
    assert contrastive_loss(logits).item() == pytest.approx(expected.item(), rel=1e-6)
    assert contrastive_loss(logits).item() == contrastive_loss(logits, torch.eye(5, dtype=torch.bool)).item()


def test_every_positive_counts():
    # Two captions of clip 0 that stand equally high: the best possible q is one half each, so the loss of
    # that row is the entropy of p, ln 2, and not 0.
    logits = torch.tensor([[80.0, 80.0, 0.0], [0.0, 0.0, 80.0]])
    mask = torch.tensor([[True, True, False], [False, False, True]])
    assert positive_cross_entropy(logits, mask).item() == pytest.approx(math.log(2) / 2, abs=1e-6)
    assert positive_cross_entropy(logits.T, mask.T).item() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("seed", range(3))
def test_half_precision_logits_lose_nothing_further(dtype, seed):
    logits, mask = random_case(seed, 12, 15)
    rounded = torch.tensor(logits).to(dtype)
    got = contrastive_loss(rounded, torch.tensor(mask))
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(brute_loss(rounded.double().numpy(), mask), rel=1e-6)
    assert got.item() == pytest.approx(brute_loss(logits, mask), rel=1e-2)


def test_bfloat16_stays_within_a_thousandth_of_the_exact_loss():
    # Rounding the logits to 8 bits is the larger part: it averages out over a batch of the usual size.
    rng = np.random.default_rng(5)
    logits = rng.uniform(-1, 1, (128, 128)) / 0.05
    mask = np.eye(128, dtype=bool)
    got = contrastive_loss(torch.tensor(logits, dtype=torch.bfloat16), torch.tensor(mask))
    assert got.item() == pytest.approx(brute_loss(logits, mask), rel=1e-3)


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_huge_logits_do_not_overflow(scale):
    logits = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]) * scale
    assert contrastive_loss(logits).item() == 0.0
    assert contrastive_loss(-logits).item() == pytest.approx(4 * scale, rel=1e-6)


def test_an_excluded_candidate_does_not_spoil_the_loss():
    logits, mask = random_case(2, 5, 7)
    padded = np.concatenate([logits, np.full((5, 1), -np.inf)], axis=1)
    padded_mask = np.concatenate([mask, np.zeros((5, 1), dtype=bool)], axis=1)
    leaf = torch.tensor(padded, dtype=torch.float32, requires_grad=True)
    loss = positive_cross_entropy(leaf, torch.tensor(padded_mask))
    loss.backward()
    assert loss.item() == pytest.approx(brute_direction(logits.tolist(), mask.tolist()), rel=1e-6)
    assert leaf.grad.isfinite().all()


def test_parts_of_the_rows_average_to_the_whole():
    """What several processes do: each compares its own rows with the columns of all."""
    logits, mask = random_case(3, 6, 8)
    whole = brute_loss(logits, mask)
    logits, mask = torch.tensor(logits, dtype=torch.float32), torch.tensor(mask)
    parts = [
        contrastive_loss(
            logits[3 * part : 3 * part + 3],
            mask[3 * part : 3 * part + 3],
            logits.T[4 * part : 4 * part + 4],
            mask.T[4 * part : 4 * part + 4],
        ).item()
        for part in range(2)
    ]
    assert parts[0] != pytest.approx(parts[1], rel=1e-3)
    assert sum(parts) / 2 == pytest.approx(whole, rel=1e-6)


def test_the_order_of_the_batch_does_not_matter():
    logits, mask = (torch.tensor(part) for part in random_case(4, 6, 9))
    rows, columns = torch.randperm(6), torch.randperm(9)
    shuffled = contrastive_loss(logits[rows][:, columns], mask[rows][:, columns])
    assert shuffled.item() == pytest.approx(contrastive_loss(logits, mask).item(), rel=1e-6)


def masked(rows, columns, *empty_rows):
    mask = torch.ones(rows, columns, dtype=torch.bool)
    mask[list(empty_rows)] = False
    return mask


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.zeros(3, 4),), "there are 3 clips and 4 captions"),
        ((torch.zeros(3, 4), masked(4, 3)), r"logits have shape \(3, 4\), positive_mask has \(4, 3\)"),
        ((torch.zeros(3, 4), masked(3, 4, 1, 2)), "row 1 of positive_mask has no positive"),
        ((torch.zeros(4, 3), masked(3, 4, 2).T), "row 2 of positive_mask has no positive"),
        ((torch.zeros(3, 4), masked(3, 4), torch.zeros(4, 3)), "needs its own positive_mask_per_text"),
    ],
)
def test_faulty_masks_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        contrastive_loss(*arguments)
