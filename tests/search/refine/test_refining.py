"""Refined answers: without marks, with filters, of large indexes, of other models, of indexes that moved."""

import json
import shutil

import numpy as np
import pytest
from sound_libraries import library
from tiny_models import saved_tiny_model, write_sound

from auricle.search.refine import MarkTable, SavedSearches, least_sure, refine, refined_answers
from auricle.search.refine.saved_searches import FILE
from auricle.search.sound_index import SearchError, SoundIndex
from auricle.search.store.write_lock import MARKS


def brute_force(index, direction, *, filters=lambda path: True, marked=()):
    """Path and start of the best windows of files, spelled out."""
    best = []
    for path in index.store.files():
        entry = index.store.entry(path)
        rows = [
            (float(np.float32(vector) @ direction), float(start))
            for vector, start in zip(entry.vectors, entry.starts, strict=True)
            if filters(path) and (path, float(start)) not in marked
        ]
        if rows:
            best.append((max(rows), path))
    return [(path, start) for (_, start), path in sorted(best, key=lambda one: -one[0][0])]


def mark(index, name, count, *, fits=lambda place: place % 2 == 0, question="a dog barks"):
    """Marks windows of all files in turn, and returns path and start of each."""
    windows = [
        (path, float(start), float(end))
        for path in sorted(index.store.files())
        for start, end in zip(index.store.entry(path).starts, index.store.entry(path).ends, strict=True)
    ][:count]
    for place, (path, start, end) in enumerate(windows):
        MarkTable(index).add(name, path, start, end, fits=fits(place))
    return {(path, start) for path, start, _ in windows}


@pytest.fixture(scope="module")
def thirty(model, tmp_path_factory):
    """Thirty files and their index, with a search."""
    pytest.importorskip("lancedb")
    folder = tmp_path_factory.mktemp("thirty")
    sounds = library(folder / "sounds", 30)
    index = SoundIndex.create(folder / "index", model)
    index.update([sounds], progress=False)
    SavedSearches(index).save("dogs", "a dog barks")
    return sounds, index.directory


@pytest.fixture
def larger(thirty, tmp_path):
    """The same in an index of the test's own."""
    sounds, directory = thirty
    shutil.copytree(directory, tmp_path / "index")
    return sounds, SoundIndex(tmp_path / "index")


def places(hits):
    return [(hit.path, hit.start) for hit in hits]


def test_without_marks_the_question_is_asked(larger):
    _, index = larger
    plain, refined = index.search("a dog barks", top=7), refined_answers(index, "dogs", 7)
    assert places(refined) == places(plain)
    np.testing.assert_allclose([hit.score for hit in refined], [hit.score for hit in plain], atol=1e-6)
    # What to mark first is what answers best.
    assert places(least_sure(index, "dogs", 7)) == places(plain)
    assert refine(index, "dogs").summary() == "0 windows fit, 0 do not; ranked by the query"


@pytest.mark.parametrize(("count", "method"), [(6, "rocchio"), (24, "probe")])
def test_refined_answers_are_those_of_the_classifier(larger, count, method):
    _, index = larger
    marked = mark(index, "dogs", count)
    learned = refine(index, "dogs")
    assert learned.method == method
    assert places(learned.answers(100)) == brute_force(index, learned.scorer.direction)
    left = brute_force(index, learned.scorer.direction, marked=marked)
    assert places(learned.answers(100, unmarked=True)) == left
    assert places(learned.answers(5, unmarked=True)) == left[:5]
    some = learned.answers(100, {"glob": "*/more/*", "max_duration": 2.2})
    expected = brute_force(
        index,
        learned.scorer.direction,
        filters=lambda path: "/more/" in path and index.store.entry(path).duration <= 2.2,
    )
    assert places(some) == expected
    assert 0 < len(some) < 30
    if method == "probe":
        assert all(0 <= hit.score <= 1 for hit in some)
        assert some[0].score == pytest.approx(float(learned.scorer.score(np.float64(some[0].cosine))))
    least = float(np.median([hit.score for hit in some]))
    kept = learned.answers(100, {"glob": "*/more/*", "max_duration": 2.2}, min_score=least)
    assert [hit.score for hit in kept] == [hit.score for hit in some if hit.score >= least]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top": 0}, "top=0"),
        ({"top": 2.5}, "top=2.5"),
        ({"min_score": "high"}, "min_score='high'"),
        ({"filters": {"colour": "red"}}, "'colour' is not a filter"),
    ],
)
def test_options_that_cannot_be_used_are_named(larger, options, message):
    _, index = larger
    learned = refine(index, "dogs")
    with pytest.raises(SearchError, match=message):
        learned.answers(**options)
    if "min_score" not in options:
        with pytest.raises(SearchError, match=message):
            learned.least_sure(**options)


def test_the_same_marks_give_the_same_answers(larger):
    _, index = larger
    mark(index, "dogs", 24)
    one, two = refine(index, "dogs"), refine(SoundIndex(index.directory), "dogs")
    assert np.array_equal(one.scorer.direction, two.scorer.direction)
    assert one.answers(30) == two.answers(30)
    assert one.least_sure(30) == two.least_sure(30)


@pytest.mark.parametrize("count", [4, 24])
def test_the_least_sure_are_unmarked_and_near_the_boundary(larger, count):
    _, index = larger
    marked = mark(index, "dogs", count)
    learned = refine(index, "dogs")
    hits = learned.least_sure(200)
    assert not marked & set(places(hits))
    assert len(hits) + count == sum(len(index.store.entry(path).starts) for path in index.store.files())
    first = hits[: len({hit.path for hit in hits})]
    assert len({hit.path for hit in first}) == len(first)
    away = [abs(float(learned.scorer.raw(np.float64(hit.cosine))) - learned.scorer.boundary) for hit in first]
    assert away == sorted(away)
    assert learned.least_sure(3, {"tag": "rain"}) == [hit for hit in hits if "rain" in hit.tags][:3]


def test_marks_teach(larger):
    """What is marked as fitting rises, what is marked as not fitting falls; and so does what is like it."""
    _, index = larger
    before = [hit.path for hit in refined_answers(index, "dogs", 30)]
    table = MarkTable(index)
    wanted, unwanted = before[-1], before[0]
    for path, fits in ((wanted, True), (unwanted, False)):
        entry = index.store.entry(path)
        for start, end in zip(entry.starts, entry.ends, strict=True):
            table.add("dogs", path, start, end, fits=fits)
    after = [hit.path for hit in refined_answers(index, "dogs", 30)]
    assert after.index(wanted) < before.index(wanted)
    assert after.index(unwanted) > before.index(unwanted)


def test_a_large_index_is_asked_on_disk(model, tmp_path):
    sounds = library(tmp_path / "sounds", 30)
    index = SoundIndex.create(tmp_path / "index", model, exact_windows=10)
    index.update([sounds], progress=False)
    assert index.store.approximate
    SavedSearches(index).save("dogs", "a dog barks")
    marked = mark(index, "dogs", 24)
    learned = refine(index, "dogs")
    assert learned.method == "probe"
    assert places(learned.answers(10, exact=True)) == brute_force(index, learned.scorer.direction)[:10]
    assert not marked & set(places(learned.answers(10, unmarked=True)))
    hits = learned.least_sure(100)
    assert not marked & set(places(hits))
    assert len(hits) + 24 == sum(len(index.store.entry(path).starts) for path in index.store.files())


def test_a_search_keeps_its_filters_and_what_is_unwanted(larger):
    _, index = larger
    searches = SavedSearches(index)
    searches.save("some", "a dog barks -rain", filters={"tag": "more", "min_duration": 0})
    assert searches.get("some").filters == {"tag": "more"}
    plain = index.search("a dog barks -rain", tag="more", top=50)
    assert places(refined_answers(index, "some", 50)) == places(plain)
    assert {hit.tags[-1] for hit in refined_answers(index, "some", 50, {"tag": "rain"})} == {"rain"}
    searches.save("whole", "a dog barks", rank="clip")
    assert places(refined_answers(index, "whole", 50)) == places(
        index.search("a dog barks", top=50, rank="clip")
    )
    assert searches.names() == ["dogs", "some", "whole"]


def test_a_search_by_marks_alone(larger):
    _, index = larger
    searches = SavedSearches(index)
    searches.save("by ear")
    with pytest.raises(SearchError, match="neither a query nor a mark"):
        refine(index, "by ear")
    hit = index.search("rain falls")[0]
    MarkTable(index).add("by ear", hit.path, hit.start, hit.end)
    assert places(refined_answers(index, "by ear", 1)) == [(hit.path, hit.start)]


def test_a_search_by_a_vector(larger):
    _, index = larger
    path = sorted(index.store.files())[3]
    entry = index.store.entry(path)
    SavedSearches(index).save("like it", f"sound: {path}", vector=entry.vectors[0])
    assert refined_answers(index, "like it", 1)[0].path == path
    with pytest.raises(SearchError, match=r"must have unit length and shape \(12,\)"):
        SavedSearches(index).save("like it", vector=entry.vectors[0] * 2)
    with pytest.raises(SearchError, match=r"must have unit length and shape \(12,\)"):
        SavedSearches(index).save("like it", vector=entry.vectors[0][:4])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("", "rain"), {}, "name of a search"),
        (("x" * 101, "rain"), {}, "1 to 100 characters"),
        (("rain", "-thunder"), {}, "has only unwanted words"),
        (("rain", "rain"), {"filters": {"colour": "red"}}, "'colour' is not a filter"),
        (("rain", "rain"), {"rank": "best"}, "rank 'best'"),
    ],
)
def test_a_search_that_cannot_be_saved_says_why(made, arguments, options, message):
    _, index = made
    with pytest.raises(SearchError, match=message):
        SavedSearches(index).save(*arguments, **options)
    assert not (index.directory / FILE).exists()


def test_an_unknown_search_names_those_there_are(larger):
    _, index = larger
    with pytest.raises(SearchError, match="has no saved search 'cats'; saved are: 'dogs'"):
        refine(index, "cats")


def test_a_deleted_search_takes_its_marks_along(larger):
    _, index = larger
    SavedSearches(index).save("rain", "rain falls")
    mark(index, "dogs", 3)
    mark(index, "rain", 2)
    assert SavedSearches(index).delete("dogs") == 3
    assert SavedSearches(index).names() == ["rain"]
    SavedSearches(index).save("dogs", "a dog barks")
    assert refine(index, "dogs").matched.marks == []
    assert len(refine(index, "rain").matched) == 2


def test_an_index_that_moved_answers_as_before(larger, model, tmp_path):
    """Its saved searches hold their vectors: the model is not even loaded."""
    _, index = larger
    mark(index, "dogs", 24)
    before = refined_answers(index, "dogs", 30)
    shutil.copytree(index.directory, tmp_path / "elsewhere")

    def refuse(*arguments, **options):
        raise AssertionError("no model is needed")

    moved = SoundIndex(tmp_path / "elsewhere", loader=refuse)
    assert refined_answers(moved, "dogs", 30) == before
    assert least_sure(moved, "dogs") == least_sure(index, "dogs")


def test_marks_outlive_an_index_that_is_made_anew(larger, model):
    """Whatever else is removed from its folder, they stay, and the folder can be used again."""
    sounds, index = larger
    mark(index, "dogs", 24)
    before = refined_answers(index, "dogs", 30)
    index.close()
    kept = {"marks.jsonl", FILE, "marks.lock"}
    assert kept <= MARKS
    for path in index.directory.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    fresh = SoundIndex.create(index.directory, model)
    fresh.update([sounds], progress=False)
    assert refined_answers(fresh, "dogs", 30) == before


def test_marks_and_searches_of_another_models_index(larger, tmp_path):
    """Marks count by content; the question is embedded anew, or the search is refused in one line."""
    sounds, index = larger
    mark(index, "dogs", 6)
    path = next(iter(index.store.files()))
    SavedSearches(index).save_sound("like it", path)
    SavedSearches(index).save("gone", "sound: /no/such.wav", vector=index.embed_texts(["rain"])[0])
    saved_tiny_model(tmp_path / "other", seed=1)
    other = SoundIndex.create(tmp_path / "other index", str(tmp_path / "other"))
    other.update([sounds], progress=False)
    for name in (FILE, "marks.jsonl"):
        shutil.copy(index.directory / name, tmp_path / "other index" / name)
    shutil.move(tmp_path / "other", tmp_path / "away")
    broken = SoundIndex(tmp_path / "other index")
    with pytest.raises(
        SearchError, match="'dogs' was embedded by another model.*cannot be embedded again"
    ) as told:
        refine(broken, "dogs")
    assert "\n" not in str(told.value)
    shutil.move(tmp_path / "away", tmp_path / "other")
    learned = refine(other, "dogs")
    assert learned.method == "rocchio"
    np.testing.assert_array_equal(learned.search.vectors, other.embed_texts(["a dog barks"]))
    assert learned.remarks() == [
        "6 marks were set in an index of another model, and matched by content and time."
    ]
    # It is kept: a program without the model asks it now.
    shutil.rmtree(tmp_path / "other")
    assert refined_answers(SoundIndex(tmp_path / "other index"), "dogs") == learned.answers()
    # The index has that sound: no model is needed for its vector.
    assert refined_answers(SoundIndex(tmp_path / "other index"), "like it", 1)[0].path == path
    with pytest.raises(SearchError, match="'gone' was embedded by another model.*cannot be embedded again"):
        refine(SoundIndex(tmp_path / "other index"), "gone")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is damaged"),
        (b'{"format": "something"}', "another kind"),
        (b'{"format": "auricle searches", "version": 1, "searches": [{"question": "x"}]}', "is damaged"),
        (
            b'{"format": "auricle searches", "version": 1, "searches": [{"name": "x", "vectors": [[null]]}]}',
            "the vector of 'x'",
        ),
        (b'{"format": "auricle searches", "version": 2, "searches": []}', "upgrade auricle"),
    ],
)
def test_a_damaged_file_of_searches_is_told_in_one_line(made, content, message):
    _, index = made
    (index.directory / FILE).write_bytes(content)
    for act in (SavedSearches(index).names, lambda: SavedSearches(index).save("rain", "rain falls")):
        with pytest.raises(SearchError, match=message) as told:
            act()
        assert "\n" not in str(told.value)
    assert (index.directory / FILE).read_bytes() == content


def test_what_is_kept_is_plain_json(larger):
    _, index = larger
    kept = json.loads((index.directory / FILE).read_text())
    (search,) = kept["searches"]
    assert (kept["format"], kept["version"], search["name"]) == ("auricle searches", 1, "dogs")
    assert search["fingerprint"] == index.store.record["fingerprint"]
    np.testing.assert_array_equal(np.float32(search["vectors"]), index.embed_texts(["a dog barks"]))


def test_an_empty_index_says_so(model, tmp_path):
    pytest.importorskip("lancedb")
    sounds = write_sound(tmp_path / "sounds" / "a.wav", 1.0).parent
    index = SoundIndex.create(tmp_path / "index", model)
    SavedSearches(index).save("dogs", "a dog barks")
    with pytest.raises(SearchError, match="the index is empty"):
        refined_answers(index, "dogs")
    assert least_sure(index, "dogs") == []
    index.update([sounds], progress=False)
    assert len(refined_answers(index, "dogs")) == 1
