"""Every window above the threshold, from memory and from disk, as CSV."""

import csv

import numpy as np
import pytest
from sound_libraries import library

from auricle.search.exports import export_detections
from auricle.search.refine import MarkTable, SavedSearches, refine
from auricle.search.refine.detections import HEADER, find_detections
from auricle.search.sound_index import SearchError, SoundIndex


@pytest.fixture(scope="module", params=[250_000, 10], ids=["in memory", "on disk"])
def learned(request, model, tmp_path_factory):
    """An index whose search has 30 marks that one direction tells apart."""
    pytest.importorskip("lancedb")
    folder = tmp_path_factory.mktemp("detections")
    index = SoundIndex.create(folder / "index", model, exact_windows=request.param)
    index.update([library(folder / "sounds", 30)], progress=False)
    SavedSearches(index).save("tones", "a dog barks")
    rows = [(path, index.store.entry(path)) for path in sorted(index.store.files())]
    centre = np.mean([entry.vectors.mean(axis=0) for _, entry in rows], axis=0)
    side = rows[0][1].vectors[0] - centre
    for path, entry in rows:
        fits = bool((entry.vectors[0] - centre) @ side > 0)
        MarkTable(index).add("tones", path, float(entry.starts[0]), float(entry.ends[0]), fits=fits)
    return index


def spelled_out(index, threshold):
    scorer = refine(index, "tones").scorer
    return sorted(
        (path, float(start))
        for path in index.store.files()
        for start, vector in zip(index.store.entry(path).starts, index.store.entry(path).vectors, strict=True)
        if float(scorer.score(np.float64(np.float32(vector) @ scorer.direction))) >= threshold
    )


def test_every_window_above_the_threshold_is_found(learned, tmp_path):
    found = find_detections(learned, "tones", precision=0.8)
    assert found.estimate is not None
    assert found.threshold == found.estimate.threshold
    assert list(zip(found.paths, found.starts, strict=True)) == spelled_out(learned, found.threshold)
    everything = find_detections(learned, "tones", threshold=0.0)
    assert len(everything) == everything.compared == len(spelled_out(learned, 0.0))
    found.write_csv(tmp_path / "out.csv")
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    assert tuple(header) == HEADER
    assert len(rows) == len(found) > 0
    marks = refine(learned, "tones").marks_by_window()
    for path, start, _, score, mark, digest in rows:
        assert float(score) >= found.threshold - 1e-6
        assert mark == {True: "fits", False: "does not fit", None: ""}[marks.get((path, float(start)))]
        assert digest == learned.store.files()[path]["digest"]


def test_detections_as_files_of_players_and_editors(learned, tmp_path):
    found = find_detections(learned, "tones", precision=0.8)
    hits = found.hits()
    assert [hit.score for hit in hits] == sorted(map(float, found.scores), reverse=True)
    export_detections(tmp_path / "all.m3u", found)
    lines = (tmp_path / "all.m3u").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [hit.path for hit in hits]
    assert f"#EXTVLCOPT:start-time={hits[0].start:.3f}" in lines
    export_detections(tmp_path / "all.csv", found)
    found.write_csv(tmp_path / "same.csv")
    assert (tmp_path / "all.csv").read_bytes() == (tmp_path / "same.csv").read_bytes()
    with pytest.raises(SearchError, match=r"one recording.*--path"):
        export_detections(tmp_path / "all.txt", found)
    one = find_detections(learned, "tones", threshold=0.0, filters={"glob": hits[0].path})
    export_detections(tmp_path / "one.txt", one)
    times = [
        tuple(map(float, row.split("\t")[:2])) for row in (tmp_path / "one.txt").read_text().splitlines()
    ]
    assert np.allclose(times, np.stack([one.starts, one.ends], axis=1), atol=1e-6)
    for name, message in (("out.wav", "must be .csv"), ("none/out.m3u", "does not exist")):
        with pytest.raises(SearchError, match=message):
            export_detections(tmp_path / name, found)
    marks = refine(learned, "tones").marks_by_window()
    assert found.unmarked == sum(
        (path, float(start)) not in marks for path, start in zip(found.paths, found.starts, strict=True)
    )


def test_filters_count(learned):
    some = find_detections(learned, "tones", threshold=0.0, filters={"glob": "*/more/*", "max_duration": 1.6})
    expected = [
        (path, start)
        for path, start in spelled_out(learned, 0.0)
        if "/more/" in path and learned.store.entry(path).duration <= 1.6
    ]
    assert list(zip(some.paths, some.starts, strict=True)) == expected
    assert 0 < some.compared == len(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": 0.0}, "precision 0: must be above 0"),
        ({"precision": 1.5}, "precision 1.5"),
        ({"threshold": 2.0}, "between 0 and 1"),
        ({"threshold": float("nan")}, "threshold nan: must be a finite number"),
    ],
)
def test_numbers_out_of_range_are_refused(learned, options, message):
    with pytest.raises(SearchError, match=message):
        find_detections(learned, "tones", **options)


def test_too_few_marks_are_refused_unless_a_threshold_is_given(learned, tmp_path):
    SavedSearches(learned).save("few", "a dog barks")
    hit = learned.search("a dog barks")[0]
    MarkTable(learned).add("few", hit.path, hit.start, hit.end)
    with pytest.raises(SearchError, match="too few marks to estimate a threshold: 1 fit"):
        find_detections(learned, "few")
    found = find_detections(learned, "few", threshold=-1.0)
    assert found.estimate is None
    assert "no precision is estimated: below 20 marks" in found.why_none
    assert len(found) == found.compared
    with pytest.raises(SearchError, match="must be a finite number"):
        find_detections(learned, "few", threshold=float("nan"))
    with pytest.raises(SearchError, match=r"out\.csv: the folder .*no_such does not exist"):
        found.write_csv(tmp_path / "no_such" / "out.csv")
    SavedSearches(learned).delete("few")
