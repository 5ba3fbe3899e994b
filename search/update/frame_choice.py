"""Adds frames to an index that was made without them, removes them, and embeds missing and damaged ones."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress

from tqdm.auto import tqdm

from ...processing import AudioReadError
from ..errors import SearchError
from ..store.index_folder import IndexFolder
from ..store.index_record import RECORD, open_record, record_text
from ..store.index_store import Store
from ..store.kept_frames import FOLDER, FRAME_KINDS, KeptFrames, kept_frames
from ..store.write_lock import writing
from .indexing import IndexReport

NO_FRAMES = "none"
# Writes the frames of a file: where to, its path, its digest, and what is called between batches.
WriteFrames = Callable[[KeptFrames, str, str, Callable[[], None] | None], None]


def choose_frames(directory: str | os.PathLike[str], kind: str) -> None:
    """
    Turns the frames of an existing index on or off. The next update embeds the missing ones.

    The choice is written first. If the update after it is killed, the index answers as before, reads the sound where
    frames are missing, and every later update goes on. Programs that do not know the setting refuse the index from
    then on, until the frames are removed.

    Args:
        directory: of the index.
        kind: "float16" or "int8"; or "none".

    Raises:
        SearchError: for an unknown kind, an index that keeps frames of the other kind, an index in an object store,
            or an index that another process is writing.
        StoreError: if the directory has no index.
    """
    if kind not in (NO_FRAMES, *FRAME_KINDS):
        raise SearchError(
            f"frames {kind!r}: an index keeps them as {' or '.join(FRAME_KINDS)}; {NO_FRAMES} takes them away."
        )
    folder = IndexFolder(directory)
    record = open_record(folder)
    if kind != NO_FRAMES:
        KeptFrames(folder, kind, record["width"])
    with writing(folder):
        record = open_record(folder)
        kept, wanted = record["settings"]["frames"], None if kind == NO_FRAMES else kind
        if kept is not None and wanted not in (None, kept):
            raise SearchError(
                f"{folder}: keeps frames as {kept}, not as {wanted}; --frames {NO_FRAMES} takes them away first."
            )
        if kept != wanted:
            record = {**record, "settings": {**record["settings"], "frames": wanted}}
            folder.write(RECORD, record_text(record))
        if wanted is None and folder.path is not None:
            with suppress(FileNotFoundError):
                shutil.rmtree(folder.path / FOLDER)


def embed_missing_frames(
    store: Store,
    report: IndexReport,
    write_frames: WriteFrames,
    *,
    progress: bool,
    check: Callable[[], None] | None = None,
) -> None:
    """
    Embeds missing and damaged frames of an index with frames, and removes frames of files that it no longer has.

    Args:
        store: the index; its lock is held.
        report: report of the update; receives the numbers of files that got frames, got them again and have none, the
            reasons, and faults.
        write_frames: of the index's encoder.
        progress: show a progress bar.
        check: is called between files and batches; ends this if it raises.

    Raises:
        StoreError: if frames cannot be written.
    """
    frames = kept_frames(store.folder, store.record)
    if frames is None:
        return
    rows = store.files()
    frames.remove_others(row["digest"] for row in rows.values())
    known = store.file_rows(["digest", "duration"])
    # By content what is wrong with its frames; contents without frames are not in it.
    damaged = {
        digest: frames.damage(digest, duration)
        for digest, duration in zip(
            known.column("digest").to_pylist(), known.column("duration").to_pylist(), strict=True
        )
        if frames.has(digest)
    }
    waiting = {}
    for path, row in rows.items():
        digest = row["digest"]
        # Of several files with the same content, any unchanged one serves.
        if (damaged.get(digest) or digest not in damaged) and (
            digest not in waiting or _unchanged(path, row)
        ):
            waiting[digest] = path
    for digest, path in tqdm(
        waiting.items(), desc="frames", unit="file", disable=not progress or not waiting
    ):
        fault = damaged.get(digest)
        if not _unchanged(path, rows[path]):
            report.without_frames += 1
            if fault:
                report.faults.append(
                    (path, f"its frames are damaged ({fault}), and the sound is gone or changed")
                )
            continue
        try:
            write_frames(frames, path, digest, check)
        except (AudioReadError, OSError) as error:
            report.without_frames += 1
            reason = str(error).removeprefix(f"{path}: ")
            report.faults.append((path, f"its frames cannot be embedded: {reason}"))
        else:
            if fault:
                report.remade_frames += 1
                report.remarks.append((path, f"its frames were damaged and are made again: {fault}"))
            else:
                report.with_frames += 1
        if check is not None:
            check()


def _unchanged(path: str, row: dict) -> bool:
    try:
        status = os.stat(path)
    except OSError:
        return False
    return (status.st_size, status.st_mtime_ns) == (row["size"], row["mtime_ns"])


__all__ = ["NO_FRAMES", "WriteFrames", "choose_frames", "embed_missing_frames"]
