"""Moments of a recording found by a trained moment head on the frames of an index's model."""

import os
from typing import TYPE_CHECKING

from .errors import SearchError
from .query.answers import check_top
from .query.hits import Hit
from .query.known_vectors import described
from .query.resolved_filters import checked_path

if TYPE_CHECKING:
    from .sound_index import SoundIndex


def moments_by_head(
    sounds: "SoundIndex",
    head: str | os.PathLike[str],
    path: str | os.PathLike[str],
    query: str,
    *,
    top: int = 5,
) -> list[Hit]:
    """
    Where in a recording a sentence fits, the best span first, by a moment head that was trained on the index's model.

    Args:
        sounds: the index, for its model, its template and what it knows of the file.
        head: directory or Hub id of the head.
        path: any sound file, in the index or not; its frames are embedded again.
        query: the sentence.
        top: spans at most.

    Returns:
        Hits whose ``score`` and ``cosine`` are the head's score in [0, 1]; they have no percentile.

    Raises:
        SearchError: for an empty query, an unreadable file, or a head that is invalid or belongs to
            another model.
    """
    from ..encoders import EncoderError
    from ..encoders.recordings.moment_head import MomentHead
    from ..processing import AudioReadError

    check_top(top)
    vector = sounds._embed_queries([query])[0]
    own = checked_path(sounds.store, sounds._contents, path)
    try:
        loaded = MomentHead.load(head, sounds._encoder.encoder)
        frames = loaded.frames(own)
    except (EncoderError, AudioReadError, OSError) as error:
        raise SearchError(str(error)) from error
    hits = [
        Hit(own, start, end, score, score, None, frames.duration, ())
        for start, end, score in loaded.find(frames, vector, top=top)
    ]
    return described(sounds.store, own, hits)


__all__ = ["moments_by_head"]
