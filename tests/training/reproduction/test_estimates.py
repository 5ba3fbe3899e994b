"""Estimated times: operations as torch counts them, published numbers of rows, assumptions that can be replaced."""

import pytest
import torch
from tiny_models import tiny_audio_config
from tiny_recipes import ROOT
from torch.utils.flop_counter import FlopCounterMode
from transformers import RobertaConfig, RobertaModel

from auricle.modeling import AUDIO_CONFIGS, AUDIO_MODELS
from auricle.training.recipe.recipe_file import RecipeError
from auricle.training.reproduction.chain_recipe import read_chain
from auricle.training.reproduction.estimates import (
    Assumptions,
    audio_operations,
    format_seconds,
    need_seconds,
    step_seconds,
    transformer_operations,
)
from auricle.training.reproduction.plan import plan_chain
from auricle.training.reproduction.running import format_plan
from auricle.training.reproduction.shopping_list import format_shopping_list, shopping_list
from auricle.training.reproduction.step_states import Workplace


@pytest.fixture(scope="module")
def chain():
    return read_chain(ROOT / "recipes" / "dcase2025.yaml")


@pytest.fixture(scope="module")
def steps(chain):
    return {step.name: step for step in plan_chain(chain, whole_development=True)}


def counted(model, *inputs, **named):
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(*inputs, **named)
    return counter.get_total_flops()


def test_a_text_towers_operations_are_those_that_torch_counts():
    config = RobertaConfig(
        vocab_size=50,
        hidden_size=64,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=128,
        attn_implementation="eager",
    )
    model = RobertaModel(config, add_pooling_layer=False).eval()
    found = counted(model, torch.ones(1, 24, dtype=torch.long))
    assert transformer_operations(24, 3, 64, 128) == found


@pytest.mark.parametrize("training", [False, True])
def test_an_audio_towers_operations_are_nearly_those_that_torch_counts(training):
    values = dict(tiny_audio_config()) | {
        "hidden_size": 256,
        "num_attention_heads": 4,
        "intermediate_size": 1024,
        "num_hidden_layers": 3,
        "num_frames": 320,
        "patchout_frequency": 1,
        "patchout_time": 5,
    }
    kind = values.pop("model_type", "auricle_passt")
    config = AUDIO_CONFIGS[kind](**values)
    config._attn_implementation = "eager"
    model = AUDIO_MODELS[kind](config).train(training)
    found = counted(model, torch.zeros(1, config.num_frames, config.num_mel_bins))
    # Patches' embedding and special tokens are left out.
    assert 0.88 * found < audio_operations(config, training=training) < found


def test_epochs_rows_and_speed_count_as_factors(chain, steps):
    usual = step_seconds(steps["train sid1_passt"], chain, Assumptions())
    assert step_seconds(steps["train sid1_passt"], chain, Assumptions(tflops=50)) == pytest.approx(2 * usual)
    # 3 passes, 20 epochs, 24 layers of RoBERTa-large over 32 tokens, 12 layers of PaSST over 6 x 47 patches.
    text = 32 * 24 * (8 * 1024**2 + 4 * 1024 * 4096 + 4 * 32 * 1024)
    audio = 282 * 12 * (8 * 768**2 + 4 * 768 * 3072 + 4 * 282 * 768)
    rows = {19195: 3, 57188: 1, 403050: 2.46}
    total = 3 * 20 * sum(count * (text + segments * audio) for count, segments in rows.items())
    assert usual == pytest.approx(total / 1e14)


def test_mixes_and_the_whole_development_set_take_longer_and_other_steps_have_no_estimate(chain, steps):
    def seconds(name):
        return step_seconds(steps[name], chain, Assumptions())

    assert seconds("train sid3_eat") == pytest.approx(seconds("train sid2_eat") * (19195 + 50000) / 19195)
    assert seconds("train whole_sid2_eat") == pytest.approx(
        seconds("train sid2_eat") * (19195 + 10450) / 19195
    )
    assert 0 < seconds("bank sid1_passt") < seconds("train sid2_passt") / 5
    assert seconds("bank whole_sid1_passt") > seconds("bank sid1_passt")
    for name in ("evaluate sid1_passt", "card sid1_passt", "ensemble E1", "results"):
        assert seconds(name) is None


def test_the_plan_names_times_and_what_they_assume(chain, tmp_path):
    steps = plan_chain(chain, only=["sid2_passt"])
    assumptions = Assumptions.read(["tflops=200", "megabits=50"])
    lines = format_plan(steps, Workplace(chain, tmp_path, tmp_path / "out"), assumptions)
    (first,) = [line for line in lines if "train sid1_passt:" in line]
    assert first.endswith("to do (about 6 h)")
    assert any("an estimate under 200 TFLOP/s sustained, 50 Mbit/s" in line for line in lines)
    listed = format_shopping_list(shopping_list(chain, steps, tmp_path, assumptions))
    assert any(line.endswith("(11.1 GB unpacked; about 30 min)") for line in listed)


def test_downloads_and_requests_have_times_of_their_own(chain):
    needs = {need.path: need for need in chain.section.needs}
    assert need_seconds(needs["clotho"], Assumptions(megabits=888)) == pytest.approx(100)
    assert need_seconds(needs["augmented/mixes"], Assumptions(requests=1000)) == pytest.approx(3000)
    assert need_seconds(needs["wavcaps"], Assumptions()) is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("speed=3", "expected NAME=VALUE with one of tflops, megabits, requests"),
        ("tflops", "expected a positive number"),
        ("tflops=fast", "expected a positive number"),
        ("megabits=0", "expected a positive number"),
        ("requests=inf", "expected a positive number"),
    ],
)
def test_a_wrong_assumption_is_named(value, told):
    with pytest.raises(RecipeError, match=f"--assume '{value}': {told}"):
        Assumptions.read([value])


def test_times_in_words():
    assert [format_seconds(value) for value in (3, 61, 7199, 7201, 172799, 172801)] == [
        "below a minute",
        "about 2 min",
        "about 120 min",
        "about 3 h",
        "about 48 h",
        "about 2.0 days",
    ]
