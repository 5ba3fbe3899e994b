"""What users of other dual encoders pass and expect: the towers' outputs, keywords, embeddings, devices."""

import pytest
import torch
from tiny_models import tiny_config, tiny_model, tiny_model_and_processor, write_sound
from torch._subclasses.fake_tensor import FakeTensorMode

from auricle.modeling import AUDIO_CONFIGS, AUDIO_MODELS, AuricleModel


@pytest.fixture
def inputs():
    generator = torch.Generator().manual_seed(0)
    return {
        "input_features": torch.randn(4, 100, 32, generator=generator),
        "segment_counts": torch.tensor([1, 2, 1]),
        "input_ids": torch.randint(5, 90, (3, 6), generator=generator),
        "attention_mask": torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 6]),
    }


def eager(**settings):
    model = tiny_model(**settings)
    model.set_attn_implementation("eager")
    return model


# --------------------------------------------------------------------------------- the towers' outputs


def test_text_features_come_with_states_and_attentions(inputs):
    model = eager()
    output = model.get_text_features(
        inputs["input_ids"], inputs["attention_mask"], output_hidden_states=True, output_attentions=True
    )
    assert [state.shape for state in output.hidden_states] == [(3, 6, 16)] * 3
    assert [weights.shape for weights in output.attentions] == [(3, 2, 6, 6)] * 2
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state)
    plain = model.get_text_features(inputs["input_ids"], inputs["attention_mask"])
    assert plain.hidden_states is None and plain.attentions is None
    assert torch.equal(plain.pooler_output, output.pooler_output)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_forward_gives_both_towers_outputs(inputs, pooling):
    model = eager(text_pooling=pooling)
    output = model(**inputs, output_hidden_states=True, output_attentions=True)
    audio, text = output.audio_model_output, output.text_model_output
    assert audio.last_hidden_state.shape == (4, 20, 24) and text.last_hidden_state.shape == (3, 6, 16)
    assert torch.equal(
        model.project_audio(audio.pooler_output, inputs["segment_counts"]), output.audio_embeds
    )
    assert torch.equal(model.project_text(text.pooler_output), output.text_embeds)
    assert len(audio.hidden_states) == len(text.hidden_states) == 3
    assert len(audio.attentions) == len(text.attentions) == 2
    without = model(input_ids=inputs["input_ids"])
    assert without.audio_model_output is None and without.text_model_output.hidden_states is None
    assert {"audio_model_output", "text_model_output"} <= set(model.config.keys_to_ignore_at_inference)


def test_as_tuples_the_towers_outputs_are_tuples_too(inputs):
    output = tiny_model()(**inputs, return_dict=False)
    tensors = [value for value in output if torch.is_tensor(value)]
    nested = [value for value in output if isinstance(value, tuple)]
    assert len(tensors) + len(nested) == len(output) and len(nested) == 2
    assert all(torch.is_tensor(value) for value in (*nested[0], *nested[1]))


# ------------------------------------------------------------------------------------------ keywords


def test_one_batch_of_both_can_be_given_to_either_method(tmp_path):
    model, processor = tiny_model_and_processor(tmp_path)
    clip = str(write_sound(tmp_path / "a.wav", 1.3))
    inputs = processor(text=["a dog barks", "rain"], audio=[clip])
    both = model(**inputs)
    assert torch.equal(model.get_audio_features(**inputs).pooler_output, both.audio_embeds)
    assert torch.equal(model.get_text_features(**inputs).pooler_output, both.text_embeds)


@pytest.mark.parametrize("call", ["get_audio_features", "get_text_features", "__call__"])
@pytest.mark.parametrize(
    "wrong", [{"foo": 3}, {"pixel_values": torch.zeros(1)}, {"output_hidden_state": True}]
)
def test_an_unknown_keyword_is_refused_by_name(inputs, call, wrong):
    with pytest.raises(TypeError, match=f"takes no argument '{next(iter(wrong))}'"):
        getattr(tiny_model(), call)(**inputs, **wrong)


@pytest.mark.parametrize("name", sorted(AUDIO_MODELS))
def test_towers_refuse_unknown_keywords_too(name):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    frames = {"num_frames": 64, "num_mel_bins": 32, "patchout_time": 0, "patchout_frequency": 0}
    model = AUDIO_MODELS[name](AUDIO_CONFIGS[name](**sizes, **frames)).eval()
    features = torch.zeros(1, 64, 32)
    for wrong in ({"attention_mask": torch.ones(1, 64)}, {"foo": 3}):
        with pytest.raises(TypeError, match=f"takes no argument '{next(iter(wrong))}'"):
            model(features, **wrong)
    plain = model(features).pooler_output
    # What training code passes to every model, and what wrappers pass as None.
    assert torch.equal(model(features, num_items_in_batch=4, inputs_embeds=None).pooler_output, plain)
    # And all that the feature extractor returns.
    assert torch.equal(model(features, segment_counts=torch.tensor([1])).pooler_output, plain)


def test_what_every_model_takes_is_taken(inputs):
    model = tiny_model()
    expected = model(**inputs).logits_per_audio
    got = model(
        **inputs, num_items_in_batch=torch.tensor(3), use_cache=False, inputs_embeds=None, labels=None
    )
    assert torch.equal(got.logits_per_audio, expected)


def test_keywords_of_one_tower_reach_it_alone(inputs):
    model = tiny_model()
    shifted = model(**inputs, position_ids=torch.arange(1, 7)[None])
    plain = model(**inputs)
    assert not torch.allclose(shifted.text_embeds, plain.text_embeds, atol=1e-4)
    assert torch.equal(shifted.audio_embeds, plain.audio_embeds)


# ---------------------------------------------------------------------------------------- embeddings


def test_input_embeddings_are_the_text_towers(inputs, tmp_path):
    model = tiny_model()
    table = model.get_input_embeddings()
    assert table is model.text_model.get_input_embeddings() and isinstance(table, torch.nn.Embedding)
    before, size = model(**inputs).text_embeds, table.num_embeddings
    model.resize_token_embeddings(size + 7)
    assert model.get_input_embeddings().num_embeddings == model.config.text_config.vocab_size == size + 7
    assert torch.equal(model(**inputs).text_embeds, before)
    model.save_pretrained(tmp_path)
    assert AuricleModel.from_pretrained(tmp_path).get_input_embeddings().num_embeddings == size + 7
    fresh = torch.nn.Embedding(size, 16)
    model.set_input_embeddings(fresh)
    assert model.text_model.get_input_embeddings() is fresh
    assert not torch.allclose(model(**inputs).text_embeds, before, atol=1e-3)


# ------------------------------------------------------------------------------------------- devices

SPLIT = {
    "audio_model": "cpu",
    "text_model": "disk",
    "audio_projection": "disk",
    "text_projection": "cpu",
}


@pytest.mark.parametrize("learned", [False, True], ids=["fixed temperature", "learned temperature"])
@pytest.mark.parametrize("placed", [{"": "disk"}, SPLIT, "auto"], ids=["all on disk", "some on disk", "auto"])
def test_offloaded_to_disk_it_answers_alike(inputs, tmp_path, learned, placed):
    model = tiny_model(learn_temperature=learned)
    model.save_pretrained(tmp_path / "model")
    if placed == SPLIT and learned:
        placed = {**SPLIT, "logit_scale": "cpu"}
    memory = {"max_memory": {"cpu": 60_000}} if placed == "auto" else {}
    offloaded = AuricleModel.from_pretrained(
        tmp_path / "model", device_map=placed, offload_folder=tmp_path / "offload", **memory
    )
    assert {str(place) for place in offloaded.hf_device_map.values()} & {"disk"}
    assert any(parameter.device.type == "meta" for parameter in offloaded.parameters())
    expected, got = model(**inputs, return_loss=True), offloaded(**inputs, return_loss=True)
    for name in ("loss", "logits_per_audio", "logit_scale", "audio_embeds", "text_embeds"):
        assert torch.equal(got[name], expected[name]), name


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_towers_may_lie_on_two_devices(learned, pooling):
    with torch.device("meta"):
        model = AuricleModel(tiny_config(learn_temperature=learned, text_pooling=pooling)).eval()
    # Tensors without contents know their device, and mixing two of them is the error it would be on the real ones.
    with FakeTensorMode(allow_non_fake_inputs=True):
        for part in (model.audio_model, model.audio_projection):
            part.to_empty(device="cuda:1")
        for part in (model.text_model, model.text_projection):
            part.to_empty(device="cuda:0")
        if learned:
            model.logit_scale = torch.nn.Parameter(torch.empty((), device="cuda:0"))
        output = model(
            input_features=torch.empty(3, 100, 32, device="cuda:1"),
            input_ids=torch.ones(3, 6, dtype=torch.int64, device="cuda:0"),
            attention_mask=torch.ones(3, 6, dtype=torch.int64, device="cuda:0"),
        )
        assert output.logits_per_audio.shape == (3, 3)
        assert str(output.logits_per_audio.device) == "cuda:1"
        with pytest.raises(Exception, match="two devices"):
            output.audio_embeds @ output.text_embeds.T
