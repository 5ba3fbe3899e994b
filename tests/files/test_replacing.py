"""Replacing and removing files that are open elsewhere, as Windows treats them."""

import os
import re
from pathlib import Path

import pytest

from auricle.files import replacing
from auricle.files.json_files import read_json, write_json
from auricle.files.saved_directories import replace_directory


class BusyFor:
    """`os.replace` where somebody has the target open for so many calls."""

    def __init__(self, calls: int):
        self.left, self.act = calls, os.replace

    def __call__(self, *arguments):
        if self.left:
            self.left -= 1
            raise PermissionError(13, "The process cannot access the file", str(arguments[1]))
        return self.act(*arguments)


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(replacing, "WAITS", True)
    monkeypatch.setattr(replacing, "WAIT_SECONDS", 0.2)


def test_a_file_that_is_open_for_a_moment_is_replaced(windows, monkeypatch, tmp_path):
    busy = BusyFor(3)
    monkeypatch.setattr(os, "replace", busy)
    write_json(tmp_path / "a.json", {"a": 1})
    assert busy.left == 0
    assert read_json(tmp_path / "a.json") == {"a": 1}
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_directory_that_is_open_for_a_moment_is_replaced(windows, monkeypatch, tmp_path):
    for text in ("old", "new"):
        busy = BusyFor(2)
        monkeypatch.setattr(os, "replace", busy)
        replace_directory(
            tmp_path / "model", lambda folder, text=text: (folder / "a").write_text(text, encoding="utf-8")
        )
        assert busy.left == 0
        monkeypatch.setattr(os, "replace", busy.act)
    assert (tmp_path / "model" / "a").read_text(encoding="utf-8") == "new"
    assert os.listdir(tmp_path) == ["model"]


def test_a_file_that_stays_open_is_an_error_in_the_end(windows, monkeypatch, tmp_path):
    monkeypatch.setattr(os, "replace", BusyFor(10**6))
    with pytest.raises(PermissionError):
        write_json(tmp_path / "a.json", {})


def test_elsewhere_nobody_waits_for_a_missing_permission(monkeypatch, tmp_path):
    monkeypatch.setattr(replacing, "WAITS", False)
    busy = BusyFor(5)
    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(PermissionError):
        write_json(tmp_path / "a.json", {})
    assert busy.left == 4


def test_removing_waits_too_and_takes_a_missing_file(windows, monkeypatch, tmp_path):
    path = tmp_path / "a"
    path.touch()
    left, unlink = [2], type(path).unlink

    def busy(self, missing_ok=False):
        if left[0]:
            left[0] -= 1
            raise PermissionError(13, "The process cannot access the file", str(self))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(type(path), "unlink", busy)
    replacing.remove_file(path)
    assert not path.exists() and left == [0]
    replacing.remove_file(path)


# Modules that put files in place by themselves, with the reason.
BY_THEMSELVES = {
    "files/replacing.py": "the function itself",
    "search/engine/port_file.py": "only where there is fcntl, which Windows lacks",
    "data/fetching/seven_zip.py": "moves files that only this process has seen",
}


def test_the_package_replaces_files_through_one_function():
    """A file of the same name may be open for a moment on Windows."""
    root = Path(replacing.__file__).resolve().parent.parent
    calls = re.compile(r"os\.(?:replace|rename)\(|(?m:^\s+\w+\.(?:replace|rename)\([^\"',]+\)$)")
    found = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        if path.relative_to(root).parts[0] not in ("tests", "benchmarks", ".venv", "build")
        and calls.search(path.read_text(encoding="utf-8"))
    }
    assert found <= set(BY_THEMSELVES), found - set(BY_THEMSELVES)
    assert "files/replacing.py" in found
