"""An index of real files: made, updated, killed, asked; every answer against the model itself."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sound_libraries import contents, library, same
from tiny_models import SAMPLING_RATE, saved_tiny_model, sound, tiny_model_and_processor, write_sound
from tiny_recipes import environment
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.encoders.auricle_embedding import embed_captions, embed_clips
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.encoders.recordings.recording_windows import embed_recording
from auricle.search.query.ranking import BACKGROUND_QUERIES, percentile_of
from auricle.search.sound_index import SearchError, SoundIndex
from auricle.search.store.index_store import Store
from auricle.search.update.indexing import update_index
from auricle.search.update.walking import FoundFile

pytest.importorskip("lancedb")


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("model")
    model, processor = saved_tiny_model(root / "model")
    return root / "model", model, processor


@pytest.fixture
def place(saved, tmp_path):
    sounds = library(tmp_path / "sounds")
    index = SoundIndex.create(tmp_path / "index", str(saved[0]))
    index.update([sounds], progress=False)
    return sounds, index


def run(*arguments, code=0):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done


def nothing_to_embed(paths):
    for path in paths:
        raise AssertionError(f"{path} was to be embedded")
        yield


# ------------------------------------------------------------------------------------ windows


def test_a_short_sound_has_one_window_which_is_the_model_s_embedding(saved, tmp_path):
    _, model, processor = saved
    path = write_sound(tmp_path / "a.wav", 0.7, seed=1)
    found = embed_recording(AuricleEncoder(model, processor), path, hop_seconds=1.0)
    expected, _ = embed_clips(model, processor, [str(path)])
    assert np.abs(found.vectors - expected).max() < 1e-6 and np.abs(found.vector - expected[0]).max() < 1e-6
    assert found.starts.tolist() == [0.0] and found.ends.tolist() == pytest.approx([0.7])


@pytest.mark.parametrize("hop", [1.0, 0.5, 0.3])
@pytest.mark.parametrize("seconds", [1.0, 2.35, 4.02])
def test_each_window_is_what_the_model_makes_of_that_part(saved, tmp_path, hop, seconds):
    _, model, processor = saved
    samples = sound(seconds, seed=2)
    soundfile.write(tmp_path / "a.wav", samples, SAMPLING_RATE, subtype="FLOAT")
    found = embed_recording(
        AuricleEncoder(model, processor), tmp_path / "a.wav", hop_seconds=hop, batch_size=3
    )
    assert found.duration == pytest.approx(seconds)
    for start, end, vector in zip(found.starts, found.ends, found.vectors, strict=True):
        part = samples[round(start * SAMPLING_RATE) : round(end * SAMPLING_RATE)]
        # Without overlap the last window is what is left over, as the model cuts a clip.
        assert len(part) == SAMPLING_RATE or (hop == 1.0 and end == found.ends[-1])
        expected, _ = embed_clips(model, processor, [{"array": part, "sampling_rate": SAMPLING_RATE}])
        assert np.abs(vector - expected[0]).max() < 1e-5
    assert found.starts[0] == 0.0 and (np.diff(found.starts) <= hop + 1e-9).all()
    # Less than a tenth of a second at the end may belong to no window.
    assert found.ends[-1] >= seconds - processor.feature_extractor.min_tail_seconds - 1e-9
    # Whatever the hop, the vector of the whole file is the model's own of that clip.
    whole, _ = embed_clips(model, processor, [str(tmp_path / "a.wav")])
    assert np.abs(found.vector - whole[0]).max() < 1e-5


# ------------------------------------------------------------------------------------- update


def test_updating_costs_only_what_changed(place, saved):
    sounds, index = place
    before = contents(index)
    report = index.update([sounds], progress=False)
    assert (report.unchanged, report.windows) == (5, 0) and same(contents(index), before)
    (sounds / "e.wav").rename(sounds / "moved.wav")
    write_sound(sounds / "rain" / "a b.wav", 1.2, seed=77)
    (sounds / "rain" / "it's.wav").unlink()
    write_sound(sounds / "new.wav", 0.4, seed=78)
    os.utime(sounds / "dogs" / '"quoted".wav', (1, 1))
    report = index.update([sounds], progress=False)
    assert (report.added, report.changed, report.moved, report.removed, report.unchanged) == (1, 1, 1, 1, 2)
    # 1.2 seconds are a window and a rest that reaches back, 0.4 seconds one.
    assert report.windows == 3
    fresh = SoundIndex.create(index.directory.parent / "fresh", str(saved[0]))
    fresh.update([sounds], progress=False)
    assert same(contents(index), contents(fresh))
    assert index.update([sounds], progress=False).unchanged == 5


def test_other_folders_are_left_alone(place, tmp_path):
    _, index = place
    other = library(tmp_path / "others", 2)
    index.update([other], progress=False)
    assert len(index) == 7
    (other / "rain" / "it's.wav").unlink()
    assert index.update([other], progress=False).removed == 1
    assert len(index) == 6


def test_an_empty_folder_may_be_a_disk_that_is_not_there(place, tmp_path):
    sounds, index = place
    other = library(tmp_path / "others", 2)
    index.update([other], progress=False)
    shutil.rmtree(other)
    other.mkdir()
    report = index.update([other, sounds], progress=False)
    assert report.removed == 0 and report.unchanged == 5 and len(index) == 7
    assert [path for path, _ in report.faults] == [str(other)] and "2 files" in report.faults[0][1]
    assert index.update([other], prune=True, progress=False).removed == 2 and len(index) == 5


def test_a_folder_that_is_gone_is_pruned_and_a_misspelt_one_is_reported(place, tmp_path):
    sounds, index = place
    other = library(tmp_path / "others", 2)
    index.update([other], progress=False)
    shutil.rmtree(other)
    report = index.update([other, tmp_path / "othres", sounds], prune=True, progress=False)
    assert report.removed == 2 and len(index) == 5
    assert [path for path, _ in report.faults] == [str(tmp_path / "othres")]
    assert "check the name" in report.faults[0][1]


def test_what_cannot_be_looked_at_stays_in_the_index(place):
    """An unplugged disk or a folder without permission is no reason to forget its files."""
    sounds, index = place
    known = index.store.files()
    kept = [path for path in known if f"{os.sep}rain{os.sep}" in path]
    files = [FoundFile(path, row["root"], row["size"], row["mtime_ns"]) for path, row in known.items()]
    left = [file for file in files if file.path not in kept]
    report = update_index(
        index.store,
        left,
        [str(sounds)],
        nothing_to_embed,
        unseen=[str(sounds / "rain")],
        progress=False,
    )
    assert report.removed == 0 and index.store.files() == known
    report = update_index(index.store, left, [str(sounds)], nothing_to_embed, progress=False)
    assert report.removed == len(kept) == 2


def test_bad_files_are_listed_and_stop_nothing(saved, tmp_path):
    sounds = library(tmp_path / "sounds", 2)
    (sounds / "empty.wav").touch()
    (sounds / "text.flac").write_text("no sound")
    (sounds / "loop").symlink_to(sounds)
    (sounds / "gone.wav").symlink_to(sounds / "nowhere.wav")
    with open(os.fsencode(sounds) + b"/latin-\xe9.wav", "wb") as file:
        file.write((sounds / "rain" / "a b.wav").read_bytes())
    done = run("index", sounds, "--model", saved[0], "--index", tmp_path / "index", "--no-progress")
    assert done.stdout.startswith("2 added") and "2 files in" in done.stdout
    for name, reason in (
        ("empty.wav", "is empty"),
        ("text.flac", ""),
        ("gone.wav", "a link whose target does not exist"),
        ("latin-", "not valid UTF-8"),
    ):
        assert any(name in line and reason in line for line in done.stderr.splitlines()), (name, done.stderr)


@pytest.mark.slow
def test_killed_at_random_moments_it_ends_like_an_unbroken_one(saved, tmp_path):
    sounds = library(tmp_path / "sounds", 400)
    index = tmp_path / "index"
    command = [sys.executable, "-m", "auricle", "index", str(sounds), "--model", str(saved[0])]
    command += ["--index", str(index), "--no-progress"]
    generator, known, killed = random.Random(0), 0, 0
    for _ in range(6):
        process = subprocess.Popen(
            command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        # A look at the folder takes no time in which the index could get on by hundreds of files.
        before = waiting(index)
        while process.poll() is None and waiting(index) == before:
            time.sleep(0.001)
        time.sleep(generator.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        if process.wait() != -signal.SIGKILL:
            # On a busy machine it may have come to its end before it was looked at again.
            break
        killed += 1
        # What is there can be asked at any moment, and no kill takes anything away.
        files = len(Store(index).files())
        assert known <= files
        known = files
    assert killed >= 3
    known = len(Store(index).files())
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    assert done.stdout.startswith(f"{400 - known} added")
    whole = SoundIndex.create(tmp_path / "whole", str(saved[0]))
    whole.update([sounds], progress=False)
    assert same(contents(SoundIndex(index)), contents(whole))


def waiting(index: Path) -> set[str]:
    """Names of the files that lie beside the table."""
    folder = index / "pending"
    return {path.name for path in folder.glob("*.arrow")} if folder.is_dir() else set()


# ---------------------------------------------------------------------------------------- ask


def test_answers_are_ranked_by_the_cosine_of_their_best_window(place, saved):
    sounds, index = place
    _, model, processor = saved
    query = embed_captions(model, processor, ["a dog barks twice"])[0]
    best = {}
    for path in sorted(sounds.rglob("*.wav")):
        found = embed_recording(AuricleEncoder(model, processor), path, hop_seconds=1.0)
        window = int(np.argmax(found.vectors @ query))
        best[str(path)] = (float(found.vectors[window] @ query), found.starts[window])
    hits = index.search("a dog barks twice", top=10)
    assert [hit.path for hit in hits] == sorted(best, key=lambda path: -best[path][0])
    others = {path: entry.vectors for path, entry in index.store.entries(list(best)).items()}
    for hit in hits:
        assert hit.cosine == pytest.approx(best[hit.path][0], abs=2e-3)
        assert hit.start == pytest.approx(best[hit.path][1])
        moment = others[hit.path][int(np.argmax(others[hit.path] @ query))]
        assert hit.percentile == percentile_of(hit.cosine, index.background_vectors @ moment)
    assert len({hit.percentile for hit in hits}) > 1
    assert index.search("a dog barks twice", top=2) == hits[:2]


def test_filters(place):
    sounds, index = place
    assert {Path(hit.path).parent.name for hit in index.search("dog", tag="rain")} == {"rain"}
    assert {Path(hit.path).name for hit in index.search("dog", glob="*/dogs/*")} == {
        '"quoted".wav',
        "bark é🐕.wav",
    }
    assert [Path(hit.path).name for hit in index.search("dog", file=sounds / "rain" / "it's.wav")] == [
        "it's.wav"
    ]
    assert all(hit.duration >= 1.5 for hit in index.search("dog", min_duration=1.5))
    assert all(hit.duration <= 1.0 for hit in index.search("dog", max_duration=1.0))
    assert index.search("dog", min_score=1.1) == []
    with pytest.raises(SearchError, match="'colour' is not a filter"):
        index.search("dog", colour="red")


def test_names_and_unwanted_sentences_change_the_order(place):
    _, index = place
    assert Path(index.search("bark", names=True)[0].path).name == "bark é🐕.wav"
    # Two sentences that fit some of the sounds: what does not fit takes nothing off.
    vectors = np.concatenate([held.vectors for _, held in contents(index).values()])
    fits = (vectors @ index.background_vectors.T).max(axis=0)
    negative = [BACKGROUND_QUERIES[place] for place in np.argsort(-fits)[:2]]
    wanted, *unwanted = index.embed_texts(["dog", *negative])
    hits = index.search("dog", negative=negative)
    entries = index.store.entries([hit.path for hit in hits])
    for hit in hits:
        vectors = entries[hit.path].vectors
        worst = np.maximum(np.max([vectors @ other for other in unwanted], axis=0), 0)
        assert hit.score == pytest.approx((vectors @ wanted - 0.5 * worst).max(), abs=1e-6)
    assert any(hit.score < hit.cosine for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_a_well_named_file_is_answered_at_its_best_moment(place):
    _, index = place
    plain = {hit.path: hit for hit in index.search("quoted a b")}
    named = index.search("quoted a b", names=True)
    assert {Path(hit.path).name for hit in named[:2]} == {'"quoted".wav', "a b.wav"}
    assert all((hit.start, hit.cosine) == (plain[hit.path].start, plain[hit.path].cosine) for hit in named)
    # The least score is one of cosines, whatever the order.
    least = sorted(hit.cosine for hit in named)[2]
    kept = index.search("quoted a b", names=True, min_score=least)
    assert {hit.path for hit in kept} == {hit.path for hit in named if hit.cosine >= least} and len(kept) == 3


def test_the_nearest_sound_is_its_copy(place, tmp_path):
    sounds, index = place
    source = sounds / "rain" / "it's.wav"
    copy = tmp_path / "copy.wav"
    shutil.copy(source, copy)
    hits = index.similar(copy, top=3)
    assert hits[0].path == str(source) and hits[0].cosine > 0.99 and hits[0].percentile is None
    assert str(source) not in [hit.path for hit in index.similar(source, top=10)]


def test_a_part_of_a_sound_is_what_counts(place, tmp_path):
    sounds, index = place
    parts = [soundfile.read(sounds / name, dtype="float32")[0] for name in ("rain/it's.wav", "e.wav")]
    soundfile.write(tmp_path / "two.wav", np.concatenate(parts), SAMPLING_RATE, subtype="FLOAT")
    middle = len(parts[0]) / SAMPLING_RATE
    assert index.similar(tmp_path / "two.wav", end=middle)[0].path == str(sounds / "rain" / "it's.wav")
    assert index.similar(tmp_path / "two.wav", start=middle)[0].path == str(sounds / "e.wav")
    source = sounds / "e.wav"
    with pytest.raises(SearchError, match="end after its start"):
        index.similar(source, start=1, end=0.5)


def test_what_the_index_has_is_not_embedded_again(place, saved):
    sounds, index = place

    def none(name):
        raise AssertionError("the model is not needed")

    reader, source = SoundIndex(index.directory, loader=none), str(sounds / "e.wav")
    entry = index.store.entry(source)
    assert len(entry.starts) == 3
    for part, vector in (({}, entry.vector), ({"start": 1.0, "end": 2.0}, entry.vectors[1])):
        hits = reader.similar(source, rank="window", **part)
        scores = {
            path: (held.vectors @ vector).max()
            for path, held in index.store.entries([hit.path for hit in hits]).items()
        }
        assert len(hits) == 4 and all(hit.cosine == pytest.approx(scores[hit.path], abs=1e-6) for hit in hits)
    for part in ({"start": 0.3}, {"end": 1.7}):
        with pytest.raises(AssertionError, match="not needed"):
            reader.similar(source, **part)
    os.utime(source, (1, 1))
    with pytest.raises(AssertionError, match="not needed"):
        reader.similar(source)


def test_moments_lie_where_the_sound_is(saved, place, tmp_path):
    """The best span of a concatenation for the question that fits one of its parts best."""
    _, index = place
    parts = [sound(1.0, seed=seed) for seed in (5, 6, 7, 8)]
    soundfile.write(tmp_path / "long.wav", np.concatenate(parts), SAMPLING_RATE, subtype="FLOAT")
    found = embed_recording(AuricleEncoder(*saved[1:]), tmp_path / "long.wav", hop_seconds=0.5)
    vector = index.embed_texts(["a dog barks twice"])[0]
    cosines = found.vectors @ vector
    hits = index.moments(tmp_path / "long.wav", "a dog barks twice", top=3, threshold=0.0, edges="windows")
    best = int(np.argmax(cosines))
    beside = max(
        (place for place in (best - 1, best + 1) if 0 <= place < len(cosines)), key=cosines.__getitem__
    )
    assert hits[0].start == found.starts[min(best, beside)] and hits[0].end == found.ends[max(best, beside)]
    assert hits[0].score == pytest.approx(float(cosines[best]), abs=1e-5)
    assert hits[0].percentile == percentile_of(hits[0].score, index.background_vectors @ found.vectors[best])

    framed = index.moments(tmp_path / "long.wav", "a dog barks twice", top=3, edges="frames")
    assert (framed[0].score, framed[0].percentile) == (hits[0].score, hits[0].percentile)
    assert framed[0].start < found.ends[best] and framed[0].end > found.starts[best]
    assert all((2 * hit.start).is_integer() and 0 <= hit.start < hit.end <= 4.0 for hit in framed)
    with pytest.raises(SearchError, match="edges='both' is not one of"):
        index.moments(tmp_path / "long.wav", "rain", edges="both")


def test_moments_of_an_indexed_file_tell_what_is_known_of_it(place):
    sounds, index = place
    (sounds / "metadata.csv").write_text("file_name,license\ne.wav,CC0\n")
    index.update([sounds], progress=False)
    hits = index.moments(sounds / "e.wav", "a dog", min_percentile=0)
    assert hits and all((hit.license, hit.tags) == ("CC0", ("sounds",)) for hit in hits)


def test_the_exported_text_tower_answers_alike_without_torch(place, saved, tmp_path):
    pytest.importorskip("onnxruntime")
    from auricle.hub.onnx_export import export_onnx

    _, index = place
    export_onnx(saved[0], tmp_path / "onnx", towers=("text",))
    expected = index.search("a dog barks")
    code = (
        "import json, sys\n"
        "from auricle.search import SoundIndex\n"
        f"index = SoundIndex({str(index.directory)!r}, text_tower={str(tmp_path / 'onnx')!r})\n"
        "hits = index.search('a dog barks')\n"
        "assert not {'torch', 'transformers'} & set(sys.modules), sorted(sys.modules)\n"
        "print(json.dumps([[hit.path, hit.score] for hit in hits]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [path for path, _ in answers] == [hit.path for hit in expected]
    assert all(
        score == pytest.approx(hit.score, abs=1e-4) for (_, score), hit in zip(answers, expected, strict=True)
    )
    record = json.loads((tmp_path / "onnx" / "onnx.json").read_text())
    (tmp_path / "onnx" / "onnx.json").write_text(json.dumps({**record, "fingerprint": "0" * 64}))
    with pytest.raises(SearchError, match="is the text tower of another model"):
        SoundIndex(index.directory, text_tower=tmp_path / "onnx")


# -------------------------------------------------------------------------------- command line


def test_the_command_line_asks_and_writes(place, tmp_path):
    sounds, index = place
    where = ("--index", index.directory)
    done = run("search", "a dog barks", *where, "-k", "2", "--json", "--export", tmp_path / "hits.m3u")
    hits = json.loads(done.stdout)
    assert len(hits) == 2 and {"path", "start", "end", "score", "percentile"} <= set(hits[0])
    assert (tmp_path / "hits.m3u").read_text().splitlines()[4] == hits[0]["path"]
    assert " 1. " in run("similar", sounds / "e.wav", *where, "-k", "1").stdout
    assert "0:00.0-" in run("moments", sounds / "e.wav", "rain", "--min-percentile", 0, *where).stdout
    for name in ("all.parquet", "all.npz", "all.csv", "all.m3u"):
        run("index", sounds, *where, "--no-progress", "--export", tmp_path / name)
        assert (tmp_path / name).stat().st_size > 50
    with np.load(tmp_path / "all.npz") as held:
        entries = index.store.entries(held["path"].tolist())
        assert len(entries) == 5 and len(held["vector"]) == sum(
            len(entry.starts) for entry in entries.values()
        )
        for number, path in enumerate(held["path"].tolist()):
            own = held["path_index"] == number
            assert np.array_equal(held["vector"][own], entries[path].vectors)
            assert np.array_equal(held["start"][own], entries[path].starts)


def test_what_cannot_be_asked(place, saved, tmp_path):
    sounds, index = place
    where = ("--index", index.directory)
    assert "contains no words to search for" in run("search", "?!", *where, code=2).stderr
    missing = run("search", "dog", "--index", tmp_path / "none", code=2).stderr
    assert f"not an index (no folder of this name in {tmp_path})" in missing and "AURICLE_INDEX" in missing
    (tmp_path / "file").write_text("x")
    assert "not an index (a file)" in run("search", "dog", "--index", tmp_path / "file", code=2).stderr
    twice = run("search", "dog", *where, "--tag", "a", "--tag", "b", code=2).stderr
    assert "--tag" in twice and "given 2 times" in twice
    run("search", "dog", *where, "--metadata", "a=b", "--metadata", "c=d", code=3)
    assert "give a model with --model" in run("index", sounds, "--index", tmp_path / "none", code=2).stderr
    assert "no such file or folder" in run("index", tmp_path / "nowhere", *where, code=2).stderr
    assert (
        "the extension must be"
        in run("search", "dog", *where, "--export", tmp_path / "hits.doc", code=2).stderr
    )
    empty = tmp_path / "no sounds"
    empty.mkdir()
    options = ("--model", saved[0], "--index", tmp_path / "empty")
    assert "no sound file" in run("index", empty, *options, code=2).stderr
    assert "the index is empty" in run("search", "dog", "--index", tmp_path / "empty", code=2).stderr
    other = tmp_path / "other"
    model, processor = tiny_model_and_processor(tmp_path / "seed", seed=9)
    model.save_pretrained(other)
    processor.save_pretrained(other)
    assert "another fingerprint" in run("index", sounds, "--model", other, *where, code=2).stderr
    assert "another hop seconds" in run("index", sounds, *where, "--hop", "0.5", code=2).stderr
    shutil.rmtree(index.directory / "sounds.lance")
    (index.directory / "snapshot.arrow").unlink()
    assert "its table sounds.lance is missing" in run("search", "dog", *where, code=2).stderr
    (index.directory / "index.json").write_text("{")
    assert "is damaged" in run("search", "dog", *where, code=2).stderr
