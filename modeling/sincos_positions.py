"""Fixed two-dimensional sine and cosine positions."""

import numpy as np
import torch


def sincos_positions(columns: int, rows: int, width: int) -> torch.Tensor:
    """
    Position table of a grid of patches, column after column (the layout of MAE and data2vec 2.0).

    The first half of a vector encodes the row (frequency), the second the column (time); each half is sines,
    then cosines, of ``p / 10000 ** (4 k / width)`` for ``k = 0 ... width / 4 - 1``. Rates and angles are rounded
    to single precision as in the published tables, which is up to 5.4e-5 away from exact mathematics at late
    columns. Powers, sines and cosines are evaluated in double precision and rounded once: in single precision
    their last bits depend on the processor.

    Args:
        columns: columns of patches (time).
        rows: rows of patches (frequency).
        width: length of a vector, a multiple of 4.

    Returns:
        float32 ``(1, columns * rows, width)``; the vector of ``(row, column)`` is at ``column * rows + row``.
    """
    quarter = width // 4
    exponents = np.arange(quarter, dtype=np.float32) / np.float32(quarter)
    rates = np.float32(1.0) / (10000.0 ** exponents.astype(np.float64)).astype(np.float32)
    column, row = np.divmod(np.arange(columns * rows), rows)
    angles = [np.outer(places.astype(np.float32), rates).astype(np.float64) for places in (row, column)]
    table = np.concatenate([part for angle in angles for part in (np.sin(angle), np.cos(angle))], axis=1)
    # numpy, not torch: on the meta device, where models are built for loading, torch would compute nothing.
    return torch.from_numpy(table.astype(np.float32))[None]


__all__ = ["sincos_positions"]
