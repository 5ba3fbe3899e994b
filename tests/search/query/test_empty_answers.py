"""Questions that nothing fits: which filter leaves none, what is near it, and how the command ends."""

import json

import pytest
from tiny_models import saved_tiny_model, write_sound
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.search.errors import SearchError
from auricle.search.sound_index import SoundIndex

pytest.importorskip("lancedb")


@pytest.fixture(scope="module", params=[250_000, 0], ids=["exact", "approximate"])
def archive(request, tmp_path_factory):
    root = tmp_path_factory.mktemp("archive")
    saved_tiny_model(root / "model")
    sounds = root / "my archive [2]"
    for number, place in enumerate(("2021/Berlin Wald/a.wav", "2021/b.wav", "2022/Wien/c.wav", "d.wav")):
        write_sound(sounds / place, 1.0 + number, seed=number)
    (sounds / "metadata.csv").write_text(
        "file_name,license,place\n2021/b.wav,CC0,Forest\n2022/Wien/c.wav,CC BY 4.0,Street\n"
    )
    index = SoundIndex.create(root / "index", str(root / "model"), exact_windows=request.param)
    index.update([sounds], progress=False)
    return sounds, index


EMPTY = {
    "tag": ({"tag": "berlin"}, "--tag berlin matches no file of the index; similar values: 'Berlin Wald' (1 file)."),
    "license": (
        {"license": "cc0"},
        "--license cc0 matches no file of the index; similar values: 'CC0' (1 file).",
    ),
    "nothing near": (
        {"license": "proprietary"},
        "--license proprietary matches no file of the index; the most common licenses are 'CC0', 'CC BY 4.0'.",
    ),
    "value": (
        {"metadata": {"place": "forest"}},
        "--metadata place=forest matches no file of the index; similar values: 'Forest' (1 file).",
    ),
    "name": (
        {"metadata": {"Place": "Forest"}},
        "--metadata Place=Forest matches no file of the index; there is the entry place.",
    ),
    "case of a path": ({"glob": "*/wien/*"}, "it differs from"),
    "long": ({"min_duration": 60}, "--min-duration 60 matches no file of the index; the longest file has 4.0 s."),
    "short": ({"max_duration": 0.5}, "the shortest file has 1.0 s."),
}  # fmt: skip


@pytest.mark.parametrize("case", EMPTY)
def test_the_filter_that_leaves_none_is_named_with_what_is_near(archive, case):
    _, index = archive
    filters, sentence = EMPTY[case]
    assert index.search("rain", **filters) == []
    told = index.why_empty(**filters)
    assert len(told) == 1 and told[0].endswith(sentence) if sentence[:2] == "--" else sentence in told[0]
    # A filter that is no trouble is not named.
    assert index.why_empty(**filters, **({} if "tag" in filters else {"tag": "2021"})) == told


def test_filters_that_leave_none_together(archive):
    _, index = archive
    assert index.search("rain", tag="Wien", license="CC0") == []
    assert index.why_empty(tag="Wien", license="CC0") == [
        "No file passes all filters together (--tag Wien: 1 file; --license CC0: 1 file)."
    ]
    assert index.why_empty(tag="Wien") == [] and index.why_empty() == []
    assert index.why_empty(names={"tag": "Folder"}, tag="Linz")[0].startswith("Folder Linz matches no file")
    with pytest.raises(SearchError, match="'color' is not a filter"):
        index.why_empty(color="red")


@pytest.mark.parametrize(
    ("glob", "names"),
    [
        ("2021/*", {"a.wav", "b.wav"}),
        ("2021/b.wav", {"b.wav"}),
        ("*.wav", {"a.wav", "b.wav", "c.wav", "d.wav"}),
        ("[d]*", {"d.wav"}),
        ("20??/Wien/*", {"c.wav"}),
        ("Wien/*", set()),
        ("/2021/*", set()),
    ],
)
def test_patterns_count_from_the_indexed_folder_too(archive, glob, names):
    sounds, index = archive
    hits = index.search("rain", glob=glob)
    assert {hit.path.rpartition("/")[2] for hit in hits} == names
    assert index.count(glob=glob) == len(names)
    assert index.search("rain", glob=f"{str(sounds).replace('[2]', '[[]2]')}/{glob}") == (
        hits if not glob.startswith("*") else index.search("rain")
    )


def test_the_command_ends_with_a_code_of_its_own(archive):
    _, index = archive

    def run(*options):
        return CliRunner().invoke(app, [*options, "--index", str(index.directory)])

    done = run("search", "rain", "--tag", "berlin")
    assert (done.exit_code, done.stdout) == (3, "no results\n")
    assert done.stderr.splitlines() == [EMPTY["tag"][1]]
    done = run("search", "rain", "--tag", "berlin", "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (3, []) and "'Berlin Wald'" in done.stderr
    done = run("search", "rain", "--min-score", "0.99")
    best = index.search("rain", top=1)[0].score
    assert done.exit_code == 3 and f"--min-score 0.99: the best result scores {best:.3f}." in done.stderr
    file = index.search("rain", top=1)[0].path
    done = run("similar", file, "--license", "cc0")
    assert done.exit_code == 3 and EMPTY["license"][1] in done.stderr
    assert run("search", "rain", "--path", "2021/*").exit_code == 0
    # An error is another code.
    assert run("search", "").exit_code == 2


def test_a_number_that_is_none_is_named(archive):
    _, index = archive
    for options, message in (
        ({"top": 2.5}, r"top=2\.5: must be an integer"),
        ({"top": True}, "top=True: must be an integer"),
        ({"min_duration": "3"}, "min_duration='3': must be a number of seconds"),
        ({"max_duration": [3]}, r"max_duration=\[3\]: must be a number of seconds"),
        ({"min_score": "0.3"}, r"min_score='0\.3': must be a number"),
    ):
        with pytest.raises(SearchError, match=message):
            index.search("rain", **options)
    file = index.search("rain", top=1)[0].path
    with pytest.raises(SearchError, match=r"top=2\.5"):
        index.similar(file, top=2.5)
    with pytest.raises(SearchError, match=r"top=2\.5"):
        index.moments(file, "rain", top=2.5)


def test_a_question_without_words_is_refused_in_plain_words(archive):
    _, index = archive
    with pytest.raises(SearchError, match=r"^The query is empty; it has no word to search for\.$"):
        index.search("")
    with pytest.raises(SearchError, match=r"^The query '\?!': it contains no words to search for\.$"):
        index.search("?!")
    with pytest.raises(SearchError, match="None: a query must be a string"):
        index.search(None)
