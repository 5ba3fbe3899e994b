"""What is told of sounds beside how they sound, and asking by it: in memory and by the table's own search alike."""

import json

import pytest
import soundfile
from sound_libraries import library
from tiny_models import saved_tiny_model, sound, write_sound

from auricle.search.errors import SearchError
from auricle.search.query.filters import Filters
from auricle.search.sound_index import SoundIndex
from auricle.search.store.vector_index import NAME
from auricle.search.update.descriptions import read_descriptions
from auricle.search.update.metadata import Description

pytest.importorskip("lancedb")
SENTENCES = ["a dog barks", "rain falls on a roof"]
FILTERS = {
    "none": {},
    "glob": {"glob": "*/more/0?[5-9].wav"},
    "glob with a dot": {"glob": "*.wav"},
    "glob without": {"glob": "*/more/01[!5-9].wav"},
    "glob with quotes": {"glob": '*/"quoted".wav'},
    "glob with an emoji": {"glob": "*é🐕*"},
    "glob with signs of the table's own": {"glob": "*/more/0[&~-]*"},
    "glob of a caret": {"glob": "*[^n]*"},
    "glob of a range": {"glob": "*/[a-m]*/0[0-2][!0-3].wav"},
    "glob of two signs": {"glob": "*[0&&]*"},
    "glob of a range backwards": {"glob": "*[z-a]*"},
    "glob of no range": {"glob": "*/more/[!z-a]05.wav"},
    "glob of a bracket": {"glob": "*[]0]*"},
    "tag": {"tag": "rain"},
    "tag of the metadata": {"tag": "night's"},
    "durations": {"min_duration": 1.0, "max_duration": 2.0},
    "license": {"license": "CC BY 4.0"},
    "metadata": {"metadata": {"place": 'a "wood", at night'}},
    "metadata twice": {"metadata": {"place": 'a "wood", at night', "year": "2021"}},
    "all": {"license": "CC0", "max_duration": 1.5, "glob": "*/more/*"},
    "file type": {"file_type": ".WAV", "max_duration": 1.5},
    "file type of nobody": {"file_type": "flac"},
    "nobody": {"license": "CC BY 3.0"},
}

NOBODY = {"nobody", "file type of nobody", "glob with signs of the table's own", "glob of a range backwards"}


@pytest.fixture(scope="module")
def indexes(tmp_path_factory):
    """Forty files, some of them described; one index that compares all windows, and one that estimates."""
    root = tmp_path_factory.mktemp("described")
    saved_tiny_model(root / "model", projection_dim=16)
    sounds = library(root / "sounds", 40)
    (sounds / "metadata.csv").write_text(
        "file_name,license,tags,place,year\n"
        'rain/a b.wav,CC BY 4.0,"night\'s;close","a ""wood"", at night",2021\n'
        'more/005.wav,CC BY 4.0,,"a ""wood"", at night",2022\n'
        + "".join(f"more/{number:03}.wav,CC0,,,\n" for number in range(10, 30))
        + "more/nowhere.wav,CC0,,,\n"
    )
    made = {}
    for name, windows in (("exact", 250_000), ("approximate", 20)):
        made[name] = SoundIndex.create(root / name, str(root / "model"), exact_windows=windows)
        made[name].update([sounds], progress=False)
    return sounds, made["exact"], made["approximate"]


def answered(hits):
    return [
        (hit.path, hit.start, pytest.approx(hit.score, abs=1e-4), hit.license, hit.metadata) for hit in hits
    ]


@pytest.mark.parametrize("name", FILTERS)
def test_the_table_leaves_what_memory_leaves(indexes, name):
    _, exact, approximate = indexes
    assert approximate.store.approximate and not exact.store.approximate
    for sentence in SENTENCES:
        expected = exact.search(sentence, top=40, **FILTERS[name])
        assert bool(expected) == (name not in NOBODY)
        assert answered(approximate.search(sentence, top=40, **FILTERS[name])) == answered(expected)
        assert answered(approximate.search(sentence, top=40, exact=True, **FILTERS[name])) == answered(
            expected
        )


def test_asking_says_nothing_beside_the_answer(indexes, capfd):
    capfd.readouterr()
    assert indexes[2].search(SENTENCES[0], min_duration=0.1)
    assert "WARN" not in "".join(capfd.readouterr())


def test_an_estimating_index_ranks_by_names_and_against_sentences_alike(indexes):
    sounds, exact, approximate = indexes
    for options in (
        {"names": True},
        {"names": True, "min_score": 0.02},
        {"negative": ["an engine"]},
        {"min_score": 0.01},
        {"file": sounds / "e.wav"},
    ):
        expected = exact.search("bark", top=12, **options)
        assert expected and answered(approximate.search("bark", top=12, **options)) == answered(expected)
    source = sounds / "more" / "007.wav"
    assert answered(approximate.similar(source, top=5)) == answered(exact.similar(source, top=5))
    assert approximate.tags == exact.tags and len(approximate) == len(exact) == 40


def test_an_estimating_index_follows_its_folder(indexes, tmp_path):
    model = indexes[1].store.record["model"]
    copy = library(tmp_path / "sounds", 30)
    index = SoundIndex.create(tmp_path / "index", model, exact_windows=20)
    index.update([copy], progress=False)
    new = write_sound(copy / "new.wav", 1.0, seed=999)
    (copy / "e.wav").unlink()
    report = index.update([copy], progress=False)
    assert (report.added, report.removed, report.unchanged) == (1, 1, 29)
    assert index.similar(new, top=40) and str(copy / "e.wav") not in {
        hit.path for hit in index.search("a", top=40)
    }
    assert str(new) in {hit.path for hit in index.search("a dog", top=40)}
    assert any(held.name == NAME for held in index.store.table.list_indices())


def test_what_is_told_of_a_sound_comes_with_the_answer(indexes):
    sounds, index, _ = indexes
    hits = {hit.path: hit for hit in index.search("a dog", top=40)}
    told = hits[str(sounds / "rain" / "a b.wav")]
    assert told.license == "CC BY 4.0" and told.metadata == {"place": 'a "wood", at night', "year": "2021"}
    assert told.tags == ("sounds", "rain", "night's", "close")
    assert hits[str(sounds / "e.wav")].license is None and not hits[str(sounds / "e.wav")].metadata


def test_new_words_about_an_old_sound_cost_no_embedding(tmp_path):
    saved_tiny_model(tmp_path / "model")
    sounds = library(tmp_path / "sounds", 3)
    index = SoundIndex.create(tmp_path / "index", str(tmp_path / "model"))
    index.update([sounds], progress=False)
    lines = [{"file_name": "a b.wav", "license": "CC0", "tags": ["wet", "loud"], "take": 3}]
    (sounds / "rain" / "metadata.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    report = index.update([sounds], progress=False)
    assert (report.described, report.unchanged, report.windows) == (1, 2, 0)
    hit = index.search("dog", tag="wet")[0]
    assert hit.license == "CC0" and hit.metadata == {"take": "3"} and "loud" in hit.tags
    assert index.update([sounds], progress=False).unchanged == 3
    (sounds / "rain" / "metadata.jsonl").unlink()
    assert index.update([sounds], progress=False).described == 1 and not index.search("dog", tag="wet")


def test_a_metadata_file_that_cannot_be_read_is_listed(tmp_path):
    saved_tiny_model(tmp_path / "model")
    sounds = library(tmp_path / "sounds", 4)
    (sounds / "metadata.csv").write_text("name,license\nrain/a b.wav,CC0\n")
    (sounds / "rain" / "metadata.jsonl").write_text('{"file_name": "a b.wav"}\n[1]\n')
    (sounds / "dogs" / "metadata.csv").write_bytes(b"file_name,place\n\xff\xfe,x\n")
    index = SoundIndex.create(tmp_path / "index", str(tmp_path / "model"))
    report = index.update([sounds], progress=False)
    assert report.added == 4
    faults = dict(report.faults)
    assert "has no column file_name" in faults[str(sounds / "metadata.csv")]
    assert "line 2" in faults[str(sounds / "rain" / "metadata.jsonl")]
    assert "line 2: not valid UTF-8" in faults[str(sounds / "dogs" / "metadata.csv")]


def test_the_nearest_metadata_file_counts(tmp_path):
    sounds = library(tmp_path / "sounds", 2)
    (sounds / "metadata.csv").write_text("file_name,license\nrain/a b.wav,far\nrain/it's.wav,far\n")
    (sounds / "rain" / "metadata.csv").write_text("file_name,license\na b.wav,near\n")
    paths = [(str(path), str(sounds)) for path in sounds.rglob("*.wav")]
    said = read_descriptions(paths)
    licenses = {path.rsplit("/", 1)[1]: told.license for path, told in said.by_path.items()}
    assert licenses == {"a b.wav": "near", "it's.wav": "far"} and not said.unread


def test_fields_of_the_sound_file_itself(tmp_path):
    saved_tiny_model(tmp_path / "model")
    (tmp_path / "sounds").mkdir()
    with soundfile.SoundFile(tmp_path / "sounds" / "one.flac", "w", 8000, 1) as file:
        file.title, file.artist, file.license = "A dog", "Somebody", "CC0"
        file.write(sound(0.5, seed=1))
    index = SoundIndex.create(tmp_path / "index", str(tmp_path / "model"))
    index.update([tmp_path / "sounds"], progress=False)
    hit = index.search("dog", metadata={"artist": "Somebody"})[0]
    assert hit.license == "CC0" and hit.metadata["title"] == "A dog"
    assert index.search("dog", metadata={"artist": "Some"}) == []


def test_an_unknown_filter_is_named():
    with pytest.raises(SearchError, match="'size' is not a filter"):
        Filters.of({"size": 3})
    assert Filters.of({"tag": None}).sql() is None
    assert Description().hash == ""
