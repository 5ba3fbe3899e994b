"""Retrieval metrics against a brute force that sorts every row in pure Python."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from auricle.evaluation import (
    metrics_from_ranks,
    query_metrics_from_ranks,
    relevance_from_groups,
    relevant_ranks,
    relevant_ranks_from_similarities,
    retrieval_metrics,
    retrieval_metrics_from_similarities,
)

NAMES = ["R@1", "R@5", "R@10", "mAP@10", "mAP@16"]


def brute_ranks(scores, relevant):
    """Ranks by sorting (-score, index); scores are anything exactly comparable."""
    ranks = []
    for row, indices in zip(scores, relevant, strict=True):
        order = sorted(range(len(row)), key=lambda i: (-row[i], i))
        ranks.append([order.index(i) for i in indices])
    return ranks


def brute_metrics(scores, relevant):
    """The definitions spelt out with exact fractions: walk down the list, note precision at each hit."""
    sums = dict.fromkeys(NAMES, Fraction(0))
    for row, wanted in zip(scores, relevant, strict=True):
        order = sorted(range(len(row)), key=lambda i: (-row[i], i))
        for k in (1, 5, 10):
            sums[f"R@{k}"] += any(item in wanted for item in order[:k])
        for k in (10, 16):
            hits, gain = 0, Fraction(0)
            for position, item in enumerate(order[:k], start=1):
                if item in wanted:
                    hits += 1
                    gain += Fraction(hits, position)
            sums[f"mAP@{k}"] += gain / len(wanted)
    return {name: float(total / len(scores)) for name, total in sums.items()}


def random_case(seed, *, ties):
    rng = np.random.default_rng(seed)
    num_queries, num_items, width = rng.integers(1, 14), rng.integers(1, 40), rng.integers(1, 9)
    if ties:  # small whole numbers: few distinct scores, every product exact
        queries = rng.integers(-2, 3, (num_queries, width)).astype(np.float32)
        items = rng.integers(-2, 3, (num_items, width)).astype(np.float32)
    else:
        queries = rng.standard_normal((num_queries, width)).astype(np.float32)
        items = rng.standard_normal((num_items, width)).astype(np.float32)
    relevant = [
        rng.permutation(num_items)[: rng.integers(1, min(num_items, 20) + 1)].tolist()
        for _ in range(num_queries)
    ]
    return queries, items, relevant


def exact_scores(queries, items):
    to_fractions = [[Fraction(float(x)) for x in row] for row in items]
    return [
        [
            sum((Fraction(float(a)) * b for a, b in zip(q, item, strict=True)), Fraction(0))
            for item in to_fractions
        ]
        for q in queries
    ]


@pytest.mark.parametrize("ties", [True, False])
@pytest.mark.parametrize("seed", range(12))
def test_equal_brute_force_for_every_chunk_size(seed, ties):
    queries, items, relevant = random_case(seed, ties=ties)
    scores = exact_scores(queries, items)
    expected = brute_metrics(scores, relevant)
    expected_ranks = [r for ranks in brute_ranks(scores, relevant) for r in ranks]
    for max_similarities in (1, 2, 3, 7, len(items), len(items) + 1, 3 * len(items), 2**25):
        found = relevant_ranks(queries, items, relevant, max_similarities=max_similarities)
        assert found.ranks.tolist() == expected_ranks
        assert np.diff(found.offsets).tolist() == [len(r) for r in relevant]
        metrics = retrieval_metrics(queries, items, relevant, max_similarities=max_similarities)
        assert list(metrics) == NAMES
        assert metrics == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(12))
def test_ready_similarities_equal_brute_force(seed):
    rng = np.random.default_rng(seed)
    _, _, relevant = random_case(seed, ties=True)
    num_items = 1 + max(max(r) for r in relevant)
    for scores in (
        rng.integers(0, 4, (len(relevant), num_items)),
        rng.standard_normal((len(relevant), num_items)),
        rng.standard_normal((len(relevant), num_items)).astype(np.float16),
    ):
        expected = brute_metrics(scores.tolist(), relevant)
        assert retrieval_metrics_from_similarities(scores, relevant) == pytest.approx(expected, abs=1e-12)
        tensor = torch.from_numpy(scores)
        assert retrieval_metrics_from_similarities(tensor, relevant) == pytest.approx(expected, abs=1e-12)


def test_ready_similarities_of_many_rows_are_ranked_row_by_row():
    rng = np.random.default_rng(5)
    scores = rng.standard_normal((700, 3000))  # several slabs
    relevant = [[int(i)] for i in rng.integers(0, 3000, 700)]
    order = np.argsort(-scores, axis=1, kind="stable")
    expected = [int(np.flatnonzero(order[q] == r[0])[0]) for q, r in enumerate(relevant)]
    assert relevant_ranks_from_similarities(scores, relevant).ranks.tolist() == expected


def test_hand_computed_example():
    # Query 0 finds its three items at places 1, 3 and 12; query 1 its only item at place 6.
    scores = -np.arange(20, dtype=np.float64)[None].repeat(2, axis=0)
    metrics = retrieval_metrics_from_similarities(scores, [[11, 0, 2], [5]])
    assert metrics["R@1"] == 0.5
    assert metrics["R@5"] == 0.5
    assert metrics["R@10"] == 1.0
    assert metrics["mAP@10"] == pytest.approx(((1 / 1 + 2 / 3) / 3 + 1 / 6) / 2, abs=1e-15)
    assert metrics["mAP@16"] == pytest.approx(((1 / 1 + 2 / 3 + 3 / 12) / 3 + 1 / 6) / 2, abs=1e-15)


def test_average_precision_divides_by_all_relevant_items():
    scores = -np.arange(30, dtype=np.float64)[None]
    perfect = retrieval_metrics_from_similarities(scores, [list(range(20))])
    assert perfect["mAP@10"] == pytest.approx(10 / 20)
    assert perfect["mAP@16"] == pytest.approx(16 / 20)


def test_cutoffs_name_the_metrics():
    metrics = retrieval_metrics_from_similarities(
        np.eye(4), [[0], [1], [2], [0]], recall_at=[2], map_at=(1, 3)
    )
    # The last query's own score is 0 like those of items 1 and 2: only item 3 stands before item 0.
    assert metrics == {"R@2": 1.0, "mAP@1": 0.75, "mAP@3": 0.875}


@pytest.mark.parametrize("num_queries", [1, 2, 3, 40])
@pytest.mark.parametrize("width", [7, 64, 384])
def test_identical_items_tie_wherever_they_stand(num_queries, width):
    # In a plain float32 product some of these scores differ in the last bit.
    generator = torch.Generator().manual_seed(width)
    vectors = torch.nn.functional.normalize(torch.randn(1 + num_queries, width, generator=generator), dim=1)
    items = vectors[:1].repeat(1045, 1)
    relevant = [[0, 1, 520, 1044]] * num_queries
    for max_similarities in (100, 4000, 2**25):
        ranks = relevant_ranks(vectors[1:], items, relevant, max_similarities=max_similarities).ranks
        assert ranks.reshape(num_queries, 4).tolist() == [[0, 1, 520, 1044]] * num_queries


def test_ranks_do_not_depend_on_chunks_even_for_near_ties():
    rng = np.random.default_rng(0)
    base = rng.standard_normal(256)
    # 300 items that differ by a few last bits of float32 only
    items = (base + 3e-7 * rng.integers(-2, 3, (300, 256))).astype(np.float32)
    queries = rng.standard_normal((50, 256)).astype(np.float32)
    relevant = [rng.permutation(300)[:5].tolist() for _ in range(50)]
    whole = relevant_ranks(queries, items, relevant).ranks
    for max_similarities in (37, 299, 301, 4096):
        chunked = relevant_ranks(queries, items, relevant, max_similarities=max_similarities).ranks
        np.testing.assert_array_equal(chunked, whole)
    one_by_one = [relevant_ranks(queries[q : q + 1], items, [relevant[q]]).ranks for q in range(50)]
    np.testing.assert_array_equal(np.concatenate(one_by_one), whole)


def test_scores_are_at_least_as_fine_as_a_float32_product():
    rng = np.random.default_rng(1)
    unit = rng.standard_normal((2000, 512))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    relevant = [[int(i)] for i in rng.integers(0, 1800, 200)]
    exact = unit[:200] @ unit[200:].T
    single = unit[:200].astype(np.float32) @ unit[200:].astype(np.float32).T
    truth = relevant_ranks_from_similarities(exact, relevant).ranks
    ours = np.abs(relevant_ranks(unit[:200], unit[200:], relevant).ranks - truth)
    theirs = np.abs(relevant_ranks_from_similarities(single, relevant).ranks - truth)
    assert ours.max() <= 1
    assert ours.sum() <= max(1, theirs.sum())


def test_no_tile_exceeds_the_limit(monkeypatch):
    rng = np.random.default_rng(2)
    queries, items = rng.standard_normal((50, 4)), rng.standard_normal((90, 4))
    relevant = [[int(i)] for i in rng.integers(0, 90, 50)]
    sizes = []
    plain = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda a, b: sizes.append(len(a) * b.shape[1]) or plain(a, b)
    )
    for limit in (1, 60, 90, 400):
        sizes.clear()
        relevant_ranks(queries, items, relevant, max_similarities=limit)
        assert sum(sizes) == 50 * 90
        assert max(sizes) <= limit


def test_scale_dtype_and_kind_of_array_do_not_matter():
    queries, items, relevant = random_case(3, ties=False)
    expected = retrieval_metrics(queries, items, relevant)
    assert retrieval_metrics(torch.from_numpy(queries).requires_grad_(), items, relevant) == expected
    assert retrieval_metrics(queries.astype(np.float64) * 2.0**300, items * 2.0**-90, relevant) == expected
    assert retrieval_metrics(queries * np.float32(2**-120), items, relevant) == expected
    per_query = queries * (2.0 ** np.arange(len(queries)))[:, None]
    assert retrieval_metrics(per_query, items, relevant) == expected
    half = torch.from_numpy(items).bfloat16()
    assert retrieval_metrics(queries, half, relevant) == retrieval_metrics(queries, half.float(), relevant)


def test_zero_vectors_rank_by_index():
    ranks = relevant_ranks(np.zeros((1, 3)), np.ones((6, 3)), [[4, 1]]).ranks
    assert ranks.tolist() == [4, 1]
    ranks = relevant_ranks(np.ones((1, 3)), np.zeros((6, 3)), [[4, 1]]).ranks
    assert ranks.tolist() == [4, 1]
    # A zero item must not coarsen the grid of the small ones beside it.
    items = np.array([[0.0], [1e-9], [2e-9], [1.000001e-9]])
    assert relevant_ranks(np.ones((1, 1)), items, [[0, 1, 2, 3]]).ranks.tolist() == [3, 2, 0, 1]


def test_per_query_values_average_to_the_metrics():
    queries, items, relevant = random_case(4, ties=False)
    found = relevant_ranks(queries, items, relevant)
    values = query_metrics_from_ranks(*found)
    assert list(values) == NAMES
    assert all(value.shape == (len(queries),) and value.dtype == np.float64 for value in values.values())
    expected = retrieval_metrics(queries, items, relevant)
    assert {name: value.mean() for name, value in values.items()} == pytest.approx(expected, abs=1e-15)
    assert metrics_from_ranks(*found) == expected


def test_ranks_of_a_query_may_come_in_any_order():
    assert metrics_from_ranks([8, 0, 3], [0, 3], map_at=[10]) == metrics_from_ranks(
        [0, 3, 8], [0, 3], map_at=[10]
    )


def test_relevance_from_groups():
    assert relevance_from_groups(["b", "a", "b"], ["a", "b", "b", "c"]) == [[1, 2], [0], [1, 2]]
    lists = relevance_from_groups([1, 1], [1])
    lists[0].append(7)
    assert lists[1] == [0]
    with pytest.raises(ValueError, match="query 1 is of group 'd', which none of the 2 items has"):
        relevance_from_groups(["a", "d"], ["a", "b"])


Q, N = np.ones((3, 2)), np.ones((4, 2))


@pytest.mark.parametrize(
    ("relevant", "message"),
    [
        ([[0], [], [1]], "query 1 has no relevant item"),
        ([[0], [1], [1, 4]], "query 2: item 4 does not exist, indices run from 0 to 3"),
        ([[0], [-1], [1]], "query 1: item -1 does not exist"),
        ([[0], [1], [2, 3, 2]], "query 2 names item 2 twice"),
        ([[0], [1]], "relevant has 2 queries, the scores have 3"),
        ([[0], [1.0], [2]], r"query 1: \[1.0\] is not a flat sequence of item indices"),
        ([[0], [True], [2]], r"query 1: \[True\] is not a flat sequence"),
        ([0, 1, 2], "query 0: 0 is not a flat sequence"),
    ],
)
def test_faulty_relevance_is_named(relevant, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(Q, N, relevant)
    with pytest.raises(ValueError, match=message):
        retrieval_metrics_from_similarities(np.zeros((3, 4)), relevant)


def with_value(matrix, row, column, value):
    changed = matrix.copy()
    changed[row, column] = value
    return changed


@pytest.mark.parametrize(
    ("queries", "items", "message"),
    [
        (with_value(Q, 2, 1, np.nan), N, "query_embeds: query 2 contains nan"),
        (Q, with_value(N, 3, 0, -np.inf), "item_embeds: item 3 contains -inf"),
        (Q * 1e300, N, "query_embeds: query 0 is too long for float64"),
        (Q, np.ones((4, 3)), "query_embeds are 2 wide, item_embeds 3"),
        (np.ones((0, 2)), N, r"query_embeds has shape \(0, 2\)"),
        (Q, np.ones((0, 2)), r"item_embeds has shape \(0, 2\)"),
        (Q, np.ones(4), r"item_embeds has shape \(4,\)"),
        (Q > 0, N, "query_embeds contains torch.bool"),
    ],
)
def test_faulty_embeddings_are_named(queries, items, message):
    with pytest.raises(ValueError, match=message):
        retrieval_metrics(queries, items, [[0], [1], [2]])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_faulty_similarities_are_named(value):
    scores = with_value(np.zeros((900, 1500)), 850, 7, value)  # beyond the first slab
    with pytest.raises(ValueError, match=f"query 850, item 7 is {value}"):
        retrieval_metrics_from_similarities(scores, [[0]] * 900)
    with pytest.raises(ValueError, match=r"similarities has shape \(0, 4\)"):
        retrieval_metrics_from_similarities(np.zeros((0, 4)), [])


@pytest.mark.parametrize("cutoff", [0, -1, 1.5, True, "10"])
def test_faulty_cutoffs_are_named(cutoff):
    for name in ("recall_at", "map_at"):
        with pytest.raises(ValueError, match=f"{name}: {cutoff!r} is not an integer of at least 1"):
            retrieval_metrics(Q, N, [[0], [1], [2]], **{name: [cutoff]})
    with pytest.raises(ValueError, match="max_similarities"):
        relevant_ranks(Q, N, [[0], [1], [2]], max_similarities=cutoff)


@pytest.mark.parametrize(
    ("ranks", "offsets", "message"),
    [
        ([0, 1], [0, 1, 1, 2], "query 1 has no rank"),
        ([0, 3, 3], [0, 1, 3], "query 1: rank 3"),
        ([0, -2], [0, 1, 2], "query 1: rank -2"),
        ([0, 1], [0, 1], "do not belong together"),
        ([], [0], "do not belong together"),
    ],
)
def test_faulty_ranks_are_named(ranks, offsets, message):
    with pytest.raises(ValueError, match=message):
        metrics_from_ranks(ranks, offsets)


def test_a_hundred_thousand_items_in_bounded_memory():
    # A hundred thousand items against 300 queries: 240 MB if all scores stood at once, 8 MB here.
    rng = np.random.default_rng(3)
    items = rng.standard_normal((100_000, 8)).astype(np.float32)
    relevant = [[int(i)] for i in rng.integers(0, 100_000, 300)]
    queries = items[[r[0] for r in relevant]] + 0.3 * rng.standard_normal((300, 8)).astype(np.float32)
    found = relevant_ranks(queries, items, relevant, max_similarities=2**20).ranks
    exact = queries.astype(np.float64) @ items.astype(np.float64).T
    own = np.take_along_axis(exact, np.array(relevant), axis=1)
    assert np.abs(found - (exact > own).sum(1)).max() <= 1
