"""Linear layers in float32 through oneDNN, with weights packed once into the layout of its kernels."""

from typing import Any

import torch
from torch import nn

# Rows that a layer is packed for: a ten-second segment of a ViT-B with patches of 16 has about as many tokens.
PACKED_FOR_ROWS = 512
# Narrower layers cost the call and little else.
SMALLEST_WIDTH = 8
# A check of the kernels themselves; sums of 64 products of unit variance round to about 1e-6 of their size.
_CHECK_TOLERANCE = 1e-4


class PackedLinear(nn.Module):
    """
    A linear layer whose weight is packed for oneDNN, for inference on a CPU in float32.

    The weight is stored once, in packed form. ``state_dict`` returns it in the usual form, bit-identical to before, so
    that a model's fingerprint does not depend on the engine.

    Args:
        linear: float32, on the CPU.
    """

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.packed = torch.ops.mkldnn._reorder_linear_weight(
            linear.weight.detach().contiguous(), PACKED_FOR_ROWS
        )
        self.bias = None if linear.bias is None else nn.Parameter(linear.bias.detach(), requires_grad=False)

    @property
    def weight(self) -> torch.Tensor:
        """A copy of the weight in its usual form, ``(out_features, in_features)``."""
        return self.packed.to_dense()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """float32 ``(..., in_features)`` to float32 ``(..., out_features)``; no gradient flows through."""
        return torch.ops.mkldnn._linear_pointwise(inputs.contiguous(), self.packed, self.bias, "none", [], "")

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = self.weight

    def extra_repr(self) -> str:
        """The layer's widths."""
        return f"in_features={self.in_features}, out_features={self.out_features}"


def pack_linear_layers(model: nn.Module) -> int:
    """
    Replaces the linear layers of a model by packed ones, in place.

    Not packed: subclasses of ``nn.Linear``, narrow layers, and layers that share their weight with another part.

    Args:
        model: for inference; float32, on the CPU.

    Returns:
        Number of packed layers.

    Raises:
        ValueError: if a layer is not float32 on the CPU; the message names it, and nothing was packed.
    """
    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if type(child) is nn.Linear and min(child.in_features, child.out_features) >= SMALLEST_WIDTH
    ]
    owners: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            owners[id(parameter)] = owners.get(id(parameter), 0) + 1
    alone = [place for place in places if owners[id(place[2].weight)] == 1]
    for _, name, layer in alone:
        if layer.weight.device.type != "cpu" or layer.weight.dtype != torch.float32:
            raise ValueError(
                f"layer {name!r} is {layer.weight.dtype} on {layer.weight.device}; packed linear layers need "
                "float32 on the CPU."
            )
    packed: dict[int, PackedLinear] = {}
    with torch.no_grad():
        for parent, name, layer in alone:
            # A layer that is used in two places stays one layer.
            packed.setdefault(id(layer), PackedLinear(layer))
            setattr(parent, name, packed[id(layer)])
    return len(packed)


def count_packed_weights(model: nn.Module) -> dict[str, int]:
    """Number of elements of each packed weight of a model, by its name in ``state_dict``."""
    return {
        f"{name}.weight": module.in_features * module.out_features
        for name, module in model.named_modules()
        if isinstance(module, PackedLinear)
    }


def linear_layer(weight: torch.Tensor) -> nn.Linear:
    """
    A layer without bias, of a weight ``(out_features, in_features)``.

    The usual initialisation would draw from torch's own generator; ``skip_init`` imports SymPy, half a CPU-second.
    """
    layer = nn.Linear(1, 1, bias=False, device="meta")
    layer.out_features, layer.in_features = weight.shape
    layer.weight = nn.Parameter(weight, requires_grad=False)
    return layer


def lack_of_packing() -> str | None:
    """The reason why this build of torch cannot pack linear layers; None if it can, with the same results."""
    if not torch.backends.mkldnn.is_available():
        return "this build of torch has no oneDNN"
    if not all(hasattr(torch.ops.mkldnn, name) for name in ("_reorder_linear_weight", "_linear_pointwise")):
        return f"torch {torch.__version__} has no packed linear layers"
    generator = torch.Generator().manual_seed(0)
    layer = linear_layer(torch.randn(64, 64, generator=generator))
    with torch.no_grad():
        inputs = torch.randn(8, 64, generator=generator)
        try:
            packed = PackedLinear(layer)
            difference = float((packed(inputs) - layer(inputs)).abs().max())
            same = torch.equal(packed.weight, layer.weight)
        except (RuntimeError, TypeError, NotImplementedError) as error:
            return f"packed linear layers do not run here ({str(error).partition(chr(10))[0] or type(error).__name__})"
    if not difference <= _CHECK_TOLERANCE or not same:
        return f"packed linear layers differ from torch's here by {difference:.2g}"
    return None


__all__ = [
    "PACKED_FOR_ROWS",
    "PackedLinear",
    "count_packed_weights",
    "lack_of_packing",
    "linear_layer",
    "pack_linear_layers",
]
