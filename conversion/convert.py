"""From a published checkpoint file to a directory that loads by itself, checked at every step."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from ..modeling import AUDIO_MODELS
from ..processing import AuricleFeatureExtractor
from .beats_plan import plan_beats
from .checkpoint_reading import read_checkpoint
from .eat_plan import plan_eat
from .key_plan import ConversionError, KeyPlan, check_plan, identify, take_apart
from .passt_plan import plan_passt

TOWERS = {"passt": "PaSST", "beats": "BEATs", "eat": "EAT"}
RECORD_NAME = "conversion.json"


@dataclass
class ConversionReport:
    """
    What was converted.

    Attributes:
        tower: ``"passt"``, ``"beats"`` or ``"eat"``.
        source_sha256: of the checkpoint file, hexadecimal.
        weights_sha256: of the written ``model.safetensors``; None if nothing was written.
        parameters: number of weights, the fixed tables included.
        dropped: published name of each tensor that was left out, to the reason.
    """

    tower: str
    source_sha256: str
    weights_sha256: str | None
    parameters: int
    dropped: dict[str, str]


def load_published(
    tower: str,
    checkpoint: str | os.PathLike[str],
    *,
    attention_heads: int | None = None,
    pooling: Literal["cls", "mean"] = "cls",
) -> tuple[PreTrainedModel, ConversionReport]:
    """
    An encoder with the weights of a published file, without writing anything.

    Args:
        tower: ``"passt"``, ``"beats"`` or ``"eat"``.
        checkpoint: the publisher's file.
        attention_heads: where the file does not tell and it is not one for every 64 channels.
        pooling: how an EAT's tokens become one vector.

    Returns:
        The model in float32 and evaluation mode, and the report.

    Raises:
        ConversionError: if the file cannot be read safely, is another model's, or does not fit key by key.
    """
    if tower not in TOWERS:
        raise ConversionError(f"unknown encoder {tower!r}; expected one of {sorted(TOWERS)}.")
    path = Path(checkpoint)
    parts = take_apart(read_checkpoint(path), str(path))
    _check_tower(tower, identify(parts.weights), parts.weights, str(path))
    if tower == "passt":
        plan = plan_passt(parts, attention_heads)
    elif tower == "beats":
        plan = plan_beats(parts)
    else:
        plan = plan_eat(parts, attention_heads, pooling)
    model = _build(plan, str(path))
    parameters = sum(tensor.numel() for tensor in plan.tensors.values())
    return model, ConversionReport(tower, sha256_of(path), None, parameters, plan.dropped)


def convert_checkpoint(
    tower: str,
    checkpoint: str | os.PathLike[str],
    out_dir: str | os.PathLike[str],
    *,
    attention_heads: int | None = None,
    pooling: Literal["cls", "mean"] = "cls",
) -> ConversionReport:
    """
    Writes an encoder directory: weights, config, feature extractor and their code.

    The directory appears under its name only when it is complete and has been loaded again and compared.

    Args:
        tower, checkpoint, attention_heads, pooling: see [`load_published`].
        out_dir: must not exist, or be empty.

    Returns:
        The report, which is also written to ``conversion.json`` in the directory.

    Raises:
        ConversionError: see [`load_published`]; also if ``out_dir`` is in use, or what was written does not load
            back equal. Nothing is left behind.
    """
    out_dir = Path(out_dir)
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise ConversionError(f"{out_dir}: exists and is not an empty directory; give a new directory.")
    model, report = load_published(tower, checkpoint, attention_heads=attention_heads, pooling=pooling)
    out_dir.parent.mkdir(parents=True, exist_ok=True)
    building = out_dir.parent / f".{out_dir.name}.{os.getpid()}.partial"
    try:
        building.mkdir()
        model.save_pretrained(building)
        extractor = AuricleFeatureExtractor.for_tower(tower)
        extractor.save_pretrained(building)
        _verify(model, extractor, building)
        report.weights_sha256 = sha256_of(building / "model.safetensors")
        (building / RECORD_NAME).write_text(json.dumps(_record(report, Path(checkpoint)), indent=2) + "\n")
        if out_dir.exists():
            out_dir.rmdir()
        building.rename(out_dir)
    except OSError as error:
        raise ConversionError(f"{out_dir}: cannot write the directory: {error.strerror or error}.") from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return report


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_tower(tower: str, found: str | None, weights: dict[str, Any], name: str) -> None:
    if found == tower:
        return
    if found is not None:
        raise ConversionError(
            f"{name}: this is a checkpoint of {TOWERS[found]}, not of {TOWERS[tower]}; run "
            f"`auricle convert {found}` on it."
        )
    raise ConversionError(
        f"{name}: not a checkpoint of {TOWERS[tower]}, nor of {', '.join(TOWERS.values())}; the first keys are "
        f"{sorted(weights)[:4]}."
    )


def _build(plan: KeyPlan, name: str) -> PreTrainedModel:
    model = AUDIO_MODELS[plan.config.model_type](plan.config)
    check_plan(plan, model.state_dict(), name)
    broken = [key for key, tensor in plan.tensors.items() if not bool(torch.isfinite(tensor).all())]
    if broken:
        raise ConversionError(
            f"{name}: {len(broken)} tensors have NaN or infinite values; the first is "
            f"{plan.published_name(broken[0])}."
        )
    model.load_state_dict(plan.tensors, strict=True)
    return model.eval()


def _verify(model: PreTrainedModel, extractor: AuricleFeatureExtractor, directory: Path) -> None:
    """Loads what was written and compares every tensor and one output."""
    again = type(model).from_pretrained(directory).eval()
    before, after = model.state_dict(), again.state_dict()
    if before.keys() != after.keys() or not all(torch.equal(before[key], after[key]) for key in before):
        raise ConversionError(
            f"{directory}: the written weights differ after reloading; please report this bug."
        )
    config = model.config
    generator = torch.Generator().manual_seed(0)
    sound = 0.1 * torch.randn(1, extractor.sampling_rate // 2, generator=generator)
    features = extractor(sound.numpy(), sampling_rate=extractor.sampling_rate)["input_features"]
    features = features[:, : config.num_frames]
    with torch.no_grad():
        outputs = [one(features).pooler_output for one in (model, again)]
    if not torch.equal(*outputs):
        raise ConversionError(
            f"{directory}: the written model gives a different output after reloading; please report this bug."
        )
    if AuricleFeatureExtractor.from_pretrained(directory).to_dict() != extractor.to_dict():
        raise ConversionError(
            f"{directory}: the feature extractor differs after reloading; please report this bug."
        )


def _record(report: ConversionReport, checkpoint: Path) -> dict[str, Any]:
    return {
        "tower": report.tower,
        "source": checkpoint.name,
        "source_sha256": report.source_sha256,
        "weights_sha256": report.weights_sha256,
        "parameters": report.parameters,
        "dropped": report.dropped,
    }


__all__ = ["ConversionError", "ConversionReport", "convert_checkpoint", "load_published", "sha256_of"]
