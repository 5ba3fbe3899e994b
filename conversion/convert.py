"""From a published checkpoint file to a directory that loads by itself, checked at every step."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from transformers import PreTrainedModel

from ..files.replacing import replace_path
from ..modeling import AUDIO_MODELS
from ..processing import AuricleFeatureExtractor
from .beats_plan import plan_beats
from .checkpoint_kinds import TOWERS, check_kind
from .checkpoint_parts import sha256_of_parts
from .checkpoint_reading import read_checkpoint
from .eat_plan import plan_eat
from .key_plan import ConversionError, KeyPlan, check_plan, take_apart
from .key_wrappers import without_wrappers
from .passt_plan import plan_passt

RECORD_NAME = "conversion.json"


@dataclass
class ConversionReport:
    """
    Report of a conversion.

    Attributes:
        tower: ``"passt"``, ``"beats"`` or ``"eat"``, or ``"retrieval"`` for a whole retrieval model.
        source_sha256: SHA-256 of the checkpoint file, hexadecimal; of its joined parts if it came in parts.
        weights_sha256: SHA-256 of the written ``model.safetensors``; None if nothing was written.
        parameters: number of weights, the fixed tables included.
        dropped: published name of each tensor that was omitted, to the reason.
        notes: what was done to the names of the weights, and what a user should know, a sentence each.
    """

    tower: str
    source_sha256: str
    weights_sha256: str | None
    parameters: int
    dropped: dict[str, str]
    notes: list[str] = field(default_factory=list)


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
        attention_heads: needed if the file does not give it and it differs from one per 64 channels.
        pooling: how an EAT's tokens become one vector.

    Returns:
        The model in float32 and evaluation mode, and the report.

    Raises:
        ConversionError: if the file cannot be read safely, is another model's, or does not fit key by key.
    """
    if tower not in TOWERS:
        raise ConversionError(f"unknown encoder {tower!r}; expected one of {sorted(TOWERS)}.")
    path = Path(checkpoint)
    parts, notes = without_wrappers(take_apart(read_checkpoint(path), str(path)))
    check_kind(tower, parts.weights, str(path))
    if tower == "passt":
        plan = plan_passt(parts, attention_heads)
    elif tower == "beats":
        plan = plan_beats(parts)
    else:
        plan = plan_eat(parts, attention_heads, pooling)
    model = _build(plan, str(path))
    parameters = sum(tensor.numel() for tensor in plan.tensors.values())
    return model, ConversionReport(tower, sha256_of(path), None, parameters, plan.dropped, notes)


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
        ConversionError: see [`load_published`]; also if ``out_dir`` is in use, or the written model does not load
            back equal. Then nothing is left on disk.
    """
    with new_directory(out_dir) as building:
        model, report = load_published(tower, checkpoint, attention_heads=attention_heads, pooling=pooling)
        model.save_pretrained(building)
        extractor = AuricleFeatureExtractor.for_tower(tower, downmix="mean")
        extractor.save_pretrained(building)
        _verify(model, extractor, building)
        write_record(report, [Path(checkpoint)], building)
    return report


@contextmanager
def new_directory(out_dir: str | os.PathLike[str]) -> Iterator[Path]:
    """
    A directory to write into, which appears under its name only when all went well.

    Raises:
        ConversionError: if the directory is in use, or cannot be written. Then nothing is left on disk.
    """
    out_dir = Path(out_dir)
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise ConversionError(f"{out_dir}: exists and is not an empty directory; give a new one.")
    building = out_dir.parent / f".{out_dir.name}.{os.getpid()}.partial"
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        building.mkdir()
        yield building
        if out_dir.exists():
            out_dir.rmdir()
        replace_path(building, out_dir)
    except OSError as error:
        # What is read meanwhile, such as a checkpoint, may be at fault as well.
        named = Path(os.fsdecode(error.filename)) if error.filename else building
        place = out_dir if named.is_relative_to(building) or building.is_relative_to(named) else named
        what = "write" if place is out_dir else "read"
        raise ConversionError(
            f"{place}: cannot {what} the file or directory: {error.strerror or error}."
        ) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)


def sha256_of(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, hexadecimal."""
    return sha256_of_parts([Path(path)])


def _build(plan: KeyPlan, name: str) -> PreTrainedModel:
    model = AUDIO_MODELS[plan.config.model_type](plan.config)
    check_plan(plan, model.state_dict(), name)
    refuse_broken_numbers(plan, name)
    model.load_state_dict(plan.tensors, strict=True)
    return model.eval()


def refuse_broken_numbers(plan: KeyPlan, name: str) -> None:
    """
    Looks at every weight.

    Raises:
        ConversionError: if one is NaN or infinite.
    """
    broken = [key for key, tensor in plan.tensors.items() if not _all_finite(tensor)]
    if broken:
        raise ConversionError(
            f"{name}: {len(broken)} tensors have NaN or infinite values; the first is "
            f"{plan.published_name(broken[0])}."
        )


def _all_finite(tensor: torch.Tensor) -> bool:
    # In pieces: a result for a whole embedding table would need as much memory as the table.
    return all(bool(torch.isfinite(piece).all()) for piece in tensor.reshape(-1).split(1 << 22))


def _verify(model: PreTrainedModel, extractor: AuricleFeatureExtractor, directory: Path) -> None:
    """Loads what was written and compares every tensor and one output."""
    again = type(model).from_pretrained(directory).eval()
    before, after = (
        {key: digest_of(tensor) for key, tensor in one.state_dict().items()} for one in (model, again)
    )
    refuse_other_weights(before, after, directory)
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


def digest_of(tensor: torch.Tensor) -> str:
    """Digest of a tensor's numbers, type and shape."""
    values = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()
    return f"{tensor.dtype} {tuple(tensor.shape)} {hashlib.sha256(values).hexdigest()}"


def refuse_other_weights(before: Mapping[str, str], after: Mapping[str, str], directory: Path) -> None:
    """
    Compares what was written with what is loaded again, by the tensors' digests.

    Raises:
        ConversionError: if they differ anywhere.
    """
    if before != after:
        raise ConversionError(
            f"{directory}: the written weights differ after reloading; please report this bug."
        )


def write_record(report: ConversionReport, sources: Sequence[Path], directory: Path, **more: Any) -> None:
    """Completes the report with the digest of the written weights, and writes it next to them."""
    report.weights_sha256 = sha256_of(directory / "model.safetensors")
    record = {
        "tower": report.tower,
        "source": sources[0].name if len(sources) == 1 else [source.name for source in sources],
        "source_sha256": report.source_sha256,
        "weights_sha256": report.weights_sha256,
        "parameters": report.parameters,
        **more,
        "dropped": report.dropped,
        "notes": report.notes,
    }
    (directory / RECORD_NAME).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


__all__ = ["ConversionError", "ConversionReport", "convert_checkpoint", "load_published", "sha256_of"]
