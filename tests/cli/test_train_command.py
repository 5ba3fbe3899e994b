"""train.py as people call it: a process of its own on a tiny recipe."""

import json

import pytest
from tiny_recipes import (
    ROOT,
    run_train,
    tiny_recipe,
    weights_of,
    write_captioned_folder,
    write_recipe,
)
from typer.testing import CliRunner

from auricle.cli.main import app


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A folder with a finished run of a tiny recipe in it, and what the run printed."""
    folder = tmp_path_factory.mktemp("finished")
    sounds = write_captioned_folder(folder / "sounds")
    (sounds / "train_002.wav").write_bytes(b"")
    recipe = tiny_recipe(folder, sounds)
    recipe["data"]["max_bad_share"] = 0.1
    recipe["evaluation"] = {"questions": ["a dog barks", "rain falls"], "compare_untrained": True}
    write_recipe(folder / "recipe.yaml", recipe)
    return folder, run_train(folder / "recipe.yaml", cwd=folder)


def refused(*arguments: object) -> str:
    """What a command line that cannot be followed says, in this process: one line."""
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def test_a_run_leaves_a_model_figures_and_answers(finished):
    folder, done = finished
    results = json.loads((folder / "run" / "results.json").read_text())
    assert set(results["figures"]) == {"test"} == set(results["untrained"])
    assert [answer["question"] for answer in results["answers"]] == ["a dog barks", "rain falls"]
    for answer in results["answers"]:
        assert len(answer["clips"]) == 3
        scores = [clip["score"] for clip in answer["clips"]]
        assert scores == sorted(scores, reverse=True) and min(scores) >= -1 and max(scores) <= 1
        assert all("test_" in clip["path"] for clip in answer["clips"])
    assert results["model"] == str(folder / "run" / "first" / "model")
    assert weights_of(folder / "run" / "first" / "model")
    assert (folder / "run" / "first" / "stage.json").is_file()
    assert f"{results['figures']['test']['text_to_audio_mAP@16']:.3f}" in done.stdout
    assert '"rain falls"' in done.stdout and results["answers"][1]["clips"][0]["path"] in done.stdout


def test_a_bad_file_is_left_out_and_counted(finished):
    folder, done = finished
    assert "train_002.wav" in done.stderr and "skipped 1 of 16 clips" in done.stderr
    report = json.loads((folder / "run" / "first" / "audio_check.json").read_text())
    assert report["train"]["checked"] == 16 and len(report["train"]["bad"]) == 1
    # 15 clips with two captions in batches of 4, twice.
    assert json.loads((folder / "run" / "first" / "stage.json").read_text())["steps"] == 14


def test_libraries_keep_quiet(finished):
    _, done = finished
    for noise in ("LOAD REPORT", "Loading weights", "Writing model shards", "Warning", "it/s"):
        assert noise not in done.stdout + done.stderr, noise


def test_a_second_call_skips_what_is_finished_and_answers_new_questions(finished):
    folder, _ = finished
    before = {path: path.read_bytes() for path in (folder / "run" / "first").rglob("*") if path.is_file()}
    done = run_train(folder / "recipe.yaml", "--evaluation.questions", "[a siren wails]", cwd=folder)
    assert "stage first is finished: skipped" in done.stderr and "'loss'" not in done.stdout
    assert '"a siren wails"' in done.stdout
    assert {path: path.read_bytes() for path in before} == before
    results = json.loads((folder / "run" / "results.json").read_text())
    assert [answer["question"] for answer in results["answers"]] == ["a siren wails"]


def test_another_recipe_in_the_same_directory_is_refused_in_one_line(finished):
    folder, _ = finished
    before = {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()}
    line = refused(folder / "recipe.yaml", "--training.learning_rate", "0.5")
    assert "training.learning_rate is 0.001 there and 0.5 here" in line and str(folder / "run") in line
    assert {path: path.read_bytes() for path in before} == before


def test_an_unknown_field_ends_in_one_line_from_the_script_too(finished):
    folder, _ = finished
    done = run_train(folder / "recipe.yaml", "--training.epoch", "3", code=2, cwd=folder)
    assert done.stdout == "" and len(done.stderr.splitlines()) == 1
    assert "did you mean 'epochs'?" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give a recipe"),
        (["--epochs", "3", "recipe.yaml"], "give a recipe first"),
        (["nowhere.yaml"], "nowhere.yaml: cannot be read"),
        ([ROOT / "recipes" / "demo.yaml", "--epohcs", "3"], "--epochs"),
        ([ROOT / "recipes" / "demo.yaml", "--epochs"], "a value is missing"),
        ([ROOT / "recipes" / "demo.yaml", "epochs"], "expected --field value"),
        ([ROOT / "recipes" / "demo.yaml", "--batch_size", "3"], "training.batch_size, evaluation.batch_size"),
    ],
)
def test_command_lines_that_cannot_be_followed(arguments, says):
    assert says in refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--stage", "second"], "--stage 'second' is not a stage; there are ['first']"),
        (["--best_metric", "text_to_audio_mAP@61"], "did you mean 'text_to_audio_mAP@16'?"),
        (["--relevance_column", "klass"], "relevance_column='klass' is not a column of split"),
        (["--positive_column", "klass"], "positive_column='klass' is not a column"),
        (["--data.folder.path", "nowhere"], "nowhere: directory not found"),
        (["--training.batch_size", "500"], "do not fill one batch of 500"),
        (["--model.text.pretrained", "./nowhere"], "./nowhere: there is no such directory"),
        (["--max_bad_share", "0.01"], "1 of 16 clips are bad"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_training(finished, tmp_path, arguments, says):
    folder, _ = finished
    result = CliRunner().invoke(
        app,
        [
            *("train", str(folder / "recipe.yaml"), "--output_dir", str(tmp_path / "run")),
            *("--no-progress", "--compare_untrained", "false", *arguments),
        ],
    )
    assert result.exit_code == 2, result.output
    assert f"error: {says}" in result.stderr or says in result.stderr.split("error: ", 1)[1]
    assert "'loss'" not in result.stdout and not (tmp_path / "run" / "first" / "model").exists()


def test_fields_are_listed_with_type_default_and_meaning():
    result = CliRunner().invoke(app, ["train", "--fields"])
    assert result.exit_code == 0
    assert (
        "training.learning_rate  (float, default 2e-05)\n    Peak learning rate of the towers.\n"
        in result.stdout
    )
    assert "data.folder.path  (str | None, default None)" in result.stdout
