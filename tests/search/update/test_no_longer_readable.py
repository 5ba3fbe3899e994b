"""Files of an index that can no longer be read, and such as were indexed by their names: counted, named, kept."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from sound_libraries import contents, same
from tiny_models import sound, write_sound
from tiny_recipes import environment
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.search.sound_index import SoundIndex

pytest.importorskip("lancedb")


@pytest.fixture
def sounds(tmp_path):
    for seed, name in enumerate(("a.wav", "b.wav")):
        write_sound(tmp_path / "sounds" / name, 0.5, seed=seed)
    return tmp_path / "sounds"


def run(tmp_path, model, *places):
    report = tmp_path / "report.json"
    arguments = ["index", *places, "--index", tmp_path / "index", "--no-progress", "--json", report]
    arguments += ["--model", model] if not (tmp_path / "index").exists() else []
    done = CliRunner().invoke(app, [*map(str, arguments)])
    assert done.exit_code == 0, done.output
    return done, json.loads(report.read_text())


def test_a_changed_file_that_is_no_longer_readable_is_removed_and_named(sounds, model, tmp_path):
    run(tmp_path, model, sounds)
    broken = sounds / "b.wav"
    broken.write_bytes(broken.read_bytes()[:3000])
    done, report = run(tmp_path, model, sounds)
    assert "0 removed, 1 unchanged, 1 no longer readable and removed;" in done.stdout
    start = f"  removed, since it has changed and is no longer readable, {broken}: the file is truncated"
    assert any(line.startswith(start) for line in done.stderr.splitlines())
    (entry,) = report["no_longer_readable"]
    assert (entry["path"], entry["kept"]) == (str(broken), False) and "truncated" in entry["reason"]
    assert [entry["path"] for entry in report["skipped"]] == [str(broken)] and report["removed"] == 0
    assert len(SoundIndex(tmp_path / "index")) == 1
    # Later it is one of the files that are skipped.
    done, report = run(tmp_path, model, sounds)
    assert "no longer" not in done.stdout and not report["no_longer_readable"]
    assert any(line.startswith(f"  skipped {broken}: ") for line in done.stderr.splitlines())


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("setpriv"), reason="gives up rights")
def test_a_file_that_may_not_be_opened_is_kept_and_named(sounds, model, tmp_path):
    run(tmp_path, model, sounds)
    before = contents(SoundIndex(tmp_path / "index"))
    os.utime(sounds / "b.wav", (5, 5))
    (sounds / "b.wav").chmod(0)
    bound = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", sys.executable, "-m", "auricle"]
    report = tmp_path / "report.json"
    command = [*bound, "index", sounds, "--index", tmp_path / "index", "--no-progress", "--json", report]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment(), check=True)
    assert "0 removed, 1 unchanged, 1 not accessible and kept;" in done.stdout
    assert (
        f"  kept unchanged, because it is not accessible, {sounds / 'b.wav'}: Permission denied"
        in done.stderr
    )
    assert json.loads(report.read_text())["no_longer_readable"] == [
        {"path": str(sounds / "b.wav"), "reason": "Permission denied", "kept": True}
    ]
    assert same(contents(SoundIndex(tmp_path / "index")), before)


@pytest.mark.parametrize("name", ["take.xyz", "take.txt", "take", ".take.wav", ".old/take.wav"])
def test_a_file_that_was_named_stays_with_its_folder(sounds, model, tmp_path, name):
    named = sounds / name
    named.parent.mkdir(exist_ok=True)
    write_sound(sounds / "c.wav", 1.0, seed=5)
    (sounds / "c.wav").rename(named)
    run(tmp_path, model, named)
    done, report = run(tmp_path, model, sounds)
    assert "2 added" in done.stdout and "0 removed, 1 unchanged" in done.stdout
    assert not report["skipped"] and not report["unread"]
    # It is followed as every other file: embedded anew when it changes, and out when it is deleted.
    write_sound(sounds / "c.wav", 1.5, seed=6)
    (sounds / "c.wav").replace(named)
    assert "0 added, 1 changed" in run(tmp_path, model, sounds)[0].stdout
    named.unlink()
    assert "1 removed, 2 unchanged" in run(tmp_path, model, sounds)[0].stdout


def test_remarks_links_and_pipes_are_in_the_report(sounds, model, tmp_path):
    mono = 0.5 * sound(0.5, seed=7)
    soundfile.write(sounds / "c.wav", np.stack([mono, -mono], axis=1), 16_000, subtype="FLOAT")
    (sounds / "gone.wav").symlink_to("/no/such/file.wav")
    os.mkfifo(sounds / "pipe.wav")
    done, report = run(tmp_path, model, sounds)
    (remark,) = report["remarks"]
    assert remark["path"] == str(sounds / "c.wav") and remark["reason"].startswith("its channels cancel")
    assert f"  note on {remark['path']}: {remark['reason']}" in done.stderr.splitlines()
    assert done.stderr.count(remark["reason"]) == 1, "it is not logged besides"
    assert {entry["path"] for entry in report["skipped"]} == {
        str(sounds / "gone.wav"), str(sounds / "pipe.wav"),
    }  # fmt: skip
    assert report["counts"] == [
        "1 file skipped: a link whose target does not exist: .wav (1)",
        "1 file skipped: a named pipe: .wav (1)",
        "1 file read with a remark: its channels cancel each other: .wav (1)",
    ]


def test_what_lies_behind_a_link_without_a_target_stays(sounds, model, tmp_path):
    disk = tmp_path / "disk"
    write_sound(disk / "d.wav", 0.5, seed=8)
    (sounds / "disk").symlink_to(disk)
    assert "3 added" in run(tmp_path, model, sounds)[0].stdout
    disk.rename(tmp_path / "away")
    done, report = run(tmp_path, model, sounds)
    assert "0 removed, 2 unchanged" in done.stdout and len(SoundIndex(tmp_path / "index")) == 3
    assert [entry["path"] for entry in report["skipped"]] == [str(sounds / "disk")]


def test_metadata_in_another_case_is_read_with_a_remark(sounds, model, tmp_path):
    (sounds / "Metadata.CSV").write_text("file_name,license\na.wav,CC0\n")
    _, report = run(tmp_path, model, sounds)
    assert SoundIndex(tmp_path / "index").licenses == ["CC0"]
    assert [entry["path"] for entry in report["remarks"]] == [str(sounds / "Metadata.CSV")]
    # Of two of which none is exact none is read, and what was known stays.
    (sounds / "METADATA.csv").write_text("file_name,license\na.wav,CC-BY\n")
    _, report = run(tmp_path, model, sounds)
    assert SoundIndex(tmp_path / "index").licenses == ["CC0"]
    assert sorted(entry["path"] for entry in report["skipped"]) == [
        str(sounds / "METADATA.csv"), str(sounds / "Metadata.CSV"),
    ]  # fmt: skip
    (sounds / "METADATA.csv").rename(sounds / "metadata.csv")
    _, report = run(tmp_path, model, sounds)
    assert SoundIndex(tmp_path / "index").licenses == ["CC-BY"]
    assert [entry["path"] for entry in report["skipped"]] == [str(sounds / "Metadata.CSV")]
