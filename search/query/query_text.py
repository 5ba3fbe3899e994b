"""Templates for short queries, and vectors of common queries for percentiles."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import BytesIO
from zipfile import BadZipFile

import numpy as np

from ..errors import SearchError
from ..store.index_folder import IndexFolder
from .ranking import BACKGROUND_QUERIES

SHORT_QUERY_WORDS = 4
SHORT_QUERY_TEMPLATE = "{}"


def check_template(template: str) -> str:
    """
    Checks that a template contains ``{}`` once, for the query, and no other field; returns it.

    Raises:
        SearchError: for any other template.
    """
    if template.count("{}") != 1:
        raise SearchError(
            f"template {template!r}: must contain {{}} once, where the query goes, as in 'the sound of {{}}'."
        )
    return template


def phrase_query(query: str, template: str = SHORT_QUERY_TEMPLATE) -> str:
    """
    Puts a query of one to four words into a phrase; longer queries stay unchanged.

    Models are trained on captions, which are sentences, but people search for "rain".

    Args:
        query: the query.
        template: with ``{}`` where the query goes; ``"{}"`` changes nothing.

    Raises:
        SearchError: for a query that is not text.
    """
    if not isinstance(query, str):
        raise SearchError(f"{query!r}: a query must be a string.")
    words = query.split()
    return template.replace("{}", " ".join(words)) if 0 < len(words) <= SHORT_QUERY_WORDS else query


def background_vectors(
    folder: IndexFolder, width: int, embed: Callable[[Sequence[str]], np.ndarray], template: str
) -> np.ndarray:
    """
    Vectors ``(48, width)`` of common queries; stored in the index, since computing them takes longer than a query.

    Args:
        folder: folder of the index.
        width: width of the vectors.
        embed: gives the vectors of sentences.
        template: for short queries, as these are.
    """
    queries = [phrase_query(query, template) for query in BACKGROUND_QUERIES]
    digest = hashlib.sha256("\n".join(queries).encode()).hexdigest()[:8]
    name = f"background-{digest}.npy"
    # An index on a read-only disk can be asked all the same.
    with suppress(OSError, ValueError, EOFError, BadZipFile):
        kept = np.load(BytesIO(folder.read(name)), allow_pickle=False)
        fits = isinstance(kept, np.ndarray) and kept.shape == (len(queries), width)
        if fits and kept.dtype == np.float32 and np.isfinite(kept).all():
            return kept
    vectors = embed(queries)
    buffer = BytesIO()
    np.save(buffer, vectors)
    with suppress(OSError):
        folder.write(name, buffer.getvalue())
    return vectors


__all__ = [
    "SHORT_QUERY_TEMPLATE",
    "SHORT_QUERY_WORDS",
    "background_vectors",
    "check_template",
    "phrase_query",
]
