"""A fingerprint of a model by its files, without loading it."""

import hashlib
import os
from pathlib import Path

from ...encoders import EncoderError
from ...encoders.auricle_checkpoint import ADAPTER_CONFIG
from ...encoders.hub_files import find_model_files
from ...files.content_digests import ContentDigests, directory_fingerprint
from ...files.json_files import read_json
from .pretrained_text import PACKAGED_ENCODERS, PretrainedError, locate_text_encoder, looks_like_path


def model_files_fingerprint(name: str, digests: ContentDigests | None = None) -> str | None:
    """
    Identifies a model by its files: weights, settings, tokenizer.

    It changes with the files even where [`model_fingerprint`] does not, for example if another version of
    transformers saved the same weights again; equal files are always an equal model.

    Args:
        name: a directory, a file of weights, the name of an encoder in an installed package, or a Hub id.
        digests: keeps the digests of files, so that weights are read once; None reads them.

    Returns:
        64 hexadecimal digits, ``"commit <hash>"`` for a Hub repository, or None if there is no such model or its
        commit is unknown, because the Hub is unreachable and the cache does not have it.
    """
    digests = digests or ContentDigests()
    path = Path(name)
    if path.is_file():
        return digests.of_file(path)
    if path.is_dir():
        own, base = directory_fingerprint(path, digests), _base_of_adapters(path)
        if own is None or base is None:
            return own
        below = model_files_fingerprint(base, digests)
        return None if below is None else hashlib.sha256(f"{own} on {below}".encode()).hexdigest()
    if name in PACKAGED_ENCODERS:
        try:
            location = locate_text_encoder(name).location
        except PretrainedError:
            return None
        if Path(location).is_dir():
            return directory_fingerprint(location, digests)
    if looks_like_path(os.fspath(name)):
        return None
    try:
        return f"commit {find_model_files(name).revision}"
    except EncoderError:
        return None


def _base_of_adapters(directory: Path) -> str | None:
    """The base model of a directory with adapters only; None for a whole model."""
    if (directory / "config.json").is_file() or not (directory / ADAPTER_CONFIG).is_file():
        return None
    try:
        base = read_json(directory / ADAPTER_CONFIG)["base_model_name_or_path"]
    except (ValueError, OSError, KeyError, TypeError):
        return None  # whoever loads it says what is wrong
    return None if base is None or Path(base) == directory else str(base)


__all__ = ["model_files_fingerprint"]
