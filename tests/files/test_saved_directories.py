"""Directories and files on disk are whole at every moment, wherever a kill falls."""

import json
import os
import signal
import subprocess
import sys

import pytest

from auricle.files.saved_directories import (
    last_complete_checkpoint,
    mark_checkpoint_complete,
    processes_of_checkpoint,
    read_json,
    recover_directory,
    remove_incomplete_checkpoints,
    remove_old_checkpoints,
    replace_directory,
    write_json,
)

# Replaces the directory "old" by "new" and is killed at the n-th step that changes names or files.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from auricle.files.saved_directories import replace_directory

target, fatal, count = Path(sys.argv[1]), int(sys.argv[2]), 0

CHANGES = ("os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "os.mkdir")

def step(event, arguments):
    global count
    if event in CHANGES and "model" in str(arguments[0]):
        count += 1
        if count == fatal:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(step)

def write(folder):
    (folder / "a").write_text("new")
    (folder / "b").write_text("new")

replace_directory(target, write)
"""


def filled(target, text: str):
    def write(folder):
        (folder / "a").write_text(text)
        (folder / "b").write_text(text)

    replace_directory(target, write)


def content(target) -> set[str]:
    assert sorted(path.name for path in target.iterdir()) == ["a", "b"]
    return {path.read_text() for path in target.iterdir()}


def test_a_new_directory_and_one_that_is_replaced(tmp_path):
    target = tmp_path / "deep" / "model"
    filled(target, "old")
    assert content(target) == {"old"}
    filled(target, "new")
    assert content(target) == {"new"}
    assert [path.name for path in target.parent.iterdir()] == ["model"]


def test_a_failure_while_writing_leaves_the_old_one(tmp_path):
    target = tmp_path / "model"
    filled(target, "old")

    def fail(folder):
        (folder / "a").write_text("half")
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        replace_directory(target, fail)
    assert content(target) == {"old"}
    filled(target, "new")
    assert content(target) == {"new"}


def test_a_kill_at_any_step_leaves_the_old_or_the_new_one_whole(tmp_path):
    """Steps are counted until one run gets through: none is left out."""
    found = []
    for fatal in range(1, 20):
        target = tmp_path / str(fatal) / "model"
        filled(target, "old")
        done = subprocess.run([sys.executable, "-c", KILLED, str(target), str(fatal)], timeout=60)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL
        recover_directory(target)
        found.append(content(target))
        filled(target, "newer")
        assert content(target) == {"newer"}
    assert done.returncode == 0 and content(target) == {"new"}
    assert {"old"} in found and {"new"} in found and len(found) >= 4


def test_recovering_what_needs_no_recovery_changes_nothing(tmp_path):
    recover_directory(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
    filled(tmp_path / "model", "old")
    recover_directory(tmp_path / "model")
    assert content(tmp_path / "model") == {"old"}


def test_json_is_written_through_a_temporary_file(tmp_path):
    path = tmp_path / "deep" / "run.json"
    write_json(path, {"name": "grün"})
    assert read_json(path) == {"name": "grün"} and "grün" in path.read_text(encoding="utf-8")
    with pytest.raises(TypeError):
        write_json(path, {"name": object()})
    assert read_json(path) == {"name": "grün"}
    assert [entry.name for entry in path.parent.iterdir()] == ["run.json"]


def test_reading_json_that_is_not_there_or_broken(tmp_path):
    assert read_json(tmp_path / "none.json") is None
    (tmp_path / "half.json").write_text('{"a": ')
    with pytest.raises(ValueError, match="half.json: is not valid JSON"):
        read_json(tmp_path / "half.json")


def checkpoint(directory, step: int, *, complete: bool = True, processes: int = 1):
    path = directory / f"checkpoint-{step}"
    path.mkdir(parents=True)
    (path / "model.safetensors").write_text("weights")
    if complete:
        mark_checkpoint_complete(path, processes)
    return path


def test_the_last_complete_checkpoint_is_found_by_number(tmp_path):
    assert last_complete_checkpoint(tmp_path) is None
    checkpoint(tmp_path, 9)
    newest = checkpoint(tmp_path, 100, processes=2)
    checkpoint(tmp_path, 200, complete=False)
    (tmp_path / "checkpoint-best").mkdir()
    # Times say nothing: a copied run has them all alike or in any order.
    os.utime(newest, (0, 0))
    assert last_complete_checkpoint(tmp_path) == newest
    assert processes_of_checkpoint(newest) == 2
    assert json.loads((newest / "complete.json").read_text())["step"] == 100


def test_incomplete_checkpoints_are_removed_and_complete_ones_stay(tmp_path):
    whole, half = checkpoint(tmp_path, 9), checkpoint(tmp_path, 12, complete=False)
    (tmp_path / "model").mkdir()
    remove_incomplete_checkpoints(tmp_path)
    assert whole.is_dir() and not half.exists() and (tmp_path / "model").is_dir()


def test_the_oldest_complete_checkpoints_are_removed(tmp_path):
    for step in (9, 10, 100, 11):
        checkpoint(tmp_path, step)
    half = checkpoint(tmp_path, 5, complete=False)
    remove_old_checkpoints(tmp_path, keep=2)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"checkpoint-100", "checkpoint-11", half.name}
    remove_old_checkpoints(tmp_path, keep=3)
    assert {path.name for path in tmp_path.iterdir()} == left
