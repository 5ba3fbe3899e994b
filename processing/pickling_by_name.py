"""Pickling of processors whose code came with a checkpoint."""

import importlib
from typing import Any

from transformers.dynamic_module_utils import init_hf_modules

REMOTE_CODE = "transformers_modules."


def instance_by_name(module: str, name: str) -> Any:
    """An empty instance of a class in a module; pickle fills it with its state."""
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError:  # a new process, which does not know yet where transformers keeps such code
        init_hf_modules()
        found = getattr(importlib.import_module(module), name)
    return found.__new__(found)


class PicklingByName:
    """
    For classes in checkpoints: an instance is pickled as the name of its class and its state.

    dill, which `datasets` uses to hash functions for its cache, cannot import a class from a checkpoint's code; it
    then pickles the class itself with everything that its methods refer to, and the hash differs between processes.
    The module's name contains a digest of the code.
    """

    def __reduce_ex__(self, protocol: int) -> Any:
        kind = type(self)
        if not kind.__module__.startswith(REMOTE_CODE):
            return super().__reduce_ex__(protocol)
        return instance_by_name, (kind.__module__, kind.__qualname__), dict(self.__dict__)


__all__ = ["PicklingByName"]
