"""
Adds a caption form to a tokenizer of the tokenizers library, so that it is part of `tokenizer.json`.

`AutoTokenizer` and the pipelines use the tokenizer without the processor. With the form inside it they get
the same tokens as the processor. The form comes first in the tokenizer's normalizer, its own normalizer comes
second; captions that the processor has normalized do not change again.
"""

import json
from typing import Any

from transformers import PreTrainedTokenizerFast

from .caption_form import CAPTION_NORMALIZATIONS, removed_characters

# Python's white space, spelt out: regular expressions elsewhere count fewer characters.
_WHITE_SPACE = (
    "\t-\r\x1c- \x85\xa0\N{OGHAM SPACE MARK}\N{EN QUAD}-\N{HAIR SPACE}\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}"
    "\N{NARROW NO-BREAK SPACE}\N{MEDIUM MATHEMATICAL SPACE}\N{IDEOGRAPHIC SPACE}"
)
# At a word's end Python's lower case of a capital sigma is another letter; the library looks at one letter only.
_SIGMA, _FINAL_SIGMA = "\N{GREEK CAPITAL LETTER SIGMA}", "\N{GREEK SMALL LETTER FINAL SIGMA}"
_LETTER, _SKIPPED = r"[\p{Cased}&&\P{Case_Ignorable}]", r"\p{Case_Ignorable}*"
_SIGMA_AT_END = rf"(?<={_LETTER}{_SKIPPED}){_SIGMA}(?!{_SKIPPED}{_LETTER})"


def caption_steps(normalization: str) -> list[dict[str, Any]]:
    """
    A caption form as steps of the tokenizers library, in the notation of `tokenizer.json`.

    Args:
        normalization: one of the names of `caption_form.py`.

    Returns:
        The steps; none for ``"none"``, since only the processor can remove outer white space: a normalizer
        also works on the pieces between special tokens, whose white space must stay.
    """
    if normalization == "none":
        return []
    steps: list[dict[str, Any]] = [
        _replace(_SIGMA_AT_END, _FINAL_SIGMA),
        {"type": "Lowercase"},
        _replace(removed_characters(normalization), ""),
    ]
    if normalization != "publisher":
        steps += [
            _replace(f"[{_WHITE_SPACE}]+", " "),
            {"type": "Strip", "strip_left": True, "strip_right": True},
        ]
    return steps


def with_caption_normalization(tokenizer: Any, normalization: str) -> Any:
    """
    A tokenizer that normalizes captions to a form.

    It treats special tokens in a caption, such as ``<mask>``, as text, as the processor does, which removes the
    brackets.

    Args:
        tokenizer: any; a caption form that it already has is replaced.
        normalization: one of the names of `caption_form.py`.

    Returns:
        The tokenizer itself if it already has the form, else a copy. Tokenizers written in Python, and those with
        added tokens that are matched before normalization, stay unchanged: there only the processor normalizes.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer
    steps = caption_steps(normalization)
    if _leading_steps(_normalizer_of(backend)) == steps:
        return tokenizer
    pipeline = json.loads(backend.to_str())
    if any(not token["normalized"] and not token["special"] for token in pipeline["added_tokens"]):
        return tokenizer
    own = own_normalizer(pipeline["normalizer"])
    if steps:
        own = {"type": "Sequence", "normalizers": steps if own is None else [*steps, own]}
    pipeline |= {"normalizer": own, "truncation": None, "padding": None}
    # If a caption form is present, the setting of splitting was made here; otherwise it is the tokenizer's.
    split = tokenizer.split_special_tokens and not _leading_steps(_normalizer_of(backend))
    return _copy_with(tokenizer, type(backend).from_str(json.dumps(pipeline)), split or bool(steps))


def forget_last_call(tokenizer: Any) -> None:
    """Removes the truncation and padding of the last call from a tokenizer; otherwise it would save them."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        backend.no_truncation()
        backend.no_padding()


def own_normalizer(normalizer: dict[str, Any] | None) -> dict[str, Any] | None:
    """
    A tokenizer's normalizer without the caption form that [`with_caption_normalization`] added.

    Args:
        normalizer: in the notation of `tokenizer.json`; None for none.
    """
    count = len(_leading_steps(normalizer))
    if not count:
        return normalizer
    rest = normalizer["normalizers"][count:]
    return rest[0] if rest else None


def _leading_steps(normalizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The caption form that a normalizer starts with; empty if there is none."""
    found = normalizer["normalizers"] if normalizer and normalizer["type"] == "Sequence" else []
    for name in CAPTION_NORMALIZATIONS:
        steps = caption_steps(name)
        # At most the tokenizer's own normalizer comes after them, as one.
        if steps and found[: len(steps)] == steps and len(found) <= len(steps) + 1:
            return steps
    return []


def _normalizer_of(backend: Any) -> dict[str, Any] | None:
    """Only the normalizer: the whole tokenizer as text takes long for a large vocabulary."""
    return None if backend.normalizer is None else json.loads(backend.normalizer.__getstate__())


def _copy_with(tokenizer: Any, backend: Any, split_special_tokens: bool) -> PreTrainedTokenizerFast:
    """
    The tokenizer on another backend, as the class that is loaded from `tokenizer.json` as it is.

    The classes of single models rebuild their backend from the vocabulary, without the file's normalizer.
    """
    special = {
        name: token
        for name, token in tokenizer._special_tokens_map.items()
        if token is not None and token != []
    }
    copy = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        **special,
        extra_special_tokens=tokenizer.extra_special_tokens,
        model_input_names=list(tokenizer.model_input_names),
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        model_max_length=tokenizer.model_max_length,
        split_special_tokens=split_special_tokens,
    )
    copy.name_or_path = tokenizer.name_or_path
    # Saved with the tokenizer as what a call pads to; the processor heeds it.
    if (padding := tokenizer.init_kwargs.get("padding")) is not None:
        copy.init_kwargs["padding"] = padding
    return copy


def _replace(pattern: str, content: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"Regex": pattern}, "content": content}


__all__ = ["caption_steps", "forget_last_call", "own_normalizer", "with_caption_normalization"]
