"""Tiny models with random weights in the form of public audio-text models: fields as published, sizes shrunk."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from transformers import (
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    PeAudioConfig,
    PeAudioFrameLevelModel,
    PeAudioModel,
    RobertaTokenizer,
)

# preprocessor_config.json of laion/clap-htsat-fused, as huggingface.co showed it (refs/pr/2). That of
# laion/clap-htsat-unfused has 541 bytes; a file of that size was seen in a derivative of it,
# sanchit-gandhi/clap-htsat-unfused-s-full-v2: the same but for "truncation": "rand_trunc".
CLAP_PREPROCESSOR = {
    "chunk_length_s": 10,
    "feature_extractor_type": "ClapFeatureExtractor",
    "feature_size": 64,
    "fft_window_size": 1024,
    "frequency_max": 14000,
    "frequency_min": 50,
    "hop_length": 480,
    "max_length_s": 10,
    "n_fft": 1024,
    "nb_frequency_bins": 513,
    "nb_max_frames": 1000,
    "nb_max_samples": 480000,
    "padding": "repeatpad",
    "padding_side": "right",
    "padding_value": 0.0,
    "processor_class": "ClapProcessor",
    "return_attention_mask": False,
    "sampling_rate": 48000,
    "top_db": None,
    "truncation": "fusion",
}
REMOTE_CODE = """
from transformers import ClapConfig, ClapModel

class RemoteConfig(ClapConfig):
    model_type = "remote_clap"

class RemoteModel(ClapModel):
    config_class = RemoteConfig
"""
LICENSE_CARD = "---\nlicense: apache-2.0\n---\n\n# A tiny model\n"


def byte_vocabulary(special: list[str]) -> dict[str, int]:
    """Special tokens and single bytes: no word is unknown."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    return {piece: index for index, piece in enumerate([*special, *letters])}


def save_clap(folder: Path, *, fused: bool = False, seed: int = 0) -> None:
    """
    A CLAP model as laion/clap-htsat-unfused and laion/clap-htsat-fused are published.

    Of config.json only the fields that transformers' defaults give could be checked (their docstrings name
    laion/clap-htsat-fused); enable_fusion and fusion_type of the fused one are as its class documents them. The
    tokenizer is RoBERTa's with single bytes for words; its model_max_length is RoBERTa's 512.
    """
    text = {
        "vocab_size": 261,
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "pad_token_id": 1,
    }
    audio = {
        "window_size": 8,
        "num_mel_bins": 64,
        "spec_size": 256,
        "patch_size": 4,
        "patch_stride": [4, 4],
        "hidden_size": 32,
        "depths": [1, 1, 2, 1],
        "num_attention_heads": [1, 2, 2, 4],
        "patch_embeds_hidden_size": 4,
        "aff_block_r": 2,
        "enable_fusion": fused,
        "fusion_type": "aff_2d" if fused else None,
    }
    # With the published initialisation and this width all sounds would nearly be one.
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=12, initializer_factor=8.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = ClapModel(config).eval()
        spread_weights(model)
    model.save_pretrained(folder)
    RobertaTokenizer(
        vocab=byte_vocabulary(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]), merges=[], model_max_length=512
    ).save_pretrained(folder)
    truncation = "fusion" if fused else "rand_trunc"
    write_json(folder / "preprocessor_config.json", {**CLAP_PREPROCESSOR, "truncation": truncation})
    (folder / "README.md").write_text(LICENSE_CARD)
    assert isinstance(ClapFeatureExtractor.from_pretrained(folder), ClapFeatureExtractor)


def save_remote_clap(folder: Path) -> None:
    """A CLAP under a name of its own, whose classes only its repository has."""
    save_clap(folder)
    config = json.loads((folder / "config.json").read_text())
    classes = {"AutoConfig": "remote_clap.RemoteConfig", "AutoModel": "remote_clap.RemoteModel"}
    write_json(folder / "config.json", {**config, "model_type": "remote_clap", "auto_map": classes})
    (folder / "remote_clap.py").write_text(REMOTE_CODE)
    write_json(folder / "processor_config.json", {"processor_class": "ClapProcessor"})


def spread_weights(model: torch.nn.Module, spread: float = 0.3) -> None:
    """Draws matrices wide enough that narrow layers tell their inputs apart, and statistics of batch norms."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=spread)
            elif name.endswith("bias"):
                parameter.normal_(std=0.1)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(std=0.5)
                module.running_var.uniform_(0.5, 2.0)


def write_json(path: Path, value: Any) -> None:
    """Writes a file as the Hub's tools do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


# feature_extractor of processor_config.json in facebook/pe-a-frame-small (as seen on huggingface.co).
PE_EXTRACTOR = {
    "feature_extractor_type": "PeAudioFeatureExtractor",
    "feature_size": 1,
    "hop_length": 1920,
    "padding_side": "right",
    "padding_value": 0.0,
    "processor_class": "PeAudioProcessor",
    "return_attention_mask": True,
    "sampling_rate": 48000,
}


def save_pe_audio(folder: Path, *, frames: bool = False, video: bool = False, seed: int = 0) -> None:
    """
    A PE-AV model's audio and text part, as in facebook/pe-av-small, or as facebook/pe-a-frame-small is published.

    Checked on huggingface.co: the frame model's processor_config.json, its model type and architecture. That the
    PE-AV repositories hold a PeAudioVideoModel, and that PeAudioModel loads from them, the library's documentation
    and mteb's wrapper show. The fields of both config.json are those of the library's classes, with the codec's
    downsampling and the kind of text model that these name. Not checked: the values in facebook/pe-av-small's
    config.json and the names in its weights. With `video` they are what `save_pretrained` of PeAudioVideoModel
    leaves of tied weights; that class itself needs timm.
    """
    text = {
        "model_type": "modernbert",
        "vocab_size": 261,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "max_position_embeddings": 8192,
        "pad_token_id": 1,
        "bos_token_id": 0,
        "cls_token_id": 0,
        "eos_token_id": 2,
        "sep_token_id": 2,
    }
    audio = {
        "model_type": "pe_audio_encoder",
        "hidden_size": 24,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "head_dim": 12,
        "max_position_embeddings": 10000,
        "dac_config": {
            "model_type": "dac",
            "downsampling_ratios": [2, 8, 10, 12],
            "encoder_hidden_size": 2,
            "hidden_size": 32,
            "codebook_dim": 8,
            "sampling_rate": 48000,
        },
    }
    kind = PeAudioFrameLevelModel if frames else PeAudioModel
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(PeAudioConfig(text_config=text, audio_config=audio)).eval()
        spread_weights(model)
        with torch.no_grad():
            model.text_audio_logit_scale.fill_(9.0)
            model.text_audio_logit_bias.fill_(-8.0)
    RobertaTokenizer(
        vocab=byte_vocabulary(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]), merges=[], model_max_length=8192
    ).save_pretrained(folder)
    if video:
        write_json(
            folder / "config.json",
            {
                "architectures": ["PeAudioVideoModel"],
                "model_type": "pe_audio_video",
                "text_config": model.config.text_config.to_dict(),
                "audio_video_config": {
                    "model_type": "pe_audio_video_encoder",
                    "audio_config": model.config.audio_config.to_dict(),
                    "video_config": {"model_type": "pe_video_encoder", "hidden_size": 24},
                    "hidden_size": 24,
                },
            },
        )
        tensors = {
            name if name.startswith("text_model.") else f"audio_model.{name}": tensor.contiguous()
            for name, tensor in model.state_dict().items()
        }
        others = {
            "video_model.video_head.proj.weight": torch.ones(16, 24),
            "audio_video_logit_scale": torch.ones(1),
        }
        save_file({**tensors, **others}, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        model.save_pretrained(folder)
    write_json(
        folder / "processor_config.json",
        {"feature_extractor": PE_EXTRACTOR, "processor_class": "PeAudioProcessor"},
    )
    (folder / "README.md").write_text(LICENSE_CARD)
