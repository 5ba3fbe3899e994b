"""Cluster heads: what they compute, how they come and go, and that embeddings do not know of them."""

import logging
import os
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import tiny_config, tiny_model

from auricle.modeling import AuricleConfig, AuricleModel, ClusterHead

HEADS = ("audio_cluster_head", "text_cluster_head")


def inputs():
    """Three clips of 1, 3 and 2 segments, three sentences of 6, 4 and 2 tokens."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 2 + [0] * 4])
    return {
        "input_features": torch.randn(6, 100, 32, generator=generator),
        "segment_counts": torch.tensor([1, 3, 2]),
        "input_ids": torch.randint(5, 100, (3, 6), generator=generator) * mask,
        "attention_mask": mask,
    }


def seeded(seed=3):
    return torch.Generator().manual_seed(seed)


def with_heads(clusters=5, **config):
    model = tiny_model(**config)
    model.set_num_clusters(clusters, seeded())
    return model


def head_weights(model):
    return {name: value for name, value in model.state_dict().items() if name.startswith(HEADS)}


def test_a_head_is_two_layers_three_times_as_wide():
    model = with_heads(5)
    shapes = {name: tuple(value.shape) for name, value in head_weights(model).items()}
    assert shapes == {
        "audio_cluster_head.hidden.weight": (72, 24),
        "audio_cluster_head.hidden.bias": (72,),
        "audio_cluster_head.output.weight": (5, 72),
        "audio_cluster_head.output.bias": (5,),
        "text_cluster_head.hidden.weight": (48, 16),
        "text_cluster_head.hidden.bias": (48,),
        "text_cluster_head.output.weight": (5, 48),
        "text_cluster_head.output.bias": (5,),
    }


def test_the_heads_see_the_towers_outputs_before_the_projections():
    model, given = with_heads(text_pooling="mean"), inputs()
    output = model(**given, return_cluster_logits=True)
    segments = model.pool_audio(given["input_features"])
    clips = torch.stack([segments[:1].mean(0), segments[1:4].mean(0), segments[4:].mean(0)])
    text = model.pool_text(given["input_ids"], given["attention_mask"])
    for logits, pooled, head in (
        (output.audio_cluster_logits, clips, model.audio_cluster_head),
        (output.text_cluster_logits, text, model.text_cluster_head),
    ):
        hidden = (pooled @ head.hidden.weight.T + head.hidden.bias).clamp(min=0)
        expected = hidden @ head.output.weight.T + head.output.bias
        assert logits.shape == (3, 5) and logits.std() > 0.1
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    pooled = model(pooled_text=text, return_cluster_logits=True)
    assert torch.equal(pooled.text_cluster_logits, output.text_cluster_logits)


def test_logits_come_on_request_and_for_what_is_given():
    model, given = with_heads(), inputs()
    output = model(**given)
    assert output.audio_cluster_logits is None and output.text_cluster_logits is None
    given.pop("input_features"), given.pop("segment_counts")
    output = model(**given, return_cluster_logits=True)
    assert output.audio_cluster_logits is None and output.text_cluster_logits is not None
    with pytest.raises(ValueError, match=r"no cluster heads \(num_clusters=0\)"):
        tiny_model()(**given, return_cluster_logits=True)


def test_both_heads_and_both_towers_learn_from_the_logits():
    model = with_heads().train()
    output = model(**inputs(), return_cluster_logits=True)
    labels = torch.tensor([0, 1, 2])
    for logits in (output.audio_cluster_logits, output.text_cluster_logits):
        torch.nn.functional.cross_entropy(logits, labels).backward()
    for part in (
        *(getattr(model, head) for head in HEADS),
        model.audio_model.blocks,
        model.text_model.encoder,
    ):
        assert all(parameter.grad is not None for parameter in part.parameters())
        assert sum(parameter.grad.abs().sum() for parameter in part.parameters()) > 0
    assert model.audio_projection.weight.grad is None


def test_new_heads_are_drawn_from_the_generator_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, same = with_heads(), with_heads()
    other = tiny_model()
    other.set_num_clusters(5, seeded(4))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in head_weights(first).items():
        assert torch.equal(head_weights(same)[name], value)
        if name.endswith("weight"):
            assert not torch.equal(head_weights(other)[name], value)
            # A narrow head has to start with logits that differ, or it would hardly learn.
            assert value.std().item() == pytest.approx(value.shape[1] ** -0.5, rel=0.3)
        else:
            assert not value.any()
    ours = first.state_dict()
    assert all(torch.equal(ours[name], value) for name, value in tiny_model().state_dict().items())


def test_heads_follow_the_models_type_and_mode():
    model = tiny_model().bfloat16().train()
    model.set_num_clusters(3, seeded())
    assert {value.dtype for value in head_weights(model).values()} == {torch.bfloat16}
    assert model.audio_cluster_head.training and not with_heads().audio_cluster_head.training


def test_heads_are_replaced_and_removed():
    model = with_heads(5)
    model.set_num_clusters(7, seeded())
    assert model.config.num_clusters == 7
    assert model(**inputs(), return_cluster_logits=True).audio_cluster_logits.shape == (3, 7)
    model.set_num_clusters(0)
    assert model.config.num_clusters == 0 and model.audio_cluster_head is None
    assert model.state_dict().keys() == tiny_model().state_dict().keys()


@pytest.mark.parametrize("number", [1, -1])
def test_a_number_of_clusters_that_no_head_can_have_is_refused(number):
    model = with_heads(5)
    with pytest.raises(
        ValueError, match=rf"num_clusters={number} must be 0 \(no cluster heads\) or at least 2"
    ):
        model.set_num_clusters(number)
    assert model.config.num_clusters == 5 and len(head_weights(model)) == 8
    with pytest.raises(ValueError, match=rf"num_clusters={number} must be 0"):
        tiny_config(num_clusters=number)
    with pytest.raises(TypeError):
        model.set_num_clusters(2.5)


def test_saved_and_loaded_the_heads_are_the_same(tmp_path):
    model = with_heads()
    model.save_pretrained(tmp_path)
    # Leaves garbage in the memory that the loader is given, for weights that nobody fills.
    torch.full((2**20,), float("nan"))
    again = AuricleModel.from_pretrained(tmp_path)
    assert type(again.audio_cluster_head) is ClusterHead and again.config.num_clusters == 5
    assert again.state_dict().keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    for name in ("audio_cluster_logits", "text_cluster_logits", "audio_embeds", "text_embeds"):
        ours, theirs = (
            getattr(each(**inputs(), return_cluster_logits=True), name) for each in (model, again)
        )
        assert torch.equal(ours, theirs), name


def test_embeddings_do_not_know_of_the_heads(tmp_path):
    plain, headed = tiny_model(), with_heads()
    headed.save_pretrained(tmp_path / "headed")
    loaded = AuricleModel.from_pretrained(tmp_path / "headed")
    expected = plain(**inputs())
    for model in (headed, loaded):
        for asked in (None, True):
            output = model(**inputs(), return_cluster_logits=asked)
            assert torch.equal(output.audio_embeds, expected.audio_embeds)
            assert torch.equal(output.text_embeds, expected.text_embeds)
    headed.set_num_clusters(0)
    headed.save_pretrained(tmp_path / "plain")
    assert not [name for name in load_file(tmp_path / "plain" / "model.safetensors") if "cluster" in name]
    bare = AuricleModel.from_pretrained(tmp_path / "plain")
    assert torch.equal(bare(**inputs()).logits_per_audio, expected.logits_per_audio)


def test_a_checkpoint_with_heads_loads_without_them_in_silence(tmp_path, caplog, monkeypatch):
    with_heads().save_pretrained(tmp_path)
    monkeypatch.setattr(logging.getLogger("transformers"), "propagate", True)
    model, report = AuricleModel.from_pretrained(tmp_path, num_clusters=0, output_loading_info=True)
    assert model.config.num_clusters == 0 and not head_weights(model)
    assert not report["unexpected_keys"] and not report["missing_keys"] and not caplog.records
    assert torch.equal(model(**inputs()).logits_per_audio, tiny_model()(**inputs()).logits_per_audio)


def test_heads_that_a_checkpoint_lacks_are_drawn_and_not_left_undefined(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    torch.full((2**20,), float("nan"))
    model, report = AuricleModel.from_pretrained(tmp_path, num_clusters=4, output_loading_info=True)
    assert set(report["missing_keys"]) == set(head_weights(model))
    assert all(value.isfinite().all() for value in head_weights(model).values())
    assert model.audio_cluster_head.hidden.weight.std().item() == pytest.approx(24**-0.5, rel=0.2)
    assert not model.audio_cluster_head.hidden.bias.any()


def test_the_config_tells_the_number_of_clusters(tmp_path):
    assert tiny_config().num_clusters == 0
    tiny_config(num_clusters=6).save_pretrained(tmp_path)
    assert AuricleConfig.from_pretrained(tmp_path).num_clusters == 6
    assert tiny_model(num_clusters=6).text_cluster_head.output.out_features == 6


STRANGER = """
import sys
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel


class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "auricle":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Absent())
work = sys.argv[1]
model = AutoModel.from_pretrained(f"{work}/checkpoint", trust_remote_code=True).eval()
with torch.no_grad():
    output = model(**load_file(f"{work}/inputs.safetensors"), return_cluster_logits=True)
names = ("audio_cluster_logits", "text_cluster_logits", "audio_embeds", "text_embeds")
save_file({name: getattr(output, name) for name in names}, f"{work}/answers.safetensors")
assert "auricle" not in sys.modules
"""


@pytest.mark.slow
def test_heads_travel_without_the_package(tmp_path):
    model = with_heads()
    model.save_pretrained(tmp_path / "home")
    shutil.move(tmp_path / "home", tmp_path / "checkpoint")
    save_file(inputs(), tmp_path / "inputs.safetensors")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {
        "HF_HUB_OFFLINE": "1",
        "HF_MODULES_CACHE": str(tmp_path / "modules"),
        "OMP_NUM_THREADS": str(torch.get_num_threads()),
    }
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, str(tmp_path)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    with torch.no_grad():
        expected = model(**inputs(), return_cluster_logits=True)
    for name, found in load_file(tmp_path / "answers.safetensors").items():
        assert torch.equal(found, getattr(expected, name)), name
