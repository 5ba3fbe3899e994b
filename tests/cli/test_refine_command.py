"""`auricle refine` and `auricle detections`: all that a person at a terminal does."""

import csv
import json
import re

import numpy as np
import pytest
from sound_libraries import library
from tiny_models import saved_tiny_model
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.search.sound_index import SoundIndex


@pytest.fixture(scope="module")
def thirty(tmp_path_factory):
    """Thirty files and their index."""
    pytest.importorskip("lancedb")
    folder = tmp_path_factory.mktemp("cli")
    saved_tiny_model(folder / "model")
    index = SoundIndex.create(folder / "index", str(folder / "model"))
    index.update([library(folder / "sounds", 30)], progress=False)
    return index


def run(index, *arguments, code=0, **options):
    done = CliRunner().invoke(app, [*map(str, arguments), "--index", str(index.directory)], **options)
    assert done.exit_code == code, (done.output, done.exception)
    return done


def shown(output):
    """Marks and moments of printed results."""
    return re.findall(r"^ *\d+\. +-?[\d.]+  (.{12})  (.*)$", output, re.M)


def test_a_search_is_made_marked_and_listed(thirty):
    done = run(thirty, "refine", "dogs", "--question", "a dog barks", "-k", 5)
    assert done.stdout.splitlines()[0] == "dogs: 0 windows fit, 0 do not; ranked by the query"
    first = shown(done.stdout)
    assert [sign.strip() for sign, _ in first] == [""] * 5
    # Results are printed as --fits and --misfit take them.
    done = run(thirty, "refine", "dogs", "--fits", first[1][1], "--misfit", first[0][1], "-k", 30)
    assert done.stdout.startswith("dogs: 1 window fits, 1 does not; ranked by the query, moved")
    signs = {moment: sign.strip() for sign, moment in shown(done.stdout)}
    assert signs[first[1][1]] == "fits"
    assert len(signs) == 30
    left = [moment for _, moment in shown(run(thirty, "refine", "dogs", "--unmarked", "-k", 40).stdout)]
    assert left and not {first[0][1], first[1][1]} & set(left)
    unsure = [moment for _, moment in shown(run(thirty, "refine", "dogs", "--least-sure").stdout)]
    assert len(unsure) == 10 and not {first[0][1], first[1][1]} & set(unsure)
    done = run(thirty, "refine", "dogs", "--marks")
    assert [line.split("  ")[1].strip() for line in done.stdout.splitlines()] == ["fits", "does not fit"]
    assert run(thirty, "refine").stdout == "dogs: 'a dog barks', 1 fit, 1 do not\n"
    assert not run(thirty, "refine", "dogs", "--unmark", first[0][1]).stderr
    again = run(thirty, "refine", "dogs", "--unmark", first[0][1])
    assert again.stderr == f"{first[0][1]}: has no mark in 'dogs'.\n"
    path = first[0][1].rpartition("#t=")[0]
    late = run(thirty, "refine", "dogs", "--fits", f"{path}#t=900,901", code=2)
    assert re.search(r"the moment starts at 900 s, but the file ends at \d+\.\d\d s", late.stderr)
    assert run(thirty, "refine").stdout == "dogs: 'a dog barks', 1 fit, 0 do not\n"
    # A new question keeps the marks.
    run(thirty, "refine", "dogs", "--question", "rain falls", "--tag", "more")
    assert run(thirty, "refine").stdout == "dogs: 'rain falls', 1 fit, 0 do not, filters {'tag': 'more'}\n"
    assert {"/more/" in moment for _, moment in shown(run(thirty, "refine", "dogs", "-k", 40).stdout)} == {
        True
    }
    run(thirty, "refine", "dogs", "--delete", code=1, input="n\n")
    done = run(thirty, "refine", "dogs", "--delete", "--yes")
    assert done.stdout == "deleted 'dogs' and 1 mark\n"
    assert run(thirty, "refine").stdout.startswith("no saved searches; create one with: auricle refine NAME")


def test_results_as_json(thirty):
    run(thirty, "refine", "json", "--question", "a dog barks")
    hits = json.loads(run(thirty, "search", "a dog barks", "--json", "-k", 3).stdout)
    done = run(thirty, "refine", "json", "--mark", hits[2]["path"], "--json", "-k", 30)
    told = json.loads(done.stdout)
    assert (told["name"], told["question"], told["fits"], told["misfits"]) == ("json", "a dog barks", 1, 0)
    assert told["method"] == "rocchio"
    (marked,) = (hit for hit in told["results"] if hit["mark"] is not None)
    assert (marked["path"], marked["mark"]) == (hits[2]["path"], True)
    (row,) = json.loads(run(thirty, "refine", "--json").stdout)
    assert (row["name"], row["fits"]) == ("json", 1)
    (mark,) = json.loads(run(thirty, "refine", "json", "--marks", "--json").stdout)
    assert (mark["path"], mark["fits"], mark["start"]) == (hits[2]["path"], True, None)
    run(thirty, "refine", "json", "--delete", "--yes")


def test_marks_go_out_and_in(thirty, tmp_path):
    run(thirty, "refine", "one", "--question", "a dog barks")
    moment = shown(run(thirty, "refine", "one").stdout)[0][1]
    run(thirty, "refine", "one", "--fits", moment)
    done = run(thirty, "refine", "one", "--export", tmp_path / "marks.csv")
    assert done.stdout == "" and "wrote 1 marks" in done.stderr
    done = run(thirty, "refine", "two", "--import", tmp_path / "marks.csv")
    assert done.stderr.splitlines()[:2] == ["1 mark imported", "saved search 'two' created"]
    assert shown(done.stdout)[0] == ("fits        ", moment)
    run(thirty, "refine", "one", "--delete", "--yes")
    run(thirty, "refine", "--export", tmp_path / "all.csv")
    run(thirty, "refine", "two", "--delete", "--yes")
    run(thirty, "refine", "--import", tmp_path / "all.csv")
    assert run(thirty, "refine").stdout.startswith("two: 'a dog barks', 1 fit")
    run(thirty, "refine", "two", "--delete", "--yes")


def test_a_search_by_a_sound_and_one_by_marks_alone(thirty):
    path = sorted(thirty.store.files())[4]
    done = run(thirty, "refine", "like", "--like", path, "-k", 1)
    assert path in done.stdout
    done = run(thirty, "refine", "like", "--like", f"{path}#t=0,1", "-k", 1)
    assert shown(done.stdout)[0][1].startswith(f"{path}#t=0,")
    done = run(thirty, "refine", "ear", "--fits", f"{path}#t=0,1", "-k", 1)
    assert "ranked by the marks" in done.stdout
    assert shown(done.stdout)[0][1].startswith(f"{path}#t=0,")
    for name in ("like", "ear"):
        run(thirty, "refine", name, "--delete", "--yes")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a\tb"], "no control character"),
        (["cats"], "has no saved search 'cats'; saved are: none"),
        (["--question", "rain"], "--question needs the NAME of a saved search"),
        (["--least-sure"], "--least-sure needs the NAME"),
        (["x", "--question", "rain", "--like", "a.wav"], "give either --question or --like"),
        (["x", "--fits", "/no/such.wav"], "/no/such.wav: not in the index"),
        (["x", "--fits", "/no/such.wav#t=1"], "must be START,END in seconds"),
        (["x", "--fits", "/no/such.wav#t=2,1"], "start at 0 or later"),
        (["x", "--question", "-thunder"], "has only unwanted words"),
        (["x", "--import", "/no/such.csv"], "cannot read the file"),
        (["x", "--import-hoplite", "/no/such"], "not a perch-hoplite database"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(thirty, arguments, message):
    done = run(thirty, "refine", *arguments, code=2)
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    # Nothing was made on the way.
    assert run(thirty, "refine").stdout.startswith("no saved searches")


def test_an_empty_query_takes_the_place_of_none(thirty):
    run(thirty, "refine", "kept", "--question", "a dog barks")
    for option in ("--question", "--like"):
        for empty in ("", "  "):
            assert f"{option} is empty" in run(thirty, "refine", "kept", option, empty, code=2).stderr
    assert run(thirty, "refine").stdout.startswith("kept: 'a dog barks'")
    run(thirty, "refine", "kept", "--delete", "--yes")


def test_no_results_say_which_filter_and_end_with_code_3(thirty):
    run(thirty, "refine", "dogs", "--question", "a dog barks")
    done = run(thirty, "refine", "dogs", "--tag", "cats", code=3)
    assert "no results" in done.stdout
    assert "cats" in done.stderr
    run(thirty, "refine", "dogs", "--delete", "--yes")


def test_detections_are_written_with_an_estimate(thirty, tmp_path):
    run(thirty, "refine", "side", "--question", "a dog barks")
    done = run(thirty, "detections", "side", "--csv", tmp_path / "out.csv", code=2)
    assert "too few marks to estimate a threshold: 0 fit" in done.stderr
    assert not (tmp_path / "out.csv").exists()
    rows = [(path, thirty.store.entry(path).vectors[0]) for path in sorted(thirty.store.files())]
    mean = np.mean([vector for _, vector in rows], axis=0)
    marks = []
    for path, vector in rows:
        fits = bool((vector - mean) @ (rows[0][1] - mean) > 0)
        marks += [
            "--fits" if fits else "--misfit",
            f"{path}#t=0,{min(1.0, thirty.store.entry(path).duration)}",
        ]
    run(thirty, "refine", "side", *marks)
    done = run(thirty, "detections", "side", "--csv", tmp_path / "out.csv", "--precision", 0.8)
    assert "by cross-validation over 30 marks in 30 files" in done.stderr
    with open(tmp_path / "out.csv", newline="", encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert re.search(
        rf"^{len(written)} detections in \d+ files, of \d+ windows; \d+ of them have no mark: wrote ",
        done.stderr,
        re.M,
    )
    assert written and all(row["mark"] in ("fits", "does not fit", "") for row in written)
    piped = run(thirty, "detections", "side", "--csv", "-", "--precision", 0.8)
    assert list(csv.DictReader(piped.stdout.splitlines())) == written
    done = run(thirty, "detections", "side", "--csv", tmp_path / "all.csv", "--threshold", 0, "--json")
    told = json.loads(done.stdout)
    assert told["detections"] == told["windows"] > len(written)
    assert told["estimate"]["marks"] == 30
    done = run(thirty, "detections", "side", "--csv", tmp_path / "none.csv", "--threshold", 1, code=3)
    assert (tmp_path / "none.csv").read_text().splitlines() == ["path,start,end,score,mark,digest"]
    for options in ((), ("--csv", tmp_path / "a.csv", "--export", tmp_path / "b.m3u")):
        assert "give one of" in run(thirty, "detections", "side", *options, code=2).stderr
    done = run(thirty, "detections", "side", "--export", tmp_path / "out.m3u", "--precision", 0.8)
    assert "wrote" in done.stderr and (tmp_path / "out.m3u").read_text().startswith("#EXTM3U")
    done = run(thirty, "refine", "side", "--export", tmp_path / "marks.m3u", code=2)
    assert "exported as CSV" in done.stderr and not (tmp_path / "marks.m3u").exists()
    done = run(thirty, "detections", "side", "--csv", "-", "--json", code=2)
    assert "both print to standard output" in done.stderr
    run(thirty, "refine", "side", "--delete", "--yes")
