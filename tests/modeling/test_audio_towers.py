"""What all audio towers promise besides the numbers: attention paths, training, saving, clear errors."""

import pytest
import torch

from auricle.modeling import AUDIO_CONFIGS, AUDIO_MODELS, BeatsConfig, BeatsModel, EatConfig, PatchSelection
from auricle.modeling.int8 import Int8Linear, quantize_linear_layers
from auricle.modeling.structured_patchout import kept_positions

TINY = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 96}
SMALL_INPUT = {"num_frames": 128, "patchout_time": 0, "patchout_frequency": 0}
TOWERS = sorted(AUDIO_CONFIGS)


def tiny_tower(name: str, **changes):
    torch.manual_seed(0)
    extra = {"patch_embed_dim": 32} if name == "auricle_beats" else {}
    model = AUDIO_MODELS[name](AUDIO_CONFIGS[name](**{**TINY, **SMALL_INPUT, **extra, **changes}))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def features(segments: int = 3, frames: int = 128, seed: int = 0) -> torch.Tensor:
    return torch.randn(segments, frames, 128, generator=torch.Generator().manual_seed(seed))


def beats_mask(counts: list[int], frames: int = 128) -> torch.Tensor:
    return (torch.arange(frames) < torch.tensor(counts)[:, None]).long()


@pytest.mark.parametrize("name", TOWERS)
def test_contract(name):
    model = tiny_tower(name)
    output = model(features(), output_hidden_states=True)
    assert output.pooler_output.shape == (3, 48)
    assert output.last_hidden_state.shape[0] == 3 and output.last_hidden_state.shape[2] == 48
    assert len(output.hidden_states) == 4
    assert torch.equal(output.hidden_states[0].isfinite().all(), torch.tensor(True))
    assert isinstance(model(features(), return_dict=False), tuple)


@pytest.mark.parametrize("name", TOWERS)
def test_attention_paths_agree(name):
    model = tiny_tower(name)
    mask = {"audio_attention_mask": beats_mask([128, 50, 17])} if name == "auricle_beats" else {}
    if name == "auricle_eat":
        mask = {"patch_attention_mask": torch.arange(64) < torch.tensor([[64], [30], [9]])}
    with torch.no_grad():
        fast = model(features(), **mask)
        model.set_attn_implementation("eager")
        slow = model(features(), **mask, output_attentions=True)
    assert (fast.pooler_output - slow.pooler_output).abs().max() < 2e-6
    assert len(slow.attentions) == 3
    weights = slow.attentions[0]
    assert torch.allclose(weights.sum(dim=-1), torch.ones(()), atol=1e-5)
    if name == "auricle_beats":
        assert weights[1, ..., 24:].abs().max() == 0, "a key under padding got attention"


@pytest.mark.parametrize("name", TOWERS)
def test_gradient_checkpointing_changes_no_gradient(name):
    gradients = []
    for checkpointing in (False, True):
        model = tiny_tower(name).train()
        if checkpointing:
            model.activation_checkpointing_enable()
        model(features()).pooler_output.square().sum().backward()
        gradients.append({key: parameter.grad for key, parameter in model.named_parameters()})
    missing = [key for key, gradient in gradients[0].items() if gradient is None]
    assert not missing
    for key, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][key], rtol=1e-4, atol=1e-6), key


@pytest.mark.parametrize("name", TOWERS)
def test_patchout_drops_in_training_only_and_follows_the_generator(name):
    model = tiny_tower(name, patchout_time=3, patchout_frequency=2, patchout_unstructured=4)
    special = {"auricle_passt": 2, "auricle_eat": 1, "auricle_beats": 0}[name]
    with torch.no_grad():
        whole = model(features()).last_hidden_state
        assert whole.shape[1] == special + 64
        model.train()
        first, again, other = (
            model(features(), generator=torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)
        )
    assert first.last_hidden_state.shape[1] == special + (8 - 3) * (8 - 2) - 4
    assert torch.equal(first.pooler_output, again.pooler_output)
    assert not torch.equal(first.pooler_output, other.pooler_output)


@pytest.mark.parametrize("name", ["auricle_beats", "auricle_eat"])
def test_patchout_is_off_by_default(name):
    config = AUDIO_CONFIGS[name]()
    assert config.patchout_time == config.patchout_frequency == config.patchout_unstructured == 0
    model = tiny_tower(name)
    with torch.no_grad():
        assert torch.equal(model(features()).pooler_output, model.train()(features()).pooler_output)


def test_a_kept_patch_keeps_its_own_position():
    """Patch (row 2, column 5) of 8 x 8 is token 42 of the column-major sequence, dropped neighbours or not."""
    selection = PatchSelection(time=torch.tensor([1, 5]), frequency=torch.tensor([2, 7]))
    assert kept_positions(8, 8, selection).tolist() == [10, 15, 42, 47]
    assert kept_positions(8, 8, PatchSelection()) is None
    model = tiny_tower("auricle_beats")
    positions = torch.tensor([10, 15, 42, 47])
    attention = model.encoder.layers[0].self_attn
    whole = attention.position_bias(torch.arange(64))
    assert torch.equal(attention.position_bias(positions), whole[:, positions][:, :, positions])


def test_beats_never_drops_all_of_a_padded_segment():
    model = tiny_tower("auricle_beats", patchout_time=7).train()
    mask = beats_mask([128, 16, 16])
    for seed in range(8):
        output = model(features(), mask, generator=torch.Generator().manual_seed(seed))
        assert output.pooler_output.isfinite().all()
        assert output.pooler_output.abs().sum(dim=1).min() > 1e-3


def test_beats_ignores_what_lies_under_padding():
    model = tiny_tower("auricle_beats")
    noisy = features()
    mask = beats_mask([128, 40, 16])
    clean = noisy.clone()
    clean[1, 32:], clean[2, 16:] = 1e4, float("nan")
    with torch.no_grad():
        assert torch.equal(model(noisy, mask).pooler_output, model(clean, mask).pooler_output)


@pytest.mark.parametrize("name", TOWERS)
def test_saved_and_loaded_towers_are_equal_in_every_tensor(name, tmp_path):
    model = tiny_tower(name)
    if name == "auricle_eat":
        # The published table is rounded to half precision; a recomputed one would differ.
        model.fixed_positional_encoder.positions.copy_(
            model.fixed_positional_encoder.positions.half().float()
        )
    model.save_pretrained(tmp_path)
    poison = [torch.full((1 << 20,), 3.3e7) for _ in range(4)]
    del poison
    again = AUDIO_MODELS[name].from_pretrained(tmp_path)
    before, after = model.state_dict(), again.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not [key for key, _ in again.named_buffers() if key not in after], "a buffer that is not saved"
    with torch.no_grad():
        assert torch.equal(model(features()).pooler_output, again.eval()(features()).pooler_output)


@pytest.mark.parametrize("name", TOWERS)
def test_half_precision_stays_close(name):
    model = tiny_tower(name)
    with torch.no_grad():
        full = model(features()).pooler_output
        half = model.to(torch.bfloat16)(features()).pooler_output
    assert half.dtype == torch.bfloat16
    assert torch.nn.functional.cosine_similarity(full, half.float()).min() > 0.99


@pytest.mark.parametrize("name", TOWERS)
def test_autocast_runs_with_masks_and_trains(name):
    model = tiny_tower(name).train()
    mask = {"audio_attention_mask": beats_mask([128, 50, 17])} if name == "auricle_beats" else {}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(features(), **mask)
    output.pooler_output.float().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", TOWERS)
def test_wrong_input_is_refused_with_what_would_fit(name):
    model = tiny_tower(name)
    with pytest.raises(ValueError, match=r"\(3, 128, 64\).*\(segments, frames, 128 mel bins\)"):
        model(torch.zeros(3, 128, 64))
    with pytest.raises(ValueError, match="15 frames"):
        model(torch.zeros(3, 15, 128))


def test_beats_refuses_masks_that_do_not_fit():
    model = tiny_tower("auricle_beats")
    with pytest.raises(ValueError, match=r"\(3, 64\).*\(3, 128\)"):
        model(features(), beats_mask([64, 64, 64], frames=64))
    with pytest.raises(ValueError, match="segment 1 has 15 real frames.*needs 16"):
        model(features(), beats_mask([128, 15, 128]))
    holes = beats_mask([128, 128, 128])
    holes[2, 20:40] = 0
    with pytest.raises(ValueError, match="segment 2 has real frames after padding"):
        model(features(), holes)


def test_eat_refuses_what_its_positions_do_not_reach():
    model = tiny_tower("auricle_eat", max_time_patches=8)
    with pytest.raises(ValueError, match="144 frames.*16 to 143"):
        model(torch.zeros(1, 144, 128))
    with pytest.raises(ValueError, match=r"patch_attention_mask has shape \(1, 3\).*\(1, 64\)"):
        model(torch.zeros(1, 128, 128), torch.ones(1, 3))


def test_beats_without_projection_where_the_widths_agree():
    model = BeatsModel(BeatsConfig(**TINY, patch_embed_dim=48))
    assert model.post_extract_proj is None
    assert model(features(1)).pooler_output.shape == (1, 48)


@pytest.mark.parametrize(
    "config,changes,message",
    [
        (BeatsConfig, {"hidden_size": 50}, "hidden_size=50.*num_attention_heads=12"),
        (BeatsConfig, {"num_conv_pos_embedding_groups": 7}, "num_conv_pos_embedding_groups=7"),
        (BeatsConfig, {"num_buckets": 6}, "num_buckets=6"),
        (BeatsConfig, {"max_bucket_distance": 80}, "max_bucket_distance=80"),
        (BeatsConfig, {"patchout_time": 62}, "patchout_time=62.*62 columns"),
        (BeatsConfig, {"padding_mask": "none"}, "padding_mask"),
        (BeatsConfig, {"deep_nrm": True}, "deep_nrm.*deep_norm"),
        (EatConfig, {"max_time_patches": 63}, "max_time_patches=63.*64"),
        (EatConfig, {"patchout_frequency": 8}, "patchout_frequency=8.*8 rows"),
        (EatConfig, {"pooling": "max"}, "pooling"),
    ],
)
def test_impossible_configs_are_refused(config, changes, message):
    with pytest.raises(Exception, match=message):
        config(**changes)


@pytest.mark.parametrize("name", TOWERS)
def test_int8_copy_stays_close_and_leaves_the_original_alone(name):
    model = tiny_tower(name)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    small = quantize_linear_layers(model)
    with torch.no_grad():
        full, quantised = model(features()).pooler_output, small(features()).pooler_output
    assert not torch.equal(full, quantised)
    assert torch.nn.functional.cosine_similarity(full, quantised).min() > 0.998
    assert any(isinstance(module, Int8Linear) for module in small.modules())
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    with pytest.raises(ValueError, match=r"torch.bfloat16.*float32 on the CPU"):
        quantize_linear_layers(model.to(torch.bfloat16))
