"""Paths as they are stored, on file systems with and without differences between upper and lower case."""

import ntpath
import os
import posixpath
import unicodedata

import pytest

from auricle.files import stored_paths
from auricle.files.stored_paths import path_as_stored


def system(flavour, folders: dict[str, list[str]]):
    """What the module uses of `os`, where names are found whatever their case and Unicode form."""

    def key(path: str) -> str:
        return unicodedata.normalize("NFC", path).casefold()

    existing = {key(folder) for folder in folders}
    existing |= {key(flavour.join(folder, name)) for folder, names in folders.items() for name in names}
    listings = {key(folder): names for folder, names in folders.items()}

    class Path:
        join, splitdrive = staticmethod(flavour.join), staticmethod(flavour.splitdrive)
        abspath = staticmethod(flavour.normpath)
        lexists = staticmethod(lambda path: key(path) in existing)
        samefile = staticmethod(lambda one, other: key(one) == key(other))

    class System:
        path, sep, PathLike = Path, flavour.sep, os.PathLike
        listdir = staticmethod(lambda folder: listings[key(folder)])

    return System


@pytest.mark.parametrize(
    "typed, stored",
    [
        ("C:\\SOUNDS\\rain.WAV", "C:\\Sounds\\Rain.wav"),
        ("C:/sounds/rain.wav", "C:\\Sounds\\Rain.wav"),
        ("C:\\Sounds\\Rain.wav", "C:\\Sounds\\Rain.wav"),
        ("C:\\sounds\\gone\\NEW.wav", "C:\\Sounds\\gone\\NEW.wav"),
        ("C:\\", "C:\\"),
        ("\\\\server\\share\\sounds", "\\\\server\\share\\Sounds"),
    ],
)
def test_windows(monkeypatch, typed, stored):
    share = {"\\\\server\\share\\": ["Sounds"], "\\\\server\\share\\Sounds": []}
    folders = {"C:\\": ["Windows", "Sounds"], "C:\\Sounds": ["Rain.wav"], **share}
    monkeypatch.setattr(stored_paths, "os", system(ntpath, folders))
    assert path_as_stored(typed) == stored


def test_macos_in_either_unicode_form(monkeypatch):
    folders = {"/": ["Volumes"], "/Volumes": ["Cafe\u0301"], "/Volumes/Cafe\u0301": ["a.wav"]}
    monkeypatch.setattr(stored_paths, "os", system(posixpath, folders))
    assert path_as_stored("/volumes/Caf\u00e9/A.WAV") == "/Volumes/Cafe\u0301/a.wav"


def test_names_that_differ_in_case_are_two_files_here(tmp_path):
    (tmp_path / "rain.wav").touch()
    if (tmp_path / "RAIN.wav").exists():
        pytest.skip("this file system does not tell upper and lower case apart")
    (tmp_path / "Rain.wav").touch()
    for name in ("rain.wav", "Rain.wav", "RAIN.wav"):
        assert path_as_stored(tmp_path / name) == os.path.abspath(tmp_path / name)


def test_relative_paths_and_links_keep_their_meaning(tmp_path, monkeypatch):
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    assert path_as_stored("link") == os.path.join(os.getcwd(), "link")
    assert path_as_stored("there/../link/new.wav") == os.path.join(os.getcwd(), "link", "new.wav")
    assert path_as_stored(os.sep) == os.path.abspath(os.sep)
