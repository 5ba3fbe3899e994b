"""Weights of the losses: their ranges, and what they ask of model and data."""

import math

import pytest

from auricle.training.losses.objective import Objective

PLAIN = {"num_clusters": 0, "learns_temperature": False, "has_teachers": False, "has_clusters": False}


def test_the_first_stage_is_the_default():
    objective = Objective()
    assert (objective.contrastive_weight, objective.distillation_weight, objective.cluster_weight) == (
        1,
        0,
        0,
    )
    assert objective.distillation_temperature is None
    objective.check_fit(**PLAIN)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"contrastive_weight": -1}, "contrastive_weight=-1 must be a number of at least 0"),
        ({"distillation_weight": math.nan}, "distillation_weight=nan"),
        ({"cluster_weight": math.inf}, "cluster_weight=inf"),
        ({"distillation_temperature": 0}, "distillation_temperature=0 must be a number above 0, or None"),
        ({"contrastive_weight": 0}, "nothing would train the embeddings"),
        ({"contrastive_weight": 0, "cluster_weight": 1}, "nothing would train the embeddings"),
    ],
)
def test_faulty_weights_are_named(values, message):
    with pytest.raises(ValueError, match=message):
        Objective(**values)


@pytest.mark.parametrize(
    ("values", "setting", "message"),
    [
        ({"cluster_weight": 0.05}, {"has_clusters": True}, "no cluster heads; call model.set_num_clusters"),
        ({"cluster_weight": 0.05}, {"num_clusters": 3}, "cluster_weight=0.05, but the training rows have no"),
        (
            {},
            {"num_clusters": 3},
            r"heads for 3 clusters, but cluster_weight is 0; call .*set_num_clusters\(0\)",
        ),
        ({"distillation_weight": 1}, {}, "distillation_weight=1, but the training rows have no teachers"),
        (
            {"contrastive_weight": 0, "distillation_weight": 1, "distillation_temperature": 0.1},
            {"learns_temperature": True, "has_teachers": True},
            "distillation_temperature=0.1 of its own; make that None",
        ),
    ],
)
def test_what_does_not_fit_is_named(values, setting, message):
    with pytest.raises(ValueError, match=message):
        Objective(**values).check_fit(**{**PLAIN, **setting})


def test_what_fits_passes():
    everything = {"num_clusters": 3, "learns_temperature": True, "has_teachers": True, "has_clusters": True}
    Objective(1, 1, 0.1, 0.05).check_fit(**everything)
    Objective(0, 1, None, 0.05).check_fit(**everything)
    # Rows may know more than the objective uses.
    Objective().check_fit(**{**PLAIN, "has_teachers": True, "has_clusters": True})
