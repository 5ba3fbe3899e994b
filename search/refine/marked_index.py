"""What this room needs of an index; [`SoundIndex`] has it."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from ..query.index_contents import CurrentContents
from ..store.index_store import Store
from ..store.lance_table import quoted

DIGESTS_A_QUESTION = 500


class MarkedIndex(Protocol):
    """An index whose vectors are read; of its model only the text tower is asked, and only for new queries."""

    store: Store
    template: str
    _contents: CurrentContents
    _encoder: Any

    def _embed_queries(self, queries: Sequence[str]) -> np.ndarray: ...


def files_by_digest(store: Store, digests: Iterable[str]) -> dict[str, list[str]]:
    """The paths of files by the SHA-256 of their content, several where there are copies; sorted."""
    wanted = sorted(set(digests))
    found: dict[str, set[str]] = {}
    for first in range(0, len(wanted), DIGESTS_A_QUESTION):
        some = wanted[first : first + DIGESTS_A_QUESTION]
        rows = store.rows(["path", "window", "digest"], f"window = -1 AND digest IN ({quoted(some)})")
        for row in _chosen(rows.to_pylist(), set(some)):
            found.setdefault(row["digest"], set()).add(row["path"])
    return {digest: sorted(paths) for digest, paths in found.items()}


def _chosen(rows: Iterable[dict[str, Any]], digests: set[str]) -> Iterable[dict[str, Any]]:
    # A snapshot gives all files.
    return (row for row in rows if row["digest"] in digests)


def digests_of(store: Store, paths: Sequence[str]) -> dict[str, str]:
    """The SHA-256 of files' contents by path, as the index has them; others are skipped."""
    if not paths:
        return {}
    rows = store.file_rows(["path", "digest"], list(dict.fromkeys(paths))).to_pylist()
    return {row["path"]: row["digest"] for row in rows}


def digest_of_file(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content; raises OSError."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def counted(number: int, one: str, several: str) -> str:
    """A number with its noun: ``1 mark``, ``2 marks``."""
    return f"{number:,} {one if number == 1 else several}"


__all__ = ["MarkedIndex", "counted", "digest_of_file", "digests_of", "files_by_digest"]
