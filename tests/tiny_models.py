"""Tiny dual encoders with random weights, and sound files: made on the spot, offline, in a moment."""

import string
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from transformers import AutoTokenizer, BertConfig, BertModel, BertTokenizerFast

from auricle.modeling import AuricleConfig, AuricleModel
from auricle.processing import AuricleFeatureExtractor, AuricleProcessor

SAMPLING_RATE = 16_000
WORDS = (
    "a an the and of in on with while then is are two three short long low high loud quiet "
    "dog barks rain falls bell rings siren wails bird sings engine idles door knocks tone beeps noise"
)


def tiny_vocabulary() -> dict[str, int]:
    """WordPiece vocabulary: the words above, and single letters and digits so that no word is unknown."""
    letters = string.ascii_lowercase + string.digits
    pieces = dict.fromkeys([*WORDS.split(), *letters, *string.punctuation])
    pieces.update(dict.fromkeys(f"##{letter}" for letter in letters))
    return {
        piece: index for index, piece in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *pieces])
    }


def tiny_text_config() -> BertConfig:
    """BERT of two layers, 16 wide, without dropout."""
    return BertConfig(
        vocab_size=len(tiny_vocabulary()),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.2,  # with the usual 0.02 sentences would hardly differ at this width
    )


def tiny_text_encoder_dir(path: Path, *, seed: int = 0) -> Path:
    """Saves a tiny BERT with its tokenizer, as AutoModel and AutoTokenizer load them; returns ``path``."""
    path = Path(path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(tiny_text_config()).save_pretrained(path)
    BertTokenizerFast(vocab=tiny_vocabulary(), do_lower_case=True).save_pretrained(path)
    return path


def tiny_audio_config(**overrides: Any) -> dict[str, Any]:
    """PaSST of two layers, 24 wide, for one-second segments of 32 mel bins and 100 frames at 16 kHz."""
    return {
        "model_type": "auricle_passt",
        "hidden_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "initializer_range": 0.2,
        "sampling_rate": SAMPLING_RATE,
        "num_mel_bins": 32,
        "num_frames": 100,
        "patch_size": 16,
        "frequency_stride": 8,
        "time_stride": 16,
        "patchout_frequency": 1,
        "patchout_time": 2,
        **overrides,
    }


def tiny_front_end(**overrides: Any) -> dict[str, Any]:
    """Settings of the feature extractor that goes with [`tiny_audio_config`]."""
    return {
        "feature_size": 32,
        "sampling_rate": SAMPLING_RATE,
        "segment_seconds": 1.0,
        "n_fft": 512,
        "hop_length": 160,
        "win_length": 400,
        "fmax": 7500.0,
        **overrides,
    }


def tiny_config(**overrides: Any) -> AuricleConfig:
    """Config of the tiny dual encoder; ``overrides`` are fields of it."""
    fields: dict[str, Any] = {
        "audio_config": tiny_audio_config(),
        "text_config": tiny_text_config(),
        "projection_dim": 12,
    }
    return AuricleConfig(**{**fields, **overrides})


def tiny_model(*, seed: int = 0, **config_overrides: Any) -> AuricleModel:
    """The tiny dual encoder in evaluation mode, its weights drawn from ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AuricleModel(tiny_config(**config_overrides)).eval()


def saved_tiny_model(
    folder: Path, *, seed: int = 0, **config_overrides: Any
) -> tuple[AuricleModel, AuricleProcessor]:
    """A tiny dual encoder and its processor, saved in ``folder``."""
    model, processor = tiny_model_and_processor(Path(folder).parent, seed=seed, **config_overrides)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def tiny_model_and_processor(
    tmp_path: Path, *, seed: int = 0, segment_seconds: float = 1.0, **config_overrides: Any
) -> tuple[AuricleModel, AuricleProcessor]:
    """
    A tiny dual encoder, in evaluation mode, and its processor.

    Args:
        tmp_path: the text encoder and its tokenizer are saved in a folder ``text`` below it.
        seed: of all weights.
        segment_seconds: length of a segment; the audio tower's positions follow.
        config_overrides: fields of AuricleConfig.
    """
    tokenizer = AutoTokenizer.from_pretrained(tiny_text_encoder_dir(Path(tmp_path) / "text", seed=seed))
    extractor = AuricleFeatureExtractor(**tiny_front_end(segment_seconds=segment_seconds))
    if "audio_config" not in config_overrides:
        config_overrides["audio_config"] = tiny_audio_config(num_frames=extractor.num_frames)
    return tiny_model(seed=seed, **config_overrides), AuricleProcessor(extractor, tokenizer)


def sound(seconds: float, rate: int = SAMPLING_RATE, seed: int = 0, channels: int = 1) -> np.ndarray:
    """
    A tone of its own pitch in faint noise, both drawn from ``seed``.

    Returns:
        float32 ``(samples,)``, or ``(samples, channels)`` with channels that differ; below 0.7 in magnitude.
    """
    rng = np.random.default_rng(seed)
    times = np.arange(round(seconds * rate)) / rate
    pitches = rng.uniform(200.0, 3000.0, size=channels)
    waves = 0.5 * np.sin(2 * np.pi * pitches * times[:, None]) + 0.02 * rng.standard_normal(
        (len(times), channels)
    )
    return (waves[:, 0] if channels == 1 else waves).astype(np.float32)


def write_sound(
    path: Path, seconds: float = 1.0, rate: int = SAMPLING_RATE, seed: int = 0, channels: int = 1
) -> Path:
    """Writes [`sound`] to a file in the format of its extension; WAV as 32-bit float, hence exactly."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    subtype = "FLOAT" if path.suffix == ".wav" else None
    soundfile.write(path, sound(seconds, rate, seed, channels), rate, subtype=subtype)
    return path
