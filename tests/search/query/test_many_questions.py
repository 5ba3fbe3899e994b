"""Questions of a file: each gets the answers that it would get alone."""

import json

import pytest
from sound_libraries import library
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.search.query.unwanted_words import split_question
from auricle.search.sound_index import SearchError, SoundIndex

QUESTIONS = [
    "rain",
    "a dog barks twice",
    "rain -thunder",
    "rain",
    'wind in trees -"a police car" -birds',
    "hi-hat",
    *(f"sound number {number} of a machine" for number in range(300)),
]


def ask(*arguments, code=0, stdin=None):
    done = CliRunner().invoke(app, ["search", *map(str, arguments)], input=stdin)
    assert done.exit_code == code, done.output
    return done


def same(found, expected):
    assert [hit.path for hit in found] == [hit.path for hit in expected]
    for one, other in zip(found, expected, strict=True):
        assert (one.start, one.end, one.tags, one.metadata) == (
            other.start,
            other.end,
            other.tags,
            other.metadata,
        )
        for name in ("score", "cosine"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=2e-6)
        assert one.percentile == pytest.approx(other.percentile, abs=2.2)


@pytest.fixture(scope="module")
def many(model, tmp_path_factory):
    pytest.importorskip("lancedb")
    folder = tmp_path_factory.mktemp("many")
    index = SoundIndex.create(folder / "index", model)
    index.update([library(folder / "sounds", 12)], progress=False)
    return index


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"top": 3, "negative": ["a cat"]},
        {"rank": "clip", "top": 2},
        {"names": True},
        {"min_score": 0.0},
        {"glob": "*0*"},
        {"tag": "nowhere"},
    ],
)
def test_each_is_answered_as_it_is_alone(many, options):
    found = list(many.search_many(QUESTIONS, **options))
    assert len(found) == len(QUESTIONS)
    for place in (0, 1, 2, 3, 4, 5, 7, 260, len(QUESTIONS) - 1):
        same(found[place], many.search(QUESTIONS[place], **options))


def test_a_large_index_answers_the_same(made, model, tmp_path):
    sounds, _ = made
    index = SoundIndex.create(tmp_path / "large", model, exact_windows=0)
    index.update([sounds], progress=False)
    for found, question in zip(index.search_many(QUESTIONS[:6]), QUESTIONS[:6], strict=True):
        same(found, index.search(question))


def test_one_matrix_product_serves_a_block(many, monkeypatch):
    from auricle.search.query import batch_answers

    calls = []
    embed = many._encoder.embed_texts
    monkeypatch.setattr(many._encoder, "embed_texts", lambda texts: calls.append(len(texts)) or embed(texts))
    whole = list(many.search_many(QUESTIONS))
    assert len(calls) == 2 and sum(calls) == len({t for q in QUESTIONS for t in flat(q)})
    # Small blocks give the same.
    monkeypatch.setattr(batch_answers, "SCORES_A_BLOCK", 1)
    for one, other in zip(whole, many.search_many(QUESTIONS), strict=True):
        same(one, other)


def flat(question):
    wanted, unwanted = split_question(question)
    return (wanted, *unwanted)


def test_a_question_that_cannot_be_asked_stops_no_other(many):
    errors = {}
    found = list(many.search_many(["rain", "-thunder", "  ", "wind"], on_error=errors.setdefault))
    assert found[0] and found[3] and found[1] == found[2] == []
    assert "has only unwanted words" in str(errors[1]) and "is empty" in str(errors[2])
    with pytest.raises(SearchError, match="has only unwanted words"):
        list(many.search_many(["rain", "-thunder"]))


def test_the_command_prints_a_line_a_question(many, tmp_path):
    file = tmp_path / "questions.txt"
    file.write_bytes("\ufeffrain\n\n  \r\n-thunder\na café\u2028outside\r\n".encode())
    done = ask("--from", file, "--index", many.directory, "--json", "-k", 2)
    rows = [json.loads(line) for line in done.stdout.split("\n")[:-1]]
    assert [row["line"] for row in rows] == [1, 4, 5] and rows[2]["query"] == "a café\u2028outside"
    assert [len(row["results"]) for row in rows] == [2, 0, 2] and "unwanted" in rows[1]["error"]
    alone = json.loads(ask("rain", "--index", many.directory, "--json", "-k", 2).stdout)
    assert [hit["path"] for hit in alone] == [hit["path"] for hit in rows[0]["results"]]
    assert "3 queries, 2 with results" in done.stderr and "2 empty lines skipped: 2, 3" in done.stderr
    assert "1 queries are not valid: lines 4" in done.stderr
    ask("--from", file, "--index", many.directory, "--export", tmp_path / "all.csv", "-k", 2)
    lines = (tmp_path / "all.csv").read_text().splitlines()
    assert lines[0].startswith("line,query,rank,path,start") and len(lines) >= 5
    ask("--from", "-", "--index", many.directory, "--export", tmp_path / "all.jsonl", stdin="rain\n")
    assert json.loads((tmp_path / "all.jsonl").read_text())["query"] == "rain"
    ask("--from", file, "--index", many.directory, "--tag", "nowhere", code=3)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", [], "the file has no queries"),
        (b"rain\n\xff\n", [], "line 2 is not UTF-8"),
        (b"-rain\n-wind\n", [], "none of the queries is valid"),
        (b"rain\n", ["--export", "all.m3u"], ".csv or .jsonl"),
        (b"rain\n", ["wind"], "give either one query"),
        (None, [], "cannot be read"),
    ],
)
def test_files_that_cannot_be_used(many, tmp_path, content, options, message):
    file = tmp_path / "questions.txt"
    if content is not None:
        file.write_bytes(content)
    done = ask(*options, "--from", file, "--index", many.directory, code=2)
    assert message in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("question", "wanted", "unwanted"),
    [
        ("rain -thunder", "rain", ("thunder",)),
        ("-thunder rain -wind.", "rain", ("thunder", "wind")),
        ('street -"a police car" at night', "street at night", ("a police car",)),
        ("a hi-hat, half-open", "a hi-hat, half-open", ()),
        ("rain - and  wind", "rain - and  wind", ()),
        ("a tone at -20 dB", "a tone at -20 dB", ()),
        ("Regen -Gewitter", "Regen", ("Gewitter",)),
        ("rain --thunder", "rain --thunder", ()),
    ],
)
def test_words_behind_a_hyphen_are_unwanted(question, wanted, unwanted):
    assert split_question(question) == (wanted, unwanted)
    assert split_question(question, "a cat") == (wanted, ("a cat", *unwanted))


def test_unwanted_words_are_those_of_the_option(many):
    marked, named = many.search("rain -thunder"), many.search("rain", negative="thunder")
    assert marked == named != many.search("rain")
