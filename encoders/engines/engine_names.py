"""Names of engines, their requirements, and the combinations that are allowed."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

# All compute in float32, and their vectors differ by at most ``LARGEST_DIFFERENCE``: one class of fingerprints.
ENGINES = ("torch", "packed", "onnx")
AUTO = "auto"
LARGEST_DIFFERENCE = 1e-5
_ONNX_PACKAGES = ("onnx", "onnxruntime", "onnxscript")


class EngineError(ValueError):
    """
    An unknown engine, or one that a model, precision or machine does not support.

    Attributes:
        lack: what is missing, without the model's name.
    """

    def __init__(self, name: str, engine: str, lack: str):
        super().__init__(f"{name}: engine {engine}: {lack}; take torch.")
        self.lack = lack


def lack_of_engine(
    engine: str, precision: str = "float32", device: Any = None, engines: Sequence[str] = ENGINES
) -> str | None:
    """
    The reason why an engine cannot be used; None if it can.

    Args:
        engine: one of ``ENGINES``.
        precision: torch's name of the precision.
        device: a torch device; None is the GPU if there is one, else the CPU.
        engines: engines of the class of model.
    """
    if engine not in ENGINES:
        return f"is not one of {AUTO}, {', '.join(ENGINES)}"
    if engine not in engines:
        return f"models of this kind have {', '.join(engines)}"
    if engine == "torch":
        return None
    if precision != "float32":
        return f"it computes in float32 only, not in {precision}"
    from ..settings.precision import device_of

    if device_of(device).type != "cpu":
        return "it computes on a CPU only"
    if engine == "packed":
        from .packed_linear import lack_of_packing

        return lack_of_packing()
    missing = [name for name in _ONNX_PACKAGES if find_spec(name) is None]
    return f"it needs {', '.join(missing)}: pip install 'auricle[onnx]'" if missing else None


__all__ = ["AUTO", "ENGINES", "LARGEST_DIFFERENCE", "EngineError", "lack_of_engine"]
