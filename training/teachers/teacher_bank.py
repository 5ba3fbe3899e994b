"""Teacher banks: a teacher's vectors of a dataset, kept so that distillation never loads the teacher."""

import logging
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import Dataset

from ...data.schema import validate_table
from ...encoders import AudioTextEncoder, load_encoder
from ...encoders.loading import RemoteCodeError
from ...files.content_digests import ContentDigests
from ..losses.gradient_gather import world
from .bank_files import (
    CONTENT,
    KEY_COLUMNS,
    ROW_TYPES_WITH_CONTENT,
    BankError,
    TeacherBank,
    audio_digest,
    caption_digest,
    checked_target,
    keyed_rows,
)
from .pooled_captions import PooledCaptions
from .process_shares import EmbeddedPairs, embed_in_shares, first_on_main

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
    """

    banks: tuple[TeacherBank, ...]
    scales: tuple[float, ...]
    caption_places: tuple[np.ndarray, ...]
    audio_places: tuple[np.ndarray, ...]

    @classmethod
    def align(
        cls,
        banks: Sequence[TeacherBank],
        weights: Sequence[float] | None,
        table: Dataset,
        digests: ContentDigests | None = None,
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

        Raises:
            BankError: if there is no bank, the weights are not as above, or a bank does not hold a row with this
                caption and this sound; the message names the first such row and how many there are.
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
        return cls(banks, scales, places, clips)

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

    def _join(self, arrays: Iterable[np.ndarray], places: Sequence[np.ndarray], row: int) -> np.ndarray:
        parts = [
            array[place[row]] * np.float32(scale)
            for array, place, scale in zip(arrays, places, self.scales, strict=True)
        ]
        return np.concatenate(parts)


def load_teacher(name: str) -> AudioTextEncoder:
    """
    Loads a teacher, of any kind that [`load_encoder`] knows, on the GPU if there is one.

    A recipe may be anybody's, so it runs no Python code of a teacher's repository; a bank of that teacher does.

    Raises:
        BankError: if there is no such model, or it needs such code.
    """
    try:
        return load_encoder(name)
    except RemoteCodeError as error:
        raise BankError(
            f"{name}: needs Python code from its repository, and a recipe runs none. Read that code, and if you trust "
            f"it write a teacher bank with `auricle embed {name} DATASET --out DIR --trust-remote-code` and name DIR "
            "as the teacher."
        ) from error
    except ValueError as error:
        raise BankError(str(error)) from error


def write_teacher_bank(
    directory: str | os.PathLike[str],
    encoder: AudioTextEncoder,
    tables: Mapping[str, Dataset],
    *,
    model_name: str,
    batch_size: int = 16,
    num_workers: int = 2,
    pooled_captions: PooledCaptions | None = None,
    digests: ContentDigests | None = None,
    model_files: str | None = None,
    progress: bool = False,
) -> TeacherBank:
    """
    Embeds every clip and every caption of some tables once, and writes them as a bank.

    In a job of several processes all of them call it; each embeds its share and the main one writes. The directory
    must be one that all of them see.

    Args:
        directory: to be written in one swap at the end; a bank that is there is replaced.
        encoder: the teacher, on the process's own device.
        tables: tables of the schema by any name, with rows that are all different. In the bank rows are keyed by
            their own columns ``source``, ``split`` and ``row_id``.
        model_name: to be recorded, for display.
        batch_size: segments, or captions, at a time; bounds the memory, not the result.
        num_workers: threads of each process that decode; they do not change the result.
        pooled_captions: where vectors of the teacher's text tower may be kept.
        digests: of files' contents, to be recorded; None reads the sounds once more for them.
        model_files: the teacher's [`model_files_fingerprint`], to be recorded.
        progress: show progress bars.

    Returns:
        The bank. Rows of clips that cannot be read are not in it; ``unreadable`` names them.

    Raises:
        BankError: if there are no rows, a row occurs twice, a caption contains no word, no clip can be read, a vector
            is not finite, or the directory holds something else than a bank.
        DataError: if a table does not follow the schema.
    """

    def prepare() -> dict[str, list]:
        checked_target(directory)
        return _collect_rows(tables, encoder)

    rows = first_on_main(prepare)
    audio_of = dict(zip(_sounds(rows), rows["audio"], strict=True))
    sounds = list(audio_of)
    captions = sorted(set(rows["caption"]), key=lambda caption: (len(caption), caption))
    embedded = embed_in_shares(
        encoder,
        list(audio_of.values()),
        captions,
        batch_size=batch_size,
        num_workers=num_workers,
        pooled_captions=pooled_captions,
        progress=progress,
    )

    def finish() -> TeacherBank:
        if embedded is not None:
            _assemble(
                rows,
                sounds,
                captions,
                embedded,
                name=str(directory),
                model_name=model_name,
                fingerprint=encoder.fingerprint,
                encoder=encoder.described(),
                contents=(digests or ContentDigests()).of_files(
                    (audio["path"] for audio in rows["audio"]), progress=progress
                ),
                model_files=model_files,
            ).save(directory)
        return TeacherBank.load(directory)

    return first_on_main(finish)


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


def _collect_rows(tables: Mapping[str, Dataset], encoder: AudioTextEncoder) -> dict[str, list]:
    """The columns of all tables, one after another, checked to be fit for embedding."""
    columns: dict[str, list] = {name: [] for name in _COLUMNS}
    for table in tables.values():
        for name, values in validate_table(table).select_columns(list(_COLUMNS)).with_format(None)[:].items():
            columns[name].extend(values)
    if not columns["row_id"]:
        raise BankError(f"there are no rows to embed in {list(tables) or 'no tables'}.")
    keyed_rows(pa.table({name: columns[name] for name in KEY_COLUMNS}), "the tables to embed")
    for row_id, caption in zip(columns["row_id"], columns["caption"], strict=True):
        try:
            encoder.prepare_texts([caption])
        except ValueError as error:
            raise BankError(f"row {row_id!r}: its caption {caption!r} contains no words to embed.") from error
    return columns


def _sounds(columns: Mapping[str, list]) -> list[tuple]:
    """What sound each row is of: rows of one clip share it, whatever split they are listed under."""
    return [
        (clip_id, audio["path"], audio["offset"], audio["duration"])
        for clip_id, audio in zip(columns["clip_id"], columns["audio"], strict=True)
    ]


def _assemble(
    rows: Mapping[str, list],
    sounds: Sequence[tuple],
    captions: Sequence[str],
    embedded: EmbeddedPairs,
    *,
    name: str,
    model_name: str,
    fingerprint: str,
    encoder: dict[str, Any],
    contents: Mapping[str, str | None],
    model_files: str | None,
) -> TeacherBank:
    """A bank of the rows whose clips could be read."""
    reasons = {sounds[place]: reason for place, reason in embedded.unreadable}
    if len(reasons) == len(sounds):
        raise BankError(
            f"none of the {len(sounds)} clips can be read; the first: {embedded.unreadable[0][1]}"
        )
    readable = [place for place, sound in enumerate(sounds) if sound not in reasons]
    clip_index = {sounds[place]: index for index, place in enumerate(readable)}
    caption_index = {caption: index for index, caption in enumerate(captions)}
    kept, unreadable = [], {}
    for row, sound in enumerate(_sounds(rows)):
        if sound in clip_index:
            kept.append(row)
            continue
        clip = {column: rows[column][row] for column in ("clip_id", "source", "split")}
        # A bank may be passed on: it says nothing about the directories of the machine that made it.
        path = rows["audio"][row]["path"]
        reason = reasons[sound].replace(path, os.path.basename(path))
        unreadable[tuple(clip.values())] = {**clip, "reason": reason}
    columns = {
        **{
            column: [rows[column][row] for row in kept] for column in ("row_id", "clip_id", "source", "split")
        },
        "caption_digest": [caption_digest(rows["caption"][row]) for row in kept],
        "audio_digest": [audio_digest(rows["audio"][row]) for row in kept],
        "clip_index": [clip_index[sound] for sound in _sounds(rows) if sound in clip_index],
        CONTENT: [contents[rows["audio"][row]["path"]] for row in kept],
    }
    return TeacherBank(
        name=name,
        model_name=model_name,
        fingerprint=fingerprint,
        rows=pa.table(columns, schema=ROW_TYPES_WITH_CONTENT),
        audio=embedded.audio[readable],
        captions=embedded.captions[[caption_index[rows["caption"][row]] for row in kept]],
        unreadable=list(unreadable.values()),
        encoder=encoder,
        model_files=model_files,
    )


__all__ = ["AlignedTeachers", "BankError", "TeacherBank", "load_teacher", "write_teacher_bank"]
