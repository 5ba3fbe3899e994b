"""Sounds that visitors of a page add to its library."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from .hits import SearchError
from .sound_index import SoundIndex

UPLOAD_LIMIT = 50
UPLOAD_MEGABYTES = 200
LIBRARY_MEGABYTES = 2_000


def take_uploads(index: SoundIndex, folder: Path, chosen: Sequence[str]) -> str:
    """
    Copies sounds into a folder and brings the index up to date with it.

    Args:
        index: opened.
        folder: of the added sounds; made if missing.
        chosen: paths of the files.

    Returns:
        What was added, and what could not be, in Markdown.

    Raises:
        SearchError: for no file, too many or too much, or if the index cannot be written.
        OSError: if a file cannot be copied.
    """
    if not chosen:
        raise SearchError("Choose one or more recordings first.")
    if len(chosen) > UPLOAD_LIMIT:
        raise SearchError(f"{len(chosen)} files: at most {UPLOAD_LIMIT} can be added at once.")
    sizes = [os.path.getsize(path) for path in chosen]
    folder = Path(os.path.abspath(folder))
    folder.mkdir(parents=True, exist_ok=True)
    there = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    if there + sum(sizes) > LIBRARY_MEGABYTES * 1_000_000:
        raise SearchError(f"At most {LIBRARY_MEGABYTES:,} MB can be added in all.")
    copied = []
    for source in map(Path, chosen):
        copied.append(shutil.copyfile(source, _free(folder / source.name)))
    report = index.update([folder], progress=False)
    faults = []
    for path, reason in report.faults:
        if Path(path) not in copied:
            continue
        # It would be told of at every update.
        Path(path).unlink()
        faults.append(f"\n- not added: `{Path(path).name.replace('`', '')}`: {reason}")
    return f"{report.line()}.{''.join(faults)}"


def _free(path: Path) -> Path:
    """The path, or one like it that no file has."""
    number, candidate = 1, path
    while candidate.exists():
        number += 1
        candidate = path.with_stem(f"{path.stem} ({number})")
    return candidate


__all__ = ["UPLOAD_LIMIT", "UPLOAD_MEGABYTES", "take_uploads"]
