"""Linear layers in 8 bits for faster inference on a CPU; weights are quantised once, activations in each call."""

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
        quantised = _quantised_rows(linear.weight.detach().float(), 127)
        bias = None if linear.bias is None else linear.bias.detach().float()
        self.packed = torch.ops.quantized.linear_prepack(quantised, bias)
        self.out_features = linear.out_features

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """float32 ``(..., in_features)`` to float32 ``(..., out_features)``."""
        # Seven bits for activations: processors without 8-bit dot products overflow in intermediate sums.
        return torch.ops.quantized.linear_dynamic(inputs, self.packed, reduce_range=True)


class Int8RowLinear(Int8Linear):
    """
    A linear layer with weights of seven bits, one scale a row, and 8-bit activations, one range a token.

    A token with large activations then does not reduce the precision of others. Weights get seven bits:
    otherwise processors without 8-bit dot products overflow, and activations need the eighth bit more.
    """

    def __init__(self, linear: nn.Linear):
        nn.Module.__init__(self)
        quantised = _quantised_rows(linear.weight.detach().float(), 63)
        self.packed = torch.ops.quantized.linear_prepack(quantised, None)
        self.sums = quantised.dequantize().double().sum(dim=1).float()
        bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().float()
        self.bias = nn.Parameter(bias, requires_grad=False)
        self.out_features = linear.out_features

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """float32 ``(..., in_features)`` to float32 ``(..., out_features)``."""
        lowest = inputs.amin(dim=-1, keepdim=True)
        spread = (inputs.amax(dim=-1, keepdim=True) - lowest).clamp_(min=1e-12)
        lowest = lowest / spread
        # Each token's range becomes 0 to 1, which is then the range that the kernel finds.
        outputs = torch.ops.quantized.linear_dynamic(
            (inputs / spread).sub_(lowest), self.packed, reduce_range=False
        )
        outputs.addcmul_(lowest, self.sums)
        return torch.addcmul(self.bias, outputs, spread, out=outputs)


def _quantised_rows(weight: torch.Tensor, largest: int) -> torch.Tensor:
    scales = (weight.abs().amax(dim=1) / largest).clamp(min=1e-12).double()
    zeros = torch.zeros(len(weight), dtype=torch.int64)
    with warnings.catch_warnings():
        # torch announces the end of its quantised tensors without another 8-bit kernel of this speed.
        warnings.simplefilter("ignore", UserWarning)
        return torch.quantize_per_channel(weight, scales, zeros, 0, torch.qint8)


def quantize_linear_layers(
    model: nn.Module, keep: tuple[str, ...] = ("grep_linear",), *, layer: type[Int8Linear] = Int8Linear
) -> nn.Module:
    """
    A copy of a model with linear layers in 8 bits.

    With ``Int8Linear`` a segment's vector depends on its batch in the last digits, since activations share a scale.

    Args:
        model: float32, on the CPU.
        keep: last parts of names of layers that stay unchanged; BEATs' gates are small and sensitive.
        layer: class of the new layers; ``Int8RowLinear`` rounds less and takes a fifth longer.

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
                setattr(parent, name, layer(child))
    return model


__all__ = ["Int8Linear", "Int8RowLinear", "quantize_linear_layers"]
