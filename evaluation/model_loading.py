"""Loading a saved dual encoder with this package's own classes."""

import os
from pathlib import Path

import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel, AutoProcessor

from ..modeling import AUDIO_CONFIGS, AUDIO_MODELS, AuricleConfig, AuricleModel
from ..processing import AuricleFeatureExtractor, AuricleProcessor


def register_auto_classes() -> None:
    """
    Makes transformers' Auto classes find this package's classes for our checkpoints.

    The installed code then runs in place of the copy that a checkpoint carries, and no `trust_remote_code` is
    needed. Calling it again changes nothing.
    """
    AutoConfig.register(AuricleConfig.model_type, AuricleConfig, exist_ok=True)
    AutoModel.register(AuricleConfig, AuricleModel, exist_ok=True)
    AutoFeatureExtractor.register(AuricleConfig, AuricleFeatureExtractor, exist_ok=True)
    AutoProcessor.register(AuricleConfig, AuricleProcessor, exist_ok=True)
    for kind, config in AUDIO_CONFIGS.items():
        AutoConfig.register(kind, config, exist_ok=True)
        AutoModel.register(config, AUDIO_MODELS[kind], exist_ok=True)
        AutoFeatureExtractor.register(config, AuricleFeatureExtractor, exist_ok=True)


def load_pretrained(name: str | os.PathLike[str]) -> tuple[AuricleModel, AuricleProcessor]:
    """
    Loads model and processor of a directory or a Hub id, in float32, in evaluation mode, on the CPU.

    Raises:
        ValueError: if it is a directory without a saved dual encoder, or cannot be had from the Hub.
    """
    name = os.fspath(name)
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        raise ValueError(f"{name}: holds no saved model (no config.json).")
    register_auto_classes()
    try:
        config = AutoConfig.from_pretrained(name)
        if config.model_type != AuricleConfig.model_type:
            raise ValueError(
                f"{name}: holds a model of type {config.model_type!r}; needed is {AuricleConfig.model_type!r}."
            )
        model = AuricleModel.from_pretrained(name, dtype=torch.float32)
        return model.eval(), AuricleProcessor.from_pretrained(name)
    except OSError as error:
        reason = str(error).strip().splitlines()[0]
        raise ValueError(f"{name}: is no saved model that can be loaded ({reason})") from error
