"""Means over segments and over tokens against loops in double precision."""

import numpy as np
import pytest
import torch

from auricle.modeling.segment_pooling import mean_over_segments, pool_tokens


def brute_means(segments, counts):
    rows, start = [], 0
    for count in counts:
        rows.append(segments[start : start + count].astype(np.float64).mean(axis=0))
        start += count
    return np.stack(rows)


@pytest.mark.parametrize("counts", [[1], [3], [1, 1, 1], [1, 3, 2], [4, 1, 1, 5], [2, 700]])
@pytest.mark.parametrize("dtype", [torch.int64, torch.int32])
def test_mean_over_each_clips_own_segments(counts, dtype):
    segments = np.random.default_rng(len(counts)).standard_normal((sum(counts), 5)).astype(np.float32)
    got = mean_over_segments(torch.from_numpy(segments), torch.tensor(counts, dtype=dtype))
    np.testing.assert_allclose(got.numpy(), brute_means(segments, counts), atol=1e-6)


def test_without_counts_every_segment_is_a_clip():
    segments = torch.randn(4, 3)
    assert torch.equal(mean_over_segments(segments, None), segments)


def test_a_clip_does_not_feel_its_neighbours():
    segments = torch.randn(9, 16, generator=torch.Generator().manual_seed(0))
    together = mean_over_segments(segments, torch.tensor([2, 4, 3]))
    for clip, part in enumerate((slice(0, 2), slice(2, 6), slice(6, 9))):
        alone = mean_over_segments(segments[part], torch.tensor([part.stop - part.start]))
        assert torch.equal(together[clip], alone[0])


def test_half_precision_is_summed_in_single():
    segments = torch.full((4096, 2), 1.0, dtype=torch.bfloat16)
    got = mean_over_segments(segments, torch.tensor([4096]))
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, torch.ones(1, 2, dtype=torch.bfloat16))
    mixed = torch.randn(600, 3, generator=torch.Generator().manual_seed(1)).bfloat16()
    got = mean_over_segments(mixed, torch.tensor([600]))
    expected = mixed.double().mean(dim=0, keepdim=True).bfloat16()
    assert torch.equal(got, expected)


def test_gradient_is_shared_evenly():
    segments = torch.randn(6, 2, requires_grad=True)
    mean_over_segments(segments, torch.tensor([1, 3, 2])).sum().backward()
    expected = torch.tensor([1, 1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2])
    torch.testing.assert_close(segments.grad, expected[:, None].expand(6, 2))


@pytest.mark.parametrize("counts", [[2, 1], [2, 3], [4, 0], [5, -1], []])
def test_counts_that_do_not_fit_are_named(counts):
    with pytest.raises(ValueError) as caught:
        mean_over_segments(torch.zeros(4, 2), torch.tensor(counts, dtype=torch.int64))
    assert f"segment_counts={counts}" in str(caught.value)
    assert "4 segments" in str(caught.value)


TOKENS = np.random.default_rng(0).standard_normal((3, 5, 4)).astype(np.float32)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])


@pytest.mark.parametrize("mask_type", [torch.int64, torch.bool, torch.float32])
def test_mean_pooling_takes_real_tokens_only(mask_type):
    got = pool_tokens(torch.from_numpy(TOKENS), torch.from_numpy(MASK).to(mask_type), "mean")
    expected = np.stack(
        [row[: mask.sum()].astype(np.float64).mean(axis=0) for row, mask in zip(TOKENS, MASK, strict=True)]
    )
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-6)


def test_mean_pooling_without_a_mask_takes_all():
    got = pool_tokens(torch.from_numpy(TOKENS), None, "mean")
    np.testing.assert_allclose(got.numpy(), TOKENS.astype(np.float64).mean(axis=1), atol=1e-6)


def test_cls_pooling_takes_the_first_token():
    for mask in (None, torch.from_numpy(MASK)):
        np.testing.assert_array_equal(
            pool_tokens(torch.from_numpy(TOKENS), mask, "cls").numpy(), TOKENS[:, 0]
        )


def test_a_row_of_padding_alone_stays_finite():
    got = pool_tokens(torch.from_numpy(TOKENS), torch.zeros(3, 5, dtype=torch.int64), "mean")
    assert torch.equal(got, torch.zeros(3, 4))


def test_another_pooling_is_named():
    with pytest.raises(ValueError, match="text_pooling='max'; known: 'cls', 'mean'"):
        pool_tokens(torch.from_numpy(TOKENS), None, "max")
