"""Sounds that visitors of a page add to its library."""

import os
import shutil
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ...files.file_names import portable_name
from ...processing import supported_audio_extensions
from ..errors import SearchError
from ..sound_index import SoundIndex
from ..store.index_store import StoreError

UPLOAD_LIMIT = 50
UPLOAD_MEGABYTES = 200
LIBRARY_MEGABYTES = 2_000
# File systems take 255 bytes; some stay for a number.
NAME_BYTES = 200


def take_uploads(index: SoundIndex, folder: Path, chosen: Sequence[str]) -> str:
    """
    Copies sounds into a folder and brings the index up to date with it.

    Only sounds are stored there, since a file such as ``metadata.csv`` would describe other users' sounds.
    Uploads that do not get into the index are deleted.

    Args:
        index: opened.
        folder: folder of the added sounds; made if missing.
        chosen: paths of the files.

    Returns:
        What was added, and what could not be, in Markdown.

    Raises:
        SearchError: for no file, no sound among them, too many or too much, or if the index cannot be written.
        OSError: if a file cannot be copied.
    """
    if not chosen:
        raise SearchError("Choose one or more recordings first.")
    if len(chosen) > UPLOAD_LIMIT:
        raise SearchError(f"{len(chosen)} files: at most {UPLOAD_LIMIT} can be added at once.")
    extensions = supported_audio_extensions()
    names = {path: upload_name(path) for path in chosen}
    sounds = [path for path in names if Path(names[path]).suffix.lower() in extensions]
    refused = [names[path] for path in names if path not in sounds]
    kinds = f"not a sound file ({', '.join(sorted(extensions))})"
    if not sounds:
        raise SearchError(f"{', '.join(refused)}: {kinds}.")
    folder = Path(os.path.abspath(folder))
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    if there + sum(map(os.path.getsize, sounds)) > LIBRARY_MEGABYTES * 1_000_000:
        raise SearchError(f"At most {LIBRARY_MEGABYTES:,} MB can be added in all.")
    copied: list[Path] = []
    try:
        for source in sounds:
            copied.append(_free(folder / names[source]))
            shutil.copyfile(source, copied[-1])
        report = index.update([folder], progress=False)
    finally:
        # Otherwise every update would report files that are not audio; a failed update may leave some of them.
        indexed = _indexed(index)
        for path in copied:
            if str(path) not in indexed:
                path.unlink(missing_ok=True)
    reasons = [(name, kinds) for name in refused]
    reasons += [(Path(path).name, reason) for path, reason in report.faults if Path(path) in copied]
    faults = "".join(f"\n- not added: `{name.replace('`', '')}`: {reason}" for name, reason in reasons)
    return f"{report.line()}.{faults}"


def upload_name(path: str) -> str:
    """
    A name that a file may be kept under, from the one a visitor gave: without folders, characters that are not seen
    and leading dots, not too long, and valid on Linux, macOS and Windows.

    Args:
        path: whose last part is the visitor's name.
    """
    name = path.replace("\\", "/").rpartition("/")[2]
    name = "".join(letter for letter in name if unicodedata.category(letter) not in ("Cc", "Cf", "Cs"))
    stem, dot, ending = name.strip().rpartition(".")
    if not dot:
        stem, ending = ending, ""
    ending = _cut(dot + ending, NAME_BYTES // 2)
    stem = _cut(stem.lstrip(". "), NAME_BYTES - len(ending.encode())).strip()
    return portable_name(f"{stem or 'sound'}{ending}")


def _cut(text: str, most: int) -> str:
    """As much of the text as goes into so many bytes."""
    return text.encode()[:most].decode("utf-8", "ignore")


def _indexed(index: SoundIndex) -> set[str]:
    """Paths of all files; none of an index that cannot be read, to which nothing can be added either."""
    try:
        return set(index.store.files())
    except StoreError:
        return set()


def _free(path: Path) -> Path:
    """The path, or one like it that no file has."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem} ({number})")
    return candidate


__all__ = ["UPLOAD_LIMIT", "UPLOAD_MEGABYTES", "take_uploads", "upload_name"]
