"""Turns the many kinds of loading errors into one line about what is wrong with a checkpoint."""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging


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
    Silences transformers while it loads weights: its bar, and its report of unused tensors.

    [`check_complete`] reports missing weights, and the bars of downloads stay as they are. Everything is restored
    afterwards.
    """
    logger = logging.getLogger("transformers")
    level, bars = logger.level, transformers_logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    if bars:
        _show_bars(False)
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            _show_bars(True)


def _show_bars(shown: bool) -> None:
    """Switches the bars of transformers without switching those of downloads."""
    downloads = not are_progress_bars_disabled()
    with warnings.catch_warnings():
        # huggingface_hub warns if an environment variable fixes its bars.
        warnings.simplefilter("ignore")
        (transformers_logging.enable_progress_bar if shown else transformers_logging.disable_progress_bar)()
        (enable_progress_bars if downloads else disable_progress_bars)()


__all__ = ["check_complete", "first_line", "named_fault", "quiet_loading"]
