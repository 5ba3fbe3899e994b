"""Which files among sounds are worth a word, and the words."""

import pytest

from auricle.files.sound_walking import SoundWalk, walk_sounds
from auricle.files.unread_files import (
    SILENT_ENDINGS,
    SOUND_ENDINGS,
    Unread,
    ending_of,
    fault_lines,
    unread_lines,
    unread_reason,
)
from auricle.processing import supported_audio_extensions

READABLE = frozenset({".wav", ".mp3"})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.wav", None),
        ("A.MP3", None),
        ("a.m4a", "this installation cannot read"),
        ("film.MOV", "this installation cannot read"),
        ("a.xyz", "endings that are not read"),
        ("take", "endings that are not read"),
        ("sounds.zip", "endings that are not read"),
        ("._take.mp3", "AppleDouble"),
        ("._film.mov", "AppleDouble"),
        ("._notes.txt", None),
        (".hidden.xyz", None),
        (".DS_Store", None),
        ("metadata.csv", None),
        ("cover.JPG", None),
        ("README", None),
        ("take.reapeaks", None),
        ("take.wav~", None),
    ],
)
def test_what_is_worth_a_word(name, words):
    reason = unread_reason(name, READABLE)
    assert (reason is None) == (words is None) and (words is None or words in reason)


def test_counts_by_reason_and_ending():
    files = [Unread(f"/x/{n}.xyz", unread_reason(f"{n}.xyz", READABLE)) for n in range(12)]
    assert unread_lines(files) == ["12 files with endings that are not read: .xyz (12)"]
    more = [
        *files,
        *(Unread(name, unread_reason(name, READABLE)) for name in ("a.abc", "b.wma", "c.wma", "d.aac")),
    ]
    assert unread_lines(more) == [
        "3 files of sound or video that this installation cannot read: .wma (2), .aac (1)",
        "13 files with endings that are not read: .xyz (12), .abc (1)",
    ]
    many = [Unread(f"a.x{n}", "of many kinds") for n in range(15)]
    assert unread_lines(many)[0].endswith("and 3 other endings")
    assert unread_lines([]) == []


def test_numbers_of_one_file_are_left_out_of_a_count_and_names_stay():
    faults = [
        ("a.wav", "its name is not valid UTF-8; rename it"),
        ("b.wav", "only 44 bytes are there"),
        ("c.csv", "line 12: the row is too long"),
        ("d.csv", "line 7: the row is too long"),
    ]
    assert fault_lines(faults) == [
        "2 files skipped: the row is too long: .csv (2)",
        "1 file skipped: its name is not valid UTF-8: .wav (1)",
        "1 file skipped: only N bytes are there: .wav (1)",
    ]


def test_skipped_sounds_by_reason_and_ending():
    faults = [
        ("a.wav", "the file is truncated: its header declares 16000 bytes of sound, 856 are there"),
        ("b.WAV", "the file is truncated: its header declares 1,000 bytes of sound, 5 are there"),
        ("c.mp3", "the file is truncated: it ends after 6.03 s"),
        ("d.wav", "the file is empty (0 bytes)"),
    ]
    assert fault_lines(faults) == [
        "3 files skipped: the file is truncated: .wav (2), .mp3 (1)",
        "1 file skipped: the file is empty: .wav (1)",
    ]


def test_a_folder_is_walked_but_for_what_is_hidden_and_an_index(tmp_path):
    for name in ("a.xyz", "sub/b.m4a", "sub/c.wav", ".git/d.xyz", "index/index.json", "index/index.lock"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "index" / "table.lance").mkdir()
    (tmp_path / "index" / "table.lance" / "e.xyz").touch()
    found = [file.path for file in walk_sounds(tmp_path, READABLE).unread]
    assert found == [str(tmp_path / "a.xyz"), str(tmp_path / "sub" / "b.m4a")]
    assert walk_sounds(tmp_path / "nowhere", READABLE) == SoundWalk()


def test_endings():
    assert [ending_of(name) for name in ("a.WAV", "take", "1. The hall", "a.tar.gz")] == [
        ".wav", "(no ending)", "(no ending)", ".gz",
    ]  # fmt: skip
    # What can be read is known to be sound, and nothing is both sound and silent.
    assert not supported_audio_extensions() - SOUND_ENDINGS and not SOUND_ENDINGS & SILENT_ENDINGS
