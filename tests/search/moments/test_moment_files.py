"""Answers as files of players and editors, read back as those read them."""

import csv
import re
import shlex

import pytest

from auricle.search.errors import SearchError
from auricle.search.exports import export_hits
from auricle.search.query.hits import Hit


def hit(path, start, end, cosine=0.5):
    return Hit(path, start, end, cosine, cosine, None, 4000.0, ())


MOMENTS = [
    hit("/sounds/night long.flac", 3725.25, 3730.5, 0.61),
    hit("/sounds/night long.flac", 59.9996, 61.0, 0.5),
    hit("/sounds/night long.flac", 0.0, 2.5, 0.4),
]
FILES = [hit("/sounds/b.wav", 1.5, 4.0), hit("/sounds/a, 1.mp3", 0.0, 10.0), hit("/sounds/c.AIFF", 2.0, 3.0)]


def written(tmp_path, name, hits, title='a "car"\tpasses\nby'):
    export_hits(tmp_path / name, hits, title)
    return (tmp_path / name).read_text(encoding="utf-8")


def read_playlist(text):
    """As VLC: options hold for the entry that follows."""
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U"
    found, options, length = [], {}, None
    for line in lines[1:]:
        if line.startswith("#EXTVLCOPT:"):
            name, value = line.removeprefix("#EXTVLCOPT:").split("=")
            options[name] = float(value)
        elif line.startswith("#EXTINF:"):
            length = float(re.match(r"#EXTINF:(-?[\d.]+),", line)[1])
        elif not line.startswith("#"):
            found.append((line, options.pop("start-time"), options.pop("stop-time"), length))
    return found


def read_cue(text):
    found, path = [], None
    for line in text.splitlines():
        words = shlex.split(line, posix=True)
        if words[0] == "FILE":
            path, kind = words[1:]
        elif words[0] == "TRACK":
            assert words[1] == f"{len(found) + 1:02d}" and words[2] == "AUDIO"
        elif words[:2] == ["REM", "END"]:
            end = of_frames(words[2])
        elif words[:2] == ["INDEX", "01"]:
            found.append((path, kind, of_frames(words[2]), end))
    return found


def of_frames(text):
    minutes, seconds, frames = map(int, text.split(":"))
    assert seconds < 60 and frames < 75
    return minutes * 60 + seconds + frames / 75


def of_minutes(text):
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    assert float(text.split(":")[-1]) < 60
    return seconds


def test_a_playlist_plays_the_moments_in_their_order(tmp_path):
    found = read_playlist(written(tmp_path, "answers.m3u", FILES))
    assert [entry[0] for entry in found] == [one.path for one in FILES]
    for (_, start, end, length), one in zip(found, FILES, strict=True):
        assert (start, end, length) == (one.start, one.end, one.end - one.start)
    # A name of several lines stays one entry.
    [entry] = read_playlist(written(tmp_path, "lines.m3u", [hit("/sounds/two\nlines.wav", 0.0, 1.0)]))
    assert entry[0] == "file:///sounds/two%0Alines.wav"
    assert written(tmp_path, "none.m3u", []) == "#EXTM3U\n"


def test_a_cue_sheet_has_a_track_a_moment_by_file_and_time(tmp_path):
    found = read_cue(written(tmp_path, "moments.cue", MOMENTS))
    for (path, kind, start, end), one in zip(found, reversed(MOMENTS), strict=True):
        assert (path, kind) == (one.path, "WAVE")
        assert start == pytest.approx(one.start, abs=0.0067) and end == pytest.approx(one.end, abs=0.0067)
    kinds = [entry[1] for entry in read_cue(written(tmp_path, "files.cue", FILES))]
    assert kinds == ["WAVE", "MP3", "AIFF"]
    with pytest.raises(SearchError, match=r"all.cue: a CUE sheet holds 99 moments, not 100"):
        export_hits(tmp_path / "all.cue", FILES[:1] * 100)
    with pytest.raises(SearchError, match="cannot hold this path"):
        export_hits(tmp_path / "all.cue", [hit('/sounds/a "b".wav', 0.0, 1.0)])
    assert not (tmp_path / "all.cue").exists()


def test_labels_of_audacity(tmp_path):
    rows = [line.split("\t") for line in written(tmp_path, "labels.txt", MOMENTS).splitlines()]
    for (start, end, label), one in zip(rows, reversed(MOMENTS), strict=True):
        assert float(start) == pytest.approx(one.start, abs=1e-6) and float(end) == pytest.approx(one.end)
        assert label.startswith('a "car" passes by ') and f"({one.cosine:.3f})" in label


def test_regions_of_reaper(tmp_path):
    rows = list(csv.DictReader(written(tmp_path, "regions.Reaper.CSV", MOMENTS).splitlines()))
    assert list(rows[0]) == ["#", "Name", "Start", "End", "Length"]
    assert [row["#"] for row in rows] == ["R1", "R2", "R3"] and rows[2]["Start"] == "1:02:05.250"
    for row, one in zip(rows, reversed(MOMENTS), strict=True):
        start, end = of_minutes(row["Start"]), of_minutes(row["End"])
        assert (start, end) == (pytest.approx(one.start, abs=6e-4), pytest.approx(one.end, abs=6e-4))
        assert of_minutes(row["Length"]) == pytest.approx(end - start, abs=1e-6)


@pytest.mark.parametrize("name", ["labels.txt", "regions.reaper.csv"])
def test_labels_are_of_one_recording(tmp_path, name):
    with pytest.raises(SearchError, match="are of 3; use `auricle moments`"):
        export_hits(tmp_path / name, FILES)
    assert not (tmp_path / name).exists()
    # An ending that only looks like one of them is the table.
    export_hits(tmp_path / "reaper.csv", FILES)
    assert (tmp_path / "reaper.csv").read_text().startswith("path,start,end")
