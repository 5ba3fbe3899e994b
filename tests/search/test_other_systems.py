"""What an index does where Windows differs: separators, mapped files, links, closed pipes."""

import errno
import ntpath
import os
import sys
from pathlib import PureWindowsPath

import numpy as np
import pyarrow as arrow
import pytest
import typer

from auricle.cli import failures
from auricle.search import exports
from auricle.search.errors import SearchError
from auricle.search.query import filters as filters_module
from auricle.search.query.filters import Filters
from auricle.search.store import snapshot


@pytest.fixture
def windows_paths(monkeypatch):
    """The module that compares paths sees Windows' separators."""

    class WindowsOs:
        sep, path, fspath = "\\", ntpath, staticmethod(os.fspath)

    monkeypatch.setattr(filters_module, "os", WindowsOs)


@pytest.mark.parametrize(
    "glob", ["field/*", "field\\*", "*/rain.wav", "C:/sounds/field/*", "C:\\sounds\\*\\rain.wav"]
)
def test_globs_take_both_separators_on_windows(windows_paths, glob):
    root = PureWindowsPath("C:/sounds")
    paths = [str(root / "field" / "rain.wav"), str(root / "studio" / "door.wav")]
    filters = Filters(glob=glob, roots=(str(root),))
    assert [filters.fits(path) for path in paths] == [True, False]
    rows = {"path": np.array(paths, dtype=object)}
    assert filters.mask(rows).tolist() == [True, False]
    condition = filters.sql()
    assert "/" not in condition.replace("regexp_like", "")


def test_a_glob_means_what_it_says_where_paths_have_slashes():
    filters = Filters(glob="field/*", roots=("/sounds",))
    assert filters.fits("/sounds/field/rain.wav") and not filters.fits("/sounds/field\\rain.wav")


def test_a_snapshot_that_is_not_mapped_is_the_same_and_can_be_replaced(monkeypatch, tmp_path):
    schema = arrow.schema([("path", arrow.string()), ("vector", arrow.list_(arrow.float32(), 2))])
    rows = arrow.Table.from_pylist([{"path": "a.wav", "vector": [0.6, 0.8]}], schema=schema)
    snapshot.write_snapshot(tmp_path, rows)
    mapped = snapshot.read_snapshot(tmp_path, schema).rows
    monkeypatch.setattr(snapshot, "MAPS", False)

    def no_mapping(path):
        pytest.fail("Windows would refuse to replace it")

    monkeypatch.setattr(snapshot.arrow, "memory_map", no_mapping)
    read = snapshot.read_snapshot(tmp_path, schema).rows
    assert read.equals(mapped) and read.equals(rows)
    damaged = bytearray((tmp_path / snapshot.SNAPSHOT).read_bytes())
    damaged[damaged.index(b"a.wav")] ^= 1
    (tmp_path / snapshot.SNAPSHOT).write_bytes(damaged)
    assert snapshot.read_snapshot(tmp_path, schema) is None


def test_links_that_windows_refuses_are_explained(monkeypatch, tmp_path):
    def refused(self, target):
        error = OSError(errno.EINVAL, "A required privilege is not held by the client")
        error.winerror = exports.WINDOWS_NEEDS_PRIVILEGE
        raise error

    monkeypatch.setattr(type(tmp_path), "symlink_to", refused)
    with pytest.raises(SearchError, match=r"developer mode.*\.m3u"):
        exports._write_links(tmp_path / "links", ["/sounds/a.wav"])


def test_other_faults_of_links_stay_what_they_are(monkeypatch, tmp_path):
    def full(self, target):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "symlink_to", full)
    with pytest.raises(OSError, match="No space left"):
        exports._write_links(tmp_path / "links", ["/sounds/a.wav"])


def test_a_pipe_closed_on_windows_ends_quietly(monkeypatch, capfd):
    monkeypatch.setattr(failures, "CLOSED_PIPE_IS_EINVAL", True)
    monkeypatch.setattr(os, "dup2", lambda *files: None)
    with pytest.raises(typer.Exit) as left, failures.reader_may_leave():
        raise OSError(errno.EINVAL, "Invalid argument")
    assert left.value.exit_code == 0
    monkeypatch.setattr(failures, "CLOSED_PIPE_IS_EINVAL", False)
    with pytest.raises(OSError, match="Invalid argument"), failures.reader_may_leave():
        raise OSError(errno.EINVAL, "Invalid argument")
    assert sys.stdout is not None
