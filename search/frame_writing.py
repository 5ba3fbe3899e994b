"""Frames of sound files embedded for an index that keeps them."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..encoders import AudioTextEncoder
from .store.kept_frames import KeptFrames
from .update.indexing import content_digest

if TYPE_CHECKING:
    from ..encoders.recordings.recording_windows import WindowVectors


def keep_frames(
    encoder: AudioTextEncoder,
    frames: KeptFrames,
    embedded: "Iterator[tuple[str, WindowVectors | Exception]]",
) -> "Iterator[tuple[str, WindowVectors | Exception]]":
    """
    Embeds and stores the frames of each file after its windows, before the windows are passed on.

    Args:
        encoder: the index's.
        frames: store for the frames.
        embedded: paths and their windows; a path that has none, or whose frames cannot be embedded, is passed on
            with what is wrong.

    Raises:
        StoreError: if frames cannot be written.
    """
    from ..processing import AudioReadError

    for path, found in embedded:
        if not isinstance(found, Exception):
            try:
                write_frames(encoder, frames, path, content_digest(path))
            except (AudioReadError, OSError) as error:
                found = error
        yield path, found


def write_frames(
    encoder: AudioTextEncoder,
    frames: KeptFrames,
    path: str,
    digest: str,
    check: Callable[[], None] | None = None,
) -> None:
    """Embeds the frames of one file in bounded memory; see [`IndexEncoder.write_frames`]."""
    from ..encoders.recordings.short_windows import FRAME_HOP_SECONDS, stream_short_windows

    hop = min(FRAME_HOP_SECONDS, encoder.window_seconds)

    def batches() -> Iterator[np.ndarray]:
        for batch in stream_short_windows(encoder, encoder.pieces(path), hop_seconds=hop, name=path):
            yield batch
            if check is not None:
                check()

    frames.write(digest, batches(), hop)


__all__ = ["keep_frames", "write_frames"]
