"""Reading and matching of relevance annotations."""

import pytest

from auricle.evaluation.relevance import RelevanceError, match_relevance, read_relevance


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def test_queries_and_clips_are_found(tmp_path):
    path = write(
        tmp_path / "r.csv",
        '\ufeffquery,audio_filenames\n"A dog, barking.","[\'b.wav\', ""it\'s.wav""]"\nRain,[\'a.wav\']\n',
    )
    annotations = read_relevance(path)
    assert annotations == {"A dog, barking.": ["b.wav", "it's.wav"], "Rain": ["a.wav"]}
    clips = ["set/test/a.wav", "set/test/it's.wav", "set/test/b.wav"]
    assert match_relevance(annotations, ["Rain", "x", "A dog, barking. "], clips) == {2: [1, 2], 0: [0]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("caption,audio_filenames\nx,['a']\n", "has no column 'query'"),
        ("query,audio_filenames\n,['a']\n", "line 2: the query is empty"),
        ("query,audio_filenames\nx,['a']\nx,['b']\n", "line 3: the query 'x' occurs twice"),
        ("query,audio_filenames\nx,a.wav\n", "line 2: audio_filenames must be a list"),
        ("query,audio_filenames\nx,[]\n", "line 2: audio_filenames must be a list"),
        ("query,audio_filenames\nx,\"__import__('os').system('true')\"\n", "must be a list"),
        ("query,audio_filenames\nx,\"['a', 'a']\"\n", "line 2: audio_filenames contains 'a' twice"),
        ("query,audio_filenames\n", "contains no query"),
    ],
)
def test_wrong_files_are_explained(tmp_path, text, message):
    with pytest.raises(RelevanceError, match=message.replace("[", r"\[")):
        read_relevance(write(tmp_path / "r.csv", text))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(RelevanceError, match=r"none\.csv: cannot be read"):
        read_relevance(tmp_path / "none.csv")


def test_unknown_queries_and_clips_are_named():
    with pytest.raises(RelevanceError, match="query 'snow', which is not among the 1 captions"):
        match_relevance({"snow": ["a.wav"]}, ["rain"], ["s/t/a.wav"])
    with pytest.raises(
        RelevanceError, match=r"query 'rain': .* clip 'b\.wav', which is not among the 1 clips"
    ):
        match_relevance({"rain": ["b.wav"]}, ["rain"], ["s/t/a.wav"])
