"""Digests of files: computed once, found again by place and by content, and never taken for another file's."""

import hashlib
import os
import shutil
import sqlite3
import time

import pytest

from auricle.files.content_digests import DATABASE, ContentDigests, directory_fingerprint

LONG = 100_000


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def files(tmp_path):
    """Three files older than any step of a file system's clock."""
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.wav").write_bytes(bytes([number]) * LONG)
    time.sleep(0.12)
    return sorted(folder.iterdir())


def test_they_are_sha256_and_each_file_is_read_once(files, tmp_path):
    digests = ContentDigests(tmp_path / "cache")
    found = digests.of_files([*files, files[0]])
    assert found == {str(path): sha256(path.read_bytes()) for path in files}
    assert digests.read_whole == 3
    again = ContentDigests(tmp_path / "cache")
    assert again.of_files(files) == found and again.read_whole == 0
    alone = ContentDigests()
    assert alone.of_files(files) == found == alone.of_files(files) and alone.read_whole == 3


def test_a_moved_and_a_copied_folder_are_compared_and_not_read_again(files, tmp_path):
    found = ContentDigests(tmp_path / "cache").of_files(files)
    moved = tmp_path / "elsewhere"
    shutil.copytree(files[0].parent, moved / "copied")
    files[0].parent.rename(moved / "moved")
    digests = ContentDigests(tmp_path / "cache")
    for name in ("copied", "moved"):
        there = digests.of_files(moved / name / path.name for path in files)
        assert list(there.values()) == list(found.values())
    assert digests.read_whole == 0


@pytest.mark.parametrize("place", [0, LONG // 2, LONG - 1])
def test_a_file_replaced_under_its_name_size_and_time_is_another_one(files, tmp_path, place):
    digests = ContentDigests(tmp_path / "cache")
    before = digests.of_file(files[0])
    times = files[0].stat()
    content = bytearray(files[0].read_bytes())
    content[place] ^= 1
    other = files[0].with_suffix(".other")
    other.write_bytes(bytes(content))
    os.replace(other, files[0])
    # Only the head and the tail are looked at where the times are the same too.
    if place == LONG // 2:
        time.sleep(0.01)
        os.utime(files[0])
    else:
        os.utime(files[0], ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digests.of_file(files[0]) == sha256(bytes(content)) != before


def test_a_file_written_over_at_once_is_not_taken_for_what_it_was(tmp_path):
    digests = ContentDigests(tmp_path / "cache")
    path = tmp_path / "a.wav"
    for number in range(20):
        path.write_bytes(bytes([number]) * 10)
        assert digests.of_file(path) == sha256(bytes([number]) * 10)


def test_what_cannot_be_read_has_none(tmp_path):
    digests = ContentDigests(tmp_path / "cache")
    assert digests.of_files([tmp_path / "gone.wav", tmp_path]) == {
        str(tmp_path / "gone.wav"): None,
        str(tmp_path): None,
    }


def test_without_a_usable_database_it_goes_on_and_says_so(files, tmp_path, caplog):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / DATABASE).write_bytes(b"no database at all, but long enough for its header" * 10)
    digests = ContentDigests(tmp_path / "cache")
    found = digests.of_files(files)
    assert found == digests.of_files(files) == {str(path): sha256(path.read_bytes()) for path in files}
    assert digests.read_whole == 3
    assert len(caplog.records) == 1 and "cannot be used" in caplog.text


def test_two_processes_may_keep_at_once(files, tmp_path):
    first, second = (ContentDigests(tmp_path / "cache") for _ in range(2))
    first.of_file(files[0]), second.of_file(files[1])
    with sqlite3.connect(tmp_path / "cache" / DATABASE) as database:
        assert database.execute("SELECT count(*) FROM places").fetchone() == (2,)
    database.close()


def test_a_directory_is_told_by_its_content_wherever_it_lies(tmp_path):
    model = tmp_path / "model"
    (model / "1_Pooling").mkdir(parents=True)
    (model / "model.safetensors").write_bytes(b"weights")
    (model / "1_Pooling" / "config.json").write_text("{}")
    before = directory_fingerprint(model)
    for name in ("README.md", "best.json", "modeling_x.py", ".gitattributes"):
        (model / name).write_text("beside it")
    assert directory_fingerprint(model) == before
    copy = shutil.copytree(model, tmp_path / "copy")
    assert directory_fingerprint(copy) == before
    (copy / "1_Pooling" / "config.json").write_text('{"mean": true}')
    assert directory_fingerprint(copy) != before
    (model / "model.safetensors").rename(model / "other.safetensors")
    assert directory_fingerprint(model) != before
    assert directory_fingerprint(tmp_path / "none") is None
    (tmp_path / "empty").mkdir()
    assert directory_fingerprint(tmp_path / "empty") is None


@pytest.mark.parametrize("size", [0, 1, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 50_000])
def test_short_and_long_files_have_the_digest_of_their_whole_content(tmp_path, size):
    path = tmp_path / "a.wav"
    path.write_bytes(os.urandom(size))
    time.sleep(0.12)
    expected = sha256(path.read_bytes())
    assert ContentDigests(tmp_path / "cache").of_file(path) == expected
    (tmp_path / "moved").mkdir()
    moved = path.rename(tmp_path / "moved" / path.name)
    again = ContentDigests(tmp_path / "cache")
    assert again.of_file(moved) == expected and again.read_whole == 0


def test_many_files_are_found_again_and_a_changed_one_is_read(tmp_path, monkeypatch):
    """More files than one question, one task and one writing take."""
    for name, value in (("_AT_ONCE", 7), ("_A_TASK", 2), ("_KEPT_AT_ONCE", 10)):
        monkeypatch.setattr(f"auricle.files.content_digests.{name}", value)
    paths = [tmp_path / f"{number}.wav" for number in range(40)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * (100 + number))
    time.sleep(0.12)
    expected = {str(path): sha256(path.read_bytes()) for path in paths}
    first = ContentDigests(tmp_path / "cache")
    assert first.of_files(paths) == expected and first.read_whole == 40
    paths[23].write_bytes(b"another sound")
    digests = ContentDigests(tmp_path / "cache")
    found = digests.of_files(paths)
    assert digests.read_whole == 1
    assert found == {**expected, str(paths[23]): sha256(b"another sound")}


def test_databases_of_earlier_versions_are_read_and_written(files, tmp_path):
    """Their tables had row ids."""
    (tmp_path / "cache").mkdir()
    status = files[0].stat()
    with sqlite3.connect(tmp_path / "cache" / DATABASE) as database:
        database.execute(
            "CREATE TABLE places (path TEXT PRIMARY KEY, size INTEGER, time INTEGER, changed INTEGER, "
            "inode INTEGER, digest TEXT)"
        )
        database.execute(
            "CREATE TABLE contents (name TEXT, size INTEGER, time INTEGER, ends TEXT, digest TEXT, "
            "PRIMARY KEY (name, size, time, ends))"
        )
        place = (str(files[0]), LONG, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, "kept")
        database.execute("INSERT INTO places VALUES (?, ?, ?, ?, ?, ?)", place)
    database.close()
    digests = ContentDigests(tmp_path / "cache")
    assert digests.of_files(files)[str(files[0])] == "kept" and digests.read_whole == 2
    again = ContentDigests(tmp_path / "cache")
    again.of_files(files)
    assert again.read_whole == 0
