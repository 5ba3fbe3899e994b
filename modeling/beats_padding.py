"""Masks of the real tokens of a padded BEATs segment: an exact rule and the published one."""

import torch


def fold_padding_mask(real: torch.Tensor, slots: int) -> torch.Tensor:
    """
    Shortens a mask as the published BEATs code does, first from samples to frames, then from frames to tokens.

    The last ``length mod slots`` entries are dropped, the rest is cut into ``slots`` equal chunks, and a slot is
    real as soon as one entry of its chunk is. The chunks ignore the hop and the order of the patches in a
    column, so the result is only approximate.

    Args:
        real: bool ``(segments, length)``, True for real entries.
        slots: entries of the result, at most ``length``.

    Returns:
        bool ``(segments, slots)``.
    """
    chunk = real.shape[1] // slots
    return real[:, : chunk * slots].unflatten(1, (slots, chunk)).any(dim=-1)


def real_tokens(real_frames: torch.Tensor, rows: int, columns: int, patch_size: int) -> torch.Tensor:
    """
    The exact rule: the patches of a column are real if every frame under the column is real.

    These are the patches that the segment would have without any padding.

    Args:
        real_frames: bool ``(segments, frames)``, True for real frames.
        rows: rows of patches (frequency).
        columns: columns of patches (time).
        patch_size: frames a column.

    Returns:
        bool ``(segments, columns * rows)``, column after column.
    """
    under_columns = real_frames[:, : columns * patch_size].unflatten(1, (columns, patch_size))
    return under_columns.all(dim=-1).repeat_interleave(rows, dim=1)


def as_real_frames(mask: torch.Tensor, input_features: torch.Tensor) -> torch.Tensor:
    """
    The caller's frame mask as bool.

    Raises:
        ValueError: if its shape is not ``(segments, frames)`` of the features.
    """
    if mask.shape != input_features.shape[:2]:
        raise ValueError(
            f"audio_attention_mask has shape {tuple(mask.shape)}, but input_features has "
            f"{tuple(input_features.shape[:2])} (segments, frames); they must be equal."
        )
    return mask.to(device=input_features.device, dtype=torch.bool)


def check_padding(real_frames: torch.Tensor, patch_size: int) -> None:
    """
    Raises ValueError naming the first segment whose padding is not at its end or leaves no whole patch.

    Args:
        real_frames: bool ``(segments, frames)``, True for real frames.
        patch_size: frames a patch.
    """
    counts = real_frames.sum(dim=1)
    for segment in (counts < patch_size).nonzero()[:1, 0].tolist():
        raise ValueError(
            f"audio_attention_mask: segment {segment} has {int(counts[segment])} real frames, but one patch of "
            f"BEATs needs {patch_size}."
        )
    for segment in (real_frames[:, 1:] & ~real_frames[:, :-1]).any(dim=1).nonzero()[:1, 0].tolist():
        raise ValueError(
            f"audio_attention_mask: segment {segment} has real frames after padding; padding must be at the end."
        )


__all__ = ["as_real_frames", "check_padding", "fold_padding_mask", "real_tokens"]
