"""A directory's lock: held by one process, let go of however that ends, and no trace of a start that was refused."""

import os
import subprocess
import sys
import time

import pytest

from auricle.files.locking import DirectoryLockedError, directory_lock

HOLD = """
import sys, time
from pathlib import Path
from auricle.files.locking import directory_lock
with directory_lock(Path(sys.argv[1]), "x.lock", seconds=1):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_refused_until_the_first_is_gone_even_killed(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(DirectoryLockedError, match="another process"),
            directory_lock(tmp_path, "x.lock", seconds=0.1),
        ):
            pytest.fail("both hold it")
    finally:
        holder.kill()
        holder.wait()
    began = time.monotonic()
    with directory_lock(tmp_path, "x.lock", seconds=5):
        assert time.monotonic() - began < 4


def test_a_directory_that_stays_empty_is_not_left_behind(tmp_path):
    with directory_lock(tmp_path / "a" / "run", "x.lock", seconds=1):
        assert (tmp_path / "a" / "run").is_dir()
    assert not (tmp_path / "a" / "run").exists()
    with directory_lock(tmp_path / "b", "x.lock", seconds=1):
        (tmp_path / "b" / "result").write_text("kept")
    assert (tmp_path / "b" / "result").read_text() == "kept"
    (tmp_path / "c").mkdir()
    with directory_lock(tmp_path / "c", "x.lock", seconds=1):
        pass
    assert (tmp_path / "c").is_dir()


def test_where_open_files_cannot_be_removed_the_lock_is_released_first(monkeypatch, tmp_path):
    """As on Windows: the lock file would otherwise stay, and its directory with it."""
    from filelock import FileLock

    from auricle.files import locking

    monkeypatch.setattr(locking, "REMOVES_OPEN_FILES", False)
    held, unlink = [], type(tmp_path).unlink
    acquire, release = FileLock.acquire, FileLock.release
    monkeypatch.setattr(
        FileLock, "acquire", lambda self, **rest: (held.append(self), acquire(self, **rest))[1]
    )
    monkeypatch.setattr(FileLock, "release", lambda self, **rest: (held.clear(), release(self, **rest))[1])

    def refused_while_open(self, missing_ok=False):
        if held:
            raise PermissionError(13, "The process cannot access the file", str(self))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(type(tmp_path), "unlink", refused_while_open)
    with directory_lock(tmp_path / "run", "x.lock", seconds=1):
        assert held
    assert not (tmp_path / "run").exists()
