"""From a published retrieval checkpoint to a directory that loads as a model of this project."""

import gc
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerFast

from ..modeling import AuricleModel
from ..processing import AuricleFeatureExtractor, AuricleProcessor
from .checkpoint_kinds import RETRIEVAL, check_kind
from .checkpoint_parts import one_file, parts_of, sha256_of_parts
from .checkpoint_reading import read_checkpoint
from .convert import (
    ConversionReport,
    digest_of,
    new_directory,
    refuse_broken_numbers,
    refuse_other_weights,
    sha256_of,
    write_record,
)
from .key_plan import ConversionError, check_plan, take_apart
from .key_wrappers import without_wrappers
from .retrieval_plan import RetrievalPlan, plan_retrieval
from .text_tokenizer import load_text_tokenizer

# The publishers' rules: every remainder of a clip makes a segment, and white space in captions stays.
MIN_TAIL_SECONDS = 0.0
CAPTION_NORMALIZATION = "publisher"
_CAPTIONS = ["A dog barks twice.", "Rain - and  wind - on a tin roof"]


def convert_retrieval(
    checkpoint: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    *,
    tokenizer: str | os.PathLike[str],
    progress: bool = False,
) -> ConversionReport:
    """
    Writes a dual encoder's directory: weights, configs, processor with tokenizer, and their code.

    The weights are memory-mapped, so memory stays at the model's size even if the file also has a large optimizer
    state. The directory gets its name only when it is complete and has been loaded again and
    compared.

    Args:
        checkpoint: the Lightning checkpoint of salsa or of the DCASE 2025 baseline; where it is cut into parts, one
            of them, with the others in the same folder, or all.
        out_dir: must not exist, or be empty.
        tokenizer: directory or Hub id of the text tower's tokenizer, which checkpoints do not contain.
        progress: show bars.

    Returns:
        The report, which is also written to ``conversion.json`` in the directory.

    Raises:
        ConversionError: if the file cannot be read safely, is another model's, has settings that these classes do
            not have, or does not fit key by key; if the tokenizer does not fit; if ``out_dir`` is in use, or the
            written model does not load back equal. Then nothing is left on disk.
    """
    given = [checkpoint] if isinstance(checkpoint, str | os.PathLike) else list(checkpoint)
    parts = parts_of([Path(path) for path in given])
    with new_directory(out_dir) as building, one_file(parts, building.parent, progress) as path:
        plan, notes = _read(path, _name_of(parts))
        words, more = load_text_tokenizer(tokenizer, plan.config.text_config)
        processor = AuricleProcessor(
            AuricleFeatureExtractor.for_tower(
                "passt",
                segment_seconds=plan.segment_seconds,
                min_tail_seconds=MIN_TAIL_SECONDS,
                downmix="mean",
            ),
            words,
            max_text_tokens=plan.max_text_tokens,
            caption_normalization=CAPTION_NORMALIZATION,
        )
        parameters = sum(tensor.numel() for tensor in plan.tensors.values())
        _write(plan, processor, building, _name_of(parts))
        report = ConversionReport(
            RETRIEVAL,
            sha256_of_parts(parts, progress),
            None,
            parameters,
            plan.dropped,
            notes + plan.notes + more,
        )
        # A path means nothing on another machine; the digest identifies the content.
        name = Path(tokenizer).name if Path(tokenizer).is_dir() else os.fspath(tokenizer)
        digest = sha256_of(building / "tokenizer.json")
        write_record(
            report, parts, building, publisher=plan.publisher, tokenizer=name, tokenizer_sha256=digest
        )
    return report


def _name_of(parts: Sequence[Path]) -> str:
    """Name of the checkpoint in messages: the given path, not the temporary file of the joined parts."""
    return f"{parts[0]} and {len(parts) - 1} more parts" if len(parts) > 1 else str(parts[0])


def _read(path: Path, name: str) -> tuple[RetrievalPlan, list[str]]:
    try:
        contents = read_checkpoint(path)
    except ConversionError as error:
        raise ConversionError(str(error).replace(str(path), name)) from error
    parts, notes = without_wrappers(take_apart(contents, name, ("hyper_parameters",)))
    check_kind(RETRIEVAL, parts.weights, name)
    return plan_retrieval(parts), notes


def _write(plan: RetrievalPlan, processor: AuricleProcessor, directory: Path, name: str) -> None:
    """
    Writes the model and loads it again; frees the plan's tensors first, so one set of weights is mapped at a time.
    """
    with torch.device("meta"):
        expected = AuricleModel(plan.config).state_dict()
    check_plan(plan, expected, name)
    refuse_broken_numbers(plan, name)
    written = {key: digest_of(tensor) for key, tensor in plan.tensors.items()}
    # The weights stay the mapped file's pages: no copy of them is made.
    model = AuricleModel.from_pretrained(
        None, config=plan.config, state_dict=dict(plan.tensors), dtype=torch.float32
    )
    model.eval().save_pretrained(directory)
    processor.save_pretrained(directory)
    before = _answers(model, processor)
    del model
    plan.tensors.clear()
    gc.collect()
    again = AuricleModel.from_pretrained(directory, dtype=torch.float32).eval()
    refuse_other_weights(written, {key: digest_of(t) for key, t in again.state_dict().items()}, directory)
    after = _answers(again, _load_processor(directory))
    if any(not torch.equal(first, second) for first, second in zip(before, after, strict=True)):
        raise ConversionError(
            f"{directory}: the written model does not give the same embeddings; please report this bug."
        )


def _load_processor(directory: Path) -> AuricleProcessor:
    """From its parts: the Auto class would ask whether to run the directory's own copy of the code."""
    saved = json.loads((directory / "processor_config.json").read_text(encoding="utf-8"))
    return AuricleProcessor(
        AuricleFeatureExtractor.from_pretrained(directory),
        PreTrainedTokenizerFast.from_pretrained(directory),
        **{name: saved[name] for name in ("max_text_tokens", "caption_normalization")},
    )


@torch.no_grad()
def _answers(model: AuricleModel, processor: AuricleProcessor) -> list[torch.Tensor]:
    """Vectors of captions, and of a sound that ends in a short rest."""
    extractor = processor.feature_extractor
    samples = extractor.segment_samples + extractor.sampling_rate // 20
    generator = torch.Generator().manual_seed(0)
    sound = 0.1 * torch.randn(samples, generator=generator)
    text: Any = processor(text=_CAPTIONS)
    audio: Any = processor(audio=[sound.numpy()], sampling_rate=extractor.sampling_rate)
    return [
        text["input_ids"],
        model.get_text_features(**text).pooler_output,
        model.get_audio_features(**audio).pooler_output,
    ]


__all__ = ["convert_retrieval"]
