"""Names of engines, what each needs of a machine, and which of them may be asked for together with what."""

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
    An engine that is not known, or that a model, precision or machine does not have.

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
    Why an engine cannot compute; None if it can.

    Args:
        engine: one of ``ENGINES``.
        precision: by torch's name.
        device: a torch device; None is the GPU if there is one, else the CPU.
        engines: that the kind of model has.
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
