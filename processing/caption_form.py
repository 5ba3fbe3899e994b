"""The form in which captions reach the text tower; needs nothing but Python."""

import string

_DROP_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_caption(caption: str) -> str:
    """Lower case, ASCII punctuation removed, runs of white space made one: the report's caption form."""
    return " ".join(caption.lower().translate(_DROP_PUNCTUATION).split())


__all__ = ["normalize_caption"]
