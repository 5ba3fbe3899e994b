"""Turns the many kinds of loading errors into one line about what is wrong with a checkpoint."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError


@contextmanager
def named_fault(name: str, part: str) -> Iterator[None]:
    """
    Turns the loaders' many kinds of errors into one line that names the model and the part at fault.

    Raises:
        ValueError: instead of the error that the body raised.
    """
    try:
        yield
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RuntimeError,
        SafetensorError,
        StrictDataclassError,
    ) as error:
        raise ValueError(f"{name}: {part} cannot be loaded ({first_line(error)})") from error


def first_line(error: BaseException) -> str:
    """The first line of an error, with the next line if the first one ends in a colon."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]


def check_complete(name: str, report: Mapping[str, Any]) -> None:
    """
    Checks the loading report of transformers (``output_loading_info=True``).

    The loader draws missing weights at random and continues; the results would be noise.

    Raises:
        ValueError: if tensors are missing or of another shape; the message counts them and names one.
    """
    missing = {key[0] if isinstance(key, tuple) else key for key in report["mismatched_keys"]}
    missing |= set(report["missing_keys"])
    if missing:
        raise ValueError(
            f"{name}: the weights do not fit config.json: {len(missing)} tensors are missing or of another "
            f"shape, such as {min(missing)}."
        )


@contextmanager
def quiet_loading() -> Iterator[None]:
    """
    Omits what transformers warns of while it loads, such as a table of all tensors that a part of a model does
    not need; [`check_complete`] reports missing weights.
    """
    logger = logging.getLogger("transformers")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


__all__ = ["check_complete", "first_line", "named_fault", "quiet_loading"]
