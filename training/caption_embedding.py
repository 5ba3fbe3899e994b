"""Vectors of captions for clustering: from a dual encoder's text tower or a sentence-transformers model."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..conversion import sha256_of
from ..evaluation.embedding import distinct_in_order, embed_captions
from .model_building import load_model
from .model_fingerprint import model_fingerprint
from .pretrained_text import PretrainedError, locate_text_encoder, looks_like_path, offline_hint
from .saved_directories import read_json


def embed_captions_with(
    name: str,
    captions: Sequence[str],
    *,
    prompt: str = "",
    batch_size: int = 64,
    progress: bool = False,
) -> tuple[np.ndarray, dict[str, Any]]:
    """
    Embeds captions as the report does for its two sources of clusters (arXiv 2509.16649, stage 3).

    Args:
        name: a saved dual encoder, whose text tower's pooled output is taken from before the projection; or a
            sentence-transformers model by directory or Hub id, such as ``intfloat/e5-large-v2``.
        captions: sentences; equal ones are embedded once.
        prompt: put before every caption of a sentence-transformers model; e5 was trained with ``"query: "``.
        batch_size: captions at a time.
        progress: show a progress bar.

    Returns:
        float32 ``(captions, width)`` of unit length, and the source's name, fingerprint and prompt.

    Raises:
        PretrainedError: if there is no such model, it cannot be loaded, a prompt is given for a dual encoder, or
            sentence-transformers is missing.
    """
    if _is_dual_encoder(name):
        if prompt:
            raise PretrainedError(
                f"{name} is a dual encoder: it takes captions as they are, not after {prompt!r}."
            )
        built = load_model(name)
        model = built.model.to("cuda" if torch.cuda.is_available() else "cpu")
        vectors = embed_captions(
            model, built.processor, captions, batch_size=batch_size, pooled=True, progress=progress
        )
        fingerprint = model_fingerprint(built.model, built.processor)
    else:
        vectors, fingerprint = _sentence_transformer(name, captions, prompt, batch_size, progress)
    vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return vectors.astype(np.float32), {"name": name, "fingerprint": fingerprint, "prompt": prompt}


def _is_dual_encoder(name: str) -> bool:
    config = read_json(Path(name) / "config.json") if Path(name).is_dir() else None
    return isinstance(config, dict) and config.get("model_type") == "auricle"


def _sentence_transformer(
    name: str, captions: Sequence[str], prompt: str, batch_size: int, progress: bool
) -> tuple[np.ndarray, str]:
    if looks_like_path(name) and not Path(name).is_dir():
        raise PretrainedError(f"{name}: there is no such model directory.")
    if importlib.util.find_spec("sentence_transformers") is None:
        raise PretrainedError(
            f"{name} is no dual encoder of ours and needs sentence-transformers: pip install sentence-transformers."
        )
    from sentence_transformers import SentenceTransformer

    location = locate_text_encoder(name).location
    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # Code from a stranger's repository is not run: these models need none.
        model = SentenceTransformer(location, device=device, trust_remote_code=False)
    except (OSError, ValueError, RuntimeError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
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
    weights = sorted(Path(location).glob("*.safetensors")) if Path(location).is_dir() else []
    return rows, " ".join(sha256_of(path) for path in weights) or f"Hub {name}"


__all__ = ["embed_captions_with"]
