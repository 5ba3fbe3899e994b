"""Every encoder class as a saved directory, for the tests that all of them have to pass.

A new class adds a function that saves a tiny model of its kind, and an entry in ``CASES``.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from public_models import save_clap, save_pe_audio
from public_sentence_transformers import save_embedding_gemma2, save_two_towers
from tiny_models import saved_tiny_model, tiny_text_config, tiny_text_encoder_dir
from transformers import AutoTokenizer

from auricle.modeling import AuricleConfig, AuricleModel
from auricle.processing import AuricleFeatureExtractor, AuricleProcessor
from auricle.training.models.lora import add_lora, save_adapter
from auricle.training.recipe.schema import LoraSection


@dataclass(frozen=True)
class EncoderCase:
    """
    One kind of directory that [`load_encoder`] knows.

    Attributes:
        save: writes a tiny model with random weights into an empty folder.
        class_name: of the encoder that has to come out.
        needs: packages of optional extras; the case is skipped without them.
        precision: to load it in.
        exact_in_batch: whether windows alone and in a batch have to agree to 2e-6; half precision rounds.
        window_seconds: to load it with, where the model's own length would take long.
        truncate_dim: to cut its vectors to.
    """

    save: Callable[[Path], None]
    class_name: str
    needs: tuple[str, ...] = ()
    precision: str = "float32"
    exact_in_batch: bool = True
    window_seconds: float | None = None
    truncate_dim: int | None = None

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of [`load_encoder`]."""
        chosen = {} if self.window_seconds is None else {"window_seconds": self.window_seconds}
        if self.truncate_dim is not None:
            chosen["truncate_dim"] = self.truncate_dim
        # Not every machine that runs tests has half precision.
        return {"precision": self.precision, "emulate_precision": True, **chosen}


def save_auricle(folder: Path) -> None:
    """A model directory."""
    saved_tiny_model(folder)


def save_auricle_matryoshka(folder: Path) -> None:
    """A model directory whose configuration names widths that its vectors may be cut to."""
    model, _ = saved_tiny_model(folder)
    model.config.matryoshka_dims = [4, 8]
    model.config.save_pretrained(folder)


def save_auricle_beats(folder: Path) -> None:
    """A model directory whose audio tower masks padding: a window depends on how much of it is real."""
    front_end = {"feature_size": 128, "sampling_rate": 16_000, "segment_seconds": 1.28}
    audio = {
        "model_type": "auricle_beats",
        "hidden_size": 48,
        "patch_embed_dim": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "num_frames": 128,
        "initializer_range": 0.2,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AuricleModel(
            AuricleConfig(audio_config=audio, text_config=tiny_text_config(), projection_dim=12)
        )
    tokenizer = AutoTokenizer.from_pretrained(tiny_text_encoder_dir(folder.parent / "text"))
    extractor = AuricleFeatureExtractor(front_end="beats", **front_end)
    model.eval().save_pretrained(folder)
    AuricleProcessor(extractor, tokenizer).save_pretrained(folder)


def save_adapter_directory(folder: Path) -> None:
    """Adapters alone, with random weights, beside the model that they name."""
    base = folder.parent / f"{folder.name}-base"
    model, _ = saved_tiny_model(base)
    add_lora(model, LoraSection(towers=["audio", "text"], rank=2), base=str(base), seed=0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(len(name)))
    save_adapter(model, folder)


def save_onnx(folder: Path) -> None:
    """Both towers, exported."""
    from auricle.hub.onnx_export import export_onnx  # its extra may be missing

    saved_tiny_model(folder.parent / f"{folder.name}-model")
    export_onnx(folder.parent / f"{folder.name}-model", folder)


CASES = {
    "auricle": EncoderCase(save_auricle, "AuricleEncoder"),
    "auricle-beats": EncoderCase(save_auricle_beats, "AuricleEncoder"),
    "auricle-int8": EncoderCase(save_auricle, "AuricleEncoder", precision="int8"),
    "auricle-bfloat16": EncoderCase(
        save_auricle, "AuricleEncoder", precision="bfloat16", exact_in_batch=False
    ),
    "auricle-truncated": EncoderCase(save_auricle_matryoshka, "TruncatedEncoder", truncate_dim=8),
    "adapter": EncoderCase(save_adapter_directory, "AuricleEncoder", needs=("peft",)),
    "clap": EncoderCase(save_clap, "ClapEncoder"),
    "clap-bfloat16": EncoderCase(save_clap, "ClapEncoder", precision="bfloat16", exact_in_batch=False),
    "clap-fused": EncoderCase(partial(save_clap, fused=True), "ClapEncoder"),
    "pe-av": EncoderCase(partial(save_pe_audio, video=True), "PeAudioEncoder", window_seconds=2.0),
    "pe-a-frame": EncoderCase(partial(save_pe_audio, frames=True), "PeAudioEncoder", window_seconds=2.0),
    "embedding-gemma-2": EncoderCase(
        save_embedding_gemma2,
        "SentenceTransformersEncoder",
        needs=("sentence_transformers", "torchvision"),
        window_seconds=3.0,
    ),
    "two-towers": EncoderCase(
        save_two_towers, "SentenceTransformersEncoder", needs=("sentence_transformers",), window_seconds=2.0
    ),
    "onnx": EncoderCase(save_onnx, "OnnxEncoder", needs=("onnx", "onnxruntime", "onnxscript")),
}


def missing_packages(name: str) -> list[str]:
    """Packages that a case needs and that are not installed."""
    return [package for package in CASES[name].needs if importlib.util.find_spec(package) is None]


def save_case(name: str, folder: Path) -> Path:
    """Saves a case's model into a new folder, and returns that."""
    folder.mkdir(parents=True)
    CASES[name].save(folder)
    return folder
