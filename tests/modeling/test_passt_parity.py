"""PaSST against recorded outputs of the reference implementations, stage by stage."""

import pytest
import torch
from parity_cases import case_id, find_cases, find_checkpoints, read_case

from auricle.modeling import AuricleConfig, AuricleModel, PasstConfig, PasstModel, PatchSelection
from auricle.processing import AuricleFeatureExtractor, kaldi_mel_bank, passt_log_mel

NETWORK_TOLERANCE = 1e-5
CASES = find_cases("passt")
STAGED = [path for path in CASES if "hidden_01" in read_case(path).outputs]
SEGMENTED = [path for path in CASES if "aggregated" in read_case(path).outputs]
FRONT_END = [path for path in CASES if path.stem.startswith("frontend")]


def passt_config(reference: dict) -> PasstConfig:
    return PasstConfig(
        hidden_size=reference["embed_dim"],
        num_hidden_layers=reference["depth"],
        num_attention_heads=reference["num_heads"],
        intermediate_size=4 * reference["embed_dim"],
        num_mel_bins=reference["n_mels"],
        num_frames=reference["input_tdim"],
        frequency_stride=reference["fstride"],
        time_stride=reference["tstride"],
        patchout_time=reference.get("s_patchout_t", 0),
        patchout_frequency=reference.get("s_patchout_f", 0),
        patchout_unstructured=reference.get("u_patchout", 0),
    )


def load_reference(model: PasstModel, weights: dict[str, torch.Tensor]) -> PasstModel:
    wanted = {
        name: tensor for name, tensor in weights.items() if not name.startswith(("head", "audio_projection"))
    }
    model.load_state_dict(wanted, strict=True)
    return model.eval()


def assert_close(got: torch.Tensor, expected: torch.Tensor, stage: str, tolerance: float = NETWORK_TOLERANCE):
    assert got.shape == expected.shape, f"{stage}: shape {tuple(got.shape)}, not {tuple(expected.shape)}"
    difference = (got.double() - expected.double()).abs().max().item()
    assert difference <= tolerance, f"{stage}: off by {difference:.2e}"


def recorded_selection(outputs: dict[str, torch.Tensor]) -> PatchSelection | None:
    if "keep_t" not in outputs and "keep_f" not in outputs:
        return None
    offset = outputs.get("time_pos_offset")
    return PatchSelection(
        outputs.get("keep_t"),
        outputs.get("keep_f"),
        outputs.get("keep_u"),
        0 if offset is None else int(offset),
    )


def test_there_are_cases_of_every_kind():
    assert STAGED and SEGMENTED and FRONT_END and find_checkpoints("passt")


@pytest.mark.parametrize("path", STAGED, ids=case_id)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_network_matches_at_every_recorded_stage(path, attention):
    case = read_case(path)
    model = load_reference(PasstModel(passt_config(case.meta["config"])), case.weights)
    model.set_attn_implementation(attention)
    features = case.outputs["logmel"].transpose(1, 2)
    stages: dict[str, torch.Tensor] = {}

    def record_entry(module, arguments):
        stages["tokens_in"] = arguments[0]

    model.blocks[0].register_forward_pre_hook(record_entry)
    for index, block in enumerate(model.blocks, start=1):
        block.register_forward_hook(lambda _, __, out, name=f"hidden_{index:02d}": stages.update({name: out}))
    with torch.no_grad():
        stages["patch_embed"] = model.patch_embed(case.outputs["logmel"])
        output = model(features, patch_selection=recorded_selection(case.outputs))
    stages["final_norm"] = output.last_hidden_state
    stages["cls"], stages["dist"] = output.last_hidden_state[:, 0], output.last_hidden_state[:, 1]
    stages["pooled"] = output.pooler_output

    recorded = [name for name in case.outputs if name in stages]
    assert {"patch_embed", "tokens_in", "hidden_01", "final_norm", "pooled"} <= set(recorded)
    for name in recorded:
        assert_close(stages[name], case.outputs[name], name)


@pytest.mark.parametrize("path", STAGED, ids=case_id)
def test_front_end_matches_on_recorded_waveforms(path):
    case = read_case(path)
    fmin, fmax = 0.0, 15000.0
    if "aug_fmin_add" in case.outputs:
        fmin += float(case.outputs["aug_fmin_add"])
        fmax += 1000.0 - float(case.outputs["aug_fmax_sub"])
    bank = kaldi_mel_bank(128, 513, 32000, fmin, fmax)
    got = passt_log_mel(case.inputs["waveform"], bank)
    difference = (got - case.outputs["logmel"].transpose(1, 2)).abs()
    assert difference.max() <= 1e-3
    assert difference.mean() <= 1e-5


@pytest.mark.parametrize("path", FRONT_END, ids=case_id)
def test_front_end_matches_on_edge_cases(path):
    case = read_case(path)
    bank = kaldi_mel_bank(128, 513, 32000, 0.0, 15000.0)
    compared = 0
    for name, waveform in case.inputs.items():
        got = passt_log_mel(waveform.reshape(1, -1), bank)[0].T
        difference = (got - case.outputs[name]).abs()
        assert difference.max() <= 1e-3 and difference.mean() <= 1e-5, name
        compared += 1
    assert compared == len(case.inputs) > 0
    assert (bank - case.outputs["melbank_eval"]).abs().max() <= 1e-4
    narrow = kaldi_mel_bank(128, 513, 32000, 9.0, 14001.0)
    assert (narrow - case.outputs["melbank_9_14001"]).abs().max() <= 1e-4


@pytest.mark.parametrize("path", SEGMENTED, ids=case_id)
def test_segments_of_clips_match_the_challenge_baseline(path):
    """4 s to 20.5 s through our extractor and dual encoder, against the baseline's fixed 30 s of segments."""
    case = read_case(path)
    embedding_width, width = case.weights["audio_projection.weight"].shape
    config = AuricleConfig(
        audio_config=passt_config(case.meta["config"]),
        text_config={
            "model_type": "bert",
            "hidden_size": 8,
            "num_hidden_layers": 1,
            "num_attention_heads": 1,
        },
        projection_dim=embedding_width,
    )
    model = AuricleModel(config).eval()
    load_reference(model.audio_model, case.weights)
    model.audio_projection.load_state_dict(
        {name: case.weights[f"audio_projection.{name}"] for name in ("weight", "bias")}
    )
    base = case.inputs["pcm16_base"].float() / 32768
    clips = [base.repeat(1 + int(n) // len(base))[: int(n)].numpy() for n in case.inputs["lengths"]]
    batch = AuricleFeatureExtractor()(clips, sampling_rate=32000)
    assert batch["segment_counts"].tolist() == [-(-len(clip) // 320000) for clip in clips]
    with torch.no_grad():
        segments = model.audio_model(batch["input_features"]).pooler_output
        embeddings = model.get_audio_features(**batch).pooler_output
    start = 0
    for clip, count in enumerate(batch["segment_counts"].tolist()):
        got = segments[start : start + count]
        assert_close(got, case.outputs["segments"][clip, :count], f"segments of clip {clip}")
        assert_close(got.mean(dim=0), case.outputs["aggregated"][clip], f"mean of clip {clip}")
        start += count
    assert width == segments.shape[1]
    assert_close(embeddings, case.outputs["embedding"], "embedding")


@pytest.mark.parametrize("path", find_checkpoints("passt"), ids=case_id)
def test_published_layout_loads_key_by_key(path):
    weights = torch.load(path, weights_only=True)
    _, width, rows, _ = weights["freq_new_pos_embed"].shape
    columns = weights["time_new_pos_embed"].shape[3]
    stride = 16 if rows == 8 else 10
    depth = 1 + max(int(name.split(".")[1]) for name in weights if name.startswith("blocks."))
    config = PasstConfig(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=4,
        intermediate_size=weights["blocks.0.mlp.fc1.weight"].shape[0],
        frequency_stride=stride,
        time_stride=stride,
        num_frames=16 + (columns - 1) * stride,
    )
    model = load_reference(PasstModel(config), weights)
    assert torch.equal(model.time_new_pos_embed, weights["time_new_pos_embed"])
