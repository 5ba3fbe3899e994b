"""Engines and 8-bit towers: one class of vectors in float32, the same alone and in a batch, and what is refused."""

import numpy as np
import pytest
import torch
from encoder_cases import save_auricle, save_auricle_beats
from public_models import save_clap, save_pe_audio

from auricle.encoders import EncoderError, load_encoder
from auricle.encoders.engines import engine_probe, onnx_engine
from auricle.encoders.engines.engine_names import LARGEST_DIFFERENCE
from auricle.encoders.engines.one_at_a_time import compute_one_at_a_time
from auricle.encoders.engines.packed_linear import PackedLinear, lack_of_packing, pack_linear_layers
from auricle.modeling import AUDIO_CONFIGS, AUDIO_MODELS
from auricle.modeling.beats_positions import WeightNormalisedConv

SENTENCES = ["rain", "a dog barks loudly in the far distance", "birds sing while somebody saws wood"]
SAVERS = {
    "passt": save_auricle,
    "beats": save_auricle_beats,
    "clap": save_clap,
    "pe": save_pe_audio,
}

needs_packing = pytest.mark.skipif(lack_of_packing() is not None, reason=str(lack_of_packing()))


def needs_onnx():
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folders = {}
    for name, save in SAVERS.items():
        folders[name] = tmp_path_factory.mktemp(name)
        save(folders[name])
    return folders


@pytest.fixture(scope="module")
def kept_exports(tmp_path_factory):
    """A cache whose exports serve every test of this module."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def probed(monkeypatch):
    monkeypatch.delenv("AURICLE_ENGINE")


@pytest.fixture
def cache(kept_exports, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(kept_exports))
    return kept_exports


def windows_of(encoder):
    """Three windows, two of them with silence behind what is real."""
    lengths = [encoder.window_samples, encoder.window_samples // 2, encoder.window_samples // 3]
    waveforms = 0.1 * np.random.default_rng(0).standard_normal((3, encoder.window_samples))
    for row, length in zip(waveforms, lengths, strict=True):
        row[length:] = 0
    return waveforms.astype(np.float32), lengths


def vectors(encoder):
    return np.concatenate([encoder.embed_windows(*windows_of(encoder)), encoder.embed_texts(SENTENCES)])


def vectors_alone(encoder):
    waveforms, lengths = windows_of(encoder)
    sounds = [encoder.embed_windows(waveforms[i : i + 1], lengths[i : i + 1]) for i in range(len(lengths))]
    return np.concatenate([*sounds, *(encoder.embed_texts([sentence]) for sentence in SENTENCES)])


@pytest.mark.parametrize(
    ("kind", "engine"),
    [
        ("passt", "packed"),
        ("beats", "packed"),
        ("clap", "packed"),
        ("pe", "packed"),
        ("passt", "onnx"),
        pytest.param("clap", "onnx", marks=pytest.mark.slow),
    ],
)
def test_an_engine_gives_the_vectors_of_torch_under_its_fingerprint(saved, cache, kind, engine):
    if engine == "onnx":
        needs_onnx()
    elif lack_of_packing():
        pytest.skip(lack_of_packing())
    options = {"window_seconds": 1.0} if kind in ("clap", "pe") else {}
    plain = load_encoder(saved[kind], device="cpu", **options)
    other = load_encoder(saved[kind], device="cpu", engine=engine, **options)
    assert (plain.engine, other.engine, other.described()["engine"]) == ("torch", engine, engine)
    assert np.abs(vectors(other) - vectors(plain)).max() <= LARGEST_DIFFERENCE
    assert (other.fingerprint, other.text_fingerprint) == (plain.fingerprint, plain.text_fingerprint)
    assert other.num_parameters == plain.num_parameters
    assert np.abs(vectors_alone(other) - vectors(other)).max() <= 2e-6
    assert (
        vectors(load_encoder(saved[kind], device="cpu", engine=engine, **options)) == vectors(other)
    ).all()


@needs_packing
def test_packing_replaces_the_layers_and_keeps_weights_bit_by_bit(saved):
    encoder = load_encoder(saved["passt"], device="cpu")
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    encoder.use_engine("packed")
    layers = [module for module in encoder.model.modules() if isinstance(module, PackedLinear)]
    assert len(layers) >= 8
    after = encoder.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@needs_packing
def test_the_tower_of_a_packed_model_computes_each_window_by_itself(saved):
    encoder = load_encoder(saved["passt"], device="cpu", engine="packed")
    waveforms, lengths = windows_of(encoder)
    together = encoder.pool_windows(waveforms, lengths)
    alone = [encoder.pool_windows(waveforms[i : i + 1], lengths[i : i + 1]) for i in range(3)]
    assert (together == np.concatenate(alone)).all()


@pytest.mark.parametrize("kind", ["passt", "beats"])
def test_on_a_cpu_each_window_passes_the_tower_by_itself(saved, kind):
    encoder, sizes = load_encoder(saved[kind], device="cpu"), []
    encoder.model.audio_model.register_forward_pre_hook(
        lambda module, inputs, given: sizes.append(len(given["input_features"])), with_kwargs=True
    )
    waveforms, lengths = windows_of(encoder)
    together = encoder.pool_windows(waveforms, lengths)
    assert sizes == [1, 1, 1]
    alone = [encoder.pool_windows(waveforms[i : i + 1], lengths[i : i + 1]) for i in range(3)]
    assert (together == np.concatenate(alone)).all()


@needs_packing
def test_layers_that_share_a_weight_stay_as_they_are():
    model = torch.nn.ModuleDict({"words": torch.nn.Embedding(64, 48), "head": torch.nn.Linear(48, 64)})
    model["head"].weight = model["words"].weight
    assert pack_linear_layers(model) == 0
    assert type(model["head"]) is torch.nn.Linear


@needs_packing
def test_half_precision_layers_cannot_be_packed():
    model = torch.nn.Sequential(torch.nn.Linear(64, 64, dtype=torch.bfloat16))
    with pytest.raises(ValueError, match=r"layer '0' is torch.bfloat16 on cpu"):
        pack_linear_layers(model)


@needs_packing
@pytest.mark.parametrize("tower", ["passt", "beats", "eat"])
def test_packed_towers_of_published_width_differ_by_less_than_the_class_allows(tower):
    torch.manual_seed(0)
    config = AUDIO_CONFIGS[f"auricle_{tower}"](num_hidden_layers=2)
    model = AUDIO_MODELS[f"auricle_{tower}"](config).eval()
    features = 0.5 * torch.randn(1, 320, config.num_mel_bins)
    with torch.no_grad():
        plain = torch.nn.functional.normalize(model(features).pooler_output, dim=-1)
        pack_linear_layers(model)
        packed = torch.nn.functional.normalize(model(features).pooler_output, dim=-1)
    assert (plain - packed).abs().max() <= LARGEST_DIFFERENCE


# ----------------------------------------------------------------------------------------------- int8


@pytest.mark.parametrize("kind", ["passt", "beats"])
def test_int8_is_a_class_of_its_own_and_the_same_alone_and_in_a_batch(saved, kind):
    plain, small = load_encoder(saved[kind], device="cpu"), load_encoder(saved[kind], precision="int8")
    assert small.precision == "int8"
    assert len({plain.fingerprint, small.fingerprint, plain.text_fingerprint, small.text_fingerprint}) == 4
    assert small.fingerprint == load_encoder(saved[kind], precision="int8").fingerprint
    assert small.num_parameters == plain.num_parameters
    cosines = (vectors(small) * vectors(plain)).sum(axis=1)
    assert 0.98 < cosines.min() < 1 - 1e-6
    assert np.abs(vectors_alone(small) - vectors(small)).max() <= 2e-6
    waveforms, lengths = windows_of(small)
    alone = [small.pool_windows(waveforms[i : i + 1], lengths[i : i + 1]) for i in range(3)]
    assert (small.pool_windows(waveforms, lengths) == np.concatenate(alone)).all()


def test_frames_of_padded_windows_do_not_depend_on_the_batch(saved):
    for options in ({}, {"precision": "int8"}):
        encoder = load_encoder(saved["beats"], device="cpu", **options)
        waveforms, lengths = windows_of(encoder)
        together = encoder.embed_frames(waveforms, lengths)
        for place, length in enumerate(lengths):
            alone = encoder.embed_frames(waveforms[place : place + 1], [length])[0]
            assert np.abs(alone - together[place]).max() <= 2e-6


def test_a_tower_takes_its_inputs_by_keyword():
    tower = torch.nn.Linear(2, 2)
    compute_one_at_a_time(tower)
    with pytest.raises(TypeError, match="by keyword"):
        tower(torch.zeros(1, 2))


# ------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("passt", {"engine": "fast"}, "engine fast: is not one of auto, torch, packed, onnx"),
        ("pe", {"engine": "onnx"}, "models of this kind have torch, packed"),
        ("passt", {"engine": "packed", "precision": "int8"}, "computes in float32 only, not in int8"),
        ("passt", {"engine": "packed", "device": "cuda"}, "on a CPU only"),
        ("clap", {"precision": "int8"}, "precision 'int8' is not one of float32, bfloat16, float16"),
    ],
)
def test_what_does_not_go_together_is_refused_by_name(saved, kind, options, words):
    with pytest.raises(EncoderError, match=words) as refused:
        load_encoder(saved[kind], **{"device": "cpu", **options})
    assert str(saved[kind]) in str(refused.value)


def test_auto_leaves_other_precisions_to_torch(saved, cache):
    assert load_encoder(saved["passt"], precision="int8", engine="auto").engine == "torch"


def test_onnx_without_a_place_for_the_export_is_refused(saved, tmp_path, monkeypatch):
    needs_onnx()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path / "file"))
    with pytest.raises(EncoderError, match="its export cannot be kept in"):
        load_encoder(saved["passt"], device="cpu", engine="onnx")


@pytest.mark.slow
def test_an_export_that_answers_otherwise_is_refused(saved, tmp_path, monkeypatch):
    needs_onnx()
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path))
    monkeypatch.setattr(onnx_engine, "_EXPORT_TOLERANCE", -1.0)
    with pytest.raises(EncoderError, match="an exported tower differs from the model by"):
        load_encoder(saved["passt"], device="cpu", engine="onnx")
    assert not list(tmp_path.rglob("audio/tower.onnx"))


# ---------------------------------------------------------------------------------------------- probe


def test_the_probe_runs_once_a_machine_and_auto_follows_it(saved, tmp_path, monkeypatch):
    monkeypatch.setenv("AURICLE_CACHE", str(tmp_path))
    assert engine_probe.fastest_engine() in ("torch", "packed", "onnx")
    times = engine_probe.remembered_times()
    assert times["torch"] > 0 and set(times) <= {"torch", "packed", "onnx"}
    monkeypatch.setattr(engine_probe, "probe_engines", lambda: pytest.fail("measured again"))
    engine_probe.fastest_engine()
    if lack_of_packing() is None:
        for name, seconds in (("packed", 0.5), ("torch", 0.97)):
            engine_probe._remember({"torch": 1.0, "packed": seconds}, None)
            assert engine_probe.fastest_engine() == name
            assert load_encoder(saved["passt"], device="cpu", engine="auto").engine == name


@needs_packing
def test_auto_is_what_the_environment_says_where_the_model_has_it(saved, monkeypatch):
    monkeypatch.setenv("AURICLE_ENGINE", "packed")
    assert load_encoder(saved["passt"], device="cpu", engine="auto").engine == "packed"
    monkeypatch.setenv("AURICLE_ENGINE", "onnx")
    assert load_encoder(saved["pe"], device="cpu", engine="auto").engine == "torch"
    assert load_encoder(saved["passt"], device="cpu").engine == "torch"


def test_auto_takes_onnx_only_where_the_export_is_made(saved, cache, tmp_path, monkeypatch):
    needs_onnx()
    for directory, engine in ((tmp_path, "torch"), (cache, "onnx")):
        monkeypatch.setenv("AURICLE_CACHE", str(directory))
        if engine == "onnx":
            load_encoder(saved["passt"], device="cpu", engine="onnx")
        engine_probe._remember({"torch": 1.0, "onnx": 0.5}, None)
        assert load_encoder(saved["passt"], device="cpu", engine="auto").engine == engine
    (cache / engine_probe.FILE).unlink()


def test_another_machine_or_damage_measures_again_and_no_place_means_torch(tmp_path, monkeypatch):
    engine_probe._remember({"torch": 1.0, "packed": 0.5}, tmp_path)
    monkeypatch.setattr(engine_probe, "processor_name", lambda: "another processor")
    assert engine_probe.remembered_times(tmp_path) is None
    monkeypatch.setattr(engine_probe, "probe_engines", lambda: {"torch": 1.0, "packed": 0.1})
    assert engine_probe.fastest_engine(cache_dir=tmp_path) == "packed"
    (tmp_path / engine_probe.FILE).write_text("{")
    assert engine_probe.fastest_engine(cache_dir=tmp_path) == "packed"
    (tmp_path / "file").write_text("")
    assert engine_probe.fastest_engine(cache_dir=tmp_path / "file") == "torch"


def test_beats_computes_its_kernel_once_and_gives_the_same_bits(saved):
    encoder = load_encoder(saved["beats"], device="cpu")
    (convolution,) = (part for part in encoder.model.modules() if isinstance(part, WeightNormalisedConv))
    assert convolution.kept_weight is not None
    names, kept = set(encoder.model.state_dict()), vectors(encoder)
    convolution.kept_weight = None
    assert (vectors(encoder) == kept).all()
    assert set(encoder.model.state_dict()) == names
    convolution.keep_weight()
    changed = {
        name: 2 * value if "weight_g" in name else value for name, value in encoder.model.state_dict().items()
    }
    encoder.model.load_state_dict(changed)
    assert np.abs(vectors(encoder) - kept).max() > 1e-4
    convolution.keep_weight()
    encoder.model.train()
    assert convolution.kept_weight is None
    convolution.keep_weight()
    convolution(torch.randn(1, 9, convolution.weight_v.shape[0])).sum().backward()
    assert convolution.weight_g.grad is not None and convolution.weight_v.grad is not None


def test_a_fused_clap_model_is_not_exported(tmp_path, cache):
    needs_onnx()
    save_clap(tmp_path, fused=True)
    with pytest.raises(EncoderError, match="engine onnx: a fused model chooses its layers by the input"):
        load_encoder(tmp_path, device="cpu", engine="onnx")
    assert load_encoder(tmp_path, device="cpu", engine="auto").engine in ("torch", "packed")
