"""Loads only the text side of a saved Auricle model, with weights mapped from the file."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import nn
from transformers import initialization as init

from ...modeling import AuricleConfig, AuricleModel

WEIGHTS = "model.safetensors"
_TEXT = ("text_model.", "text_projection.")


class MissingTower(nn.Module):
    """Placeholder for a tower that was not loaded."""

    def forward(self, *inputs: object, **given: object) -> None:
        """
        Raises:
            RuntimeError: always.
        """
        raise RuntimeError("only the text tower of this model was loaded; load the whole model for sounds.")


def load_text_part(directory: Path) -> AuricleModel | None:
    """
    Loads a model without its audio tower, in evaluation mode, for sentences only.

    Its weights are memory-mapped and read page by page when they are needed: they are not memory of the process's
    own. The result gives the same bits as the whole model.

    Args:
        directory: a saved model with its weights in one file in float32.

    Returns:
        The model; None for another kind of directory or a missing weight: loading the whole model reports the reason.
    """
    path = directory / WEIGHTS
    try:
        config = AuricleConfig.from_pretrained(directory)
        with safe_open(path, framework="pt", device="cpu") as file:
            weights = {name: file.get_tensor(name) for name in file.keys() if name.startswith(_TEXT)}  # noqa: SIM118
    except (OSError, ValueError, SafetensorError):
        return None
    if any(weight.dtype != torch.float32 for weight in weights.values()):
        return None
    with init.no_init_weights():
        model = AuricleModel(config)
    model.audio_model = model.audio_projection = MissingTower()
    model.audio_cluster_head = model.text_cluster_head = None
    wanted = {name for name in model.state_dict() if name.startswith(_TEXT)}
    if wanted != weights.keys():
        return None
    try:
        model.load_state_dict(weights, strict=False, assign=True)
    except RuntimeError:
        return None
    return model.eval().requires_grad_(False)


__all__ = ["WEIGHTS", "MissingTower", "load_text_part"]
