"""Teacher banks: a teacher's vectors of a dataset, kept so that distillation never loads the teacher."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from datasets import Dataset

from ...data.schema import validate_table
from ...encoders import AudioTextEncoder, load_encoder
from ...encoders.loading import RemoteCodeError
from ...files.content_digests import ContentDigests
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
from .cross_fitting import HeldOutFold
from .pooled_captions import PooledCaptions
from .process_shares import EmbeddedPairs, embed_in_shares, first_on_main

logger = logging.getLogger(__name__)

_COLUMNS = ("row_id", "clip_id", "source", "split", "caption", "audio")


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
    held_out_fold: HeldOutFold | None = None,
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
        held_out_fold: what the teacher's training left out, to be recorded, see [`read_held_out_fold`].
        progress: show progress bars.

    Returns:
        The bank. Rows of clips that cannot be read are not in it; ``unreadable`` names them.

    Raises:
        BankError: if there are no rows, a row occurs twice, a caption contains no word, no clip can be read, a vector
            is not finite, or the directory contains something other than a bank.
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
                held_out_fold=held_out_fold,
            ).save(directory)
        return TeacherBank.load(directory)

    return first_on_main(finish)


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
    held_out_fold: HeldOutFold | None,
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
        held_out_fold=held_out_fold,
    )


__all__ = ["BankError", "TeacherBank", "load_teacher", "write_teacher_bank"]
