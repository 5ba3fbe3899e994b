"""Teachers' vectors in the order of a table's rows, as training reads them."""

import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from datasets import Dataset

from ...files.content_digests import ContentDigests
from ..losses.gradient_gather import world
from .bank_files import CONTENT, KEY_COLUMNS, BankError, TeacherBank, audio_digest, caption_digest, keyed_rows
from .cross_fitting import FoldError, check_cross_fit, fold_of_contents

logger = logging.getLogger(__name__)

_COLUMNS = ("row_id", "clip_id", "source", "split", "caption", "audio")


@dataclass(frozen=True, eq=False)
class AlignedTeachers:
    """
    Teachers' vectors in the order of a table's rows, weighted so that one inner product is all teachers' mean.

    Let teacher m have the weight ``w_m``, ``W`` be the sum of the weights, and ``a_m``, ``c_m`` its unit vectors of
    a clip and of a caption. The vectors given out are the parts ``sqrt(w_m / W) a_m`` and ``sqrt(w_m / W) c_m`` of
    all teachers one after another, and hence

        sum_m (sqrt(w_m / W) a_m) . (sqrt(w_m / W) c_m)  =  sum_m (w_m / W) (a_m . c_m),

    the weighted mean of the teachers' cosine similarities, ``C_hat`` of the AISTAT report, arXiv 2509.16649 (from
    Primus et al., arXiv 2408.11641). Teachers are never averaged in one space: theirs have nothing in common.

    Attributes:
        banks: the teachers.
        scales: ``sqrt(w_m / W)`` of each.
        caption_places: int64 ``(rows,)`` a bank: where each row's caption is in the bank's ``captions``.
        audio_places: int64 ``(rows,)`` a bank: where each row's clip is in the bank's ``audio``.
        fold_of_row: int64 ``(rows,)``, with cross-fitting: the row is answered for by the teachers that held this fold
            out. ``W`` then is the sum of the weights of one fold's teachers. None lets all teachers answer.
    """

    banks: tuple[TeacherBank, ...]
    scales: tuple[float, ...]
    caption_places: tuple[np.ndarray, ...]
    audio_places: tuple[np.ndarray, ...]
    fold_of_row: np.ndarray | None = None

    @classmethod
    def align(
        cls,
        banks: Sequence[TeacherBank],
        weights: Sequence[float] | None,
        table: Dataset,
        digests: ContentDigests | None = None,
        cross_fit: int | None = None,
    ) -> "AlignedTeachers":
        """
        Finds every row of a table in every bank, by dataset, split and row id.

        The table may be in any order and hold fewer rows than the banks. The directory of a sound file does not
        count; its name and, with ``digests``, its content do. A bank that does not record contents is compared by
        names alone, which is logged.

        Args:
            banks: one or more, of any widths.
            weights: one a bank, 0 or more and not all 0; None weighs all alike.
            table: what will be trained on.
            digests: of files' contents; None does not compare them.
            cross_fit: number of folds; each row is answered for only by teachers that held its recording out. None
                lets all teachers answer for all rows.

        Raises:
            BankError: if there is no bank, the weights are not as above, or a bank does not hold a row with this
                caption and this sound; the message names the first such row and how many there are. With
                ``cross_fit``, if the banks' teachers did not hold out the folds of one division of these recordings.
        """
        banks = tuple(banks)
        if not banks:
            raise BankError("no teacher banks are given; give at least one.")
        scales = _scales(weights, len(banks))
        columns = _columns_of(table)
        digests_of_rows = {
            "caption_digest": [caption_digest(caption) for caption in columns["caption"]],
            "audio_digest": [audio_digest(audio) for audio in columns["audio"]],
        }
        if digests is not None:
            contents = digests.of_files(audio["path"] for audio in columns["audio"])
            digests_of_rows[CONTENT] = [contents[audio["path"]] for audio in columns["audio"]]
            for bank in banks:
                if not bank.records_content and world()[0] == 0:
                    logger.warning(
                        "teacher bank %s: does not record the content of its sounds; their names, offsets and "
                        "durations are compared",
                        bank.name,
                    )
        places = tuple(_find_rows(bank, columns, digests_of_rows) for bank in banks)
        clips = tuple(
            bank.rows["clip_index"].to_numpy()[rows] for bank, rows in zip(banks, places, strict=True)
        )
        if cross_fit is None:
            return cls(banks, scales, places, clips)
        try:
            fold_of_row, scales = _cross_fit(banks, weights, cross_fit, places, columns["row_id"])
        except FoldError as error:
            raise BankError(str(error)) from error
        return cls(banks, scales, places, clips, fold_of_row)

    def __len__(self) -> int:
        return len(self.caption_places[0])

    @property
    def width(self) -> int:
        """Length of the vectors given out: the sum of the banks' widths."""
        return sum(bank.width for bank in self.banks)

    def audio_vectors(self, row: int) -> np.ndarray:
        """All teachers' scaled vectors of the clip of a row of the table, float32 ``(width,)``."""
        return self._join((bank.audio for bank in self.banks), self.audio_places, row)

    def caption_vectors(self, row: int) -> np.ndarray:
        """All teachers' scaled vectors of the caption of a row of the table, float32 ``(width,)``."""
        return self._join((bank.captions for bank in self.banks), self.caption_places, row)

    def answering(self, row: int) -> np.ndarray | None:
        """
        Which of the numbers of a row's vectors belong to teachers that answer for it, float32 ``(width,)`` of 0 and 1.

        A clip's similarities as these teachers see them are those of its vectors times this with the captions' whole
        vectors; a caption's likewise. None: all teachers answer.
        """
        if self.fold_of_row is None:
            return None
        parts = [
            np.full(bank.width, bank.held_out_fold.fold == self.fold_of_row[row], dtype=np.float32)
            for bank in self.banks
        ]
        return np.concatenate(parts)

    def _join(self, arrays: Iterable[np.ndarray], places: Sequence[np.ndarray], row: int) -> np.ndarray:
        parts = [
            array[place[row]] * np.float32(scale)
            for array, place, scale in zip(arrays, places, self.scales, strict=True)
        ]
        return np.concatenate(parts)


def _scales(weights: Sequence[float] | None, banks: int) -> tuple[float, ...]:
    if weights is None:
        weights = [1.0] * banks
    if len(weights) != banks:
        raise BankError(f"{len(weights)} weights for {banks} teacher banks; give one a bank.")
    for place, weight in enumerate(weights):
        if not 0 <= weight < math.inf:
            raise BankError(f"weight {place} of the teachers is {weight}, but must be a number, 0 or more.")
    if not sum(weights) > 0:
        raise BankError(f"the teachers' weights {list(weights)} are all 0; at least one must be more.")
    return tuple(math.sqrt(weight / sum(weights)) for weight in weights)


def _cross_fit(
    banks: Sequence[TeacherBank],
    weights: Sequence[float] | None,
    folds: int,
    places: Sequence[np.ndarray],
    row_ids: Sequence[str],
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Each row's fold, and the scale of each teacher among those of its fold."""
    records, names = [bank.held_out_fold for bank in banks], [f"teacher bank {bank.name}" for bank in banks]
    check_cross_fit(folds, records, names)
    contents = [None] * len(row_ids)
    if banks[0].records_content:
        contents = np.array(banks[0].rows[CONTENT].to_pylist(), dtype=object)[places[0]]
    fold_of_row = fold_of_contents(records, contents, row_ids, names[0])
    weights = [1.0] * len(banks) if weights is None else weights
    sums = [0.0] * folds
    for record, weight in zip(records, weights, strict=True):
        sums[record.fold] += weight
    if not all(sums):
        raise BankError(f"the weights of fold {sums.index(0.0)}'s teachers are all 0; one must be more.")
    scales = (math.sqrt(weight / sums[record.fold]) for record, weight in zip(records, weights, strict=True))
    return fold_of_row, tuple(scales)


def _columns_of(table: Dataset) -> dict[str, list]:
    missing = [name for name in _COLUMNS if name not in table.column_names]
    if missing:
        raise BankError(f"the table lacks the columns {missing}; it has {table.column_names}.")
    if not len(table):
        raise BankError("the table has no rows to align teacher banks with.")
    return table.select_columns(list(_COLUMNS)).with_format(None)[:]


def _find_rows(bank: TeacherBank, columns: Mapping[str, list], digests: Mapping[str, list]) -> np.ndarray:
    where = f"teacher bank {bank.name}"
    places = keyed_rows(bank.rows, where)
    keys = list(zip(*(columns[name] for name in KEY_COLUMNS), strict=True))
    found = np.array([places.get(key, -1) for key in keys], dtype=np.int64)
    missing = np.flatnonzero(found < 0)
    if len(missing):
        first = int(missing[0])
        raise BankError(
            f"{where}: row {columns['row_id'][first]!r} of {columns['source'][first]!r}, split "
            f"{columns['split'][first]!r}, is not in it ({len(missing)} of {len(keys)} rows are not). "
            + _why_missing(bank, {name: values[first] for name, values in columns.items()})
        )
    for digest, values in digests.items():
        if digest not in bank.rows.column_names:
            continue
        in_bank = np.array(bank.rows[digest].to_pylist(), dtype=object)[found]
        # A file that cannot be read has no digest; what becomes of it is said elsewhere.
        pairs = zip(in_bank, values, strict=True)
        other = np.flatnonzero([None not in pair and pair[0] != pair[1] for pair in pairs])
        if len(other):
            first = int(other[0])
            what = (
                f"the caption {columns['caption'][first]!r}"
                if digest == "caption_digest"
                else f"the sound {_described(columns['audio'][first])}"
                if digest == "audio_digest"
                else f"one content of {os.path.basename(columns['audio'][first]['path'])!r}"
            )
            raise BankError(
                f"{where}: was made from other data: row {columns['row_id'][first]!r} has {what} here and another "
                f"one there ({len(other)} of {len(keys)} rows differ); embed again with `auricle embed`."
            )
    return found


def _described(audio: Mapping[str, Any]) -> str:
    duration = "its end" if audio["duration"] is None else f"{audio['offset'] + audio['duration']:g} s"
    return f"{os.path.basename(audio['path'])!r} from {audio['offset']:g} s to {duration}"


def _why_missing(bank: TeacherBank, row: Mapping[str, Any]) -> str:
    for clip in bank.unreadable:
        if (clip["source"], clip["split"], clip["clip_id"]) == (row["source"], row["split"], row["clip_id"]):
            return f"Its clip could not be read when the bank was made: {clip['reason']}."
    for source, split, row_id in keyed_rows(bank.rows, bank.name):
        if row_id == row["row_id"]:
            return f"The bank has a row of this id as one of {source!r}, split {split!r}."
    parts = ", ".join(f"{part['source']!r} {part['split']!r} ({part['rows']} rows)" for part in bank.splits)
    return f"It contains {parts}; embed this dataset with `auricle embed`."


__all__ = ["AlignedTeachers"]
