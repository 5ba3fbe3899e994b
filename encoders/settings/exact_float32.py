"""Switches off TF32 while towers compute on a GPU, so that float32 there is the float32 of a CPU."""

import threading
from typing import Any

import torch


class _Tf32Switch:
    """
    Counts who needs exact float32. torch has one setting for the whole process, and threads may overlap: the first one
    in saves it, and the last one out restores it.
    """

    def __init__(self) -> None:
        self._lock, self._inside = threading.Lock(), 0
        self._before: list[tuple[Any, str, Any]] = []

    def off(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._before = [(*setting, getattr(*setting)) for setting in settings_in_use()]
                for place, name, _ in self._before:
                    setattr(place, name, "ieee" if name == "fp32_precision" else False)
            self._inside += 1

    def restore(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                for place, name, value in self._before:
                    setattr(place, name, value)


def settings_in_use() -> list[tuple[Any, str]]:
    """
    torch's settings of TF32, as (place, name): the older ones, or those by operator if this process has set these.

    Reading the older ones raises an error once those by operator were set to something else.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    older = [(matmul, "allow_tf32"), (cudnn, "allow_tf32")]
    try:
        for setting in older:
            getattr(*setting)
    except RuntimeError:
        return [(part, "fp32_precision") for part in (matmul, cudnn.conv, cudnn.rnn)]
    return older


_SWITCH = _Tf32Switch()


class exact_float32:
    """Without TF32 in matrix products and convolutions of CUDA within a `with` block; blocks may overlap."""

    def __enter__(self) -> None:
        _SWITCH.off()

    def __exit__(self, *exception: object) -> None:
        _SWITCH.restore()


__all__ = ["exact_float32", "settings_in_use"]
