"""Cross-fitting: which rows of a table are held out from which teacher."""

import hashlib
from collections.abc import Sequence

import numpy as np


class FoldError(ValueError):
    """A table cannot be divided into the folds that are asked for. The message says why."""


def assign_folds(clips: Sequence[str], folds: int, *, seed: int = 0) -> np.ndarray:
    """
    Deals clips out to folds, so that no clip has rows in two of them.

    The fold of a clip depends on the set of clips and the seed, not on the order of the rows. The clips are sorted by
    a digest of seed and key and dealt out in turn: folds differ by at most one clip. Cross-fitting, with the
    same reason, is that of Chernozhukov et al. (arXiv 1608.00060): what is estimated for a row must not come from
    a model that learned from the row.

    Args:
        clips: one key a row, equal for rows of one clip; best a digest of the recording's content.
        folds: 2 to the number of different clips.
        seed: of the division, 0 or more.

    Returns:
        int64 ``(rows,)``, each 0 to ``folds - 1``.

    Raises:
        FoldError: if there are too few or too many folds for the clips.
    """
    distinct = sorted(set(clips), key=lambda clip: hashlib.sha256(f"{seed}/{clip}".encode()).digest())
    if not 2 <= folds <= len(distinct):
        raise FoldError(
            f"{folds} folds of {len(distinct)} different clips; accepted are 2 folds to as many as there are clips."
        )
    fold_of = {clip: place % folds for place, clip in enumerate(distinct)}
    return np.array([fold_of[clip] for clip in clips], dtype=np.int64)


__all__ = ["FoldError", "assign_folds"]
