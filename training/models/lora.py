"""Low-rank adapters (LoRA, arXiv 2106.09685) on the towers, with PEFT; saved next to the merged model."""

import copy
import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ...modeling import AuricleModel
from ..recipe.reading import RecipeError
from ..recipe.schema import LoraSection

ADAPTER_FOLDER = "adapter"
_PREFIX = "base_model.model."

logger = logging.getLogger(__name__)


def add_lora(model: AuricleModel, section: LoraSection, *, base: str, seed: int) -> None:
    """
    Puts adapters on linear layers in place; from now on only they, cluster heads and the temperature are trained.

    Args:
        model: the dual encoder, changed in place.
        section: which towers and layers, rank, alpha and dropout.
        base: path or id that the model was loaded from; stored in the adapter's file.
        seed: seed of the adapters' first weights. Their product is zero at first: the model answers as before.

    Raises:
        RecipeError: if PEFT is missing or no layer has one of the given names.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise RecipeError("training.lora needs PEFT: pip install 'auricle[peft]'.") from error
    # The projections are where the towers meet: small, and adapted with either tower.
    parts = (*(f"{tower}_model" for tower in section.towers), "audio_projection", "text_projection")
    linear = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.split(".")[0] in parts
    ]
    wanted = set(section.target_modules)
    chosen = [name for name in linear if not wanted or name.rsplit(".", 1)[-1] in wanted]
    if not chosen:
        raise RecipeError(
            f"training.lora.target_modules={sorted(wanted)}: no linear layer of the towers {section.towers} has "
            f"this name; the names are {sorted({name.rsplit('.', 1)[-1] for name in linear})}."
        )
    heads = [head for head in (model.audio_cluster_head, model.text_cluster_head) if head is not None]
    config = LoraConfig(
        r=section.rank,
        lora_alpha=section.alpha,
        lora_dropout=section.dropout,
        target_modules=chosen,
        bias="none",
        base_model_name_or_path=base,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        inject_adapter_in_model(config, model)
    for head in heads:
        head.requires_grad_(True)
    if model.logit_scale is not None:
        model.logit_scale.requires_grad_(True)


def has_lora(model: nn.Module) -> bool:
    """Whether a model has adapters."""
    return any(hasattr(module, "lora_A") for module in model.modules())


def merge_lora(model: AuricleModel) -> AuricleModel:
    """A copy of the model with merged adapters, which gives the same outputs."""
    merged = copy.deepcopy(model)
    for parent in list(merged.modules()):
        for name, child in list(parent.named_children()):
            if hasattr(child, "lora_A"):
                child.merge(safe_merge=True)
                setattr(parent, name, child.get_base_layer())
    for attribute in ("peft_config", "active_adapters"):
        merged.__dict__.pop(attribute, None)
    return merged.requires_grad_(True)


def save_adapter(model: AuricleModel, directory: Path) -> None:
    """Writes only the adapters, for `PeftModel.from_pretrained`."""
    from peft.utils import SAFETENSORS_WEIGHTS_NAME, get_peft_model_state_dict
    from safetensors.torch import save_file

    directory.mkdir(parents=True, exist_ok=True)
    weights = get_peft_model_state_dict(model)
    named = {
        name if name.startswith(_PREFIX) else f"{_PREFIX}{name}": tensor.detach().cpu().contiguous()
        for name, tensor in weights.items()
    }
    save_file(named, directory / SAFETENSORS_WEIGHTS_NAME, metadata={"format": "pt"})
    model.peft_config["default"].save_pretrained(directory)


def trainable_share(model: nn.Module) -> dict[str, Any]:
    """Numbers of trained and of all parameters, and their ratio."""
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    total = sum(parameter.numel() for parameter in model.parameters())
    return {"trained": trained, "total": total, "share": trained / total}


__all__ = ["ADAPTER_FOLDER", "add_lora", "has_lora", "merge_lora", "save_adapter", "trainable_share"]
