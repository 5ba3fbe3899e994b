"""Frames kept in an index: as they were, in bounded memory, and of use to `moments` without the sound."""

import shutil

import numpy as np
import pyarrow as arrow
import pytest
from sound_libraries import library
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.processing import AudioReadError
from auricle.search.encoder_settings import EncoderSettings
from auricle.search.index_encoder import IndexEncoder
from auricle.search.sound_index import SearchError, SoundIndex
from auricle.search.store.index_folder import IndexFolder
from auricle.search.store.kept_frames import FRAME_KINDS, KeptFrames

DIGEST = "ab" * 32


def unit(rows, width=24, seed=0):
    vectors = np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize(("kind", "worst"), [("float16", 1e-3), ("int8", 1e-2)])
def test_what_was_written_is_read(tmp_path, kind, worst):
    frames, vectors = KeptFrames(IndexFolder(tmp_path), kind, 24), unit(10)
    frames.write(DIGEST, iter([vectors[:4], vectors[4:]]), 0.5)
    read, hop = frames.read(DIGEST)
    assert hop == 0.5 and read.dtype == np.float32 and np.abs(read - vectors).max() < worst
    assert np.allclose(np.linalg.norm(read, axis=1), 1, atol=1e-6)
    assert frames.read("cd" * 32) is None
    assert [path.suffix for path in frames.folder.iterdir()] == [".arrow"]


def test_the_size_that_is_told_is_that_on_disk(tmp_path):
    for kind in FRAME_KINDS:
        frames = KeptFrames(IndexFolder(tmp_path / kind), kind, 512)
        frames.folder.parent.mkdir()
        frames.write(DIGEST, [unit(64, 512)] * 57, 1.0)
        size = next(frames.folder.iterdir()).stat().st_size
        assert size == pytest.approx(frames.bytes_an_hour(1.0) * 57 * 64 / 3600, rel=0.05)


def test_frames_that_break_off_leave_nothing(tmp_path):
    def broken():
        yield unit(3)
        raise AudioReadError("the file ends within a frame.")

    frames = KeptFrames(IndexFolder(tmp_path), "float16", 24)
    with pytest.raises(AudioReadError):
        frames.write(DIGEST, broken(), 1.0)
    assert list(frames.folder.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"ARROW1", b"ARROW1" + bytes(500)])
def test_a_damaged_file_counts_as_none(tmp_path, content):
    frames = KeptFrames(IndexFolder(tmp_path), "int8", 24)
    frames.write(DIGEST, [unit(3)], 1.0)
    next(frames.folder.iterdir()).write_bytes(content)
    assert frames.read(DIGEST) is None


def test_rows_of_another_width_count_as_none(tmp_path):
    KeptFrames(IndexFolder(tmp_path), "float16", 24).write(DIGEST, [unit(4)], 1.0)
    assert KeptFrames(IndexFolder(tmp_path), "float16", 7).read(DIGEST) is None


def test_frames_of_contents_that_are_gone_are_removed(tmp_path):
    frames = KeptFrames(IndexFolder(tmp_path), "float16", 24)
    frames.remove_others([])
    for digest in (DIGEST, "cd" * 32):
        frames.write(digest, [unit(2)], 1.0)
    (frames.folder / ".left.partial").write_bytes(b"of a killed process")
    frames.remove_others([DIGEST])
    assert [path.name for path in frames.folder.iterdir()] == [f"{DIGEST[:32]}.arrow"]


def test_an_object_store_keeps_none():
    with pytest.raises(SearchError, match=r"on this machine can keep frames; omit --frames"):
        KeptFrames(IndexFolder("s3://bucket/index"), "int8", 24)


@pytest.fixture
def kept(model, tmp_path):
    pytest.importorskip("lancedb")
    sounds = library(tmp_path / "sounds", 3)
    index = SoundIndex.create(tmp_path / "index", model, settings=EncoderSettings(frames="float16"))
    index.update([sounds], progress=False)
    return sounds, index


def test_moments_use_what_the_index_keeps(kept, monkeypatch):
    sounds, index = kept
    path = sorted(sounds.rglob("*.wav"))[0]
    exact = index.moments(path, "a dog barks", hop_seconds=1.0, edges="dense", min_percentile=0)
    with monkeypatch.context() as patch:

        def never(*arguments, **options):
            raise AssertionError("the sound is not needed")

        patch.setattr(IndexEncoder, "short_windows_of", never)
        patch.setattr(IndexEncoder, "embed_part", never)
        found = index.moments(path, "a dog barks", min_percentile=0)
        with pytest.raises(AssertionError, match="not needed"):
            index.moments(path, "a dog barks", edges="windows")
    assert len(found) == len(exact)
    for one, other in zip(found, exact, strict=True):
        assert (one.start, one.end) == pytest.approx((other.start, other.end), abs=0.05)
        assert one.cosine == pytest.approx(other.cosine, abs=1e-3)
    # Without them it reads the sound.
    shutil.rmtree(index.directory / "frames")
    again = index.moments(path, "a dog barks", min_percentile=0)
    assert [(hit.start, hit.end, hit.score) for hit in again] == [
        (hit.start, hit.end, hit.score) for hit in exact
    ]


def test_moved_files_keep_their_frames_and_deleted_ones_lose_them(kept):
    sounds, index = kept
    paths = sorted(sounds.rglob("*.wav"))
    names = {path.name for path in (index.directory / "frames").iterdir()}
    assert names == {f"{row['digest'][:32]}.arrow" for row in index.store.files().values()}
    paths[0].rename(paths[0].with_name("moved.wav"))
    index.update([sounds], progress=False)
    assert {path.name for path in (index.directory / "frames").iterdir()} == names
    gone = index.store.entry(str(paths[1])).digest
    paths[1].unlink()
    index.update([sounds], progress=False)
    assert {path.name for path in (index.directory / "frames").iterdir()} == names - {f"{gone[:32]}.arrow"}


def test_kept_frames_are_of_the_table_of_each_file(kept):
    _, index = kept
    for row in index.store.files().values():
        with arrow.memory_map(str(index.directory / "frames" / f"{row['digest'][:32]}.arrow")) as source:
            assert (
                arrow.ipc.open_file(source).schema.field("vector").type.list_size
                == index.store.record["width"]
            )


def test_the_command_tells_the_size_and_keeps_the_choice(model, tmp_path):
    pytest.importorskip("lancedb")
    sounds = library(tmp_path / "sounds", 3)
    command = ["index", str(sounds), "--index", str(tmp_path / "index"), "--model", model, "--no-progress"]
    made = CliRunner().invoke(app, [*command, "--frames", "int8"])
    assert made.exit_code == 0, made.output
    assert "frames as int8: a vector of" in made.output and "in 3 files" in made.output
    assert len(list((tmp_path / "index" / "frames").iterdir())) == 3
    other = CliRunner().invoke(app, [*command, "--frames", "float16"])
    assert other.exit_code == 2 and "keeps frames as int8, not as float16" in other.output
    assert CliRunner().invoke(app, command).exit_code == 0
    with pytest.raises(SearchError, match="frames 'int4': an index keeps them as float16 or int8"):
        EncoderSettings(frames="int4")


def test_an_index_without_frames_says_how_they_are_added(made):
    _, index = made
    with pytest.raises(SearchError, match="keeps no frames, not as int8; `auricle index --frames` adds them"):
        index.check_settings(settings=EncoderSettings(frames="int8"))
