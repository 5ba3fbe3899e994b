"""Which patches of a spectrogram a training step keeps: structured and unstructured patchout."""

from dataclasses import dataclass

import torch
from transformers.configuration_utils import PreTrainedConfig


@dataclass
class PatchSelection:
    """
    The patches that stay, the same ones for every segment of a batch (PaSST, section 2.1).

    Attributes:
        time: sorted kept columns ``(kept,)``, or None for all.
        frequency: sorted kept rows ``(kept,)``, or None for all.
        patches: sorted kept positions ``(kept,)`` of the flattened, already reduced grid, or None for all.
        time_offset: first time position used by a segment shorter than the position table.
    """

    time: torch.Tensor | None = None
    frequency: torch.Tensor | None = None
    patches: torch.Tensor | None = None
    time_offset: int = 0


def draw_kept(count: int, dropped: int, generator: torch.Generator | None = None) -> torch.Tensor | None:
    """
    Draws which of ``count`` items stay when ``dropped`` of them are omitted.

    Args:
        count: number of items.
        dropped: items to omit; at least one item always stays, however short the segment is.
        generator: CPU generator to draw from; None takes torch's global one.

    Returns:
        Sorted indices ``(count - dropped,)``, int64 on the CPU; None if nothing is dropped.
    """
    dropped = min(dropped, count - 1)
    if dropped <= 0:
        return None
    order = torch.randperm(count, generator=generator, device="cpu")
    return order[: count - dropped].sort().values


def draw_patch_selection(
    rows: int,
    columns: int,
    *,
    drop_time: int,
    drop_frequency: int,
    drop_unstructured: int = 0,
    spare_time_positions: int = 0,
    generator: torch.Generator | None = None,
) -> PatchSelection:
    """
    Draws one training step's patches: first columns, then rows, then single patches.

    Args:
        rows: rows of patches (frequency).
        columns: columns of patches (time).
        drop_time, drop_frequency, drop_unstructured: how many columns, rows and single patches to drop.
        spare_time_positions: how far the slice of time positions may be shifted; 0 keeps the first ones.
        generator: CPU generator to draw from; None takes torch's global one.

    Returns:
        The selection, with indices on the CPU.
    """
    offset = 0
    if spare_time_positions > 0:
        offset = int(torch.randint(0, spare_time_positions + 1, (1,), generator=generator, device="cpu"))
    time = draw_kept(columns, drop_time, generator)
    frequency = draw_kept(rows, drop_frequency, generator)
    kept_columns = columns if time is None else len(time)
    kept_rows = rows if frequency is None else len(frequency)
    return PatchSelection(
        time, frequency, draw_kept(kept_rows * kept_columns, drop_unstructured, generator), offset
    )


def select_patches(
    config: PreTrainedConfig, rows: int, columns: int, generator: torch.Generator | None = None
) -> PatchSelection:
    """[`draw_patch_selection`] with the amounts that a tower's config names."""
    return draw_patch_selection(
        rows,
        columns,
        drop_time=config.patchout_time,
        drop_frequency=config.patchout_frequency,
        drop_unstructured=config.patchout_unstructured,
        generator=generator,
    )


def keep_patches(
    grid: torch.Tensor, selection: PatchSelection | None, *, time_major: bool = False
) -> torch.Tensor:
    """
    Drops rows, columns and single patches and flattens what stays.

    Args:
        grid: ``(segments, hidden_size, rows, columns)``, positions already added.
        selection: what stays; None keeps everything.
        time_major: flatten column after column instead of row after row.

    Returns:
        ``(segments, kept patches, hidden_size)``; patch ``(row, column)`` is at ``row * columns + column``,
        or at ``column * rows + row`` with ``time_major``.
    """
    if selection is not None and selection.time is not None:
        grid = grid.index_select(3, selection.time.to(grid.device))
    if selection is not None and selection.frequency is not None:
        grid = grid.index_select(2, selection.frequency.to(grid.device))
    if time_major:
        grid = grid.transpose(2, 3)
    patches = grid.flatten(2).transpose(1, 2)
    if selection is not None and selection.patches is not None:
        patches = patches.index_select(1, selection.patches.to(grid.device))
    return patches


def kept_positions(
    rows: int, columns: int, selection: PatchSelection | None, device: torch.device | None = None
) -> torch.Tensor | None:
    """
    Where the patches that stay are in the whole grid, flattened column after column.

    For towers whose positions are counted over the flattened tokens, so that a patch keeps its own number.

    Args:
        rows: rows of patches (frequency).
        columns: columns of patches (time).
        selection: what stays.
        device: device of the result.

    Returns:
        Sorted positions ``column * rows + row``, int64 ``(kept,)``; None if everything stays.
    """
    if selection is None or (selection.time is selection.frequency is selection.patches is None):
        return None
    numbers = torch.arange(rows * columns, device=device).view(1, 1, columns, rows).transpose(2, 3)
    return keep_patches(numbers, selection, time_major=True)[0, :, 0]
