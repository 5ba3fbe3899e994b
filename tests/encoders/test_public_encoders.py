"""Public models behind the interface: the vectors that the libraries give of the same windows, and their traps."""

import importlib.util
import re
import shutil
import sys

import numpy as np
import pytest
import torch
from public_models import save_clap, save_pe_audio
from public_sentence_transformers import save_embedding_gemma2, save_two_towers
from tiny_models import sound
from transformers import (
    AutoProcessor,
    AutoTokenizer,
    ClapModel,
    ClapProcessor,
    PeAudioFeatureExtractor,
    PeAudioFrameLevelModel,
    PeAudioModel,
)

from auricle.encoders import EncoderError, load_encoder

SENTENCES = ["a dog barks", "Rain", "two short tones then a long low tone while a bell rings"]
# Of a window: all of it, a part that fits whole three times, and a tenth of a second.
PARTS = (1.0, 0.3, 0.01)
SAVE = {
    "clap": save_clap,
    "fused": lambda folder: save_clap(folder, fused=True),
    "pe": save_pe_audio,
    "pe-av": lambda folder: save_pe_audio(folder, video=True),
    "frames": lambda folder: save_pe_audio(folder, frames=True),
    "gemma": save_embedding_gemma2,
    "towers": save_two_towers,
}
needs_torchvision = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is None, reason="torchvision is not installed"
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Saves a kind once, and gives its directory."""
    root = tmp_path_factory.mktemp("public")

    def folder_of(kind):
        if not (root / kind).exists():
            (root / kind).mkdir()
            SAVE[kind](root / kind)
        return root / kind

    return folder_of


def sounds_of(encoder):
    """Real samples of a full window and of parts, and how the encoder takes them."""
    lengths = [round(part * encoder.window_samples) for part in PARTS]
    sounds = [
        sound(length / encoder.sampling_rate + 0.01, encoder.sampling_rate, seed=seed)[:length]
        for seed, length in enumerate(lengths)
    ]
    waveforms = np.zeros((len(lengths), encoder.window_samples), dtype=np.float32)
    for row, samples in zip(waveforms, sounds, strict=True):
        row[: len(samples)] = samples
    return sounds, waveforms, lengths


def unit(rows):
    rows = np.asarray(rows.detach().float())
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


# ------------------------------------------------------------------------------------------- CLAP


@pytest.mark.parametrize("kind", ["clap", "fused"])
def test_clap_gives_the_vectors_of_the_library(saved, kind):
    folder = saved(kind)
    encoder = load_encoder(folder, device="cpu")
    assert (encoder.window_seconds, encoder.sampling_rate, encoder.max_text_tokens) == (10.0, 48_000, 77)
    sounds, waveforms, lengths = sounds_of(encoder)
    model, processor = ClapModel.from_pretrained(folder).eval(), ClapProcessor.from_pretrained(folder)
    inputs = processor(audio=sounds, sampling_rate=48_000, return_tensors="pt")
    # The fused processor calls one of them long, by lot.
    inputs["is_longer"] = torch.tensor([[False]] * 3)
    tokens = processor(text=SENTENCES, padding=True, truncation=True, max_length=77, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs, **tokens)
    assert np.abs(encoder.embed_windows(waveforms, lengths) - unit(outputs.audio_embeds)).max() <= 1e-6
    texts = encoder.embed_texts(SENTENCES)
    assert np.abs(texts - unit(outputs.text_embeds)).max() <= 1e-6
    cosines = encoder.embed_windows(waveforms, lengths) @ texts.T
    assert np.abs(encoder.logit_scale * cosines - outputs.logits_per_audio.numpy()).max() <= 1e-4


def test_a_fused_clap_draws_nothing(saved):
    encoder = load_encoder(saved("fused"), device="cpu")
    _, waveforms, lengths = sounds_of(encoder)
    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    rows = [encoder.embed_windows(waveforms, lengths) for _ in range(4)]
    assert np.random.random() == expected
    assert all(np.array_equal(row, rows[0]) for row in rows)


def test_a_short_window_is_repeated_as_the_checkpoint_says(saved):
    encoder = load_encoder(saved("clap"), device="cpu")
    third = sound(3.0, 48_000)
    repeated = np.zeros(480_000, dtype=np.float32)
    repeated[: 3 * len(third)] = np.tile(third, 3)
    rows = encoder.embed_windows(
        np.stack([np.pad(third, (0, 480_000 - len(third))), repeated]), [len(third), 480_000]
    )
    assert np.abs(rows[0] - rows[1]).max() <= 1e-6


def test_both_forms_of_features(saved, monkeypatch):
    encoder = load_encoder(saved("clap"), device="cpu")
    _, waveforms, lengths = sounds_of(encoder)
    expected = encoder.embed_windows(waveforms, lengths), encoder.embed_texts(SENTENCES)
    for name in ("get_audio_features", "get_text_features"):
        given = getattr(encoder.model, name)
        monkeypatch.setattr(encoder.model, name, lambda given=given, **inputs: given(**inputs).pooler_output)
    assert np.array_equal(encoder.embed_windows(waveforms, lengths), expected[0])
    assert np.array_equal(encoder.embed_texts(SENTENCES), expected[1])


def test_an_extractor_of_a_fused_model_does_not_fit_an_unfused_one(saved, tmp_path):
    save_clap(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(
        (saved("fused") / "preprocessor_config.json").read_text()
    )
    with pytest.raises(EncoderError, match="truncation 'fusion'.*enable_fusion false"):
        load_encoder(tmp_path)


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("preprocessor_config.json", "feature extractor"),
        ("tokenizer.json", "tokenizer"),
        ("model.safetensors", "weights"),
    ],
)
def test_a_file_that_is_missing_is_told_by_its_part(saved, tmp_path, file, part):
    shutil.copytree(saved("clap"), tmp_path / "clap")
    (tmp_path / "clap" / file).unlink()
    with pytest.raises(EncoderError, match=f"{part} cannot be loaded") as caught:
        load_encoder(tmp_path / "clap")
    assert len(str(caught.value).splitlines()) == 1


# ------------------------------------------------------------------------------------------ PE-AV


@pytest.mark.parametrize("kind", ["pe", "pe-av"])
def test_pe_audio_gives_the_vectors_of_the_library(saved, kind):
    encoder = load_encoder(saved(kind), device="cpu")
    assert (encoder.window_seconds, encoder.sampling_rate, encoder.max_text_tokens) == (10.0, 48_000, 512)
    sounds, waveforms, lengths = sounds_of(encoder)
    # The same weights, whether they lie in a model of sound and text or in one of film too.
    model, extractor = direct_pe(saved("pe"), PeAudioModel)
    tokens = AutoTokenizer.from_pretrained(saved("pe"))(SENTENCES, padding=True, return_tensors="pt")
    rows = encoder.embed_windows(waveforms, lengths)
    texts = encoder.embed_texts(SENTENCES)
    for place, samples in enumerate(sounds):
        inputs = extractor([samples], sampling_rate=48_000, return_tensors="pt")
        with torch.no_grad():
            outputs = model(**inputs, **tokens)
        assert np.abs(rows[place] - unit(outputs.audio_embeds)[0]).max() <= 1e-6
        assert np.abs(texts - unit(outputs.text_audio_embeds)).max() <= 1e-6
    assert (encoder.logit_scale, encoder.logit_bias) == (9.0, -8.0)
    assert encoder.frame_seconds is None


def test_pe_a_frame_gives_the_frames_of_the_library(saved):
    encoder = load_encoder(saved("frames"), device="cpu")
    assert encoder.frame_seconds == 0.04
    sounds, waveforms, lengths = sounds_of(encoder)
    model, extractor = direct_pe(saved("frames"), PeAudioFrameLevelModel)
    frames = encoder.embed_frames(waveforms, lengths)
    assert frames.shape == (3, 250, encoder.embedding_dim)
    windows = encoder.embed_windows(waveforms, lengths)
    for place, samples in enumerate(sounds):
        inputs = extractor([samples], sampling_rate=48_000, return_tensors="pt")
        with torch.no_grad():
            expected = unit(model.get_audio_embeds(**inputs))[0]
        assert len(expected) == -(-len(samples) // 1920)
        assert np.abs(frames[place, : len(expected)] - expected).max() <= 1e-6
        assert not frames[place, len(expected) :].any()
        mean = expected.mean(axis=0)
        assert np.abs(windows[place] - mean / np.linalg.norm(mean)).max() <= 1e-6


def direct_pe(folder, kind):
    return kind.from_pretrained(folder).eval(), PeAudioFeatureExtractor.from_pretrained(folder)


# --------------------------------------------------------------------------- sentence-transformers


@pytest.mark.parametrize("kind", [pytest.param("gemma", marks=needs_torchvision), "towers"])
def test_sentence_transformers_give_the_vectors_of_the_library(saved, kind):
    from sentence_transformers import SentenceTransformer

    encoder = load_encoder(saved(kind), device="cpu")
    sounds, waveforms, lengths = sounds_of(encoder)
    direct = SentenceTransformer(str(saved(kind)), device="cpu", local_files_only=True)
    expected = direct.encode_query(SENTENCES, normalize_embeddings=True)
    assert np.abs(encoder.embed_texts(SENTENCES) - expected).max() <= 1e-6
    rows = encoder.embed_windows(waveforms, lengths)
    for row, samples in zip(rows, sounds, strict=True):
        given = [{"array": samples, "sampling_rate": 16_000}]
        # As documents, without their prompt, which is for text.
        single = direct.encode(given, normalize_embeddings=True, task="document")
        assert np.abs(row - single[0]).max() <= 1e-6


@needs_torchvision
def test_embedding_gemma_2_says_what_its_files_say(saved):
    encoder = load_encoder(saved("gemma"), device="cpu")
    # 280 tokens of 40 ms; the extractor alone would take 30 s.
    assert encoder.window_seconds == 11.2 and encoder.max_text_tokens == 8192
    assert encoder.query_prompt == "task: search result | query: "
    assert encoder.document_prompt == "title: none | text: "
    assert encoder.prepare_texts([" Rain "]) == ["task: search result | query: Rain"]
    assert encoder.matryoshka_dims == ()  # 768, 512, ... of a vector 24 wide
    # The text model is narrower than the vectors.
    assert encoder.embedding_dim == 24


def test_a_sentence_that_is_a_path_stays_a_sentence(saved, tmp_path, monkeypatch):
    import soundfile

    encoder = load_encoder(saved("towers"), device="cpu")
    expected = encoder.embed_texts(["rain.wav", "http://127.0.0.1:9/rain.wav"])
    soundfile.write(tmp_path / "rain.wav", sound(1.0, 16_000), 16_000)
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(encoder.embed_texts(["rain.wav", "http://127.0.0.1:9/rain.wav"]), expected)


# ---------------------------------------------------------------------------- choices at loading


@pytest.mark.parametrize(
    ("kind", "precision"),
    [
        ("clap", "bfloat16"),
        ("clap", "float16"),
        ("pe", "bfloat16"),
        pytest.param("gemma", "bfloat16", marks=needs_torchvision),
    ],
)
def test_half_precision_is_kept_and_told_apart(saved, kind, precision):
    whole = load_encoder(saved(kind), device="cpu", window_seconds=1.0)
    half = load_encoder(
        saved(kind), device="cpu", window_seconds=1.0, precision=precision, emulate_precision=True
    )
    assert (whole.precision, half.precision) == ("float32", precision)
    assert whole.fingerprint != half.fingerprint
    assert half.embed_texts(SENTENCES).dtype == np.float32
    _, waveforms, lengths = sounds_of(whole)
    cosines = (whole.embed_windows(waveforms, lengths) * half.embed_windows(waveforms, lengths)).sum(axis=1)
    assert cosines.min() > 0.98


@pytest.mark.parametrize("kind", ["pe", pytest.param("gemma", marks=needs_torchvision)])
def test_float16_is_refused_where_numbers_leave_its_range(saved, kind):
    with pytest.raises(EncoderError, match="bfloat16"):
        load_encoder(saved(kind), precision="float16", emulate_precision=True)


def test_half_precision_is_refused_where_the_library_cannot(saved):
    with pytest.raises(EncoderError, match="does not compute in bfloat16; take float32"):
        load_encoder(saved("towers"), device="cpu", precision="bfloat16", emulate_precision=True)


def test_sentences_whose_numbers_overflow_are_no_vectors(saved):
    encoder = load_encoder(saved("clap"), device="cpu", precision="float16", emulate_precision=True)
    with torch.no_grad():
        encoder.model.text_projection.linear2.weight.fill_(6e4)
    with pytest.raises(EncoderError, match="overflow in float16"):
        encoder.embed_texts(["rain"])


@pytest.mark.parametrize(("kind", "refused"), [("clap", 10.5), ("pe", 0), ("towers", float("nan"))])
def test_a_window_of_ones_own_choice(saved, kind, refused):
    own = load_encoder(saved(kind), device="cpu")
    short = load_encoder(saved(kind), device="cpu", window_seconds=0.5)
    assert short.window_samples == own.sampling_rate // 2 and short.min_tail_seconds == 0.25
    assert short.fingerprint != own.fingerprint
    message = re.escape(f"a window of {refused:g} s is not accepted; the model takes windows from 0.1 ")
    with pytest.raises(EncoderError, match=message):
        load_encoder(saved(kind), window_seconds=refused)


def test_what_the_fingerprint_covers(saved, tmp_path):
    base = load_encoder(saved("clap"), device="cpu").fingerprint
    assert load_encoder(saved("clap"), device="cpu").fingerprint == base
    same, other = tmp_path / "same", tmp_path / "other"
    for folder, seed in ((same, 0), (other, 1)):
        folder.mkdir()
        save_clap(folder, seed=seed)
    # The same files elsewhere, with another temperature, are the same encoder; other weights are not.
    model = ClapModel.from_pretrained(same)
    with torch.no_grad():
        model.logit_scale_a.fill_(1.0)
    model.save_pretrained(same)
    assert load_encoder(same, device="cpu").fingerprint == base
    assert load_encoder(other, device="cpu").fingerprint != base
    text = (same / "preprocessor_config.json").read_text()
    for old, new in (('"frequency_min": 50', '"frequency_min": 60'), ('"repeatpad"', '"pad"')):
        assert old in text
        (same / "preprocessor_config.json").write_text(text.replace(old, new))
        assert load_encoder(same, device="cpu").fingerprint != base


def test_auricle_models_have_their_own_windows(tmp_path):
    from tiny_models import saved_tiny_model

    saved_tiny_model(tmp_path / "model")
    assert load_encoder(tmp_path / "model", window_seconds=1.0).window_seconds == 1.0
    with pytest.raises(EncoderError, match="a window of 2 s is not accepted; this model's windows last 1 s"):
        load_encoder(tmp_path / "model", window_seconds=2.0)


def test_missing_packages_are_named_with_the_extra_that_has_them(saved, monkeypatch):
    folder = saved("towers")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(EncoderError, match=r"needs sentence-transformers: pip install 'auricle\[public\]'"):
        load_encoder(folder)


@pytest.mark.skipif(importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed")
def test_embedding_gemma_2_needs_torchvision(saved):
    with pytest.raises(EncoderError, match=r"Torchvision .*pip install 'auricle\[public\]'"):
        load_encoder(saved("gemma"))


def test_the_card_names_the_licence(saved):
    assert load_encoder(saved("pe"), device="cpu").license == "apache-2.0"


def test_processors_are_those_of_the_library(saved):
    # The tiny models are whole: the library's own pipeline loads them.
    assert AutoProcessor.from_pretrained(saved("clap")).feature_extractor.nb_max_samples == 480_000
