"""Any dataset of the Hugging Face Hub, or a directory in one of its formats, with audio and captions."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import datasets
from datasets import Audio, Dataset
from tqdm.auto import tqdm

from ...files.replacing import replace_path
from ..schema import CaptionedClip, DataError, build_table
from ..waveform_cache import cache_root
from .clip_listing import ID_COLUMNS


def load_hub_dataset(
    name: str,
    *,
    split: str = "train",
    as_split: str | None = None,
    config_name: str | None = None,
    revision: str | None = None,
    audio_column: str = "audio",
    caption_column: str = "caption",
    id_column: str | None = None,
    license: str = "unknown",
    max_clips: int | None = None,
    streaming: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> Dataset:
    """
    Reads a dataset with an audio column, as ``datasets.load_dataset`` finds it, into the project's table.

    Sound that is within the dataset's own files is written once, still encoded, next to the other caches: a
    table names files. Nothing is decoded, and no media library of ``datasets`` is needed.

    Args:
        name: Hub id, or a local directory or file type that ``load_dataset`` takes.
        split: split of the dataset.
        as_split: what the rows' split is called here; ``split`` if None.
        config_name: configuration of the dataset.
        revision: branch, tag or commit; name a commit to get the same rows again.
        audio_column: the sound: an audio feature, a path, or bytes with a path.
        caption_column: a sentence or a list of sentences.
        id_column: values that identify clips; None numbers the rows.
        license: license of the clips.
        max_clips: read the first so many; None reads all.
        streaming: fetch rows one after another instead of whole files: with ``max_clips``, little is downloaded.
        cache_dir: where sound is written; see [`cache_root`].
        progress: show a progress bar.

    Returns:
        The table, with `ID_COLUMNS`, null unless the dataset has columns of these names.

    Raises:
        DataError: if there is no such dataset, split or column, a row has no sound, caption or id, or two rows
            have one id; the message names the row.
    """
    rows = _open(name, split, config_name, revision, streaming)
    columns = list(rows.features or {})
    for column in (audio_column, caption_column, *([id_column] if id_column else [])):
        if column not in columns:
            raise DataError(f"{name}, split {split!r}: no column {column!r}; the columns are {columns}.")
    if isinstance(rows.features[audio_column], Audio):
        rows = rows.cast_column(audio_column, Audio(decode=False))
    kept = [audio_column, caption_column, *(one for one in (id_column, *ID_COLUMNS) if one in columns)]
    rows = rows.select_columns(list(dict.fromkeys(kept)))
    if max_clips is not None:
        rows = rows.take(max_clips) if streaming else rows.select(range(min(max_clips, len(rows))))
    place = cache_root(cache_dir) / "hub" / _place_name(name, config_name, split)
    total = None if streaming else len(rows)
    bar = tqdm(rows, total=total, desc=f"reading {Path(name).name}", unit="clip", disable=not progress)
    clips = [
        _clip(number, row, place, audio_column, caption_column, id_column, name, as_split or split, license)
        for number, row in enumerate(bar)
    ]
    if not clips:
        raise DataError(f"{name}, split {split!r}: the split has no rows.")
    return build_table((row for clip in clips for row in clip.rows()), ID_COLUMNS)


def _open(name: str, split: str, config_name: str | None, revision: str | None, streaming: bool) -> Any:
    try:
        return datasets.load_dataset(name, config_name, split=split, revision=revision, streaming=streaming)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = next(
            (line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__
        )
        raise DataError(f"{name}, split {split!r}: cannot load the dataset ({reason}).") from error


def _clip(
    number: int,
    row: Mapping[str, Any],
    place: Path,
    audio_column: str,
    caption_column: str,
    id_column: str | None,
    source: str,
    split: str,
    license: str,
) -> CaptionedClip:
    where = f"{source}, split {split!r}, row {number}"
    identifier = f"{number:08d}" if id_column is None else str(row[id_column] or "").strip()
    if not identifier:
        raise DataError(f"{where}: {id_column!r} is {row[id_column]!r}, but must identify the clip.")
    captions = row[caption_column]
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, Iterable):
        raise DataError(
            f"{where}: {caption_column!r} is {captions!r}, but must be a sentence or a list of sentences."
        )
    captions = [text.strip() for text in captions if isinstance(text, str) and text.strip()]
    if not captions:
        raise DataError(f"{where}: {caption_column!r} has no sentence.")
    return CaptionedClip(
        source=Path(source).name if os.path.isdir(source) else source,
        split=split,
        name=identifier,
        path=_sound_file(row[audio_column], place, identifier, where),
        captions=captions,
        license=license,
        extra={name: _text(row.get(name)) for name in ID_COLUMNS},
    )


def _sound_file(audio: Any, place: Path, identifier: str, where: str) -> Path:
    if isinstance(audio, str):
        audio = {"path": audio, "bytes": None}
    if not isinstance(audio, Mapping) or not (audio.get("bytes") or audio.get("path")):
        raise DataError(f"{where}: no audio: the value is {audio!r:.100}.")
    path, content = audio.get("path") or "", audio.get("bytes")
    if content is None:
        if not os.path.isfile(path):
            raise DataError(f"{where}: audio file {path!r} not found.")
        return Path(path)
    # Ids may contain slashes and other special characters; two ids must never share a file.
    stem = hashlib.sha256(identifier.encode()).hexdigest()[:24]
    target = place / stem[:2] / f"{stem}{Path(path).suffix.lower() or _suffix(content)}"
    if not (target.is_file() and target.stat().st_size == len(content)):
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_name(f".{target.name}.{os.getpid()}.partial")
        try:
            fresh.write_bytes(content)
            replace_path(fresh, target)
        except OSError as error:
            raise DataError(f"{target}: cannot write the file ({error.strerror}).") from error
        finally:
            fresh.unlink(missing_ok=True)
    return target


def _suffix(content: bytes) -> str:
    """A file's extension by its first bytes; libsndfile detects most formats by content, MP3 also by name."""
    known = {b"RIFF": ".wav", b"fLaC": ".flac", b"OggS": ".ogg", b"FORM": ".aiff"}
    return known.get(content[:4], ".mp3")


def _place_name(name: str, config_name: str | None, split: str) -> str:
    text = "\n".join([os.path.abspath(name) if os.path.exists(name) else name, config_name or "", split])
    return f"{Path(name).name}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


__all__ = ["load_hub_dataset"]
