"""`auricle data check` and `unpack`: everything that is wrong is named, in one go."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from miniature_clotho import write_miniature_clotho
from miniature_sources import write_miniature_audiocaps, write_miniature_wavcaps, youtube_id
from tiny_models import sound, write_sound
from tiny_recipes import write_captioned_folder
from typer.testing import CliRunner

from auricle.cli.main import app


def run(*arguments, code=0):
    done = CliRunner().invoke(app, ["data", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def clotho(tmp_path):
    return write_miniature_clotho(tmp_path / "clotho", {"train": 3, "test": 2}, seconds=0.2)


def test_a_whole_data_set_is_said_to_be_whole(clotho, tmp_path):
    output = run("check", "clotho", clotho, "--no-progress", "--json", tmp_path / "report.json")
    assert "train: 3 of 3 clips, 15 captions, 0.00 h of audio" in output
    assert f"metadata: {clotho / 'clotho_captions_development.csv'}" in output
    assert "all clips are present and readable" in output
    report = json.loads((tmp_path / "report.json").read_text())
    assert [one["split"] for one in report["splits"]] == ["train", "test"]
    assert report["splits"][0]["seconds"] == pytest.approx(0.6, abs=1e-3) and report["shared"] == []


def test_all_faults_are_named_in_one_report(clotho, tmp_path):
    train = clotho / "development"
    (train / "dog recording 0.wav").unlink()
    (train / "train recording 1.wav").write_bytes(b"RIFF of nothing")
    (train / "holiday.flac").write_bytes(b"")
    shutil.copy(train / "river recording 2.wav", clotho / "evaluation" / "train recording 1.wav")
    output = run("check", "clotho", clotho, "--no-progress", "--json", tmp_path / "r.json", code=1)
    assert "train: 2 of 3 clips" in output and "missing: 1\n    dog recording 0.wav" in output
    assert "unreadable: 1\n    train recording 1.wav: " in output
    assert "audio files without metadata: 1" in output and "holiday.flac" in output
    assert (
        "recordings in more than one split: 1\n"
        "    same file: train/river recording 2.wav, test/train recording 1.wav" in output
    )
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["splits"][0]["missing"] == ["dog recording 0.wav"]
    assert report["shared"] == [["same file", ["train/river recording 2.wav", "test/train recording 1.wav"]]]


def test_duplicates_within_a_split_and_many_names(tmp_path):
    folder = write_miniature_audiocaps(tmp_path / "a", {"train": 9})
    for number in range(1, 8):
        (folder / "train" / f"{youtube_id(number)}_{30 * (number % 3)}.wav").unlink()
    first = folder / "train" / f"{youtube_id(0)}_0.wav"
    shutil.copy(first, folder / "train" / f"{youtube_id(8)}_60.wav")
    output = run("check", "audiocaps", folder, "--no-progress", "--shown", "2", code=1)
    assert "missing: 7" in output and "and 5 more" in output
    assert f"duplicate groups: 1\n    {youtube_id(0)}_0 = {youtube_id(8)}_60" in output


def test_one_video_in_two_splits_is_told_by_its_id(tmp_path):
    folder = write_miniature_audiocaps(tmp_path / "a", {"train": 2, "test": 1})
    text = (folder / "test.csv").read_text()
    (folder / "test.csv").write_text(text.replace(youtube_id(2), youtube_id(1)))
    (folder / "test" / f"{youtube_id(2)}_60.wav").rename(folder / "test" / f"{youtube_id(1)}_60.wav")
    output = run("check", "audiocaps", folder, "--no-progress", "--no-decode", code=1)
    assert f"YouTube {youtube_id(1)}: train/{youtube_id(1)}_30, test/{youtube_id(1)}_60" in output
    assert "h of audio" not in output


def test_folders_and_wavcaps_are_checked_too(tmp_path):
    folder = write_captioned_folder(tmp_path / "sounds", {"train": 2, "test": 1})
    write_sound(folder / "deep" / "extra.wav", 0.2)
    output = run("check", "folder", folder, "--no-progress")
    assert "test: 1 of 1 clips" in output and "extra.wav" in output
    wavcaps = write_miniature_wavcaps(tmp_path / "w")
    assert "train: 8 of 8 clips, 8 captions" in run("check", "wavcaps", wavcaps, "--no-progress")


def test_rows_that_are_not_used_and_files_that_are_not_read_are_told(tmp_path):
    folder = write_captioned_folder(tmp_path / "sounds", {"train": 2, "test": 1})
    (folder / "a.xyz").touch()
    output = run("check", "folder", folder, "--no-progress", "--json", tmp_path / "report.json")
    assert "1 file with endings that are not read: .xyz (1)" in output.splitlines()
    (metadata,) = folder.glob("metadata.*")
    assert metadata.suffix == ".csv"
    text = metadata.read_text()
    metadata.write_text(text.rstrip("\n") + "\n" + text.splitlines()[1] + ",more\n")
    (folder / "broken.wav").write_bytes(b"RIFF of nothing")
    output = run("check", "folder", folder, "--no-progress", "--json", tmp_path / "report.json", code=1)
    assert "metadata rows that are not used: 1\n" in output and f"{metadata}, line 5: has " in output
    report = json.loads((tmp_path / "report.json").read_text())
    assert [row["line"] for row in report["splits"][0]["rows"]] == [5]
    assert [Path(file["path"]).name for file in report["unread"]] == ["a.xyz"]


def test_unreadable_clips_are_counted_by_reason_and_ending(clotho):
    (clotho / "development" / "train recording 1.wav").write_bytes(b"")
    output = run("check", "clotho", clotho, "--no-progress", code=1)
    assert "  1 file skipped: the file is empty: .wav (1)" in output.splitlines()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["check", "clothes", "."],
            "unknown dataset layout 'clothes'; expected one of ['clotho', 'audiocaps', 'wavcaps', 'folder']",
        ),
        (["check", "clotho", "nowhere"], "nowhere: directory not found"),
        (["check", "wavcaps", "."], "not in the layout of WavCaps, which needs json_files"),
        (["check", "folder", "."], "neither metadata.csv nor metadata.jsonl found"),
        (["unpack", ".", "out"], "found 0 files *.zip, but expected one"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    output = run(*arguments, code=2)
    assert message in " ".join(output.split()) and "Traceback" not in output


def test_rows_that_training_would_not_use_are_counted(tmp_path):
    folder = write_captioned_folder(tmp_path / "other", {"train": 2, "fold3": 1})
    output = run("check", "folder", folder, "--no-progress")
    assert "splits that training does not use: 1\n    1 row of split 'fold3'\n" in output
    folder = write_captioned_folder(tmp_path / "meant", {"train": 2, "dev": 1})
    output = run("check", "folder", folder, "--no-progress", code=1)
    assert "1 row of split 'dev' (use 'validation')" in output and "all clips are present" not in output
    path = folder / "metadata.csv"
    path.write_text(path.read_text().replace(",dev", ","))
    assert "split is empty" in run("check", "folder", folder, "--no-progress", code=1)


def test_an_unknown_split_is_refused(clotho):
    assert "no split 'dev'; the splits are ['train', 'test']" in run(
        "check", "clotho", clotho, "--split", "dev", code=2
    )


def test_remarks_links_and_pipes_are_reported(tmp_path):
    folder = write_captioned_folder(tmp_path / "sounds", {"train": 2})
    mono = 0.5 * sound(0.5, seed=3)
    inverse, pipe = folder / "train_000.wav", folder / "pipe.wav"
    soundfile.write(inverse, np.stack([mono, -mono], axis=1), 16_000, subtype="FLOAT")
    os.mkfifo(pipe)
    (folder / "gone.wav").symlink_to("/no/such/file.wav")
    (folder / "metadata.csv").rename(folder / "Metadata.CSV")
    output = run("check", "folder", folder, "--no-progress", "--json", tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert sorted(path for path, _ in report["skipped"]) == [str(folder / "gone.wav"), str(pipe)]
    ((path, remark),) = report["remarks"]
    assert path == str(inverse) and remark.startswith("its channels cancel each other")
    assert f"  note on {inverse}: {remark}" in output
    (count,) = report["remark_counts"]
    assert count == "1 file read with a remark: its channels cancel each other: .wav (1)" and count in output
    assert "1 file skipped: a named pipe: .wav (1)" in output


def test_a_pipe_that_metadata_name_does_not_stop_the_check(tmp_path):
    folder = write_captioned_folder(tmp_path / "sounds", {"train": 4})
    for name in ("train_000.wav", "train_001.wav"):
        (folder / name).unlink()
    os.mkfifo(folder / "train_000.wav")
    (folder / "train_001.wav").symlink_to("/no/such/file.wav")
    output = run("check", "folder", folder, "--no-progress", code=1)
    assert "unreadable: 2" in output and "train_000.wav: is not a regular file" in output
