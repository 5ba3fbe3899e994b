"""Frames of a recording as a moment head takes them: patches, short windows, or both."""

import os

import numpy as np

from ..interface import AudioTextEncoder, unit_rows
from .frame_grid import FrameGrid, check_frame_seconds, embed_frame_grid
from .short_windows import ShortWindows, embed_short_windows


def check_head_frames(encoder: AudioTextEncoder, source: str, frame_seconds: float) -> None:
    """
    Raises:
        EncoderError: if the encoder has no such frames.
    """
    if source != "short_windows":
        check_frame_seconds(encoder, frame_seconds)


def embed_head_frames(
    encoder: AudioTextEncoder,
    path: str | os.PathLike[str],
    *,
    source: str,
    frame_seconds: float,
    batch_size: int = 16,
) -> FrameGrid:
    """
    Embeds a recording's frames of one kind or both.

    Args:
        encoder: whose frames they are.
        path: of a sound file.
        source: "patches" (the tower's, which have seen their whole window), "short_windows" (a clip of its own a
            second, between which frames are interpolated) or "both".
        frame_seconds: step of the frames.
        batch_size: windows at a time.

    Returns:
        Frames whose vectors have unit length, ``(frames, embedding_dim)``; with "both" the two vectors one behind the
        other, ``(frames, 2 * embedding_dim)``.

    Raises:
        EncoderError: if the encoder has no such frames.
        AudioReadError: as of [`embed_frame_grid`].
    """
    check_head_frames(encoder, source, frame_seconds)
    if source == "patches":
        return embed_frame_grid(encoder, path, frame_seconds=frame_seconds, batch_size=batch_size)
    own = short_windows_on_grid(embed_short_windows(encoder, path), frame_seconds)
    if source == "short_windows":
        return own
    patches = embed_frame_grid(encoder, path, frame_seconds=frame_seconds, batch_size=batch_size)
    count = min(len(patches.vectors), len(own.vectors))
    vectors = np.concatenate([patches.vectors[:count], own.vectors[:count]], axis=1)
    return FrameGrid(vectors, frame_seconds, own.duration)


def short_windows_on_grid(windows: ShortWindows, frame_seconds: float) -> FrameGrid:
    """
    Short windows at the middles of a grid's frames: between two of them the unit vector on the straight line.

    Args:
        windows: of a recording.
        frame_seconds: step of the grid.
    """
    count = max(1, int(np.ceil(windows.duration / frame_seconds - 1e-6)))
    # In steps of the short windows, the first of which is at 0.
    places = (np.arange(count) + 0.5) * frame_seconds / windows.hop_seconds - 0.5
    places = np.clip(places, 0, len(windows.vectors) - 1)
    before = places.astype(np.int64)
    behind = np.minimum(before + 1, len(windows.vectors) - 1)
    share = (places - before)[:, None]
    vectors = unit_rows((1 - share) * windows.vectors[before] + share * windows.vectors[behind])
    return FrameGrid(vectors.astype(np.float32), float(frame_seconds), windows.duration)


__all__ = ["check_head_frames", "embed_head_frames", "short_windows_on_grid"]
