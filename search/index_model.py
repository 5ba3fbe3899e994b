"""The model that an index is made and asked with."""

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


def fingerprint_of(built: tuple[Any, Any]) -> str:
    """Of the weights, the front end and the text side of a model and its processor."""
    from ..training.model_fingerprint import model_fingerprint

    return model_fingerprint(*built)


__all__ = ["fingerprint_of", "load_model"]
