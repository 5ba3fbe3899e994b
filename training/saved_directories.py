"""Writing whole directories so that a reader never sees half of one."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

CHECKPOINT_MARKER = "complete.json"


def replace_directory(target: Path, write: Callable[[Path], None]) -> None:
    """
    Writes a directory beside its place and then swaps it in.

    Args:
        target: where it shall be; an old one there is replaced.
        write: fills the directory it is given.
    """
    recover_directory(target)
    fresh, old = target.with_name(f"{target.name}.new"), target.with_name(f"{target.name}.old")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    write(fresh)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def recover_directory(target: Path) -> None:
    """Puts the old directory back where a kill fell between the two renames of a swap."""
    old = target.with_name(f"{target.name}.old")
    if old.exists():
        if target.exists():
            shutil.rmtree(old)
        else:
            old.rename(target)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON through a temporary file, so that a kill leaves the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def read_json(path: Path) -> Any:
    """Reads a JSON file, or None if there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def mark_checkpoint_complete(checkpoint: Path) -> None:
    """Marks a checkpoint whose every file has been written."""
    write_json(checkpoint / CHECKPOINT_MARKER, {"step": int(checkpoint.name.rsplit("-", 1)[-1])})


def last_complete_checkpoint(directory: Path) -> Path | None:
    """The newest checkpoint that was written to its end, or None; half-written ones do not count."""
    checkpoints = [
        path
        for path in directory.glob("checkpoint-*")
        if path.name.rsplit("-", 1)[-1].isdigit() and (path / CHECKPOINT_MARKER).is_file()
    ]
    return max(checkpoints, key=lambda path: int(path.name.rsplit("-", 1)[-1]), default=None)


def remove_incomplete_checkpoints(directory: Path) -> None:
    """Deletes what a kill in the middle of saving left behind."""
    for path in directory.glob("checkpoint-*"):
        if not (path / CHECKPOINT_MARKER).is_file():
            shutil.rmtree(path)
