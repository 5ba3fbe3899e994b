"""Metadata entries as people write them; imports nothing, so that commands start at once."""

from collections.abc import Iterable

from ..errors import SearchError


def metadata_pairs(texts: Iterable[str]) -> dict[str, str]:
    """
    Parses texts of the form ``NAME=VALUE`` into values by name.

    Raises:
        SearchError: for a text without a name or an equals sign.
    """
    pairs = {}
    for text in texts:
        name, sign, value = (part.strip() for part in text.partition("="))
        if not (sign and name):
            raise SearchError(f"metadata {text!r}: must be NAME=VALUE.")
        pairs[name] = value
    return pairs


__all__ = ["metadata_pairs"]
