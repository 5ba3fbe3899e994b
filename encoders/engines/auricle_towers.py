"""The two towers of an Auricle model, computed by ONNX Runtime."""

import os
from pathlib import Path

import numpy as np
import torch

from ...modeling import AuricleModel
from ...processing import AuricleProcessor
from .export_cache import TOWERS, export_directory
from .onnx_engine import run_by_onnx

_SENTENCES = ["rain", "waves break on a stony beach while gulls cry far away"]
# The tokenizer's own limit may be below; no position table is longer.
_MOST_TOKENS = 512


def use_onnx_towers(
    model: AuricleModel,
    processor: AuricleProcessor,
    fingerprint: str,
    name: str,
    cache_dir: str | os.PathLike[str] | None = None,
) -> None:
    """
    Replaces both towers by ONNX Runtime; they are exported first if the cache lacks them.

    Args:
        model: float32, on the CPU, in evaluation mode.
        processor: the model's own.
        fingerprint: fingerprint of both.
        name: name of the model, for messages.
        cache_dir: directory of exports; None is the package's cache.

    Raises:
        EngineError: if a tower cannot be exported or saved, or its export gives different embeddings.
    """
    inputs = {"audio": _sounds(processor), "text": _sentences(processor)}
    segments = torch.export.Dim("segments", min=1)
    captions = torch.export.Dim("captions", min=1)
    tokens = torch.export.Dim("tokens", min=2, max=_MOST_TOKENS)
    axes = {"audio": {0: segments}, "text": {0: captions, 1: tokens}}
    for tower in TOWERS:
        directory: Path = export_directory(fingerprint, tower, cache_dir)
        shapes = dict.fromkeys(inputs[tower], axes[tower])
        run_by_onnx(getattr(model, f"{tower}_model"), inputs[tower], shapes, directory, name=name)


def _sounds(processor: AuricleProcessor) -> dict[str, torch.Tensor]:
    """Two segments, the second one half full: what is masked must be masked in the export too."""
    extractor = processor.feature_extractor
    samples = round(1.5 * extractor.segment_samples)
    noise = 0.1 * np.random.default_rng(0).standard_normal(samples).astype(np.float32)
    made = extractor(noise, sampling_rate=extractor.sampling_rate)
    names = ("input_features", "audio_attention_mask")
    return {name: made[name] for name in names if made.get(name) is not None}


def _sentences(processor: AuricleProcessor) -> dict[str, torch.Tensor]:
    made = processor(text=_SENTENCES)
    return {name: made[name] for name in ("input_ids", "attention_mask")}


__all__ = ["use_onnx_towers"]
