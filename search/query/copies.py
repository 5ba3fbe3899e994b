"""Groups results that are copies of each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any

from ..errors import SearchError
from .hits import Hit, check_top

if TYPE_CHECKING:
    # Commands that ask a running engine group its results without numpy.
    import numpy as np

    from ..store.index_store import Store

# Further results that are searched for copies, and the maximum number of results that are compared.
MORE_ANSWERS, MOST_ANSWERS = 10, 10_000


@dataclass(frozen=True)
class CopyGroup:
    """
    A result and its copies.

    Attributes:
        hit: the best of them.
        copies: files of the same content, byte by byte, in their order.
        near: files whose vectors are close to the best file's vector, in order.
    """

    hit: Hit
    copies: tuple[Hit, ...] = ()
    near: tuple[Hit, ...] = ()

    def told(self) -> str:
        """Text after the result, such as "and 2 identical copies, 1 near copy"; or empty."""
        parts = []
        for hits, kind in ((self.copies, "identical"), (self.near, "near")):
            if hits:
                parts.append(f"{len(hits):,} {kind} cop{'y' if len(hits) == 1 else 'ies'}")
        return f"and {', '.join(parts)}" if parts else ""

    def as_row(self) -> dict[str, Any]:
        """Fields of the result, and lists of such fields under ``copies`` and ``near_copies``."""
        return {
            **asdict(self.hit),
            "copies": [asdict(hit) for hit in self.copies],
            "near_copies": [asdict(hit) for hit in self.near],
        }


def group_copies(
    hits: Sequence[Hit], vectors: "Mapping[str, np.ndarray] | None" = None, near_cosine: float = 1.0
) -> list[CopyGroup]:
    """
    Groups results: each is followed by the lower results that are copies of it.

    Args:
        hits: the best first. One without a digest is not a copy of anything.
        vectors: vectors of whole files by path, unit length, for near copies; None looks for none.
        near_cosine: cosine of two files' vectors from which on they are near copies.
    """
    leaders: list[Hit] = []
    copies: list[list[Hit]] = []
    near: list[list[Hit]] = []
    by_digest: dict[str, int] = {}
    led: list[Any] = []
    if vectors is not None:
        import numpy as np
    for hit in hits:
        same = None if hit.digest is None else by_digest.get(hit.digest)
        if same is not None:
            copies[same].append(hit)
            continue
        vector = None if vectors is None else vectors.get(hit.path)
        if vector is not None and led:
            cosines = np.stack(led) @ vector
            best = int(np.argmax(cosines))
            if cosines[best] >= near_cosine:
                near[best].append(hit)
                continue
        if hit.digest is not None:
            by_digest[hit.digest] = len(leaders)
        if vectors is not None:
            led.append(np.zeros_like(next(iter(vectors.values()))) if vector is None else vector)
        leaders.append(hit)
        copies.append([])
        near.append([])
    return [
        CopyGroup(hit, tuple(same), tuple(alike))
        for hit, same, alike in zip(leaders, copies, near, strict=True)
    ]


def find_groups(
    ask: Callable[[int], Sequence[Hit]],
    top: int,
    *,
    store: "Store | None" = None,
    near_cosine: float | None = None,
) -> list[CopyGroup]:
    """
    The best results of a query, with copies counted as one result.

    Requests as many results as needed for ``top`` different ones with their copies, at most 10,000.

    Args:
        ask: returns a given number of results at most, the best first.
        top: groups at most.
        store: store of the index, for near copies.
        near_cosine: minimum cosine of two whole files that are near copies, -1 to 1; None looks for none.

    Raises:
        SearchError: for a cosine out of range, or an invalid number of results.
    """
    check_top(top)
    check_near_cosine(near_cosine)
    count = max(top, min(top + MORE_ANSWERS, MOST_ANSWERS))
    while True:
        hits = ask(count)
        vectors = None
        if near_cosine is not None and store is not None:
            vectors = _vectors(store, [hit.path for hit in hits])
        groups = group_copies(hits, vectors, 1.0 if near_cosine is None else near_cosine)
        # One group more than wanted: then all copies of the wanted groups have been seen.
        if len(groups) > top or len(hits) < count or count >= MOST_ANSWERS:
            return groups[:top]
        count = min(2 * count, MOST_ANSWERS)


def check_near_cosine(value: float | None) -> None:
    """
    Raises:
        SearchError: for a cosine of near copies that is not a number from -1 to 1.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, Real) or not -1 <= value <= 1:
        raise SearchError(f"near copies from a cosine of {value!r} on: must be a number from -1 to 1.")


def _vectors(store: "Store", paths: Sequence[str]) -> "dict[str, np.ndarray]":
    """Of whole files, unit length, by path."""
    import numpy as np

    from ..store.entries import matrix

    if not paths:
        return {}
    table = store.file_rows(["path", "vector"], paths)
    rows = matrix(table)
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return dict(zip(table.column("path").to_pylist(), rows, strict=True))


__all__ = ["CopyGroup", "check_near_cosine", "find_groups", "group_copies"]
