"""Frame features of our own towers: how columns of patches are averaged into frames of about half a second."""

from typing import Any

import numpy as np

FRAME_SECONDS = 0.5


def frames_per_window(audio_config: Any, window_seconds: float) -> int:
    """
    Frames that a window is divided into: as near to half a second as divides it, and no finer than its columns.

    Args:
        audio_config: of a tower.
        window_seconds: length of a window.
    """
    return max(1, min(round(window_seconds / FRAME_SECONDS), audio_config.num_time_patches))


def frame_weights(
    audio_config: Any,
    columns: int,
    *,
    frame_seconds: float,
    mel_hop_seconds: float,
    real_seconds: float,
) -> np.ndarray:
    """
    Weights that average a segment's columns of patches into its frames.

    A frame is the mean of the columns whose centres lie in it. Columns that reach into padding are left out; a frame
    that has none of its own takes the nearest one.

    Args:
        audio_config: of the tower: ``patch_size`` and, where it has one, ``time_stride``, in mel frames.
        columns: of patches, as the tower returned them.
        frame_seconds: length of a frame.
        mel_hop_seconds: time between mel frames.
        real_seconds: how much of the segment is sound.

    Returns:
        ``(real frames, columns)`` float32, rows that add up to 1.
    """
    patch = audio_config.patch_size
    stride = getattr(audio_config, "time_stride", patch)
    starts = np.arange(columns) * stride * mel_hop_seconds
    centres, ends = starts + patch * mel_hop_seconds / 2, starts + patch * mel_hop_seconds
    usable = max(1, int((ends <= real_seconds + mel_hop_seconds / 2).sum()))
    frames = max(1, int(np.ceil(real_seconds / frame_seconds - 1e-6)))
    weights = np.zeros((frames, columns), dtype=np.float32)
    for frame in range(frames):
        inside = (centres[:usable] >= frame * frame_seconds) & (
            centres[:usable] < (frame + 1) * frame_seconds
        )
        if not inside.any():
            middle = (frame + 0.5) * frame_seconds
            inside = np.arange(usable) == int(np.argmin(np.abs(centres[:usable] - middle)))
        weights[frame, :usable] = inside / inside.sum()
    return weights


__all__ = ["FRAME_SECONDS", "frame_weights", "frames_per_window"]
