"""Precisions that an encoder computes in: their names, whether a machine has them, and a model's towers in one."""

import functools
import hashlib
from typing import Any

# As torch names them, and as an index and a bank record them.
PRECISIONS = ("float32", "bfloat16", "float16", "int8")
_SHORT = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
HALF = ("bfloat16", "float16")
# Another way to quantise gives other numbers, and is a class of vectors of its own.
INT8_FORM = 2


def of_int8(fingerprint: str, form: int) -> str:
    """
    The fingerprint of a model whose towers have 8-bit linear layers.

    Args:
        fingerprint: fingerprint of the float32 model.
        form: 1 is one scale a call in both towers, 2 one range a token in the text tower.
    """
    return hashlib.sha256(f"{fingerprint} linear layers in int8, form {form}".encode()).hexdigest()


def full_name(precision: str) -> str:
    """
    A precision by torch's name: ``bf16`` is ``bfloat16``; a name that is not known stays unchanged.

    Args:
        precision: as a user wrote it.
    """
    name = precision.strip().lower()
    return _SHORT.get(name, name if name in PRECISIONS else precision)


def lack_of(precision: str, device: Any = None) -> str | None:
    """
    Why a device does not compute in a precision by itself; None if it does.

    A processor that lacks bfloat16 computes it by way of float32: slower than float32, and less precise.

    Args:
        precision: torch's name of the precision.
        device: a torch device; None is the GPU if there is one, else the CPU.
    """
    if precision not in HALF:
        return None
    import torch

    kind = device_of(device).type
    if kind == "cpu":
        if precision == "float16":
            return "float16 is for GPUs"
        if not _cpu_has_bfloat16():
            return "bf16 needs a processor with avx512_bf16 or amx_bf16, and this one has neither"
        return None
    if (
        kind == "cuda"
        and precision == "bfloat16"
        and not torch.cuda.is_bf16_supported(including_emulation=False)
    ):
        return "bf16 needs a GPU that has it, and this one has not"
    return None


def device_of(device: Any) -> Any:
    """A torch device; if none was chosen the GPU if there is one, else the CPU."""
    import torch

    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device)


def compute_towers_in(precision: str, *towers: Any) -> None:
    """
    Lets towers compute their matrix products in half precision from now on.

    Weights stay in float32, as do norms and sums where torch.autocast keeps them there, and a tower's output is
    cast to float32: pooling, projections and normalisation after it are not rounded.

    Args:
        precision: "bfloat16" or "float16".
        towers: models of the transformers library.
    """
    import torch

    dtype = getattr(torch, precision)
    for tower in towers:
        tower.forward = _in_half_precision(tower, tower.forward, dtype)


def _in_half_precision(tower: Any, forward: Any, dtype: Any) -> Any:
    import torch

    @functools.wraps(forward)
    def compute(*inputs: Any, **options: Any) -> Any:
        with torch.autocast(tower.device.type, dtype=dtype):
            outputs = forward(*inputs, **options)
        for name, value in outputs.items():
            if isinstance(value, torch.Tensor) and value.dtype == dtype:
                outputs[name] = value.float()
        return outputs

    return compute


def _cpu_has_bfloat16() -> bool:
    import torch

    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    if "avx512_bf16" in capabilities or "bf16" in capabilities:
        return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    # torch versions before `get_capabilities`
    known = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("avx512_bf16", "amx_tile"))
    return any(ask() for ask in known if ask is not None)


__all__ = [
    "HALF",
    "INT8_FORM",
    "PRECISIONS",
    "compute_towers_in",
    "device_of",
    "full_name",
    "lack_of",
    "of_int8",
]
