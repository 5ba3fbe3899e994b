"""Miniatures of the published retrieval checkpoints: the publishers' file format and names, random weights."""

import copy
import sys
import types
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, PreTrainedTokenizerFast, RobertaConfig

from auricle.conversion import ConversionError, convert_retrieval
from auricle.modeling import AuricleConfig, AuricleModel

TOKENIZER = Path(__file__).parent / "fixtures" / "saved_before_named_captions" / "roberta_normalized"
WIDTH, PROJECTION = 64, 24
AUDIO = "audio_embedding_model.model.model."
NAMES = {
    "salsa": ("sentence_embedding_model.", "project_audio.0.", "project_sentence.0."),
    "dcase2025_baseline": ("text_embedding_model.", "audio_projection.", "text_projection."),
}
BASELINE_SETTINGS = {
    "roberta_base": False,
    "tau_trainable": False,
    "s_patchout_t": 15,
    "s_patchout_f": 2,
    "compile": True,
}
SALSA_SETTINGS: dict[str, Any] = {
    "audio_features": {
        "model": "passt",
        "model_config": {"s_patchout_t": 15, "s_patchout_f": 2, "return_sequence": False},
        "use_local_model": False,
        "adopt_n_layers": 0,
        "segment_length": 10,
        "hop_length": 10,
        "aggregate": "mean",
        "sequence_model": {"num_layers": 0, "dim": 768},
    },
    "sentence_features": {
        "model": "roberta-large",
        "adopt_n_layers": 0,
        "use_first_token": True,
        "max_sentence_tokens": 32,
        "remove_punctuation": True,
    },
    "audio_dataset": {"sample_rate": 32000},
    "distill_from": [],
    "shared_representation_size": 1024,
    "normalize": True,
    "freeze_tau": True,
    "use_keywords": False,
}


def tokenizer_dir(folder: Path) -> Path:
    """RoBERTa's kind of tokenizer with 330 words, and no form of captions inside."""
    PreTrainedTokenizerFast.from_pretrained(TOKENIZER).save_pretrained(folder)
    return folder


def text_config(kind: str = "roberta") -> RobertaConfig | BertConfig:
    """A text tower of one layer; its heads are one for every 64 channels, as in the published sizes."""
    shape = {
        "vocab_size": len(PreTrainedTokenizerFast.from_pretrained(TOKENIZER)),
        "hidden_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 32,
        "max_position_embeddings": 40,
        "initializer_range": 0.2,
    }
    if kind == "bert":
        return BertConfig(**shape, layer_norm_eps=1e-12)
    return RobertaConfig(
        **shape, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1, bos_token_id=0, eos_token_id=2
    )


def miniature(*, seed: int = 0, text: str = "roberta", **fields: Any) -> AuricleModel:
    """The model that a miniature checkpoint holds: PaSST and a text tower of one layer, 64 wide."""
    audio = {
        "model_type": "auricle_passt",
        "hidden_size": WIDTH,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "intermediate_size": 32,
        "initializer_range": 0.2,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = AuricleConfig(
            audio_config=audio, text_config=text_config(text), projection_dim=PROJECTION, **fields
        )
        return AuricleModel(config).eval()


def published_weights(model: AuricleModel, publisher: str, *, tau: float = 0.05) -> dict[str, torch.Tensor]:
    """The model's weights by the publisher's names, beside what its file holds that no embedding needs."""
    text, audio_projection, text_projection = NAMES[publisher]
    prefixes = {
        "audio_model.": AUDIO,
        "text_model.": text,
        "audio_projection.": audio_projection,
        "text_projection.": text_projection,
    }
    weights = {"tau": torch.tensor([tau])}
    for name, tensor in model.state_dict().items():
        ours = next(prefix for prefix in prefixes if name.startswith(prefix))
        weights[prefixes[ours] + name.removeprefix(ours)] = tensor.clone()
    for head in ("head.0", "head.1", "head_dist"):
        weights |= {f"{AUDIO}{head}.weight": torch.ones(3, WIDTH), f"{AUDIO}{head}.bias": torch.zeros(3)}
    if publisher == "salsa":
        weights |= {"timing_tau": torch.ones(1), "audio_token": torch.ones(1, 1, 768)}
        weights |= {"posencode.w": torch.ones(1), "posencode.pe": torch.ones(1, 192, 768)}
    return weights


def settings_of(publisher: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The publisher's settings, some replaced by dotted path."""
    settings = copy.deepcopy(SALSA_SETTINGS if publisher == "salsa" else BASELINE_SETTINGS)
    for path, value in (changes or {}).items():
        *sections, name = path.split(".")
        inner = settings
        for section in sections:
            inner = inner[section]
        inner[name] = value
    return settings


def write_lightning(
    path: Path,
    weights: Mapping[str, torch.Tensor],
    settings: Any,
    optimizer: Any = None,
    save: Callable = torch.save,
) -> Path:
    """A file as Lightning writes it; sacred's settings, a dict, become the containers that sacred makes of them."""
    with sacred() as containers:
        contents = {
            "epoch": 19,
            "global_step": 1234,
            "pytorch-lightning_version": "2.2.0",
            "state_dict": dict(weights),
            "loops": {"fit_loop": {"state_dict": {}}},
            "callbacks": {},
            "optimizer_states": [] if optimizer is None else [optimizer],
            "lr_schedulers": [],
            "hparams_name": None,
            "hyper_parameters": containers(settings)
            if settings and "audio_features" in settings
            else settings,
        }
        save(contents, path)
    return path


@contextmanager
def sacred():
    """
    A stand-in for the library while a file is written: its containers are pickled as a call with one plain value.

    When the file is read the library is gone, as on any machine without it.
    """
    names = ("sacred", "sacred.config", "sacred.config.custom_containers")
    modules = {name: types.ModuleType(name) for name in names}

    class ReadOnlyDict(dict):
        def __reduce__(self):
            return ReadOnlyDict, (dict(self),)

    class ReadOnlyList(list):
        def __reduce__(self):
            return ReadOnlyList, (list(self),)

    for kind in (ReadOnlyDict, ReadOnlyList):
        kind.__module__, kind.__qualname__ = names[-1], kind.__name__
        setattr(modules[names[-1]], kind.__name__, kind)

    def contain(value: Any) -> Any:
        if isinstance(value, dict):
            return ReadOnlyDict({key: contain(item) for key, item in value.items()})
        return ReadOnlyList(map(contain, value)) if isinstance(value, list) else value

    sys.modules.update(modules)
    try:
        yield contain
    finally:
        for name in names:
            sys.modules.pop(name, None)


def cut(path: Path, pieces: int, pattern: str = "passt_roberta.{}.ckpt") -> list[Path]:
    """The file cut into parts beside it, as `split` does; the file itself goes."""
    content = path.read_bytes()
    size = -(-len(content) // pieces)
    parts = []
    for number in range(pieces):
        part = path.with_name(pattern.format(number + 1))
        part.write_bytes(content[number * size : (number + 1) * size])
        parts.append(part)
    path.unlink()
    return parts


def write_miniature(
    folder: Path,
    publisher: str,
    *,
    compiled: bool = False,
    settings: Mapping[str, Any] | None = None,
    text: str = "roberta",
    tau: float = 0.05,
) -> Path:
    """
    A miniature checkpoint, ``model.ckpt`` in a folder.

    Args:
        folder: exists.
        publisher: ``"salsa"`` or ``"dcase2025_baseline"``.
        compiled: with the names that torch.compile gives the baseline's towers.
        settings: replaced ones, by dotted path.
        text: kind of the text tower, ``"roberta"`` or ``"bert"``.
        tau: the temperature in the file.
    """
    weights = published_weights(miniature(text=text), publisher, tau=tau)
    if compiled:
        for inner in (AUDIO, "text_embedding_model."):
            weights = {name.replace(inner, f"{inner}_orig_mod."): value for name, value in weights.items()}
    return write_lightning(folder / "model.ckpt", weights, settings_of(publisher, settings))


def refused(checkpoint: Any, out: Path, tokenizer: Path) -> str:
    """The one line of a conversion that fails and leaves nothing behind in ``out``."""
    out.mkdir(exist_ok=True)
    with pytest.raises(ConversionError) as caught:
        convert_retrieval(checkpoint, out / "out", tokenizer=tokenizer)
    assert "\n" not in str(caught.value)
    assert list(out.iterdir()) == []
    return str(caught.value)
