"""Updates an index from folders: finds files, embeds new ones, and reports both."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ...processing import supported_audio_extensions
from ..store.index_store import Store
from ..store.small_updates import rescue_waiting_files
from ..store.write_lock import writing
from .frame_choice import embed_missing_frames
from .indexing import IndexReport, update_index
from .survey import survey
from .walking import check_root

if TYPE_CHECKING:
    from .frame_choice import WriteFrames
    from .index_progress import IndexProgress
    from .indexing import EmbedFiles


def update_from_folders(
    store: Store,
    roots: Sequence[str],
    embed_files: "EmbedFiles",
    *,
    prune: bool,
    progress: "bool | Callable[[IndexProgress], None]",
    hear: Callable[..., Any],
    write_frames: "WriteFrames",
    check: Callable[[], None] | None = None,
) -> IndexReport:
    """
    Lists folders, updates the index and reports both, while it has the index's lock.

    Args:
        store: the index.
        roots: absolute paths of folders or files.
        embed_files, progress, hear, check: as of [`update_index`].
        write_frames: embeds and stores the frames of a file, if the index has frames.
        prune: remove a folder's files even if the folder is missing or has no sounds left.

    Raises:
        FileNotFoundError: for a root that does not exist.
        SearchError: if another process is writing the index, it cannot be written, or there is no sound.
    """
    if not prune:
        # Before the index's lock is waited for.
        for root in roots:
            check_root(root)
    with writing(store.folder):
        store.upgrade()
        rescue_waiting_files(store)
        known = store.files()
        found = survey(roots, supported_audio_extensions(), known, prune=prune)
        report = update_index(
            store,
            found.files,
            roots,
            embed_files,
            known=known,
            descriptions=found.said.by_path,
            undescribed=found.said.kept,
            unseen=[path for path, _ in found.faults],
            progress=progress,
            hear=hear,
            check=check,
        )
        embed_missing_frames(store, report, write_frames, progress=progress is True, check=check)
    told = [(row.file, row.text) for row in found.said.rows]
    report.faults = found.faults + found.said.unread + told + report.faults
    report.kept = found.kept + report.kept
    report.remarks = found.said.remarks + report.remarks
    report.rows, report.unread = found.said.rows, found.unread
    return report


__all__ = ["update_from_folders"]
