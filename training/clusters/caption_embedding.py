"""Vectors of captions for clustering: from an encoder's text tower or a sentence-transformers model."""

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...conversion import sha256_of
from ...encoders import EncoderError, load_encoder
from ...encoders.auricle_embedding import distinct_in_order
from ...encoders.hub_files import find_model_files
from ...encoders.loading import RemoteCodeError, is_encoder_directory
from ..models.pretrained_text import (
    PACKAGED_ENCODERS,
    PretrainedError,
    locate_text_encoder,
    looks_like_path,
    offline_hint,
)
from ..teachers.pooled_captions import PooledCaptions


def embed_captions_with(
    name: str,
    captions: Sequence[str],
    *,
    prompt: str = "",
    batch_size: int = 64,
    pooled_captions: PooledCaptions | None = None,
    trust_remote_code: bool = False,
    progress: bool = False,
) -> tuple[np.ndarray, dict[str, Any]]:
    """
    Embeds captions as the report does for its two sources of clusters (arXiv 2509.16649, stage 3).

    Args:
        name: an audio-text encoder by directory or Hub id, whose text tower's pooled output before the projection is
            used; or a text-only sentence-transformers model, such as ``intfloat/e5-large-v2``.
        captions: sentences; equal ones are embedded once.
        prompt: prefix of every caption for a sentence-transformers model; e5 was trained with ``"query: "``.
        batch_size: captions at a time.
        pooled_captions: directory of stored vectors of an encoder's text tower; used if it has any of that
            tower.
        trust_remote_code: run Python code that the model's repository brings, if it needs it.
        progress: show a progress bar.

    Returns:
        float32 ``(captions, width)`` of unit length, and the source's name, fingerprint and prompt.

    Raises:
        PretrainedError: if there is no such model, it cannot be loaded, a prompt is given for an audio-text
            encoder, or sentence-transformers is missing.
    """
    if _is_encoder(name):
        if prompt:
            raise PretrainedError(
                f"{name} is an audio-text encoder: it takes captions without a prefix such as {prompt!r}."
            )
        try:
            encoder = load_encoder(name, trust_remote_code=trust_remote_code)
        except RemoteCodeError as error:
            raise PretrainedError(
                f"{error} A recipe runs none: it takes the labels that `auricle cluster --trust-remote-code` writes."
            ) from error
        except ValueError as error:
            raise PretrainedError(str(error)) from error
        options = {"batch_size": batch_size, "progress": progress}
        if pooled_captions is not None and pooled_captions.holds(encoder):
            vectors = pooled_captions.pooled(encoder, captions, **options)
        else:
            vectors = encoder.pool_texts(captions, **options)
        fingerprint = encoder.fingerprint
    else:
        vectors, fingerprint = _sentence_transformer(
            name, captions, prompt, batch_size, progress, trust_remote_code=trust_remote_code
        )
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors.astype(np.float32), {"name": name, "fingerprint": fingerprint, "prompt": prompt}


def check_caption_source(name: str) -> None:
    """
    Checks that a model for captions is available, without loading it.

    Raises:
        PretrainedError: if it is neither an audio-text encoder nor found on the Hub or in its cache, or
            sentence-transformers is missing.
    """
    if _is_encoder(name):
        return
    _check_sentence_transformers(name)
    if Path(name).is_dir() or Path(locate_text_encoder(name).location).is_dir():
        return
    try:
        # sentence-transformers takes a name without owner for one of its own models.
        find_model_files(name if "/" in name else f"sentence-transformers/{name}")
    except EncoderError as error:
        raise PretrainedError(f"{error}{offline_hint(name)}") from error


def source_fingerprint(name: str) -> str:
    """
    The fingerprint that [`embed_captions_with`] records of a model; loads an audio-text encoder.

    Raises:
        PretrainedError: if there is no such model.
    """
    if not _is_encoder(name):
        return _fingerprint_of_files(
            _directory_of(name if Path(name).is_dir() else locate_text_encoder(name).location)
        )
    try:
        return load_encoder(name).fingerprint
    except ValueError as error:
        raise PretrainedError(str(error)) from error


def _is_encoder(name: str) -> bool:
    """Whether a directory, or the files that describe a Hub repository, are an audio-text encoder's."""
    if Path(name).is_dir():
        return is_encoder_directory(name)
    if name in PACKAGED_ENCODERS or looks_like_path(name):
        return False
    try:
        return is_encoder_directory(find_model_files(name).directory)
    except EncoderError:
        # Whoever loads it says what is wrong.
        return False


def _sentence_transformer(
    name: str,
    captions: Sequence[str],
    prompt: str,
    batch_size: int,
    progress: bool,
    *,
    trust_remote_code: bool,
) -> tuple[np.ndarray, str]:
    _check_sentence_transformers(name)
    from sentence_transformers import SentenceTransformer

    # A directory may contain a chain of modules without a config.json of its own.
    location = name if Path(name).is_dir() else locate_text_encoder(name).location
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model = SentenceTransformer(location, device=device, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, RuntimeError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        if "trust_remote_code" in str(error):
            raise PretrainedError(
                f"{name}: needs Python code from its repository. Read that code, and if you trust it give "
                "--trust-remote-code to `auricle cluster`; a recipe runs none, and takes its labels."
            ) from error
        raise PretrainedError(f"{name}: cannot be loaded ({reason}).{offline_hint(name)}") from error
    distinct = distinct_in_order(captions)
    vectors = model.encode(
        [prompt + caption for caption in distinct],
        batch_size=batch_size,
        normalize_embeddings=True,
        show_progress_bar=progress,
        convert_to_numpy=True,
    )
    place = {caption: number for number, caption in enumerate(distinct)}
    rows = np.asarray(vectors, dtype=np.float32)[[place[caption] for caption in captions]]
    return rows, _fingerprint_of_files(_directory_of(location))


def _check_sentence_transformers(name: str) -> None:
    if looks_like_path(name) and not Path(name).is_dir():
        raise PretrainedError(f"{name}: there is no such model directory.")
    if importlib.util.find_spec("sentence_transformers") is None:
        raise PretrainedError(
            f"{name} is not an audio-text encoder and needs sentence-transformers: pip install sentence-transformers."
        )


def _directory_of(location: str) -> Path:
    """The directory that a model was loaded from: its own, or its snapshot in the Hub's cache."""
    if Path(location).is_dir():
        return Path(location)
    from huggingface_hub import snapshot_download

    # sentence-transformers takes a name without owner for one of its own models.
    return Path(
        snapshot_download(
            location if "/" in location else f"sentence-transformers/{location}", local_files_only=True
        )
    )


def _fingerprint_of_files(directory: Path) -> str:
    """SHA-256 of a model's weights; for several files, of their names and hashes."""
    files = sorted(directory.rglob("*.safetensors")) or sorted(directory.rglob("*.bin"))
    if len(files) == 1:
        return sha256_of(files[0])
    listed = "".join(f"{path.relative_to(directory).as_posix()} {sha256_of(path)}\n" for path in files)
    return hashlib.sha256(listed.encode()).hexdigest()


__all__ = ["check_caption_source", "embed_captions_with", "source_fingerprint"]
