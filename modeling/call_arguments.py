"""Keywords that a model's call accepts besides its inputs, and one clear error for all others."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from transformers.utils.generic import TransformersKwargs

# What every model of the library takes, heeded or not: what to return, and what generic training code passes.
COMMON_KEYWORDS = frozenset({*TransformersKwargs.__annotations__, "return_dict", "use_cache"}) - {
    "position_ids"
}

# A tower may be given everything that the feature extractor returns; it encodes segments, not clips.
EXTRACTOR_OUTPUTS = ("segment_counts", "audio_attention_mask")


def named_arguments(function: Callable) -> frozenset[str]:
    """The names of a function's own arguments, without ``**kwargs`` and ``self``."""
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters.values()
    return frozenset(one.name for one in parameters if one.kind in kinds) - {"self"}


def checked_keywords(
    caller: str, keywords: Mapping[str, Any], known: Iterable[str] = (), ignored: Iterable[str] = ()
) -> dict[str, Any]:
    """
    The keywords of a call to pass on; unknown keywords are an error.

    Args:
        caller: name of the called function, for the message.
        keywords: given in addition to the named arguments; None means not given.
        known: names that the caller accepts in addition to [`COMMON_KEYWORDS`].
        ignored: names that callers may pass and that have no effect.

    Raises:
        TypeError: names the keywords that are unknown.
    """
    given = {name: value for name, value in keywords.items() if value is not None and name not in ignored}
    unknown = sorted(name for name in given if name not in COMMON_KEYWORDS and name not in known)
    if unknown:
        raise TypeError(f"{caller} takes no argument {', '.join(map(repr, unknown))}.")
    return given


__all__ = ["COMMON_KEYWORDS", "EXTRACTOR_OUTPUTS", "checked_keywords", "named_arguments"]
