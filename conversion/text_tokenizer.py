"""The tokenizer for a converted text tower; checkpoints of retrieval models do not contain one."""

import os
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, BertTokenizer, PreTrainedConfig, RobertaTokenizer

from .key_plan import ConversionError

_CLASSES = {"roberta": RobertaTokenizer, "bert": BertTokenizer}
_WORD_FILES = {"roberta": ("vocab.json", "merges.txt"), "bert": ("vocab.txt",)}


def load_text_tokenizer(location: str | os.PathLike[str], config: PreTrainedConfig) -> tuple[Any, list[str]]:
    """
    Loads a tokenizer and sees that it fits the text tower.

    Args:
        location: a directory with ``tokenizer.json``, or with the files of words of the tower's kind; or a Hub id.
        config: config of the text tower, RoBERTa or BERT.

    Returns:
        The tokenizer, and what a user should know, a sentence each.

    Raises:
        ConversionError: if there is no tokenizer, or its tokens are not the tower's.
    """
    location = os.fspath(location)
    tokenizer = _load(location, config.model_type)
    size = len(tokenizer)
    if size <= len(set(tokenizer.all_special_tokens)):
        raise ConversionError(f"tokenizer {location}: has no words; a file is missing there.")
    if size > config.vocab_size:
        raise ConversionError(
            f"tokenizer {location}: has {size:,} tokens, the checkpoint's text tower expects {config.vocab_size:,}; "
            "give the tokenizer that it was trained with."
        )
    for kind in ("pad", "bos", "eos"):
        wanted, found = getattr(config, f"{kind}_token_id"), getattr(tokenizer, f"{kind}_token_id")
        if wanted is not None and found != wanted:
            raise ConversionError(
                f"tokenizer {location}: its {kind} token is {found}, that of the checkpoint's {config.model_type} "
                f"is {wanted}; give the tokenizer that it was trained with."
            )
    notes = []
    if size != config.vocab_size:
        notes.append(
            f"the tokenizer has {size:,} tokens, the text tower {config.vocab_size:,}: check that it is the right one"
        )
    return tokenizer, notes


def _load(location: str, kind: str) -> Any:
    files = _WORD_FILES[kind]
    try:
        if all((Path(location) / name).is_file() for name in files) and not any(
            (Path(location) / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json")
        ):
            return _CLASSES[kind].from_pretrained(location)
        return AutoTokenizer.from_pretrained(location, local_files_only=Path(location).is_dir())
    except (OSError, ValueError, TypeError, KeyError) as error:
        where = (
            "cannot be loaded"
            if Path(location).exists()
            else "not a directory, and not available from the Hub"
        )
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        raise ConversionError(
            f"tokenizer {location}: {where} ({lines[0].rstrip('.:')}); expected a directory with tokenizer.json "
            f"or with {' and '.join(files)}, or a Hub id such as roberta-large."
        ) from error


__all__ = ["load_text_tokenizer"]
