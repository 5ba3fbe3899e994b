"""Loads a saved dual encoder with this package's own classes."""

import json
import os
from pathlib import Path

import torch

from ..modeling import AuricleConfig, AuricleModel
from ..modeling.int8 import quantize_linear_layers
from ..processing import AuricleProcessor
from .checkpoint_faults import check_complete, named_fault, quiet_loading
from .model_source import models_below

ADAPTER_CONFIG = "adapter_config.json"


def load_pretrained(
    name: str | os.PathLike[str], *, int8: bool = False, revision: str | None = None
) -> tuple[AuricleModel, AuricleProcessor]:
    """
    Loads model and processor of a directory or a Hub id, in float32, in evaluation mode, on the CPU.

    Args:
        name: a directory or a Hub id; a directory of LoRA adapters is merged into the model that it names.
        int8: quantise the linear layers to 8 bits, for faster inference on the CPU; embeddings then differ
            from the float32 model's a little (docs/results_encoders.md), so the two must not be mixed.
        revision: branch, tag or commit of a Hub repository; ignored for a directory.

    Raises:
        ValueError: if it is a directory without a whole saved dual encoder, or cannot be downloaded from the Hub; one
            line that names the directory and the part at fault.
    """
    name = os.fspath(name)
    local = Path(name).is_dir()
    if local and (Path(name) / ADAPTER_CONFIG).is_file() and not (Path(name) / "config.json").is_file():
        model, processor = _load_adapted(Path(name))
        return quantize_linear_layers(model) if int8 else model, processor
    if local and not (Path(name) / "config.json").is_file():
        models = models_below(name)
        way = (
            f"the directory of a training run; use {' or '.join(models)}"
            if models
            else "config.json is missing"
        )
        raise ValueError(f"{name}: not a saved model ({way}).")
    with named_fault(name, "config.json" if local else "not a directory, and from the Hub it"):
        kind = AuricleConfig.get_config_dict(name, revision=revision)[0].get("model_type")
    if kind != AuricleConfig.model_type:
        raise ValueError(f"{name}: contains a model of type {kind!r}; expected {AuricleConfig.model_type!r}.")
    with named_fault(name, "config.json"):
        config = AuricleConfig.from_pretrained(name, revision=revision)
    with named_fault(name, "weights"), quiet_loading():
        # Tensors of another shape are reported like missing ones, so that the message can name them.
        model, report = AuricleModel.from_pretrained(
            name,
            config=config,
            revision=revision,
            dtype=torch.float32,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    check_complete(name, report)
    processor = load_processor(name, revision)
    model = model.eval()
    return quantize_linear_layers(model) if int8 else model, processor


def load_processor(name: str, revision: str | None) -> AuricleProcessor:
    """
    The processor of a directory or a Hub id.

    Raises:
        ValueError: if it cannot be used; one line that names the directory.
    """
    no_words = f"{name}: processor cannot be used (its tokenizer has no words; a file is missing)."
    with named_fault(name, "processor"):
        try:
            processor = AuricleProcessor.from_pretrained(name, revision=revision, trust_remote_code=False)
        except ValueError as error:
            if "instantiate the backend tokenizer" not in str(error):
                raise
            processor = None
    # Without its file of words a tokenizer of some classes is made all the same; every word is unknown to it.
    if processor is None or set(processor.tokenizer.get_vocab()) <= set(
        processor.tokenizer.all_special_tokens
    ):
        raise ValueError(no_words)
    return processor


def _load_adapted(directory: Path) -> tuple[AuricleModel, AuricleProcessor]:
    """The model that an adapter was trained on top of, with the adapter merged into it."""
    try:
        from peft import PeftModel
    except ImportError as error:
        raise ValueError(f"{directory}: adapters need PEFT: pip install 'auricle[peft]'.") from error
    with named_fault(str(directory), ADAPTER_CONFIG):
        base = json.loads((directory / ADAPTER_CONFIG).read_text(encoding="utf-8")).get(
            "base_model_name_or_path"
        )
    if not base or (Path(base) / ADAPTER_CONFIG).is_file():
        raise ValueError(
            f"{directory}: its {ADAPTER_CONFIG} names no model to load it on top of, but {base!r}."
        )
    model, processor = load_pretrained(base)
    with named_fault(str(directory), "adapter"):
        merged = PeftModel.from_pretrained(model, str(directory)).merge_and_unload()
    return merged.eval(), processor
