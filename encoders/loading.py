"""From a directory or Hub id to the encoder class that fits it."""

import importlib
import os
from pathlib import Path
from typing import Any

from .interface import AudioTextEncoder, EncoderError
from .model_source import read_model_type

# Module and class, the first that recognises a directory; each is imported only when its turn comes, so that an
# exported text tower answers without torch.
ENCODER_CLASSES = (
    ("onnx_encoder", "OnnxEncoder"),
    ("auricle_encoder", "AuricleEncoder"),
)


def load_encoder(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    device: Any = None,
    precision: str = "float32",
) -> AudioTextEncoder:
    """
    Loads a model that embeds sounds and sentences, whatever its kind.

    Args:
        name: a saved model's directory, a directory of LoRA adapters (merged into the model that it names), a
            directory written by `auricle export`, or a Hub id.
        revision: branch, tag or commit of a Hub repository.
        device: a torch device; None takes the GPU if there is one.
        precision: "float32", or "int8" for 8-bit linear layers on the CPU, whose vectors differ a little
            (docs/results_encoders.md): vectors of two precisions must not be mixed.

    Returns:
        The encoder, in evaluation mode.

    Raises:
        EncoderError: if there is no such model, it is of a kind that is not known, or incomplete; one line that
            names the model and the part at fault.
    """
    kind = _recognized_class(os.fspath(name))
    if kind is None:
        # Our own loader says what a directory lacks, and asks the Hub for what is no directory.
        from .auricle_encoder import AuricleEncoder as kind
    return kind.load(name, revision=revision, device=device, precision=precision)


def is_encoder_directory(name: str | os.PathLike[str]) -> bool:
    """
    Whether a directory is of a kind that [`load_encoder`] knows; its files are not loaded.

    Raises:
        EncoderError: if its ``config.json`` cannot be read.
    """
    return _recognized_class(os.fspath(name)) is not None


def _recognized_class(name: str) -> Any:
    directory = Path(name)
    if not directory.is_dir():
        return None
    model_type = read_model_type(directory)
    for module, class_name in ENCODER_CLASSES:
        kind = getattr(importlib.import_module(f".{module}", __package__), class_name)
        if kind.recognizes(directory, model_type):
            return kind
    return None


__all__ = ["ENCODER_CLASSES", "AudioTextEncoder", "EncoderError", "is_encoder_directory", "load_encoder"]
