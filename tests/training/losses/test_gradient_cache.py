"""A batch in micro-batches against the batch at once: the same loss and gradients, and the same draws twice."""

import pytest
import torch
from tiny_models import tiny_audio_config, tiny_model, tiny_text_config

from auricle.training.losses.cluster_loss import cluster_losses
from auricle.training.losses.gradient_cache import GradientCache, cut_batch
from auricle.training.losses.gradient_gather import (
    gathered_contrastive_loss,
    gathered_distillation_loss,
    gathered_similarities,
)

COUNTS = torch.tensor([1, 2, 1, 3, 1, 1, 2])  # segments a clip
PAIRS, CLUSTERS = len(COUNTS), 3
GROUPS = torch.tensor([0, 1, 2, 0, 4, 1, 6])
TOWERS = {
    "passt": {},
    "beats": {
        "model_type": "auricle_beats",
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "patch_embed_dim": 12,
        "num_conv_pos_embeddings": 8,
        "num_conv_pos_embedding_groups": 2,
    },
    "eat": {
        "model_type": "auricle_eat",
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "num_frames": 112,
    },
}


def make_model(tower="passt", *, dropout=0.0, patchout=False):
    """A tiny model with cluster heads and a learned temperature, in training mode."""
    text = tiny_text_config()
    text.hidden_dropout_prob = text.attention_probs_dropout_prob = dropout
    if tower == "passt":
        # Each segment shorter than the position table also draws an offset.
        audio = tiny_audio_config(patchout_frequency=int(patchout), patchout_time=2 * int(patchout))
    else:
        audio = {**TOWERS[tower], "patchout_unstructured": 3 if patchout else 0}
    options = {"learn_temperature": True, "num_clusters": CLUSTERS, "temperature": 0.2}
    return tiny_model(audio_config=audio, text_config=text, **options).train()


def make_batch(tower="passt"):
    generator = torch.Generator().manual_seed(1)
    frames, mels = (100, 32) if tower == "passt" else (112, 128)
    mask = torch.ones(PAIRS, 9, dtype=torch.int64)
    mask[::2, 6:] = 0
    batch = {
        "input_features": torch.randn(int(COUNTS.sum()), frames, mels, generator=generator),
        "segment_counts": COUNTS,
        "input_ids": torch.randint(5, 40, (PAIRS, 9), generator=generator),
        "attention_mask": mask,
    }
    if tower == "beats":
        real = torch.ones(int(COUNTS.sum()), frames, dtype=torch.int64)
        real[1::2, 60:] = 0
        batch["audio_attention_mask"] = real
    return batch


def loss_of(outputs):
    """All losses of a stage, weighted."""
    generator = torch.Generator().manual_seed(2)
    teachers = torch.nn.functional.normalize(torch.randn(2, PAIRS, 5, generator=generator), dim=-1)
    labels = torch.randint(CLUSTERS, (PAIRS,), generator=generator)
    similarities = gathered_similarities(outputs.audio_embeds, outputs.text_embeds)
    return (
        gathered_contrastive_loss(similarities, GROUPS, outputs.logit_scale)
        + 0.7 * gathered_distillation_loss(similarities, *teachers, 1 / outputs.logit_scale)
        + 0.05 * sum(cluster_losses(outputs.audio_cluster_logits, outputs.text_cluster_logits, labels))
    )


def gradients_of(model, batch, size=None):
    """Loss and gradients of the batch at once, or in micro-batches of ``size``."""
    model.zero_grad()
    options = {"generator": torch.Generator().manual_seed(3), "return_cluster_logits": True}
    torch.manual_seed(4)
    if size is None:
        loss = loss_of(model(**batch, **options))
        loss.backward()
    else:
        cache = GradientCache(size)
        loss = loss_of(cache.forward(model, batch, **options))
        loss.backward()
        cache.backward(model)
    return loss.detach(), {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def largest_difference(ours, theirs):
    assert ours.keys() == theirs.keys()
    return max((ours[name] - theirs[name]).abs().max().item() for name in ours)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 100])
def test_gradients_are_those_of_the_whole_batch(size):
    """Of sizes that divide seven pairs and of those that do not."""
    model, batch = make_model().double(), make_batch()
    batch["input_features"] = batch["input_features"].double()
    loss, plain = gradients_of(model, batch)
    cached_loss, cached = gradients_of(model, batch, size)
    assert plain["logit_scale"].abs() > 1e-3 and len(plain) > 50
    assert cached_loss.item() == pytest.approx(loss.item(), abs=1e-6)
    assert largest_difference(cached, plain) < 1e-6


@pytest.mark.parametrize("tower", TOWERS)
def test_in_float32_as_well_and_with_token_drop(tower):
    """All micro-batches drop the tokens that the whole batch drops."""
    model, batch = make_model(tower, patchout=True), make_batch(tower)
    _, plain = gradients_of(model, batch)
    _, cached = gradients_of(model, batch, 3)
    largest = max(gradient.abs().max().item() for gradient in plain.values())
    assert largest_difference(cached, plain) < 1e-6 * max(1.0, largest)


def test_smaller_batches_have_other_gradients():
    """What is compared above could not be had by adding up the gradients of smaller batches."""
    model, batch = make_model(), make_batch()
    _, plain = gradients_of(model, batch)
    model.zero_grad()
    for cut in cut_batch(batch, 4):
        model(**cut, return_loss=True).loss.backward()
    added = {name: p.grad for name, p in model.named_parameters() if name in ("audio_projection.weight",)}
    assert (added["audio_projection.weight"] - plain["audio_projection.weight"]).abs().max() > 1e-2


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("tower", TOWERS)
def test_the_second_forward_pass_equals_the_first_bit_for_bit(tower, checkpointing):
    model, batch = make_model(tower, dropout=0.3, patchout=True), make_batch(tower)
    if checkpointing:
        model.gradient_checkpointing_enable()
    seen = []
    model.register_forward_hook(lambda module, given, outputs: seen.append(outputs))
    gradients_of(model, batch, 3)
    first, second = seen[:3], seen[3:]
    assert len(second) == 3
    for one, other in zip(first, second, strict=True):
        for name in ("audio_embeds", "text_embeds", "audio_cluster_logits", "text_cluster_logits"):
            assert torch.equal(one[name], other[name])
    # Dropout was on: without the saved states the passes differ.
    torch.manual_seed(5)
    again = model(**cut_batch(batch, 3)[0], generator=torch.Generator().manual_seed(3))
    assert not torch.equal(again.text_embeds, first[0].text_embeds)


def test_with_checkpointed_activations_the_gradients_are_the_same():
    model, batch = make_model(dropout=0.3, patchout=True), make_batch()
    _, expected = gradients_of(model, batch, 3)
    model.gradient_checkpointing_enable()
    _, recomputed = gradients_of(model, batch, 3)
    assert largest_difference(recomputed, expected) < 1e-6


def test_random_numbers_after_a_step_go_on_as_after_the_first_pass():
    """So that a resume, which restores the state between steps, needs to know nothing of micro-batches."""
    model, batch = make_model(dropout=0.3), make_batch()
    torch.manual_seed(4)
    cache = GradientCache(3)
    loss = loss_of(cache.forward(model, batch, return_cluster_logits=True))
    expected = torch.get_rng_state()
    loss.backward()
    cache.backward(model)
    assert torch.equal(torch.get_rng_state(), expected)


def test_only_one_micro_batch_is_held_for_the_backward_pass():
    """Numbers that graphs save are counted: nothing stays of the first pass, and one micro-batch in the second."""
    model, batch = make_model(), make_batch()
    held = [0, 0]

    class Saved:
        def __init__(self, tensor):
            # Detached: a saved output would otherwise hold the graph that holds it.
            self.tensor = tensor.detach()
            held[0] += tensor.numel()
            held[1] = max(held)

        def __del__(self):
            held[0] -= self.tensor.numel()

    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
        outputs = model(**batch, return_cluster_logits=True)
        whole = held[1]
        del outputs
        held[:] = [0, 0]
        cache = GradientCache(2)
        outputs = cache.forward(model, batch, return_cluster_logits=True)
        assert held[0] == 0
        loss_of(outputs).backward()
        del outputs
        cache.backward(model)
    assert whole > 100_000 and held[1] < 0.5 * whole


def test_without_a_forward_pass_there_is_nothing_to_continue():
    with pytest.raises(RuntimeError, match="no forward pass"):
        GradientCache(2).backward(make_model())
    with pytest.raises(ValueError, match="micro_batch_size=0 must be at least 1"):
        GradientCache(0)
