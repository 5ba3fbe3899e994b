"""Metadata files beside the sounds of an index, and what is passed over: nothing is dropped in silence."""

import json
import os
import shutil
import unicodedata
from pathlib import Path

import pytest
from sound_libraries import contents, library, same
from tiny_models import write_sound
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.files.metadata_files import MetadataRow
from auricle.files.unread_files import unread_lines
from auricle.search.errors import SearchError
from auricle.search.sound_index import SoundIndex
from auricle.search.store.known_faults import FAULTS
from auricle.search.update.descriptions import read_descriptions
from auricle.search.update.metadata import description_of
from auricle.search.update.survey import survey

pytest.importorskip("lancedb")
STORED = unicodedata.normalize("NFD", "café.wav")
ROWS = """file_name,License,tags
café.wav,CC0,street;cups
 leading space.wav,CC-BY-4.0,a
PLAIN.WAV,CC0,b
not_there.wav,CC0,c
"""


@pytest.fixture
def names(tmp_path):
    """The names that people have: stored as macOS does, with a blank before, in another case, and of no file."""
    folder = tmp_path / "names"
    for seed, name in enumerate((STORED, " leading space.wav", "plain.wav")):
        write_sound(folder / name, 0.5, seed=seed)
    (folder / "metadata.csv").write_text(ROWS, encoding="utf-8")
    return folder


def described(folder, **options):
    return read_descriptions([(str(path), str(folder)) for path in sorted(folder.rglob("*.wav"))], **options)


def licenses(said, folder):
    return {os.path.relpath(path, folder): told.license for path, told in said.by_path.items()}


def test_names_of_all_kinds_find_their_metadata(names, model, tmp_path):
    index = SoundIndex.create(tmp_path / "index", model)
    report = index.update([names], progress=False)
    assert report.added == 3
    hits = {Path(hit.path).name: hit for hit in index.search("a", top=9)}
    assert {name: hit.license for name, hit in hits.items()} == {
        STORED: "CC0", " leading space.wav": "CC-BY-4.0", "plain.wav": "CC0",
    }  # fmt: skip
    assert hits[STORED].tags == ("names", "street", "cups") and not hits[STORED].metadata
    source = str(names / "metadata.csv")
    assert report.faults == [
        (source, "line 4: 'PLAIN.WAV' is taken for 'plain.wav', which differs in upper and lower case"),
        (source, "line 5: there is no file 'not_there.wav'"),
    ]
    assert [(row.line, row.used) for row in report.rows] == [(4, True), (5, False)]
    # Said each time, and nothing is done for it.
    again = index.update([names], progress=False)
    assert (again.unchanged, again.changes, again.windows) == (3, 0, 0) and again.faults == report.faults


def test_a_row_that_can_no_longer_be_used_takes_nothing_away_and_embeds_nothing(names, model, tmp_path):
    index = SoundIndex.create(tmp_path / "index", model)
    index.update([names], progress=False)
    before = contents(index)
    lines = ROWS.splitlines()
    lines[1] = 'café.wav,"CC0,street;cups'
    lines[2] = " leading space.wav,CC-BY-4.0,a,b"
    lines[3] = "plain.wav,CC-BY-4.0,b"
    (names / "metadata.csv").write_text("\n".join(lines), encoding="utf-8")

    def none(name):
        raise AssertionError("the model is not needed")

    report = SoundIndex(index.directory, loader=none).update([names], progress=False)
    assert (report.described, report.unchanged, report.windows) == (1, 2, 0)
    assert [(row.line, row.used) for row in report.rows] == [(2, False), (3, False), (5, False)]
    hits = {Path(hit.path).name: hit for hit in SoundIndex(index.directory).search("a", top=9)}
    assert {hit.license for hit in hits.values()} == {"CC0", "CC-BY-4.0"}
    assert hits[STORED].license == "CC0" and "cups" in hits[STORED].tags
    assert hits["plain.wav"].license == "CC-BY-4.0"
    assert same(before, contents(SoundIndex(index.directory)))
    # In a new index such a row says nothing.
    fresh = described(names)
    assert licenses(fresh, names) == {"plain.wav": "CC-BY-4.0"}
    assert set(fresh.kept) == {str(names / STORED), str(names / " leading space.wav")}


def test_what_an_index_was_made_with_is_known_again():
    """The hash of a row is what it was before headers were compared in any case: old indexes are left alone."""
    row = MetadataRow(
        2, {"file_name": "a.wav", "license": "CC0", "tags": "wet;loud", "place": "wood", "x": ""}
    )
    assert description_of(row).hash == "66a2580a41de7549"
    row = MetadataRow(1, {"file_name": "a.wav", "license": None, "take": 3, "tags": ["wet", "loud"]})
    assert description_of(row).hash == "875f0798fd599399" and description_of(row).tags == ("wet", "loud")


def test_of_several_rows_the_best_and_the_nearest_counts(tmp_path):
    folder = library(tmp_path / "sounds", 2)
    (folder / "metadata.csv").write_text(
        "file_name,license\nrain/a b.wav,far\nRAIN/A B.WAV,loose\nrain/it's.wav,one\nrain/it's.wav,two\n"
    )
    said = described(folder)
    assert licenses(said, folder) == {"rain/a b.wav": "far", "rain/it's.wav": "two"}
    assert [(row.line, row.used) for row in said.rows] == [(3, False), (4, False)]
    (folder / "rain" / "metadata.csv").write_text("file_name,license\na b.wav,near\nit's.wav,near\n")
    said = described(folder)
    assert licenses(said, folder) == {"rain/a b.wav": "near", "rain/it's.wav": "near"}
    (outdone,) = [row for row in said.rows if "describes the same sound" in row.reason]
    assert (outdone.file, outdone.line) == (str(folder / "metadata.csv"), 2) and "1 more rows" in outdone.text


def test_rows_about_what_is_not_looked_at_are_no_faults(tmp_path):
    folder = library(tmp_path / "sounds", 4)
    (folder / "metadata.csv").write_text(
        "file_name,license\nrain/a b.wav,CC0\nrain/gone.wav,CC0\ndogs/gone.wav,CC0\n"
        f"{tmp_path / 'other.wav'},CC0\nrain,CC0\nrain/notes.xyz,CC0\n"
    )
    (folder / "rain" / "notes.xyz").touch()
    files = [(str(path), str(folder)) for path in (folder / "rain").glob("*.wav")]
    said = read_descriptions(files, [str(folder / "rain")])
    assert [row.text for row in said.rows] == [
        "line 3: there is no file 'rain/gone.wav'",
        "line 6: 'rain' is a folder",
        "line 7: 'rain/notes.xyz' exists, but is not an audio file that is read",
    ]
    assert len(described(folder).rows) == 4


def test_what_is_not_read_is_counted(model, tmp_path):
    sounds = library(tmp_path / "sounds", 3)
    for name in ("a.xyz", "b.xyz", "song.mid", "notes.txt", ".hidden.xyz", "rain/._a b.wav", ".git/c.xyz"):
        (sounds / name).parent.mkdir(exist_ok=True)
        (sounds / name).touch()
    index = SoundIndex.create(sounds / "index", model)
    for _ in range(2):
        # The index's own files lie in the folder, and are none of it.
        report = index.update([sounds], progress=False)
        assert not report.faults and unread_lines(report.unread) == [
            "1 file of sound or video that this installation cannot read: .mid (1)",
            "1 file that macOS wrote next to audio files (AppleDouble, '._' before the name): .wav (1)",
            "2 files with endings that are not read: .xyz (2)",
        ]
    with pytest.raises(
        SearchError, match=r"no sound file .*; 1 file with endings that are not read: \.xyz \(1\)"
    ):
        (tmp_path / "none").mkdir()
        (tmp_path / "none" / "a.xyz").touch()
        SoundIndex.create(tmp_path / "other", model).update([tmp_path / "none"], progress=False)


def test_a_sound_that_this_installation_no_longer_reads_stays(tmp_path):
    sounds = library(tmp_path / "sounds", 1)
    other = Path(shutil.copy(sounds / "rain" / "a b.wav", sounds / "b.m4a"))
    known = {str(other): {"root": str(sounds)}}
    found = survey([str(sounds)], frozenset({".wav"}), known, prune=False)
    assert [path for path, _ in found.faults] == [str(other)] and "stay in the index" in found.faults[0][1]
    assert [file.path for file in found.unread] == [str(other)]
    assert not survey([str(sounds)], frozenset({".wav"}), {}, prune=False).faults


def test_a_fault_is_looked_at_again_when_a_neighbour_or_a_decoder_changes(model, tmp_path):
    sounds = library(tmp_path / "sounds", 2)
    (sounds / "take.mp3").write_bytes(b"no sound")
    (sounds / "._take.mp3").write_bytes(b"\0\5\26\7")
    (sounds / "taken.txt").write_text("not its neighbour")
    index, tried = SoundIndex.create(tmp_path / "index", model), []
    plain = index._embed_files

    def embed(paths):
        paths = list(paths)
        tried.extend(os.path.basename(path) for path in paths)
        return plain(iter(paths))

    index._embed_files = embed

    def update():
        tried.clear()
        report = index.update([sounds], progress=False)
        assert [os.path.basename(path) for path, _ in report.faults] == ["take.mp3"]
        return tried

    assert "take.mp3" in update() and update() == []
    (sounds / "taken.txt").write_text("still not its neighbour")
    write_sound(sounds / "other.wav", 0.5, seed=77)
    assert update() == ["other.wav"]
    (sounds / "._take.mp3").unlink()
    assert update() == ["take.mp3"] and update() == []
    (sounds / "take.cue").write_text("beside it")
    assert update() == ["take.mp3"] and update() == []
    # What an older version of this package wrote, or another decoder.
    kept = json.loads((tmp_path / "index" / FAULTS).read_text())
    assert "auricle" in kept["decoder"] and "libsndfile" in kept["decoder"]
    old = {"decoder": "1.2.2", "faults": {path: fault[:3] for path, fault in kept["faults"].items()}}
    (tmp_path / "index" / FAULTS).write_text(json.dumps(old))
    assert update() == ["take.mp3"] and update() == []


def test_the_command_says_it_in_lines_and_lists_it_as_json(names, model, tmp_path):
    (names / "a.xyz").touch()
    for name in ("empty.wav", "none.wav"):
        (names / name).touch()
    with open(names / "metadata.csv", "a", encoding="utf-8") as file:
        file.write("".join(f"gone {number}.wav,CC0,\n" for number in range(40)))
    arguments = ["index", names, "--model", model, "--index", tmp_path / "index", "--no-progress"]
    done = CliRunner().invoke(app, [*map(str, arguments), "--json", str(tmp_path / "report.json")])
    assert done.exit_code == 0, done.output
    lines = done.stderr.splitlines()
    source = names / "metadata.csv"
    assert f"  not used: {source}, line 5: there is no file 'not_there.wav'" in lines
    assert f"  and 22 more rows of {source}; --json lists them" in lines
    assert any(line.startswith(f"  skipped {names / 'empty.wav'}: ") for line in lines)
    assert lines[-2:] == [
        "2 files skipped: is empty: .wav (2)",
        "1 file with endings that are not read: .xyz (1)",
    ]
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["added"] == 3 and len(report["rows"]) == 42
    assert report["unread"] == [
        {"path": str(names / "a.xyz"), "reason": "with endings that are not read", "ending": ".xyz"}
    ]
    assert [entry["path"] for entry in report["skipped"]] == [
        str(names / name) for name in ("empty.wav", "none.wav")
    ]
    assert [row["line"] for row in report["rows"] if row["used"]] == [4]
