"""Files whose names are bytes that are no text: refused or skipped in one line, nothing else is lost."""

import os

import pytest
from tiny_models import saved_tiny_model, write_sound
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.search.errors import SearchError

pytest.importorskip("lancedb")


@pytest.fixture
def odd(tmp_path):
    write_sound(tmp_path / "sounds/good.wav", 0.5)
    name = os.fsdecode(os.fsencode(tmp_path / "sounds") + b"/b\xff.wav")
    try:
        os.rename(write_sound(tmp_path / "sounds/bad.wav", 0.5, seed=1), name)
    except OSError:
        pytest.skip("this file system takes no such name")
    return name


def test_questions_about_such_a_file_end_in_one_line(made, odd):
    _, index = made
    for ask in (
        lambda: index.similar(odd),
        lambda: index.moments(odd, "rain"),
        lambda: index.search("rain", file=odd),
    ):
        with pytest.raises(SearchError, match="not valid UTF-8"):
            ask()


def test_embedding_a_folder_skips_it_and_keeps_the_others(odd, tmp_path):
    saved_tiny_model(tmp_path / "model")
    answer = CliRunner().invoke(
        app, ["embed", str(tmp_path / "model"), str(tmp_path / "sounds"), str(tmp_path / "v.parquet")]
    )
    assert answer.exit_code == 0, answer.output
    assert "wrote 1 embeddings" in answer.stdout and "not valid UTF-8" in answer.stderr
    assert (tmp_path / "v.parquet").is_file()
