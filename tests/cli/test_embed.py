"""`auricle embed`: the bank, what is printed, several processes, and one line for whatever is wrong."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from tiny_models import tiny_model_and_processor
from tiny_recipes import ROOT, environment, tiny_recipe, write_captioned_folder, write_recipe
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import load_captioned_folder
from auricle.encoders.auricle_embedding import embed_captions, embed_clips
from auricle.training.teachers.aligned_teachers import AlignedTeachers
from auricle.training.teachers.teacher_bank import TeacherBank

CONFIG = ROOT / "recipes" / "accelerate" / "cpu_2_processes.yaml"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return tiny_model_and_processor(tmp_path_factory.mktemp("built"))


@pytest.fixture(scope="module")
def place(tmp_path_factory, built):
    """A saved model, and a captioned folder of 11 clips with one that cannot be read."""
    folder = tmp_path_factory.mktemp("embed")
    for part in built:
        part.save_pretrained(folder / "model")
    sounds = write_captioned_folder(folder / "sounds", {"train": 7, "validation": 2, "test": 2})
    (sounds / "train_004.wav").write_bytes(b"")
    return folder


def embed(*arguments):
    return CliRunner().invoke(app, ["embed", *map(str, arguments), "--no-progress"])


def test_it_writes_the_models_vectors_and_says_what_it_wrote(place, built, tmp_path):
    done = embed(place / "model", place / "sounds", "--out", tmp_path / "bank", "--batch-size", 3)
    assert done.exit_code == 0, done.output
    bank = TeacherBank.load(tmp_path / "bank")
    assert "sounds train: 12 rows of 6 clips" in done.stdout
    assert "sounds validation: 4 rows of 2 clips" in done.stdout
    assert "dimensions 12" in done.stdout and f"fingerprint {bank.fingerprint}" in done.stdout
    assert "1 unreadable clips skipped, with their captions:\n  sounds/train/train_004.wav" in done.stderr
    assert str(place / "sounds") not in done.output
    assert bank.model_name == str(place / "model")

    table = load_captioned_folder(place / "sounds", split="test")
    teachers = AlignedTeachers.align([bank], None, table)
    audio, _ = embed_clips(*built, list(table["audio"]))
    captions = embed_captions(*built, list(table["caption"]))
    for row in range(len(table)):
        assert np.abs(teachers.audio_vectors(row) - audio[row]).max() < 1e-6
        assert np.abs(teachers.caption_vectors(row) - captions[row]).max() < 1e-6


def test_one_split_of_a_recipe(place, tmp_path):
    recipe = tiny_recipe(place, place / "sounds") | {
        "stages": [{"name": "first"}, {"name": "second", "data": {"source": "scenes"}}]
    }
    path = write_recipe(tmp_path / "recipe.yaml", recipe)
    done = embed(place / "model", path, "--split", "test", "--stage", "first", "--out", tmp_path / "bank")
    assert done.exit_code == 0, done.output
    assert TeacherBank.load(tmp_path / "bank").splits == [
        {"source": "sounds", "split": "test", "rows": 4, "clips": 2}
    ]
    done = embed(place / "model", path, "--stage", "third", "--out", tmp_path / "other")
    assert (
        done.exit_code == 2
        and "no stage 'third' in this recipe; the stages are ['first', 'second']" in done.stderr
    )


@pytest.mark.parametrize("option", ["--split", "--stage"])
def test_a_table_of_a_folder_takes_neither_split_nor_stage(place, tmp_path, option):
    done = embed(place / "model", place / "sounds", tmp_path / "vectors.parquet", option, "test")
    assert done.exit_code == 2 and "need --out DIR" in done.stderr
    assert not (tmp_path / "vectors.parquet").exists()


@pytest.mark.parametrize(
    ("model", "dataset", "options", "message"),
    [
        ("none", "sounds", [], "not a directory"),
        ("sounds", "sounds", [], "not a saved model"),
        ("model", "none", [], "no such file or directory; expected a recipe"),
        ("model", "sounds", ["--split", "dev"], "no split 'dev'; the splits are"),
        ("model", "sounds", ["--stage", "first"], "--stage can only be used with a recipe"),
        ("model", "sounds", ["--out", "{place}/sounds"], "not a teacher bank, so it is not overwritten"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(place, tmp_path, model, dataset, options, message):
    options = [option.format(place=place) for option in options]
    before = sorted(os.listdir(place / "sounds"))
    done = embed(place / model, place / dataset, "--out", tmp_path / "bank", *options)
    assert done.exit_code == 2
    assert message in done.stderr and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "bank").exists() and sorted(os.listdir(place / "sounds")) == before


def test_help_says_what_a_bank_is_for_and_answers_at_once():
    done = CliRunner().invoke(app, ["embed", "--help"])
    assert done.exit_code == 0
    for words in ("teacher bank", "accelerate launch", "Clotho", "--batch-size"):
        assert words in done.stdout
    code = "import sys, auricle.cli.main; sys.exit('torch' in sys.modules or 'datasets' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def launch(*arguments) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--config_file",
        str(CONFIG),
        "-m",
        "auricle",
    ]
    return subprocess.run(
        [*command, "embed", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=240,
    )


@pytest.mark.slow
def test_two_processes_write_the_bank_of_one(place, tmp_path):
    assert embed(place / "model", place / "sounds", "--out", tmp_path / "one").exit_code == 0
    done = launch(place / "model", place / "sounds", "--out", tmp_path / "two")
    assert done.returncode == 0, done.stderr
    # Of the 11 clips the main process sees 6.
    assert "6/6" in done.stderr and "11/11" not in done.stderr
    assert done.stdout.count("fingerprint ") == 1
    one, two = TeacherBank.load(tmp_path / "one"), TeacherBank.load(tmp_path / "two")
    assert two.rows.equals(one.rows) and two.unreadable == one.unreadable and len(two.unreadable) == 1
    assert np.abs(two.audio - one.audio).max() < 1e-6
    assert np.abs(two.captions - one.captions).max() < 1e-6
    infos = [json.loads((tmp_path / name / "bank.json").read_text()) for name in ("one", "two")]
    assert infos[0] == infos[1]


@pytest.mark.slow
def test_two_processes_say_an_error_once(place, tmp_path):
    done = launch(place / "model", place / "none", "--out", tmp_path / "bank")
    assert done.returncode != 0
    assert done.stderr.count("error: ") == 1 and "no such file or directory" in done.stderr
