"""Writing whole directories so that a reader never sees half of one."""

import shutil
from collections.abc import Callable
from pathlib import Path

from .json_files import read_json as read_json
from .json_files import write_json as write_json
from .replacing import replace_path

CHECKPOINT_MARKER = "complete.json"


def replace_directory(target: Path, write: Callable[[Path], None]) -> None:
    """
    Writes a directory under a temporary name and then swaps it in.

    Args:
        target: path of the directory; an old one is replaced.
        write: fills the directory it is given.
    """
    recover_directory(target)
    fresh, old = target.with_name(f"{target.name}.new"), target.with_name(f"{target.name}.old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    write(fresh)
    if target.exists():
        replace_path(target, old)
    replace_path(fresh, target)
    shutil.rmtree(old, ignore_errors=True)


def recover_directory(target: Path) -> None:
    """Puts the old directory back where a kill fell between the two renames of a swap."""
    old = target.with_name(f"{target.name}.old")
    if old.exists():
        if target.exists():
            shutil.rmtree(old)
        else:
            replace_path(old, target)


def mark_checkpoint_complete(checkpoint: Path, processes: int = 1) -> None:
    """Marks a checkpoint whose every file has been written, and by how many processes."""
    write_json(checkpoint / CHECKPOINT_MARKER, {"step": _step_of(checkpoint), "processes": processes})


def processes_of_checkpoint(checkpoint: Path) -> int:
    """Number of processes that trained together when a complete checkpoint was written."""
    return read_json(checkpoint / CHECKPOINT_MARKER)["processes"]


def last_complete_checkpoint(directory: Path) -> Path | None:
    """The newest complete checkpoint, or None; unfinished ones are ignored."""
    return max(_complete_checkpoints(directory), key=_step_of, default=None)


def remove_old_checkpoints(directory: Path, keep: int) -> None:
    """
    Deletes all but the newest complete checkpoints.

    Call this when the newest one is complete, so that there always is a complete checkpoint.
    """
    for path in sorted(_complete_checkpoints(directory), key=_step_of)[:-keep]:
        # Without its marker a half-deleted checkpoint is not mistaken for a whole one.
        (path / CHECKPOINT_MARKER).unlink()
        shutil.rmtree(path)


def _complete_checkpoints(directory: Path) -> list[Path]:
    return [
        path
        for path in directory.glob("checkpoint-*")
        if path.name.rsplit("-", 1)[-1].isdigit() and (path / CHECKPOINT_MARKER).is_file()
    ]


def _step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[-1])


def remove_incomplete_checkpoints(directory: Path) -> None:
    """Deletes leftovers of a save that was killed."""
    for path in directory.glob("checkpoint-*"):
        if not (path / CHECKPOINT_MARKER).is_file():
            shutil.rmtree(path)
