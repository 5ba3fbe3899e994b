"""The walk over folders: sounds, what is not read, and links, pipes and circles that are reported."""

import os
import socket

import pytest

from auricle.files.reading_report import ReadingReport, listed_lines
from auricle.files.sound_walking import walk_sounds
from auricle.files.unread_files import Unread

READ = frozenset({".wav", ".ts"})


def names_in(folder, walk):
    return sorted(os.path.relpath(path, folder) for path in walk.sounds)


def faults_in(folder, walk):
    return {os.path.relpath(path, folder): reason for path, reason in walk.faults}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "sounds"
    for name in ("a.wav", "sub/b.WAV", ".hidden/c.wav", ".d.wav", "e.xyz", "notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"RIFF")
    return root


def test_links_without_a_target_circles_and_pipes_are_reported(folder):
    (folder / "gone.wav").symlink_to(folder.parent / "nowhere.wav")
    # A disk that is not there has no ending.
    (folder / "disk").symlink_to("/no/such/disk")
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    os.mkfifo(folder / "pipe.wav")
    (folder / "device.wav").symlink_to(os.devnull)
    # Nobody expects these to be heard.
    (folder / "list.m3u").symlink_to("/no/such/list")
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(folder)  # names of sockets are short
        try:
            listening.bind("s.wav")
        finally:
            os.chdir(here)
        walk = walk_sounds(folder, READ)
    assert names_in(folder, walk) == ["a.wav", "sub/b.WAV"]
    assert faults_in(folder, walk) == {
        "gone.wav": f"a link whose target does not exist ({folder.parent / 'nowhere.wav'})",
        "disk": "a link whose target does not exist (/no/such/disk)",
        "loop.wav": "a link that leads back to itself",
        "pipe.wav": "a named pipe, not a file",
        "device.wav": "a device, not a file",
        "s.wav": "a socket, not a file",
    }
    assert [file.path for file in walk.unread] == [str(folder / "e.xyz")]


def test_links_to_folders_are_followed_once(folder, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "f.wav").write_bytes(b"RIFF")
    (elsewhere / "back").symlink_to(folder)
    (folder / "linked").symlink_to(elsewhere)
    (folder / "again").symlink_to(folder / "sub")
    (folder / "sub" / "circle").symlink_to(folder)
    walk = walk_sounds(folder, READ)
    assert names_in(folder, walk) == ["a.wav", "linked/f.wav", "sub/b.WAV"] and not walk.faults


def test_a_link_to_a_file_counts_as_what_it_leads_to(folder):
    (folder / "other name.wav").symlink_to(folder / "a.wav")
    (folder / "other.xyz").symlink_to(folder / "a.wav")
    walk = walk_sounds(folder, READ)
    assert "other name.wav" in names_in(folder, walk) and not walk.faults
    assert [file.ending for file in walk.unread] == [".xyz", ".xyz"]


@pytest.mark.parametrize(("first", "step"), [(0, 188), (4, 192)])
def test_ts_is_a_transport_stream_or_a_program(folder, first, step):
    packets = bytearray(step * 4)
    packets[first::step] = b"G" * 4
    (folder / "film.ts").write_bytes(packets)
    (folder / "main.ts").write_text("Given = 1;\n" * 100)
    (folder / "short.ts").write_text("")
    walk = walk_sounds(folder, READ)
    assert "film.ts" in names_in(folder, walk) and "main.ts" not in names_in(folder, walk)
    assert [file.path for file in walk.unread] == [str(folder / "e.xyz")] and not walk.faults


def test_a_report_lists_and_counts():
    report = ReadingReport(
        [("a.wav", "the file is empty (0 bytes)")],
        [Unread("b.xyz", "with endings that are not read")],
        [
            ("c.mka", "contains 2 sound tracks, of which the first is read"),
            ("d.mov", "contains 12 sound tracks, of which the first is read"),
            ("e.wav", "its channels cancel each other: the loudest one is taken where they do"),
        ],
    )
    assert report.counts == [
        "1 file skipped: the file is empty: .wav (1)",
        "1 file with endings that are not read: .xyz (1)",
        "2 files read with a remark: contains N sound tracks: .mka (1), .mov (1)",
        "1 file read with a remark: its channels cancel each other: .wav (1)",
    ]
    told = report.as_json()
    assert told["counts"] == report.counts and told["unread"][0]["ending"] == ".xyz"
    assert told["remarks"][0] == {
        "path": "c.mka",
        "reason": "contains 2 sound tracks, of which the first is read",
    }
    assert listed_lines("note on", report.remarks, 1) == [
        "  note on c.mka: contains 2 sound tracks, of which the first is read",
        "  and 2 more; --json lists them",
    ]
