"""EAT against recorded outputs of the reference implementation, stage by stage."""

import pytest
import torch
from parity_cases import case_id, find_cases, find_checkpoints, read_case

from auricle.modeling import EatConfig, EatModel
from auricle.modeling.sincos_positions import sincos_positions
from auricle.processing import AuricleFeatureExtractor

NETWORK_TOLERANCE = 1e-5
CASES = find_cases("eat")
STAGED = [path for path in CASES if "hidden_01" in read_case(path).outputs]
FRONT_END = [path for path in CASES if path.stem.startswith("frontend")]
POSITIONS = [path for path in CASES if "positions_tiny" in read_case(path).outputs]


def eat_config(reference: dict, **changes) -> EatConfig:
    return EatConfig(
        hidden_size=reference["embed_dim"],
        num_hidden_layers=reference["depth"],
        num_attention_heads=reference["num_heads"],
        intermediate_size=int(reference["embed_dim"] * reference["mlp_ratio"]),
        num_frames=reference["target_length"],
        max_time_patches=reference["max_length"],
        **changes,
    )


def reference_model(case, **changes) -> EatModel:
    model = EatModel(eat_config(case.meta["config"], **changes))
    prefix = "modality_encoders.IMAGE."
    wanted = {
        name.removeprefix(prefix).replace("context_encoder.norm", "pre_norm"): tensor
        for name, tensor in case.weights.items()
        if not name.startswith((f"{prefix}decoder", "_ema"))
    }
    model.load_state_dict(wanted, strict=True)
    return model.eval()


def assert_close(got: torch.Tensor, expected: torch.Tensor, stage: str, tolerance: float = NETWORK_TOLERANCE):
    assert got.shape == expected.shape, f"{stage}: shape {tuple(got.shape)}, not {tuple(expected.shape)}"
    difference = (got.double() - expected.double()).abs().max().item()
    assert difference <= tolerance, f"{stage}: off by {difference:.2e}"


def recorded_waveforms(case) -> list[torch.Tensor]:
    names = sorted(name for name in case.inputs if name.startswith("waveform"))
    return [clip for name in names for clip in case.inputs[name]]


def test_there_are_cases_of_every_kind():
    assert STAGED and FRONT_END and find_checkpoints("eat")


@pytest.mark.parametrize("path", STAGED, ids=case_id)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_network_matches_at_every_recorded_stage(path, attention):
    case = read_case(path)
    model = reference_model(case)
    model.set_attn_implementation(attention)
    stages: dict[str, torch.Tensor] = {}
    model.local_encoder.register_forward_hook(
        lambda _, __, out: stages.update(patch_embed=out.flatten(2).transpose(1, 2))
    )
    model.pre_norm.register_forward_hook(
        lambda _, arguments, out: stages.update(tokens_in=arguments[0], hidden_00=out)
    )
    for index, block in enumerate(model.blocks, start=1):
        block.register_forward_hook(lambda _, __, out, name=f"hidden_{index:02d}": stages.update({name: out}))
    padded = case.inputs.get("patch_padding_mask")
    with torch.no_grad():
        output = model(case.outputs["fbank"][:, 0], None if padded is None else ~padded)
    stages["final"] = output.last_hidden_state
    stages["cls"] = output.pooler_output
    stages["mean_patches"] = output.last_hidden_state[:, 1:].mean(dim=1)

    recorded = [name for name in case.outputs if name in stages]
    assert {"patch_embed", "tokens_in", "hidden_00", "hidden_01", "final", "cls"} <= set(recorded)
    for name in recorded:
        assert_close(stages[name], case.outputs[name], name)


@pytest.mark.parametrize("path", STAGED, ids=case_id)
def test_mean_pooling_takes_the_patches_without_the_extra_token(path):
    case = read_case(path)
    if "patch_padding_mask" in case.inputs:
        pytest.skip("recorded over padding too")
    with torch.no_grad():
        output = reference_model(case, pooling="mean")(case.outputs["fbank"][:, 0])
    assert_close(output.pooler_output, case.outputs["mean_patches"], "mean_patches")


@pytest.mark.parametrize("path", STAGED, ids=case_id)
def test_front_end_matches_on_recorded_waveforms(path):
    case = read_case(path)
    for clip, expected in zip(recorded_waveforms(case), case.outputs["fbank"][:, 0], strict=True):
        extractor = AuricleFeatureExtractor.for_tower(
            "eat", segment_seconds=len(clip) / 16000, target_frames=case.meta["target_length"]
        )
        got = extractor.features(clip[None])[0]
        assert got.shape == expected.shape
        difference = (got - expected).abs()
        assert difference.max() <= 1e-3 and difference.mean() <= 1e-5


@pytest.mark.parametrize("path", POSITIONS, ids=case_id)
def test_position_table_is_the_published_one_but_for_the_last_bit(path):
    case = read_case(path)
    width = case.meta["config"]["embed_dim"]
    table = sincos_positions(case.meta["config"]["max_length"], case.meta["config"]["W"], width)[0]
    # The published table was made in single precision, whose last bit depends on the processor.
    last_bit = {"rtol": 0, "atol": 2**-24}
    torch.testing.assert_close(table[case.inputs["rows"]], case.outputs["positions_rows"], **last_bit)
    tiny = case.outputs["positions_tiny"]
    torch.testing.assert_close(sincos_positions(len(tiny) // 8, 8, tiny.shape[1])[0], tiny, **last_bit)


def test_position_table_layout():
    table = sincos_positions(columns=5, rows=8, width=16)[0]
    assert table.shape == (40, 16)
    row, column = 3, 2
    vector = table[column * 8 + row]
    rates = 10000.0 ** (-torch.arange(4) / 4)
    expected = torch.cat(
        [part for place in (row, column) for part in ((place * rates).sin(), (place * rates).cos())]
    )
    assert torch.allclose(vector, expected, atol=1e-6)
