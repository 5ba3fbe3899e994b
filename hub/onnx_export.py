"""Exports both towers to ONNX files, with the same embeddings as the model."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from ..conversion.finite_weights import NonFiniteWeightsError, check_finite_weights
from ..encoders.auricle_checkpoint import load_pretrained
from ..encoders.engines.onnx_graphs import quiet_exporter, write_graph
from ..encoders.model_fingerprint import count_parameters, model_fingerprint
from ..encoders.onnx_towers import AUDIO_FILE, RECORD_FILE, TEXT_FILE
from ..files.replacing import replace_path
from ..modeling import AuricleModel
from ..modeling.segment_pooling import pool_tokens
from ..processing import AuricleProcessor

LARGEST_DIFFERENCE = 1e-4
_SENTENCES = (
    ["rain"],
    ["a dog barks", "waves break on a stony beach while gulls cry far away", "somebody knocks three times"],
)
_SEGMENTS = (1, 2, 5)


class ExportError(RuntimeError):
    """A model that cannot be exported, or whose export gives different embeddings."""


class _TextTower(nn.Module):
    def __init__(self, model: AuricleModel):
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        outputs = self.model.text_model(input_ids=input_ids, attention_mask=attention_mask)
        pooling = self.model.config.text_pooling
        return self.model.project_text(pool_tokens(outputs.last_hidden_state, attention_mask, pooling))


class _AudioTower(nn.Module):
    def __init__(self, model: AuricleModel):
        super().__init__()
        self.model = model

    def forward(
        self, input_features: torch.Tensor, audio_attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        # Not of unit length: a clip's vector is the mean of these, brought to unit length.
        segments = self.model.pool_audio(input_features, audio_attention_mask)
        return self.model.audio_projection(segments).float()


def export_onnx(
    name: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    towers: tuple[str, ...] = ("text", "audio"),
    int8: bool = False,
    progress: bool = False,
) -> dict[str, Any]:
    """
    Writes ``text_tower.onnx`` and ``audio_tower.onnx``, checked against the model, and its processor.

    The text tower takes ``input_ids`` and ``attention_mask`` int64 ``(captions, tokens)`` and gives ``text_embeds``
    ``(captions, projection_dim)`` of unit length. The audio tower takes ``input_features`` ``(segments, frames, mel
    bins)``, for BEATs also ``audio_attention_mask``, and gives ``segment_embeds`` ``(segments, projection_dim)``; a
    clip is the mean of its segments' rows, divided by its length.

    Args:
        name: a saved model, directory or Hub id.
        out: a directory, made if missing.
        towers: to export; the text tower is enough to query an index.
        int8: quantise weights to 8 bits, with activations quantised as they come.
        progress: show a progress bar.

    Returns:
        Contents of ``onnx.json``: the model's fingerprint and, by tower, file, bytes, the largest difference and the
        lowest cosine of its results and the model's.

    Raises:
        ImportError: if onnx, onnxscript or onnxruntime is not installed.
        ExportError: if the model's weights contain NaN or infinity, a tower cannot be exported, or a float32 output
            differs by more than 1e-4.
        ValueError: if there is no such model or tower.
    """
    unknown = [tower for tower in towers if tower not in ("text", "audio")]
    if unknown or not towers:
        raise ValueError(f"towers={list(towers)}: expected 'text', 'audio' or both.")
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ImportError(f"export needs {error.name}: pip install 'auricle[onnx]'.") from error
    model, processor = load_pretrained(name)
    try:
        check_finite_weights(model.state_dict(), str(name))
    except NonFiniteWeightsError as error:
        raise ExportError(f"{error} Nothing was exported.") from error
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    processor.save_pretrained(out)
    record: dict[str, Any] = {
        "format": "auricle onnx",
        "version": 1,
        "fingerprint": model_fingerprint(model, processor),
        "projection_dim": model.config.projection_dim,
        "int8": int8,
        "caption_normalization": processor.caption_normalization,
        "max_text_tokens": processor.max_text_tokens,
        "towers": {},
    }
    record["num_parameters"] = count_parameters(model, towers)
    record["logit_scale"] = float(model.current_logit_scale("cpu"))
    for tower in tqdm(towers, desc="exporting", unit="tower", disable=not progress):
        export = _export_text if tower == "text" else _export_audio
        path = out / (TEXT_FILE if tower == "text" else AUDIO_FILE)
        try:
            with quiet_exporter():
                cases = export(model, processor, path)
                if int8:
                    _quantize(path)
        except (RuntimeError, ValueError, torch.onnx.OnnxExporterError) as error:
            path.unlink(missing_ok=True)
            raise ExportError(f"cannot export the {tower} tower ({_first_line(error)}).") from error
        record["towers"][tower] = _verify(tower, path, cases, strict=not int8)
    (out / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return record


@torch.no_grad()
def _export_text(model: AuricleModel, processor: AuricleProcessor, path: Path) -> list[tuple]:
    tower, names = _TextTower(model).eval(), ["input_ids", "attention_mask"]
    example = processor(text=list(_SENTENCES[1]))
    captions, tokens = torch.export.Dim("captions", min=1), torch.export.Dim("tokens", min=2, max=512)
    shape = {0: captions, 1: tokens}
    write_graph(tower, tuple(example[name] for name in names), names, ["text_embeds"], (shape, shape), path)
    cases = []
    for sentences in _SENTENCES:
        inputs = processor(text=list(sentences))
        given = {name: inputs[name] for name in names}
        cases.append((given, tower(**given)))
    return cases


@torch.no_grad()
def _export_audio(model: AuricleModel, processor: AuricleProcessor, path: Path) -> list[tuple]:
    tower, extractor = _AudioTower(model).eval(), processor.feature_extractor
    generator = np.random.default_rng(0)
    cases = []
    for count in _SEGMENTS:
        # The last segment is half full: what is masked must be masked there too.
        samples = round((count - 0.5) * extractor.segment_samples)
        inputs = extractor(
            0.1 * generator.standard_normal(samples).astype(np.float32), sampling_rate=extractor.sampling_rate
        )
        given = {
            key: inputs[key]
            for key in ("input_features", "audio_attention_mask")
            if inputs.get(key) is not None
        }
        cases.append((given, tower(**given)))
    example = cases[1][0]
    segments = torch.export.Dim("segments", min=1)
    shapes = tuple({0: segments} for _ in example)
    write_graph(tower, tuple(example.values()), list(example), ["segment_embeds"], shapes, path)
    return cases


def _quantize(path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    fresh = path.with_suffix(".int8.onnx")
    # Seven bits for weights: processors without 8-bit dot products overflow in intermediate sums.
    quantize_dynamic(path, fresh, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True)
    replace_path(fresh, path)
    # Weights of more than 2 GB are in a separate file.
    path.with_name(f"{path.name}.data").unlink(missing_ok=True)


def _verify(tower: str, path: Path, cases: list[tuple], *, strict: bool) -> dict[str, Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    difference, cosine = 0.0, 1.0
    for given, expected in cases:
        (answer,) = session.run(None, {name: value.numpy() for name, value in given.items()})
        wanted = expected.numpy()
        # numpy's maximum keeps NaN, where Python's max would lose it.
        difference = float(np.maximum(difference, np.abs(answer - wanted).max()))
        dots = (answer * wanted).sum(axis=1)
        norms = np.linalg.norm(answer, axis=1) * np.linalg.norm(wanted, axis=1)
        cosine = min(cosine, float((dots / norms).min()))
    if strict and not difference <= LARGEST_DIFFERENCE:
        path.unlink()
        raise ExportError(
            f"the outputs of the exported {tower} tower differ from the model by up to {difference:.2g}; at most "
            f"{LARGEST_DIFFERENCE:g} is accepted."
        )
    size = sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))
    return {
        "file": path.name,
        "bytes": size,
        "largest_difference": difference,
        "lowest_cosine": cosine,
    }


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


__all__ = ["AUDIO_FILE", "RECORD_FILE", "TEXT_FILE", "ExportError", "export_onnx"]
