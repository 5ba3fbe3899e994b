"""The model that an index is made and asked with."""

import os
from collections.abc import Mapping
from typing import Any

from .hits import SearchError


def load_model(model: str) -> tuple[Any, Any]:
    """
    A dual encoder and its processor, on the GPU if there is one.

    Args:
        model: directory or Hub id.

    Raises:
        SearchError: if it is none.
    """
    import torch

    from ..evaluation.model_loading import load_pretrained

    try:
        built = load_pretrained(model)
    except ValueError as error:
        raise SearchError(str(error)) from error
    built[0].to("cuda" if torch.cuda.is_available() else "cpu")
    return built


def load_model_on_half_the_cores(model: str) -> tuple[Any, Any]:
    """
    [`load_model`] for a process that does nothing else: torch then computes on half of the CPU's cores.

    See [`choose_cpu_threads`]: with a thread a core, any other busy program slows every file down many times.

    Raises:
        SearchError: as `load_model`.
    """
    from ..training.cpu_threads import set_cpu_threads

    set_cpu_threads(None)
    return load_model(model)


def fingerprint_of(built: tuple[Any, Any]) -> str:
    """Of the weights, the front end and the text side of a model and its processor."""
    from ..training.model_fingerprint import model_fingerprint

    return model_fingerprint(*built)


def record_of(
    model: str, built: tuple[Any, Any], hop_seconds: float | None, exact_windows: int
) -> dict[str, Any]:
    """
    What an index keeps of how it is made.

    Args:
        model: directory or Hub id.
        built: model and processor.
        hop_seconds: from one window's start to the next one's; None is a window.
        exact_windows: up to so many windows questions are exact.
    """
    window = built[1].feature_extractor.segment_seconds
    return {
        "model": os.path.abspath(model) if os.path.isdir(model) else model,
        "fingerprint": fingerprint_of(built),
        "window_seconds": window,
        "hop_seconds": hop_seconds or window,
        "exact_windows": exact_windows,
    }


def check_record(
    directory: str | os.PathLike[str], held: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """
    Raises:
        SearchError: if an index holds vectors of another model, window or hop than those that are to go in.
    """
    for name in ("fingerprint", "window_seconds", "hop_seconds"):
        if held[name] != wanted[name]:
            raise SearchError(
                f"{directory}: was made with another {name.replace('_', ' ')} ({held[name]}, "
                f"model {held['model']}; now {wanted[name]}). "
                "Vectors of two kinds cannot be compared: name another --index."
            )


__all__ = ["check_record", "fingerprint_of", "load_model", "load_model_on_half_the_cores", "record_of"]
