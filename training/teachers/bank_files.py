"""A teacher bank on disk: one teacher's vectors of a dataset, and which rows they belong to."""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from safetensors.torch import load_file

from ...files.saved_directories import read_json, replace_directory, write_json
from .cross_fitting import FoldError, HeldOutFold

FORMAT = "auricle teacher bank"
VERSION = 1
INFO, ROWS, AUDIO, CAPTIONS = "bank.json", "rows.parquet", "audio.safetensors", "captions.safetensors"
KEY_COLUMNS = ("source", "split", "row_id")
_TEXT_COLUMNS = ("row_id", "clip_id", "source", "split", "caption_digest", "audio_digest")
# Banks from before contents were recorded, and those of vectors from elsewhere, lack this column.
CONTENT = "content_digest"
ROW_TYPES = pa.schema([*((name, pa.string()) for name in _TEXT_COLUMNS), ("clip_index", pa.int64())])
ROW_TYPES_WITH_CONTENT = ROW_TYPES.append(pa.field(CONTENT, pa.string()))
_CHECKED_AT_ONCE = 16_384


class BankError(ValueError):
    """A teacher bank cannot be made, read, or used for a table; the message names the bank and the row."""


@dataclass(frozen=True, eq=False)
class TeacherBank:
    """
    One teacher's vectors of a dataset.

    Attributes:
        name: how errors call the bank, as a rule its directory.
        model_name: how the teacher was called when it was run.
        fingerprint: of the teacher, see [`model_fingerprint`].
        rows: the columns row_id, clip_id, source, split, caption_digest, audio_digest and clip_index, which is the
            clip's place in ``audio``; where the sounds could be read, also content_digest, the SHA-256 of each file.
        audio: float32 ``(clips, width)``, unit length; of a loaded bank mapped from the file, not read into memory.
        captions: float32 ``(rows, width)``, unit length, in the order of ``rows``.
        unreadable: clips that were skipped with their rows: clip_id, source, split and reason of each.
        encoder: how the teacher was loaded, see [`AudioTextEncoder.described`]; empty for vectors of another program
            and of banks that earlier versions wrote.
        model_files: of the teacher, see [`model_files_fingerprint`]; None if it is not known.
        held_out_fold: what the teacher's training left out, for cross-fitting; None if it is not known.
    """

    name: str
    model_name: str
    fingerprint: str
    rows: pa.Table
    audio: np.ndarray
    captions: np.ndarray
    unreadable: list[dict[str, str]]
    encoder: dict[str, Any] = field(default_factory=dict)
    model_files: str | None = None
    held_out_fold: HeldOutFold | None = None

    @property
    def records_content(self) -> bool:
        """Whether the contents of the sounds are recorded, and not their names, offsets and durations alone."""
        return CONTENT in self.rows.column_names

    @property
    def width(self) -> int:
        """Length of the vectors."""
        return self.audio.shape[1]

    @property
    def splits(self) -> list[dict[str, Any]]:
        """Dataset, split, rows and clips of every part, in the order in which the parts are in the bank."""
        parts: dict[tuple[str, str], list[int]] = {}
        columns = (self.rows[name].to_pylist() for name in ("source", "split", "clip_index"))
        for source, split, clip in zip(*columns, strict=True):
            parts.setdefault((source, split), []).append(clip)
        return [
            {"source": source, "split": split, "rows": len(clips), "clips": len(set(clips))}
            for (source, split), clips in parts.items()
        ]

    @staticmethod
    def is_one(path: str | os.PathLike[str]) -> bool:
        """Whether a path is a directory with a whole bank; one that was never finished is none."""
        return (Path(path) / INFO).is_file()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "TeacherBank":
        """
        Opens a bank and checks all of it.

        Raises:
            BankError: if it is not a bank, has another format version, lacks a file, contains no rows, the same row
                twice,
                or a vector that is not finite or not of unit length, or if its files are of different banks.
        """
        directory = Path(path)
        info = _read_info(directory)
        try:
            rows = parquet.read_table(directory / ROWS)
            arrays = {name: load_file(directory / name)["vectors"].numpy() for name in (AUDIO, CAPTIONS)}
            stamps = {_stamp_of(directory / name) for name in (AUDIO, CAPTIONS)}
        except (OSError, pa.ArrowException, SafetensorError, KeyError, TypeError) as error:
            reason = str(error).splitlines()[0]
            raise BankError(
                f"teacher bank {directory}: a file is missing or damaged ({reason}); embed again."
            ) from error
        wanted = ROW_TYPES_WITH_CONTENT if CONTENT in rows.column_names else ROW_TYPES
        if not rows.schema.equals(wanted):
            raise BankError(
                f"teacher bank {directory}: {ROWS} has the columns {rows.schema.names}, but must have "
                f"{wanted.names}; embed again."
            )
        bank = cls(
            name=str(directory),
            model_name=info["model_name"],
            fingerprint=info["fingerprint"],
            rows=rows,
            audio=arrays[AUDIO],
            captions=arrays[CAPTIONS],
            unreadable=info["unreadable"],
            encoder=info.get("encoder", {}),
            model_files=info.get("model_files"),
            held_out_fold=_held_out_fold(info, f"teacher bank {directory}: {INFO}"),
        )
        bank._check()
        if stamps | {info["stamp"]} != {bank._stamp()}:
            raise BankError(f"teacher bank {directory}: its files belong to different banks; embed again.")
        return bank

    def save(self, directory: str | os.PathLike[str]) -> None:
        """
        Writes the bank, in one swap; a bank that is there is replaced.

        Raises:
            BankError: if the vectors are not finite unit vectors, or the directory contains something else.
        """
        self._check()
        target = checked_target(directory)
        replace_directory(target, self._write)

    def _write(self, directory: Path) -> None:
        metadata = {"stamp": self._stamp()}
        parquet.write_table(self.rows, directory / ROWS)
        save_file({"vectors": self.audio}, directory / AUDIO, metadata)
        save_file({"vectors": self.captions}, directory / CAPTIONS, metadata)
        # Last: what lacks it is not taken for a bank.
        write_json(
            directory / INFO,
            {
                "format": FORMAT,
                "version": VERSION,
                "model_name": self.model_name,
                "fingerprint": self.fingerprint,
                "encoder": self.encoder,
                "model_files": self.model_files,
                "held_out_fold": self.held_out_fold.as_json() if self.held_out_fold else None,
                "width": self.width,
                "rows": self.rows.num_rows,
                "clips": len(self.audio),
                "splits": self.splits,
                "unreadable": self.unreadable,
                "stamp": self._stamp(),
            },
        )

    def _stamp(self) -> str:
        """What all files of one bank carry: a digest of the teacher and of the rows."""
        digest = hashlib.sha256(self.fingerprint.encode())
        for name in (*_TEXT_COLUMNS, "clip_index", *([CONTENT] if self.records_content else [])):
            digest.update(json.dumps(self.rows[name].to_pylist()).encode())
        return digest.hexdigest()

    def _check(self) -> None:
        where = f"teacher bank {self.name}"
        if not self.rows.num_rows:
            raise BankError(f"{where}: contains no rows; embed a dataset with `auricle embed`.")
        shapes = {AUDIO: self.audio.shape, CAPTIONS: self.captions.shape}
        for name, array in ((AUDIO, self.audio), (CAPTIONS, self.captions)):
            if array.ndim != 2 or array.dtype != np.float32:
                raise BankError(
                    f"{where}: {name} is {array.dtype} {array.shape}, but must be float32 (n, width)."
                )
        indices = self.rows["clip_index"].to_numpy()
        clips = self.rows["clip_id"].to_pylist()
        if self.audio.shape[1] != self.captions.shape[1] or len(self.captions) != len(indices):
            raise BankError(f"{where}: {len(indices)} rows do not fit the vectors {shapes}; embed again.")
        if sorted(set(indices.tolist())) != list(range(len(self.audio))):
            raise BankError(
                f"{where}: {ROWS} points at other clips than the {len(self.audio)} of {AUDIO}; embed again."
            )
        keyed_rows(self.rows, where)
        _check_vectors(self.captions, lambda row: f"the caption of row {self.rows['row_id'][row]}", where)
        _check_vectors(self.audio, lambda clip: f"clip {clips[int((indices == clip).argmax())]}", where)


def caption_digest(caption: str) -> str:
    """What a caption is recognised by, 32 hexadecimal digits."""
    return hashlib.sha256(caption.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def audio_digest(audio: Mapping[str, Any]) -> str:
    """What a sound is recognised by wherever its file is: file name, offset, duration; 32 hexadecimal digits."""
    duration = None if audio["duration"] is None else float(audio["duration"])
    what = [os.path.basename(audio["path"]), float(audio["offset"]), duration]
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:32]


def keyed_rows(rows: pa.Table, where: str) -> dict[tuple[str, str, str], int]:
    """
    The place of every row by dataset, split and row id.

    Raises:
        BankError: if a row occurs twice; the message names it after ``where``.
    """
    places: dict[tuple[str, str, str], int] = {}
    for place, key in enumerate(zip(*(rows[name].to_pylist() for name in KEY_COLUMNS), strict=True)):
        if key in places:
            source, split, row_id = key
            raise BankError(f"{where}: row {row_id!r} of {source!r}, split {split!r}, occurs twice.")
        places[key] = place
    return places


def checked_target(directory: str | os.PathLike[str]) -> Path:
    """
    A directory that a bank may be written to, as an absolute path; those above it are made.

    Raises:
        BankError: if it is a file, or contains something that is not a bank.
    """
    target = Path(directory).absolute()
    if target.exists() and not target.is_dir():
        raise BankError(f"{directory}: is a file; name a new directory for the teacher bank.")
    if target.is_dir() and not TeacherBank.is_one(target) and any(target.iterdir()):
        raise BankError(
            f"{directory}: not empty and not a teacher bank, so it is not overwritten; name a new directory."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _read_info(directory: Path) -> dict[str, Any]:
    where = f"teacher bank {directory}"
    if not directory.is_dir():
        raise BankError(f"{where}: no such directory; `auricle embed` writes banks.")
    try:
        info = read_json(directory / INFO)
    except ValueError as error:
        raise BankError(f"{where}: {error}") from error
    if info is None:
        raise BankError(f"{where}: has no {INFO}, so it is not a bank, or was not finished; embed again.")
    if not isinstance(info, dict) or info.get("format") != FORMAT:
        raise BankError(f"{where}: {INFO} does not name the format {FORMAT!r}.")
    if info.get("version") != VERSION:
        raise BankError(
            f"{where}: has the format version {info.get('version')!r}; this program reads {VERSION}; embed again."
        )
    kinds = {"model_name": str, "fingerprint": str, "unreadable": list, "stamp": str}
    for name, kind in kinds.items():
        if not isinstance(info.get(name), kind):
            raise BankError(f"{where}: {INFO} lacks {name!r}; embed again.")
    if not isinstance(info.get("encoder", {}), dict):
        raise BankError(
            f"{where}: {INFO} has {info['encoder']!r} as 'encoder', which is not a mapping; embed again."
        )
    return info


def _held_out_fold(info: Mapping[str, Any], where: str) -> HeldOutFold | None:
    value = info.get("held_out_fold")
    try:
        return None if value is None else HeldOutFold.from_json(value, where)
    except FoldError as error:
        raise BankError(str(error)) from error


def _stamp_of(path: Path) -> str | None:
    with safe_open(path, framework="np") as file:
        return (file.metadata() or {}).get("stamp")


def _check_vectors(vectors: np.ndarray, name_of: Callable[[int], str], where: str) -> None:
    for start in range(0, len(vectors), _CHECKED_AT_ONCE):
        norms = np.linalg.norm(vectors[start : start + _CHECKED_AT_ONCE], axis=1)
        wrong = np.flatnonzero(~(np.abs(norms - 1.0) < 1e-3))
        if len(wrong):
            what = "a length of" if np.isfinite(norms[wrong[0]]) else "numbers that are not finite, length"
            raise BankError(
                f"{where}: the vector of {name_of(start + int(wrong[0]))} has {what} {norms[wrong[0]]:.4g}, but "
                "must be a unit vector."
            )
