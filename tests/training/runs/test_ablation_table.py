"""Intervals and effects of an ablation, against numbers worked out by hand."""

import math
import statistics

import pytest

from auricle.training.runs.ablation_table import ablation_effects, format_ablation, mean_and_half_width

METRIC = "text_to_audio_mAP@16"


def figures(**subsets):
    return {name.replace("_", "+"): {"test": {METRIC: values}} for name, values in subsets.items()}


def test_the_interval_is_students():
    values = [0.80, 0.86, 0.83]
    mean, half = mean_and_half_width(values)
    assert mean == pytest.approx(0.83)
    assert half == pytest.approx(4.303 * statistics.stdev(values) / math.sqrt(3))


def test_many_seeds_take_the_normal_point():
    values = [float(number % 2) for number in range(40)]
    assert mean_and_half_width(values)[1] == pytest.approx(1.96 * statistics.stdev(values) / math.sqrt(40))


def test_one_seed_has_no_interval():
    mean, half = mean_and_half_width([0.5])
    assert mean == 0.5 and math.isnan(half)


def test_an_effect_is_the_mean_gain_over_the_settings_of_the_others():
    table = figures(
        none=[0.5, 0.6],
        distillation=[0.6, 0.6],
        clusters=[0.5, 0.7],
        distillation_clusters=[0.9, 0.7],
    )
    effects = ablation_effects(table, ["distillation", "clusters"], "test", METRIC)
    assert effects["distillation"] == pytest.approx([(0.1 + 0.4) / 2, (0.0 + 0.0) / 2])
    assert effects["clusters"] == pytest.approx([(0.0 + 0.3) / 2, (0.1 + 0.1) / 2])


def test_the_table_shows_every_subset_and_the_paired_difference():
    table = {
        "recipe": "r",
        "ingredients": ["distillation"],
        "seeds": [0, 1, 2],
        "figures": figures(none=[0.50, 0.60, 0.70], distillation=[0.52, 0.62, 0.72]),
    }
    lines = format_ablation(table)
    assert "| no | 0.600 ± 0.248 |  |" in lines
    # Seeds differ a lot, but each gains the same: the paired difference has no spread.
    assert "| yes | 0.620 ± 0.248 | +0.020 ± 0.000 |" in lines
    assert lines[-1] == "* distillation: +0.020 ± 0.000"
