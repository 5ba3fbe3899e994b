"""Where in one recording a sentence fits: by short windows, those an index keeps, frames or windows."""

from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from ..errors import SearchError
from ..query.hits import Hit
from ..query.known_vectors import described, unchanged_entry
from ..store.index_store import Store
from ..store.kept_frames import kept_frames
from .dense_spans import DEFAULT_MIN_PERCENTILE, rank_dense_spans
from .spans import DEFAULT_THRESHOLD, rank_framed_spans, rank_spans

if TYPE_CHECKING:
    from ...encoders.recordings.recording_frames import RecordingFrames
    from ...encoders.recordings.recording_windows import WindowVectors
    from ...encoders.recordings.short_windows import ShortWindows

Edges = Literal["dense", "frames", "windows"]
EDGES: tuple[Edges, ...] = ("dense", "frames", "windows")


class RecordingEncoder(Protocol):
    """What embeds recordings for an index."""

    @property
    def embeds_short_windows(self) -> bool:
        """Whether its short windows cost less than full ones."""

    def embed_part(
        self, path: str, start: float, seconds: float | None, hop_seconds: float | None = None
    ) -> "WindowVectors":
        """Windows of a file."""

    def frames_of(self, path: str, duration: float) -> "RecordingFrames":
        """Frames of a file."""

    def short_windows_of(self, path: str, hop_seconds: float | None) -> "ShortWindows":
        """Short windows of a file."""


def find_moments(
    store: Store,
    encoder: RecordingEncoder,
    path: str,
    query: np.ndarray,
    background: np.ndarray,
    *,
    top: int,
    hop_seconds: float | None = None,
    threshold: float = DEFAULT_THRESHOLD,
    edges: Edges | None = None,
    min_percentile: float | None = None,
) -> list[Hit]:
    """
    Where in a recording a sentence fits, the best span first; none if it fits nowhere.

    Args:
        store: of the index; has the recording's entry, if any.
        encoder: the index's.
        path: absolute, of a sound file.
        query: unit vector of the sentence.
        background: unit vectors of common queries, ``(questions, width)``.
        top: spans at most.
        hop_seconds: between windows, or between short windows of "dense"; their own default if not given.
        threshold: for "windows", how much lower than its best window a span's windows may score.
        edges: "dense", "frames" or "windows"; None is "dense" where the index keeps frames of this recording or the
            model embeds short windows cheaply, and else "windows".
        min_percentile: omit moments that do not exceed this share of the common queries, in per cent. "dense"
            compares a moment's best score with the queries' best scores in the recording, by default with 80 per
            cent of them; "frames" and "windows" compare its score with theirs at the moment, by default with none.

    Raises:
        SearchError: for an option out of range, a file that cannot be read, or frames of a model that has none.
    """
    if edges not in (None, *EDGES):
        raise SearchError(f"edges={edges!r} is not one of {', '.join(map(repr, EDGES))}.")
    if min_percentile is not None and not 0 <= min_percentile <= 100:
        raise SearchError(f"min_percentile={min_percentile:g} must be from 0 to 100.")
    if edges in (None, "dense"):
        recording = _kept(store, path) if hop_seconds is None else None
        if recording is None and (edges == "dense" or encoder.embeds_short_windows):
            recording = encoder.short_windows_of(path, hop_seconds)
        if recording is not None:
            least = DEFAULT_MIN_PERCENTILE if min_percentile is None else min_percentile
            hits = rank_dense_spans(recording, path, query, background, top=top, min_percentile=least)
            return described(store, path, hits)
    hop = store.record["window_seconds"] / 2 if hop_seconds is None else hop_seconds
    windows = encoder.embed_part(path, 0.0, None, hop)
    if edges == "frames":
        frames = encoder.frames_of(path, windows.duration)
        hits = rank_framed_spans(windows, frames, path, query, background, top=top)
    else:
        hits = rank_spans(windows, path, query, background, top=top, threshold=threshold)
    least = min_percentile or 0.0
    return described(store, path, [hit for hit in hits if (hit.percentile or 0.0) >= least])


def _kept(store: Store, path: str) -> "ShortWindows | None":
    """What an index keeps of a recording that has not changed since."""
    from ...encoders.recordings.short_windows import ShortWindows

    frames = kept_frames(store.folder, store.record)
    entry = None if frames is None else unchanged_entry(store, path)
    kept = None if entry is None else frames.read(entry.digest)
    return None if kept is None else ShortWindows(*kept, entry.duration)


__all__ = ["DEFAULT_THRESHOLD", "EDGES", "Edges", "RecordingEncoder", "find_moments"]
