"""Whole data sets from a loopback publisher: terms, disk, archives, and what the catalogue says of real files."""

import dataclasses
import hashlib
import os
import re
import shutil
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import pytest
from file_server import Behaviour, file_server
from hub_server import Commit, Repo, hub_server
from miniature_clotho import write_miniature_clotho
from miniature_sources import write_miniature_wavcaps
from tiny_recipes import environment
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import load_clotho, load_wavcaps
from auricle.data.fetching import CATALOG, Archive, FetchError, fetch, fetchable_named, plan_fetch
from auricle.data.fetching.seven_zip import unpack_7z
from auricle.data.mixing import read_excluded_ids

py7zr = pytest.importorskip("py7zr")


def run(*arguments, code=0):
    done = CliRunner().invoke(app, ["data", "fetch", *map(str, arguments), "--no-progress"])
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def server():
    with file_server() as running:
        yield running


@pytest.fixture
def clotho(server, tmp_path):
    """A miniature of Clotho as its publisher has it, and its entry with the miniature's checksums."""
    folder = write_miniature_clotho(tmp_path / "publisher", seconds=0.1)
    entry = CATALOG["clotho"]

    def publish(file, content):
        server.files[re.sub(r"https://[^/]+|\?.*", "", file.url)] = content
        checksum = f"md5:{hashlib.md5(content).hexdigest()}"
        return dataclasses.replace(file, checksum=checksum)

    archives = []
    for archive in entry.archives:
        split = archive.name.removeprefix("clotho_audio_").removesuffix(".7z")
        packed = tmp_path / archive.name
        with py7zr.SevenZipFile(packed, "w") as writer:
            writer.writeall(folder / split, split)
        file = publish(archive.files[0], packed.read_bytes())
        archives.append(Archive("7z", (file,), "", 10_000))
    files = tuple(publish(file, (folder / file.name).read_bytes()) for file in entry.files)
    return dataclasses.replace(entry, files=files, archives=tuple(archives))


def planned(entry, directory, server, **more):
    return plan_fetch(entry, directory, mirror=server.url, **more)


def fetched(entry, directory, server, **more):
    return fetch(planned(entry, directory, server, **more), directory, progress=False, wait=0.0, **more)


def test_clotho_comes_whole_and_is_read(clotho, server, tmp_path):
    place = tmp_path / "clotho"
    plan = planned(clotho, place, server)
    assert len(plan.files) == 9 and all(size for _, size in plan.files)
    packed = [size for file, size in plan.files if file.name.endswith(".7z")]
    unpacked = sum(archive.unpacked_bytes for archive in plan.archives)
    assert len(packed) == 3 and plan.peak_bytes == plan.download_bytes - sum(packed) + max(packed) + unpacked
    assert fetched(clotho, place, server) == (9, 6)
    for split in ("train", "validation", "test"):
        assert len(load_clotho(place, split=split)) == 10
    # Archives are removed, and not fetched again.
    assert (
        not list(place.glob("*.7z"))
        and not list(place.glob("*.partial*"))
        and not list(place.glob(".*.unp*"))
    )
    asked = len(server.requests)
    assert fetched(clotho, place, server) == (0, 0) and len(server.requests) == asked
    # A folder that lost a clip is unpacked anew.
    next((place / "validation").iterdir()).unlink()
    assert fetched(clotho, place, server) == (1, 2)


def test_archives_stay_if_wanted(clotho, server, tmp_path):
    fetched(clotho, tmp_path / "clotho", server, keep_archives=True)
    assert len(list((tmp_path / "clotho").glob("*.7z"))) == 3


def test_it_goes_on_after_it_was_cut_anywhere(clotho, server, tmp_path):
    place = tmp_path / "clotho"
    # Each call breaks off in another file; none is fetched twice.
    server.behaviour = Behaviour(status=[0, 0, 404])
    with pytest.raises(FetchError, match="HTTP 404"):
        fetched(clotho, place, server)
    server.behaviour = Behaviour(cut_after=[None] * 4 + [1000], status=[0] * 5 + [500] * 5)
    with pytest.raises(FetchError, match="given up"):
        fetched(clotho, place, server)
    server.behaviour = Behaviour()
    fetched(clotho, place, server)
    assert len(load_clotho(place, split="train")) == 10
    whole = [path for method, path, asked in server.requests if method == "GET" and asked is None]
    assert sum(whole.count(path) for path in set(whole)) == 9 + 1  # the one that was answered with 404
    assert "bytes=1000-" in server.ranges_asked()


def test_a_wrong_checksum_stops_and_keeps_what_came_before(clotho, server, tmp_path):
    wrong = dataclasses.replace(clotho.files[3], checksum="md5:" + "0" * 32)
    entry = dataclasses.replace(clotho, files=(*clotho.files[:3], wrong, *clotho.files[4:]))
    with pytest.raises(FetchError, match="md5 is .*the download was deleted"):
        fetched(entry, tmp_path / "clotho", server)
    assert len(list((tmp_path / "clotho").glob("*.csv"))) == 3


def test_a_disk_that_is_too_small_is_told_before_anything_is_made(clotho, server, tmp_path):
    archive = dataclasses.replace(clotho.archives[0], unpacked_bytes=10**18)
    entry = dataclasses.replace(clotho, archives=(archive, *clotho.archives[1:]))
    with pytest.raises(FetchError, match=r"needs about 1000000000\.0 GB, but the disk has \d+\.\d GB free"):
        fetched(entry, tmp_path / "deep" / "clotho", server)
    assert not (tmp_path / "deep").exists()


def test_a_page_in_place_of_a_file_is_not_taken_for_it(server, tmp_path):
    entry = CATALOG["relevance"]
    (file,) = entry.files
    server.files[re.sub(r"https://[^/]+", "", file.url)] = b"<html>moved</html>"
    with pytest.raises(FetchError, match="no column 'query', so it is the wrong file"):
        fetched(entry, tmp_path, server)
    assert not (tmp_path / file.name).exists()


def test_two_at_once_are_refused(clotho, server, tmp_path):
    from filelock import FileLock

    plan = planned(clotho, tmp_path / "clotho", server)
    (tmp_path / "clotho").mkdir()
    with FileLock(tmp_path / "clotho" / ".fetch.lock"), pytest.raises(FetchError, match="another process"):
        fetch(plan, tmp_path / "clotho", progress=False)


def test_damaged_archives_are_refused(tmp_path):
    whole, damaged = tmp_path / "whole.7z", tmp_path / "damaged.7z"
    with py7zr.SevenZipFile(whole, "w") as writer:
        writer.writestr(b"x" * 1000, "development/a.wav")
    for content in (whole.read_bytes()[:60], b"no archive at all", flipped(whole.read_bytes(), 40)):
        damaged.write_bytes(content)
        with pytest.raises(FetchError, match=r"damaged\.7z: cannot be unpacked"):
            unpack_7z(damaged, tmp_path / "out", progress=False)
    assert not list((tmp_path / "out").glob("*"))


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :]


def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path):
    """The library writes no such name: it is put into the header, whose checksums are then made anew."""
    evil = tmp_path / "evil.7z"
    with py7zr.SevenZipFile(evil, "w") as writer:
        writer.set_encoded_header_mode(False)
        writer.writestr(b"x", "aa/outside.wav")
    content = evil.read_bytes().replace("aa/outside".encode("utf-16-le"), "../outside".encode("utf-16-le"))
    offset, size = struct.unpack("<QQ", content[12:28])
    start = content[12:28] + struct.pack("<L", zlib.crc32(content[32 + offset : 32 + offset + size]))
    evil.write_bytes(content[:8] + struct.pack("<L", zlib.crc32(start)) + start + content[32:])
    with pytest.raises(
        FetchError, match=r"contains '\.\./outside\.wav', which is outside the target directory"
    ):
        unpack_7z(evil, tmp_path / "out", progress=False)
    assert not (tmp_path / "outside.wav").exists() and not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("zip") is None, reason="packs with the zip program")
def test_wavcaps_comes_from_the_hub_in_parts(tmp_path):
    source = write_miniature_wavcaps(tmp_path / "source", {"FreeSound": 12, "SoundBible": 2})
    (tmp_path / "packed" / "Zip_files").mkdir(parents=True)
    for collection, options in (("FreeSound", ["-s", "64k", "-0"]), ("SoundBible", [])):
        target = tmp_path / "packed" / "Zip_files" / collection
        target.mkdir()
        command = ["zip", "-q", "-r", *options, str(target / f"{collection}.zip"), collection]
        subprocess.run(command, cwd=source, check=True)
    shutil.copytree(source / "json_files", tmp_path / "packed" / "json_files")
    files = {
        path.relative_to(tmp_path / "packed").as_posix(): path.read_bytes()
        for path in (tmp_path / "packed").rglob("*")
        if path.is_file()
    }
    assert sum(name.startswith("Zip_files/FreeSound") for name in files) > 2
    entry, place = CATALOG["wavcaps"], tmp_path / "wavcaps"

    def run_on_hub(*options, code=0):
        """A process of its own: the client reads its settings when it is imported."""
        command = [sys.executable, "-m", "auricle", "data", "fetch", "wavcaps", str(place), "--no-progress"]
        variables = environment(HF_ENDPOINT=hub.url, HF_HUB_OFFLINE="0")
        done = subprocess.run(
            [*command, *options], env=variables, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    with hub_server() as hub:
        commit = Commit("0" * 40, "all", files)
        hub.repos["datasets", entry.hub_repo] = Repo(False, {commit.oid: commit}, {"main": commit.oid})
        run_on_hub("--accept-license", "--collection", "SoundBible")
        assert not (place / "FreeSound").exists()
        assert len(load_wavcaps(place, collections=["SoundBible"])) == 2
        assert "unpacked 12" in run_on_hub("--accept-license")
        assert len(load_wavcaps(place)) == 14 and not list((place / "Zip_files").rglob("*.z*"))
        assert "no collection 'BBC'; there are FreeSound, SoundBible" in run_on_hub(
            "--accept-license", "--collection", "BBC", code=2
        )
        assert "0 files to fetch" in run_on_hub("--dry-run")
        # What the Hub states as its SHA-256 is compared.
        name = "Zip_files/SoundBible/SoundBible.zip"
        hub.fault = lambda method, path: (
            commit.files.update({name: b"\0other"}) if "/resolve/" in path else None
        )
        shutil.rmtree(place)
        assert "sha256 is" in run_on_hub("--accept-license", "--collection", "SoundBible", code=2)
    assert not list((place / "Zip_files").rglob("*.zip"))


def test_a_hub_that_does_not_answer_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # between the client's attempts
    output = run("wavcaps", tmp_path, "--mirror", "http://127.0.0.1:9", "--dry-run", code=2)
    assert "cvssp/WavCaps: cannot be listed on http://127.0.0.1:9 (" in output.splitlines()[-1]
    assert "Traceback" not in output


def test_the_command_shows_the_terms_and_needs_them_accepted(server, tmp_path):
    entry = CATALOG["exclusions"]
    server.files[re.sub(r"https://[^/]+", "", entry.files[0].url)] = b"sound_id\n354184\nNot found\n"
    output = run("exclusions", tmp_path, "--mirror", server.url, code=2)
    assert entry.terms[0] in output and "add --accept-license" in output and server.requests == []
    output = run("exclusions", tmp_path, "--mirror", server.url, "--dry-run")
    assert "dcase2025_excluded_freesound_ids.csv  0.0 MB" in output and not list(tmp_path.iterdir())
    output = run("exclusions", tmp_path, "--mirror", server.url, "--accept-license")
    assert f"fetched 1 files to {tmp_path}" in output
    path = tmp_path / "dcase2025_excluded_freesound_ids.csv"
    assert f"--data.exclude.freesound_ids {path}" in output and read_excluded_ids(path) == {"354184"}


def test_faults_of_the_command_are_one_line(server, tmp_path):
    assert "unknown dataset 'audioset'; these can be fetched: clotho" in run("audioset", tmp_path, code=2)
    output = run("audiocaps", tmp_path, "--mirror", server.url, "--accept-license", code=2)
    assert "train.csv: HTTP 404" in output.splitlines()[-1]
    output = run("audiocaps", tmp_path, "--mirror", "ftp://x", "--accept-license", code=2)
    assert "must begin with http:// or https://" in output
    output = run("clotho", tmp_path, "--collection", "a", "--accept-license", code=2)
    assert "has no collections" in output


@pytest.mark.skipif("AURICLE_DATA_DIR" not in os.environ, reason="needs AURICLE_DATA_DIR")
def test_checksums_of_the_catalogue_are_those_of_real_files():
    """The copies here have the line ends of Unix; the publisher's files have those of Windows."""
    known = {file.name: file.checksum for file in fetchable_named("clotho").files}
    for path in sorted((Path(os.environ["AURICLE_DATA_DIR"]) / "clotho").glob("*.csv")):
        content = path.read_bytes()
        forms = (content, content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
        assert known[path.name] in [f"md5:{hashlib.md5(form).hexdigest()}" for form in forms], path.name


def test_the_catalogue_is_complete():
    for name, entry in CATALOG.items():
        assert entry.name == name and entry.terms and entry.title
        assert entry.files or entry.hub_repo
        for file in (*entry.files, *(file for archive in entry.archives for file in archive.files)):
            assert file.url.startswith("https://")
            assert file.checksum is None or re.fullmatch(r"md5:[0-9a-f]{32}", file.checksum)
    assert all(file.checksum for file in CATALOG["clotho"].files)
