"""The dual encoder's public contract: outputs, loss, pooling, attention paths, modes, saving."""

import math
from dataclasses import fields

import pytest
import torch
from tiny_models import (
    tiny_model,
    tiny_model_and_processor,
    tiny_text_config,
    write_sound,
)
from transformers import AutoModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from auricle.modeling import AuricleModel, AuricleOutput, contrastive_loss


def random_inputs(seed=0):
    """Three clips of 1, 3 and 2 segments, three sentences of 6, 4 and 2 tokens."""
    generator = torch.Generator().manual_seed(seed)
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2, [1] * 2 + [0] * 4])
    return {
        "input_features": torch.randn(6, 100, 32, generator=generator),
        "segment_counts": torch.tensor([1, 3, 2]),
        "input_ids": torch.randint(5, 100, (3, 6), generator=generator) * mask,
        "attention_mask": mask,
    }


TEXT = ("input_ids", "attention_mask")
AUDIO = ("input_features", "segment_counts")


def part(inputs, names):
    return {name: inputs[name] for name in names}


# ------------------------------------------------------------------------------------ what comes out


def test_both_modalities():
    output = tiny_model()(**random_inputs())
    assert type(output) is AuricleOutput
    assert output.loss is None
    assert output.audio_embeds.shape == output.text_embeds.shape == (3, 12)
    for embeds in (output.audio_embeds, output.text_embeds):
        torch.testing.assert_close(embeds.norm(dim=1), torch.ones(3))
    cosines = output.audio_embeds.double() @ output.text_embeds.double().T
    torch.testing.assert_close(output.logits_per_audio.double(), cosines / 0.05, atol=1e-5, rtol=0)
    assert torch.equal(output.logits_per_text, output.logits_per_audio.T)
    assert output.logit_scale.item() == pytest.approx(20.0)


def test_one_modality_alone_gives_the_same_embeddings():
    model, inputs = tiny_model(), random_inputs()
    both = model(**inputs)
    audio, text = model(**part(inputs, AUDIO)), model(**part(inputs, TEXT))
    assert torch.equal(audio.audio_embeds, both.audio_embeds)
    assert torch.equal(text.text_embeds, both.text_embeds)
    parts = ((audio, {"audio_embeds", "audio_model_output"}), (text, {"text_embeds", "text_model_output"}))
    for output, given in parts:
        filled = {field.name for field in fields(output) if getattr(output, field.name) is not None}
        assert filled == given | {"logit_scale"}


def test_features_are_the_forwards_embeddings():
    model, inputs = tiny_model(), random_inputs()
    both = model(**inputs)
    audio = model.get_audio_features(**part(inputs, AUDIO))
    text = model.get_text_features(**part(inputs, TEXT))
    assert torch.equal(audio.pooler_output, both.audio_embeds)
    assert torch.equal(text.pooler_output, both.text_embeds)
    assert audio.last_hidden_state.shape == (6, 2 + 3 * 6, 24)
    assert text.last_hidden_state.shape == (3, 6, 16)


@pytest.mark.parametrize("method", ["get_audio_features", "get_text_features"])
def test_features_declare_what_they_return(method):
    # Generic libraries read the annotation to find the embedding.
    annotation = getattr(AuricleModel, method).__annotations__["return"]
    assert annotation in (BaseModelOutputWithPooling, "BaseModelOutputWithPooling")
    assert "last_hidden_state" not in {field.name for field in fields(AuricleOutput)}


def test_tuples_on_request():
    model, inputs = tiny_model(), random_inputs()
    output = model(**inputs, return_loss=True)
    values = model(**inputs, return_loss=True, return_dict=False)
    assert isinstance(values, tuple)
    torch.testing.assert_close(values, output.to_tuple(), atol=0, rtol=0)
    assert [len(value) for value in values if isinstance(value, tuple)] == [2, 2]
    tokens, pooled = model.get_text_features(**part(inputs, TEXT), return_dict=False)
    assert torch.equal(pooled, output.text_embeds)
    assert tokens.shape == (3, 6, 16)


def test_segments_are_averaged_before_the_projection():
    model, inputs = tiny_model(), random_inputs()
    segments = model.audio_model(inputs["input_features"]).pooler_output
    clips = torch.stack([segments[:1].mean(0), segments[1:4].mean(0), segments[4:].mean(0)])
    expected = torch.nn.functional.normalize(model.audio_projection(clips), dim=1)
    torch.testing.assert_close(model(**part(inputs, AUDIO)).audio_embeds, expected, atol=1e-6, rtol=0)
    pooled = model.pool_audio(inputs["input_features"])
    assert torch.equal(pooled, segments)
    assert torch.equal(model.project_audio(pooled, inputs["segment_counts"]), model(**inputs).audio_embeds)


def test_without_counts_every_segment_is_a_clip():
    model, features = tiny_model(), random_inputs()["input_features"]
    one_each = model(input_features=features, segment_counts=torch.ones(6, dtype=torch.int64))
    assert torch.equal(model(input_features=features).audio_embeds, one_each.audio_embeds)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_text_pooling(pooling):
    model, inputs = tiny_model(text_pooling=pooling), random_inputs()
    tokens = model.text_model(**part(inputs, TEXT)).last_hidden_state
    if pooling == "cls":
        pooled = tokens[:, 0]
    else:
        pooled = torch.stack([tokens[0].mean(0), tokens[1, :4].mean(0), tokens[2, :2].mean(0)])
    torch.testing.assert_close(model.pool_text(**part(inputs, TEXT)), pooled, atol=1e-6, rtol=0)
    expected = torch.nn.functional.normalize(model.text_projection(pooled), dim=1)
    got = model.get_text_features(**part(inputs, TEXT)).pooler_output
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_padding_does_not_change_a_sentence(pooling):
    model, inputs = tiny_model(text_pooling=pooling), random_inputs()
    together = model(**part(inputs, TEXT)).text_embeds
    for row, length in enumerate((6, 4, 2)):
        alone = model(input_ids=inputs["input_ids"][row : row + 1, :length]).text_embeds
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-6, rtol=0)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_pooled_text_stands_in_for_the_sentences(pooling):
    model, inputs = tiny_model(text_pooling=pooling), random_inputs()
    pooled = model.pool_text(**part(inputs, TEXT))
    assert pooled.shape == (3, 16)
    output = model(**part(inputs, AUDIO), pooled_text=pooled, return_loss=True)
    expected = model(**inputs, return_loss=True)
    assert torch.equal(output.text_embeds, expected.text_embeds)
    assert torch.equal(output.loss, expected.loss)


# ---------------------------------------------------------------------------------- loss, temperature


def test_loss_is_the_contrastive_loss_of_the_logits():
    model, inputs = tiny_model(), random_inputs()
    plain = model(**inputs, return_loss=True)
    torch.testing.assert_close(plain.loss, contrastive_loss(plain.logits_per_audio))
    mask = torch.tensor([[True, True, False], [False, True, False], [True, False, True]])
    several = model(**inputs, positive_mask=mask, return_loss=True)
    torch.testing.assert_close(several.loss, contrastive_loss(plain.logits_per_audio, mask))
    assert several.loss.item() != pytest.approx(plain.loss.item(), rel=1e-3)


def test_more_captions_than_clips():
    model, inputs = tiny_model(), random_inputs()
    inputs |= {"input_features": inputs["input_features"][:3], "segment_counts": torch.tensor([1, 2])}
    mask = torch.tensor([[True, False, True], [False, True, False]])
    output = model(**inputs, positive_mask=mask, return_loss=True)
    assert output.logits_per_audio.shape == (2, 3)
    torch.testing.assert_close(output.loss, contrastive_loss(output.logits_per_audio, mask))
    with pytest.raises(ValueError, match="2 clips and 3 captions"):
        model(**inputs, return_loss=True)


def test_every_trainable_part_gets_a_gradient():
    model, inputs = tiny_model(learn_temperature=True), random_inputs()
    model(**inputs, return_loss=True).loss.backward()
    # The position table of a full segment is used in full; with nothing dropped no parameter is idle.
    idle = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # A bias on the keys shifts all scores of a query alike: the softmax takes its gradient away.
    assert [name for name in idle if "key.bias" not in name] == []


def test_the_temperature_is_fixed_by_default():
    model = tiny_model(temperature=0.1)
    assert not any("logit_scale" in name for name, _ in model.named_parameters())
    assert model(**random_inputs()).logit_scale.item() == pytest.approx(10.0)
    assert not model.current_logit_scale().requires_grad


def test_the_temperature_is_learned_by_choice():
    model, inputs = tiny_model(temperature=0.1, learn_temperature=True), random_inputs()
    assert model.logit_scale.item() == pytest.approx(math.log(10.0))
    loss = model(**inputs, return_loss=True).loss
    loss.backward()
    step = 1e-2
    with torch.no_grad():
        model.logit_scale += step
        slope = (model(**inputs, return_loss=True).loss - loss) / step
    assert model.logit_scale.grad.item() == pytest.approx(slope.item(), rel=0.1)
    assert abs(slope.item()) > 1e-3


def test_a_learned_temperature_cannot_run_away():
    model = tiny_model(learn_temperature=True)
    with torch.no_grad():
        model.logit_scale.fill_(50.0)
    assert model(**random_inputs()).logit_scale.item() == pytest.approx(100.0)


# ------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("names", "extra", "message"),
    [
        ((), {}, "nothing to embed"),
        (AUDIO, {"return_loss": True}, "needs both sounds and sentences"),
        (TEXT, {"return_loss": True}, "needs both sounds and sentences"),
        (AUDIO + TEXT, {"pooled_text": torch.zeros(3, 16)}, "input_ids or pooled_text, not both"),
        (AUDIO[:1], {"segment_counts": torch.tensor([1, 3])}, r"segment_counts=\[1, 3\].*6 segments"),
        (AUDIO[:1], {"segment_counts": torch.tensor([6, 0])}, r"segment_counts=\[6, 0\]"),
    ],
)
def test_faulty_calls_are_named(names, extra, message):
    with pytest.raises(ValueError, match=message):
        tiny_model()(**part(random_inputs(), names), **extra)


def test_a_text_config_with_another_precision_does_not_split_the_model():
    values = {**tiny_text_config().to_dict(), "dtype": "float16"}
    model = tiny_model(text_config=values)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model(**random_inputs(), return_loss=True).loss.isfinite()


# ----------------------------------------------------------------------------- attention, modes, saving


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_sdpa_equals_eager(pooling):
    model, inputs = tiny_model(text_pooling=pooling), random_inputs()
    kinds = [model.audio_model.config, model.text_model.config]
    assert {config._attn_implementation for config in kinds} == {"sdpa"}
    sdpa = model(**inputs)
    model.set_attn_implementation("eager")
    assert {config._attn_implementation for config in kinds} == {"eager"}
    eager = model(**inputs)
    torch.testing.assert_close(sdpa.audio_embeds, eager.audio_embeds, atol=1e-6, rtol=0)
    torch.testing.assert_close(sdpa.text_embeds, eager.text_embeds, atol=1e-6, rtol=0)


def test_attention_looks_both_ways():
    # The first frames' tokens must feel a change in the last ones; a causal slip would hide it.
    model, features = tiny_model(), random_inputs()["input_features"][:1]
    changed = features.clone()
    changed[:, 90:] += 3.0
    before, after = (model.get_audio_features(f).last_hidden_state for f in (features, changed))
    assert (before - after).abs().amax(dim=-1).min() > 1e-4


def test_hidden_states_and_attentions_on_request():
    model, features = tiny_model(), random_inputs()["input_features"]
    model.set_attn_implementation("eager")
    output = model.get_audio_features(features, output_hidden_states=True, output_attentions=True)
    assert [state.shape for state in output.hidden_states] == [(6, 20, 24)] * 3
    assert [weights.shape for weights in output.attentions] == [(6, 2, 20, 20)] * 2
    torch.testing.assert_close(output.attentions[0].sum(-1), torch.ones(6, 2, 20))


def test_evaluation_drops_nothing_and_training_draws_from_the_generator():
    model, inputs = tiny_model(), part(random_inputs(), AUDIO)
    assert torch.equal(model(**inputs).audio_embeds, model(**inputs).audio_embeds)
    tokens = model.get_audio_features(inputs["input_features"]).last_hidden_state.shape[1]
    assert tokens == 2 + 3 * 6
    model.train()
    runs = [model(**inputs, generator=torch.Generator().manual_seed(seed)).audio_embeds for seed in (3, 3, 4)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.allclose(runs[0], runs[2], atol=1e-3)
    features = model.get_audio_features(inputs["input_features"], generator=torch.Generator().manual_seed(3))
    assert features.last_hidden_state.shape[1] == 2 + 2 * 4


def test_checkpointing_gives_the_same_gradients():
    def gradients(checkpointing):
        model = tiny_model(learn_temperature=True).train()
        if checkpointing:
            model.activation_checkpointing_enable()
        calls = []
        # Hooks of a layer itself stay outside its checkpoint; those of its first part run in the second pass too.
        parts = [block.norm1 for block in model.audio_model.blocks]
        parts += [layer.attention for layer in model.text_model.encoder.layer]
        for part_of_layer in parts:
            part_of_layer.register_forward_pre_hook(lambda *_: calls.append(1))
        generator = torch.Generator().manual_seed(0)
        model(**random_inputs(), return_loss=True, generator=generator).loss.backward()
        return {n: p.grad for n, p in model.named_parameters()}, len(calls)

    plain, once = gradients(False)
    saved, twice = gradients(True)
    assert (once, twice) == (4, 8)
    for name, gradient in plain.items():
        torch.testing.assert_close(saved[name], gradient, atol=1e-6, rtol=1e-5, msg=name)


def test_saved_and_loaded_it_is_the_same_model(tmp_path):
    model, inputs = tiny_model(learn_temperature=True, temperature=0.07), random_inputs()
    with torch.no_grad():
        model.logit_scale += 0.3
    model.save_pretrained(tmp_path)
    # Leaves garbage in the memory that the loader is given, for buffers that nobody fills.
    torch.full((2**20,), float("nan"))
    again = AuricleModel.from_pretrained(tmp_path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    buffers = dict(again.named_buffers())
    assert list(buffers) == [name for name, _ in model.named_buffers()]
    for name, tensor in model.named_buffers():
        assert torch.equal(buffers[name], tensor), name
    assert torch.equal(again(**inputs).logits_per_audio, model(**inputs).logits_per_audio)


def test_weights_are_drawn_from_the_seed():
    first, same, other = (tiny_model(seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(same[name], tensor) for name, tensor in first.items())
    assert not torch.equal(first["audio_projection.weight"], other["audio_projection.weight"])
    for name in ("cls_token", "dist_token", "new_pos_embed", "time_new_pos_embed", "freq_new_pos_embed"):
        assert first[f"audio_model.{name}"].std() > 0.05, name


def test_missing_weights_are_drawn_and_not_left_undefined(tmp_path):
    model = tiny_model(learn_temperature=True)
    model.save_pretrained(
        tmp_path, state_dict={n: t for n, t in model.state_dict().items() if n.startswith("text_model")}
    )
    torch.full((2**20,), float("nan"))
    again, report = AuricleModel.from_pretrained(tmp_path, output_loading_info=True)
    assert any("cls_token" in name for name in report["missing_keys"])
    assert all(tensor.isfinite().all() for tensor in again.state_dict().values())
    assert again.logit_scale.item() == pytest.approx(math.log(20.0))
    for name in ("cls_token", "dist_token", "new_pos_embed", "time_new_pos_embed", "freq_new_pos_embed"):
        assert 0.05 < getattr(again.audio_model, name).std() < 0.5, name


def test_a_tower_can_be_saved_alone(tmp_path):
    model, features = tiny_model(), random_inputs()["input_features"]
    model.audio_model.save_pretrained(tmp_path)
    alone = AutoModel.from_pretrained(tmp_path, trust_remote_code=True).eval()
    assert type(alone).__name__ == "PasstModel"
    assert torch.equal(alone(features).pooler_output, model.pool_audio(features))


# -------------------------------------------------------------------------------- with other libraries


def test_sentence_transformers_load_and_encode_both(tmp_path):
    library = pytest.importorskip("sentence_transformers")
    model, processor = tiny_model_and_processor(tmp_path)
    saved = tmp_path / "saved"
    model.save_pretrained(saved)
    processor.save_pretrained(saved)
    sentences, clip = ["a dog barks", "rain falls"], write_sound(tmp_path / "clip.wav", 2.5)
    encoder = library.SentenceTransformer(str(saved), trust_remote_code=True, device="cpu")
    with torch.no_grad():
        text = model.get_text_features(**processor(text=sentences)).pooler_output
        audio = model.get_audio_features(**processor(audio=[str(clip)])).pooler_output
    got = encoder.encode(sentences, convert_to_tensor=True, show_progress_bar=False)
    torch.testing.assert_close(got, text, atol=1e-6, rtol=0)
    waveform = processor.feature_extractor.load(str(clip))
    got = encoder.encode(
        [{"array": waveform, "sampling_rate": 16_000}], convert_to_tensor=True, show_progress_bar=False
    )
    torch.testing.assert_close(got, audio, atol=1e-6, rtol=0)
