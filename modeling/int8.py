"""Linear layers in 8 bits for faster inference on a CPU; weights quantised once, activations as they come."""

import copy
import warnings

import torch
from torch import nn


class Int8Linear(nn.Module):
    """
    A linear layer with 8-bit weights, one scale a row, and 8-bit activations, one scale a call.

    For inference on a CPU: no gradient flows through, and it is not saved with the model.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        weight = linear.weight.detach().float()
        scales = (weight.abs().amax(dim=1) / 127).clamp(min=1e-12).double()
        zeros = torch.zeros(len(weight), dtype=torch.int64)
        with warnings.catch_warnings():
            # torch announces the end of its quantised tensors without another 8-bit kernel of this speed.
            warnings.simplefilter("ignore", UserWarning)
            quantised = torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)
        bias = None if linear.bias is None else linear.bias.detach().float()
        self.packed = torch.ops.quantized.linear_prepack(quantised, bias)
        self.out_features = linear.out_features

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """float32 ``(..., in_features)`` to float32 ``(..., out_features)``."""
        # Seven bits for activations: processors without 8-bit dot products overflow in between otherwise.
        return torch.ops.quantized.linear_dynamic(inputs, self.packed, reduce_range=True)


def quantize_linear_layers(model: nn.Module, keep: tuple[str, ...] = ("grep_linear",)) -> nn.Module:
    """
    A copy of a model whose linear layers work in 8 bits.

    A segment's vector then depends on its batch in the last digits, since activations share a scale.

    Args:
        model: float32, on the CPU.
        keep: last parts of names of layers that stay as they are; BEATs' gates are small and sensitive.

    Returns:
        The copy, in evaluation mode.

    Raises:
        ValueError: if the model is not in float32 on the CPU, or torch was built without 8-bit kernels.
    """
    parameter = next(model.parameters())
    if parameter.device.type != "cpu" or parameter.dtype != torch.float32:
        raise ValueError(
            f"the model is {parameter.dtype} on {parameter.device}; 8-bit linear layers need float32 on the CPU."
        )
    if torch.backends.quantized.engine == "none":
        raise ValueError(
            "this build of torch has no 8-bit kernels (torch.backends.quantized.engine is 'none')."
        )
    model = copy.deepcopy(model).eval()
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.Linear and name not in keep:
                setattr(parent, name, Int8Linear(child))
    return model


__all__ = ["Int8Linear", "quantize_linear_layers"]
