"""Weights found on planted similarities, against trying every one."""

import itertools

import numpy as np
import pytest
import torch
from planted import planted_similarities

from auricle.evaluation.ensembles.ensemble_weights import (
    E1_WEIGHTS,
    convex_weights,
    grid_search,
    paper_weights,
    simplex_grid,
    two_level_search,
)
from auricle.evaluation.metrics.retrieval_metrics import retrieval_metrics_from_similarities


def scores_of(*noises):
    members = [planted_similarities(clips=30, noise=noise, seed=seed) for seed, noise in enumerate(noises)]
    return [member.scores for member in members], [[int(clip)] for clip in members[0].clip_of_query]


def value(scores, relevant):
    return retrieval_metrics_from_similarities(np.asarray(scores), relevant)["mAP@16"]


def test_the_grid_holds_every_point_once():
    points = list(simplex_grid(3, 4))
    every = {point for point in itertools.product([0, 0.25, 0.5, 0.75, 1], repeat=3) if sum(point) == 1}
    assert len(points) == 15 and set(points) == every
    assert points[-3:] == [(0, 0, 1), (0, 1, 0), (1, 0, 0)]
    assert list(simplex_grid(1, 5)) == [(1,)]


def test_the_search_finds_the_best_point():
    scores, relevant = scores_of(0.5, 0.9, 0.5)
    weights, found = grid_search(scores, relevant, parts=5)
    every = [
        value(sum(weight * one for weight, one in zip(point, scores, strict=True)), relevant)
        for point in simplex_grid(3, 5)
    ]
    assert found == pytest.approx(max(every), abs=1e-6)
    assert sum(weights) == pytest.approx(1)
    assert found > max(value(one, relevant) for one in scores)


def test_of_equal_weights_the_even_ones_win():
    scores, relevant = scores_of(0.0, 0.0)
    assert grid_search(scores, relevant, parts=4)[0] == [0.5, 0.5]


@pytest.mark.parametrize("inner", ["system", "tower"])
def test_two_levels_are_products_and_beat_the_mean_of_the_members(inner):
    names = [(system, tower) for system in ("sid2", "sid3") for tower in ("passt", "eat")]
    scores, relevant = scores_of(0.6, 0.7, 0.8, 0.9)
    weights = two_level_search(dict(zip(names, scores, strict=True)), relevant, inner=inner, parts=4)
    assert list(weights) == names and sum(weights.values()) == pytest.approx(1)
    # Weights of a product: within a group of the outer level their ratio is a point of the inner grid.
    outer = 1 if inner == "system" else 0
    for group in {name[outer] for name in names}:
        own = [weights[name] for name in names if name[outer] == group]
        if sum(own):
            assert (4 * own[0] / sum(own)) == pytest.approx(round(4 * own[0] / sum(own)))
    total = sum(weights[name] * one for name, one in zip(names, scores, strict=True))
    assert value(total, relevant) > np.mean([value(one, relevant) for one in scores]) + 0.05


def test_what_the_two_levels_weigh_first_matters():
    names = [("a", "x"), ("a", "y"), ("b", "x")]
    scores, relevant = scores_of(0.6, 0.6, 0.6)
    with pytest.raises(ValueError, match="inner='model'"):
        two_level_search(dict(zip(names, scores, strict=True)), relevant, inner="model")


def test_the_convex_weights_are_the_minimum():
    scores, relevant = scores_of(0.4, 0.8, 3.0)
    weights = convex_weights(scores, relevant)
    assert sum(weights) == pytest.approx(1, abs=1e-5) and min(weights) >= 0
    stacked = torch.tensor(np.stack(scores), dtype=torch.float64) / 0.05
    own = torch.tensor([clips[0] for clips in relevant])

    def loss(point):
        return torch.nn.functional.cross_entropy(
            torch.tensordot(torch.tensor(point, dtype=torch.float64), stacked, dims=1), own
        )

    best = min(loss(point).item() for point in simplex_grid(3, 40))
    assert loss(weights).item() <= best + 1e-3
    assert weights[0] > weights[1] > weights[2]


def test_the_reports_weights_are_products_of_two_levels():
    """E1: systems within each tower in steps of 0.05, then the towers."""
    towers = {
        tower: sum(weight for name, weight in E1_WEIGHTS.items() if name[1] == tower)
        for tower in ("passt", "eat", "beats")
    }
    assert towers == pytest.approx({"passt": 0.65, "eat": 0.2, "beats": 0.15})
    for (_, tower), weight in E1_WEIGHTS.items():
        share = weight / towers[tower] * 20
        assert share == pytest.approx(round(share))
    assert paper_weights(list(E1_WEIGHTS)) == list(E1_WEIGHTS.values())
    with pytest.raises(ValueError, match=r"missing: \['sid2/passt'"):
        paper_weights([("x", "y"), *list(E1_WEIGHTS)[1:]])


def test_shapes_that_differ_are_refused():
    with pytest.raises(ValueError, match="need equal shapes"):
        grid_search([np.zeros((2, 3)), np.zeros((2, 2))], [[0], [1]])
