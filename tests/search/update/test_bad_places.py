"""Disks that are full or read-only, folders without permission, files that vanish, recordings of a night."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_libraries import contents, library, same
from tiny_models import SAMPLING_RATE, write_sound
from tiny_recipes import environment

from auricle.search import SoundIndex

pytest.importorskip("lancedb")

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system or gives up rights")


def run(*arguments, code=0, before=()):
    command = [*before, sys.executable, "-m", "auricle", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=240)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def disk(tmp_path):
    """A function that mounts a small disk of its own, and one that mounts it anew."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(*options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", str(place)],
            capture_output=True,
            text=True,
        )
        if done.returncode:
            pytest.skip(f"mount: {done.stderr.strip()}")
        return place

    yield mount
    subprocess.run(["umount", str(place)], capture_output=True)


def messages(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("error: ")]


@pytest.mark.slow
@needs_root
def test_a_full_disk_is_one_message_and_the_index_goes_on_where_there_is_room(model, disk, tmp_path):
    place = disk("size=400k")
    sounds = library(tmp_path / "sounds", 2)
    options = ("--index", place / "index", "--no-progress")
    run("index", sounds, "--model", model, *options)
    held = contents(SoundIndex(place / "index"))
    # All but a few kB: not even what a single file needs.
    with open(place / "ballast", "wb", buffering=0) as ballast:
        with pytest.raises(OSError):
            while True:
                ballast.write(bytes(4096))
        ballast.truncate(ballast.tell() - 8192)
    library(sounds, 12)
    failed = run("index", sounds, *options, code=2)
    assert len(messages(failed.stderr)) == 1 and "o space left" in failed.stderr, failed.stderr
    # What was in it is in it, and can be asked.
    found = contents(SoundIndex(place / "index"))
    assert same(held, {path: found[path] for path in held})
    assert "rain" in run("search", "rain", "--index", place / "index").stdout
    (place / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", str(place)], check=True)
    assert "12 files in" in run("index", sounds, *options).stdout
    unbroken = SoundIndex.create(tmp_path / "unbroken", model)
    unbroken.update([sounds], progress=False)
    assert same(contents(SoundIndex(place / "index")), contents(unbroken))


@pytest.mark.slow
@needs_root
def test_a_read_only_disk_can_be_asked_and_says_that_it_cannot_be_written(model, disk, tmp_path):
    place = disk("size=20m")
    sounds = library(tmp_path / "sounds", 4)
    options = ("--index", place / "index", "--no-progress")
    run("index", sounds, "--model", model, *options)
    subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
    write_sound(sounds / "new.wav", 1.0, seed=77)
    failed = run("index", sounds, *options, code=2)
    assert len(messages(failed.stderr)) == 1 and "cannot be written" in failed.stderr, failed.stderr
    failed = run("index", sounds, "--model", model, "--index", place / "other", code=2)
    assert len(messages(failed.stderr)) == 1 and "Read-only file system" in failed.stderr, failed.stderr
    asked = run("search", "rain", "--index", place / "index", "-k", 4).stdout
    assert len(asked.splitlines()) == 4 and "new.wav" not in asked


@pytest.mark.slow
@needs_root
@pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv")
def test_what_may_not_be_read_is_listed_and_a_closed_index_is_left_alone(model, tmp_path):
    sounds = library(tmp_path / "sounds", 4)
    (sounds / "rain" / "a b.wav").chmod(0)
    (sounds / "dogs").chmod(0)
    # Without these root is bound by permissions as everybody is.
    bound = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")
    options = ("--model", model, "--no-progress")
    done = run("index", sounds, "--index", tmp_path / "index", *options, before=bound)
    assert "1 files in" in done.stdout
    for name in ("a b.wav", "dogs"):
        assert any(name in line and "ermission denied" in line for line in done.stderr.splitlines()), (
            done.stderr
        )
    closed = tmp_path / "closed"
    run("index", sounds, "--index", closed, *options)
    before = contents(SoundIndex(closed))
    for folder, _, files in os.walk(closed):
        for place in (Path(folder), *(Path(folder, name) for name in files)):
            place.chmod(place.stat().st_mode & 0o555)
    write_sound(sounds / "new.wav", 1.0, seed=5)
    failed = run("index", sounds, "--index", closed, "--no-progress", before=bound, code=2)
    assert len(messages(failed.stderr)) == 1 and "ermission denied" in failed.stderr
    assert same(before, contents(SoundIndex(closed)))
    assert len(run("search", "rain", "--index", closed, before=bound).stdout.splitlines()) == 4


def test_a_file_that_vanishes_while_its_turn_comes_is_listed(model, tmp_path):
    sounds = library(tmp_path / "sounds", 5)
    index = SoundIndex.create(tmp_path / "index", model)
    plain, gone = index._embed_files, sounds / "e.wav"

    def embed(paths):
        gone.unlink()
        return plain(paths)

    index._embed_files = embed
    report = index.update([sounds], progress=False)
    assert report.added == 4 and [(path, "No such file" in why) for path, why in report.faults] == [
        (str(gone), True)
    ]
    del index._embed_files
    # And one that is gone when it is asked about.
    (sounds / "rain" / "a b.wav").unlink()
    assert len(index.search("rain")) == 4
    failed = run("similar", sounds / "rain" / "a b.wav", "--index", tmp_path / "index", code=2)
    assert len(messages(failed.stderr)) == 1 and "a b.wav" in failed.stderr


@pytest.mark.parametrize("question", ["ein Hund bellt", "雨の音", "🐕 bellt laut!", "un chien aboie à côté"])
def test_a_question_in_another_language_is_answered_or_refused_in_words(model, tmp_path, question):
    index = SoundIndex.create(tmp_path / "index", model)
    index.update([library(tmp_path / "sounds", 2)], progress=False)
    hits = index.search(question)
    assert len(hits) == 2 and all(np.isfinite(hit.cosine) for hit in hits)


@pytest.mark.slow
def test_eight_hours_cost_windows_and_no_memory(model, tmp_path):
    path = tmp_path / "night.flac"
    noise = 0.1 * np.random.default_rng(0).standard_normal(SAMPLING_RATE)
    with soundfile.SoundFile(path, "w", SAMPLING_RATE, 1) as file:
        for _ in range(8 * 60):
            file.write(np.concatenate([noise, np.zeros(59 * SAMPLING_RATE)]))
    write_sound(tmp_path / "short" / "short.wav", 1.0, seed=1)
    # A process of its own: in this one other tests may have needed more.
    code = (
        "import re, sys\n"
        "from auricle.search import SoundIndex\n"
        "index = SoundIndex.create(sys.argv[1], sys.argv[2])\n"
        "def peak():\n"
        "    return int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1])\n"
        "index.update([sys.argv[3] + '/short'], progress=False)\n"
        "before = peak()\n"
        "report = index.update([sys.argv[3]], progress=False)\n"
        "print(report.added, len(report.faults), peak() - before)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "index"), model, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=240)
    assert done.returncode == 0, done.stderr
    added, faults, grown = map(int, done.stdout.split())
    assert (added, faults) == (1, 0)
    held = contents(SoundIndex(tmp_path / "index"))[str(path)][1]
    assert held.ends[-1] == pytest.approx(8 * 3600) and (np.diff(held.starts) > 0).all()
    # The samples alone would be gigabytes as float32.
    assert grown < 400_000, f"{grown} kB"
