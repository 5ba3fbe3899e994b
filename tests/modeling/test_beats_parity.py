"""BEATs against recorded outputs of the reference implementation, stage by stage."""

import pytest
import torch
from parity_cases import case_id, find_cases, find_checkpoints, read_case

from auricle.modeling import BeatsConfig, BeatsModel
from auricle.modeling.beats_padding import fold_padding_mask
from auricle.modeling.beats_positions import relative_position_bucket
from auricle.processing import AuricleFeatureExtractor

NETWORK_TOLERANCE = 1e-5
CASES = find_cases("beats")
STAGED = [path for path in CASES if "hidden_01" in read_case(path).outputs]
MASKED = [path for path in STAGED if "padding_mask" in read_case(path).inputs]
FRONT_END = [path for path in CASES if path.stem.startswith("frontend")]


def beats_config(reference: dict, **changes) -> BeatsConfig:
    return BeatsConfig(
        hidden_size=reference["encoder_embed_dim"],
        num_hidden_layers=reference["encoder_layers"],
        num_attention_heads=reference["encoder_attention_heads"],
        intermediate_size=reference["encoder_ffn_embed_dim"],
        patch_embed_dim=reference["embed_dim"],
        num_conv_pos_embeddings=reference["conv_pos"],
        num_conv_pos_embedding_groups=reference["conv_pos_groups"],
        num_buckets=reference["num_buckets"],
        max_bucket_distance=reference["max_distance"],
        deep_norm=reference["deep_norm"],
        **changes,
    )


def reference_model(case, **changes) -> BeatsModel:
    model = BeatsModel(beats_config(case.meta["config"], **changes))
    wanted = {
        name: tensor
        for name, tensor in case.weights.items()
        if not name.startswith("predictor")
        and (not name.endswith("relative_attention_bias.weight") or ".layers.0." in name)
    }
    model.load_state_dict(wanted, strict=True)
    return model.eval()


def assert_close(got: torch.Tensor, expected: torch.Tensor, stage: str, tolerance: float = NETWORK_TOLERANCE):
    assert got.shape == expected.shape, f"{stage}: shape {tuple(got.shape)}, not {tuple(expected.shape)}"
    difference = (got.double() - expected.double()).abs().max().item()
    assert difference <= tolerance, f"{stage}: off by {difference:.2e}"


def recorded_mask(case) -> torch.Tensor | None:
    return ~case.outputs["frame_mask"] if "frame_mask" in case.outputs else None


def test_there_are_cases_of_every_kind():
    assert STAGED and MASKED and FRONT_END and find_checkpoints("beats")


@pytest.mark.parametrize("path", STAGED, ids=case_id)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_network_matches_at_every_recorded_stage(path, attention):
    case = read_case(path)
    model = reference_model(case, padding_mask="reference")
    model.set_attn_implementation(attention)
    attended = model.encoder.layers[0].self_attn
    stages: dict[str, torch.Tensor] = {}

    def keep(name, pick=lambda arguments, out: out):
        return lambda _, arguments, out: stages.update({name: pick(arguments, out)})

    model.patch_embedding.register_forward_hook(
        keep("patch_embed", lambda _, out: out.flatten(2).transpose(1, 2))
    )
    model.layer_norm.register_forward_hook(keep("patch_ln"))
    model.encoder.register_forward_hook(keep("encoder_in", lambda arguments, _: arguments[0]))
    model.encoder.pos_conv.register_forward_hook(keep("pos_conv"))
    model.encoder.layer_norm.register_forward_hook(keep("hidden_00"))
    attended.register_forward_hook(keep("attn_out_l0", lambda _, out: out[0]))
    attended.q_proj.register_forward_hook(keep("query"))
    for index, layer in enumerate(model.encoder.layers, start=1):
        layer.register_forward_hook(keep(f"hidden_{index:02d}"))
    with torch.no_grad():
        output = model(case.outputs["fbank"], recorded_mask(case))
        query = stages["query"].unflatten(-1, (attended.num_heads, attended.head_dim)).transpose(1, 2)
        stages["gate_l0"] = attended.position_gate(query)
        stages["pos_bias"] = attended.position_bias(torch.arange(query.shape[2]))
    stages["final"] = output.last_hidden_state
    stages["mean_all"] = output.last_hidden_state.mean(dim=1)
    stages["mean_valid"] = output.pooler_output

    recorded = [name for name in case.outputs if name in stages]
    assert {"patch_embed", "patch_ln", "encoder_in", "pos_conv", "hidden_00", "hidden_01"} <= set(recorded)
    assert {"gate_l0", "attn_out_l0"} <= set(recorded)
    for name in recorded:
        assert_close(stages[name], case.outputs[name], name)
    if "probs" in case.outputs:
        head = torch.nn.functional.linear(
            output.pooler_output, case.weights["predictor.weight"], case.weights["predictor.bias"]
        )
        assert_close(head.sigmoid(), case.outputs["probs"], "probs")


@pytest.mark.parametrize("path", MASKED, ids=case_id)
def test_reference_masks_are_reproduced_exactly(path):
    case = read_case(path)
    frames, tokens = case.outputs["frame_mask"].shape[1], case.outputs["patch_mask"].shape[1]
    real_frames = fold_padding_mask(~case.inputs["padding_mask"], frames)
    assert torch.equal(~real_frames, case.outputs["frame_mask"])
    assert torch.equal(~fold_padding_mask(real_frames, tokens), case.outputs["patch_mask"])


@pytest.mark.parametrize("path", MASKED, ids=case_id)
def test_extractor_makes_the_reference_mask_on_request(path):
    case = read_case(path)
    samples = case.inputs["padding_mask"].shape[1]
    extractor = AuricleFeatureExtractor.for_tower(
        "beats", segment_seconds=samples / 16000, padding_rule="reference"
    )
    lengths = (~case.inputs["padding_mask"]).sum(dim=1)
    clips = [
        waveform[:length].numpy()
        for waveform, length in zip(case.inputs["waveform"], lengths.tolist(), strict=True)
    ]
    batch = extractor(clips, sampling_rate=16000)
    assert torch.equal(batch["audio_attention_mask"] == 0, case.outputs["frame_mask"])
    difference = (batch["input_features"] - case.outputs["fbank"]).abs()
    assert difference.max() <= 1e-3 and difference.mean() <= 1e-5


@pytest.mark.parametrize("path", FRONT_END, ids=case_id)
def test_mask_and_bucket_tables_match(path):
    case = read_case(path)
    buckets = relative_position_bucket(case.inputs.get("rel_delta", case.outputs["rel_delta"]), 320, 800)
    assert torch.equal(buckets, case.outputs["rel_bucket"])
    tables = [name for name in case.outputs if name.startswith("frame_mask_N")]
    assert tables
    for name in tables:
        samples, valid = (int(part.lstrip("Nvalid")) for part in name.split("_")[2:])
        real = fold_padding_mask(torch.arange(samples)[None] < valid, case.outputs[name].shape[1])
        assert torch.equal(~real, case.outputs[name]), name
        expected = case.outputs[name.replace("frame", "patch")]
        assert torch.equal(~fold_padding_mask(real, expected.shape[1]), expected), name


@pytest.mark.parametrize("path", STAGED, ids=case_id)
def test_front_end_matches_on_recorded_waveforms(path):
    case = read_case(path)
    got = AuricleFeatureExtractor.for_tower("beats").features(case.inputs["waveform"])
    difference = (got - case.outputs["fbank"]).abs()
    assert difference.max() <= 1e-3
    assert difference.mean() <= 1e-5


@pytest.mark.parametrize("path", STAGED, ids=case_id)
def test_exact_padding_equals_the_reference_on_the_sound_alone(path):
    """The default rule: a segment padded to any length gives what the reference gives for it unpadded."""
    case = read_case(path)
    if "padding_mask" in case.inputs:
        pytest.skip("the reference itself saw padding")
    model = reference_model(case)
    features = case.outputs["fbank"]
    padded = torch.nn.functional.pad(features, (0, 0, 0, 200), value=7.0)
    mask = (torch.arange(padded.shape[1]) < features.shape[1])[None].expand(len(padded), -1)
    longer = torch.full((1, *padded.shape[1:]), 0.3)
    with torch.no_grad():
        output = model(torch.cat([padded, longer]), torch.cat([mask, torch.ones_like(mask[:1])]))
    tokens = case.outputs["final"].shape[1]
    assert_close(output.last_hidden_state[:-1, :tokens], case.outputs["final"], "final")
    assert_close(output.pooler_output[:-1], case.outputs["mean_all"], "mean over the real tokens")
