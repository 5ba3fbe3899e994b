"""Cross-fitting: which clips of a table are held out from which teacher, and who answers for a row."""

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset

from ...data.columns import arrow_column, kept_rows, values_of
from ...files.content_digests import ContentDigests
from ...files.saved_directories import read_json, write_json

logger = logging.getLogger(__name__)

# In a model directory: what its training left out.
FILE = "held_out_fold.json"


class FoldError(ValueError):
    """A table cannot be divided into folds, or teachers do not fit a division. The message says why."""


@dataclass(frozen=True)
class HeldOutFold:
    """
    What a model's training left out: one fold of a table that was divided by the content of its recordings.

    Attributes:
        folds: how many there are.
        fold: the one that was left out, 0 to ``folds - 1``.
        seed: of the division.
        assignment: 64 hexadecimal digits of the whole division; equal where the same recordings were divided in
            the same way.
        held_out: SHA-256 of the recordings of the fold, sorted.
    """

    folds: int
    fold: int
    seed: int
    assignment: str
    held_out: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For a JSON file."""
        return {**asdict(self), "held_out": list(self.held_out)}

    @classmethod
    def from_json(cls, value: Any, where: str) -> "HeldOutFold":
        """
        Raises:
            FoldError: if it is not what ``as_json`` gives; the message begins with ``where``.
        """
        try:
            found = cls(**{**value, "held_out": tuple(value["held_out"])})
            numbers = (found.folds, found.fold, found.seed)
            texts = (found.assignment, *found.held_out)
            good = all(type(one) is int for one in numbers) and all(isinstance(one, str) for one in texts)
        except (TypeError, KeyError):
            good = False
        if not good or not 0 <= found.fold < found.folds:
            raise FoldError(f"{where}: does not say which fold was held out; train the model again.")
        return found

    def summary(self) -> dict[str, Any]:
        """For a run's record: everything but the recordings themselves, which are counted."""
        return {**asdict(self), "held_out": len(self.held_out)}


def hold_out_fold(
    table: Dataset, folds: int, fold: int, seed: int, digests: ContentDigests
) -> tuple[Dataset, HeldOutFold]:
    """
    The rows of a table without those of one fold, and what was left out.

    Recordings are identified by file content: two clips of one file, or of identical files, share a fold.
    Those that cannot be read are left out from the rows, and are in no fold.

    Args:
        table: rows of the project's schema.
        folds, seed: see [`assign_folds`].
        fold: 0 to ``folds - 1``.
        digests: of files' contents.

    Raises:
        FoldError: as [`assign_folds`].
    """
    paths = [audio["path"] for audio in values_of(arrow_column(table, "audio"))]
    contents = digests.of_files(paths)
    keys = sorted({contents[path] for path in paths} - {None})
    division = dict(zip(keys, assign_folds(keys, folds, seed=seed).tolist(), strict=True))
    fold_of_row = np.array([division.get(contents[path], fold) for path in paths])
    unreadable = {path for path in paths if contents[path] is None}
    if unreadable:
        logger.warning(
            "hold_out_fold: left out %d recordings that cannot be read, such as %s",
            len(unreadable),
            min(unreadable),
        )
    record = HeldOutFold(
        folds,
        fold,
        seed,
        hashlib.sha256(json.dumps(sorted(division.items())).encode()).hexdigest(),
        tuple(sorted(key for key, its in division.items() if its == fold)),
    )
    return kept_rows(table, fold_of_row != fold), record


def read_held_out_fold(model: str | os.PathLike[str]) -> HeldOutFold | None:
    """
    What the training of a model left out, as its directory says; None if it says nothing or is no directory.

    Raises:
        FoldError: if the file is damaged.
    """
    path = Path(model) / FILE
    if not path.is_file():
        return None
    try:
        return HeldOutFold.from_json(read_json(path), str(path))
    except ValueError as error:
        raise FoldError(str(error)) from error


def write_held_out_fold(model: str | os.PathLike[str], record: HeldOutFold) -> None:
    """Writes into a model's directory what its training left out."""
    write_json(Path(model) / FILE, record.as_json())


def check_held_out(record: HeldOutFold | None, folds: int, name: str) -> None:
    """
    Raises:
        FoldError: if a teacher, called so, did not hold out one of so many folds.
    """
    if record is None:
        raise FoldError(
            f"{name}: does not say which fold it held out, so it may have learned from every row; train it by a "
            "stage with data.hold_out_fold, or leave distillation.cross_fit out."
        )
    if record.folds != folds:
        raise FoldError(
            f"{name}: held out one of {record.folds} folds, but distillation.cross_fit is {folds}."
        )


def check_cross_fit(folds: int, records: Sequence[HeldOutFold | None], names: Sequence[str]) -> None:
    """
    Checks that teachers are cross-fitted: each held out a fold of one division, and every fold was held out.

    Args:
        folds: how many are asked for.
        records: what each teacher left out; None if that is not known.
        names: of the teachers, for messages.

    Raises:
        FoldError: naming the first teacher that does not fit.
    """
    first = next((record for record in records if record is not None), None)
    for record, name in zip(records, names, strict=True):
        check_held_out(record, folds, name)
        if (record.seed, record.assignment) != (first.seed, first.assignment):
            raise FoldError(
                f"{name}: its folds are not those of {names[records.index(first)]}: another seed ({record.seed} and "
                f"{first.seed}) or other recordings were divided; train both on the same table."
            )
    missing = sorted(set(range(folds)) - {record.fold for record in records})
    if missing:
        raise FoldError(
            f"distillation.cross_fit={folds}: no teacher held out fold {missing[0]}; those given held out "
            f"{sorted({record.fold for record in records})}."
        )


def fold_of_contents(
    records: Sequence[HeldOutFold], contents: Sequence[str | None], rows: Sequence[str], where: str
) -> np.ndarray:
    """
    The fold of each row: that of the teachers which did not see its recording.

    Args:
        records: of teachers that pass [`check_cross_fit`].
        contents: SHA-256 of each row's recording.
        rows: ids, for messages.
        where: begins the message.

    Returns:
        int64 ``(rows,)``.

    Raises:
        FoldError: if a row's recording was not divided: every teacher, or none, may have learned from it.
    """
    fold_of = {content: record.fold for record in records for content in record.held_out}
    for row, content in zip(rows, contents, strict=True):
        if content not in fold_of:
            raise FoldError(
                f"{where}: the recording of row {row!r} is in no fold of its teachers' division, so no teacher is "
                "known not to have learned from it; train the teachers on the rows that distillation uses."
            )
    return np.array([fold_of[content] for content in contents], dtype=np.int64)


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


__all__ = [
    "FILE",
    "FoldError",
    "HeldOutFold",
    "assign_folds",
    "check_cross_fit",
    "check_held_out",
    "fold_of_contents",
    "hold_out_fold",
    "read_held_out_fold",
    "write_held_out_fold",
]
