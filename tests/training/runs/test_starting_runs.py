"""How a run starts: nothing is recorded before all that it needs was found, and one training at a time."""

import json
import shutil
import subprocess
import sys

import pytest
from tiny_recipes import ROOT, environment, tiny_recipe, write_captioned_folder, write_recipe
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.training.recipe.reading import RecipeError, resolve_stages
from auricle.training.recipe.schema import Recipe
from auricle.training.runs import needs
from auricle.training.runs.needs import check_needs
from auricle.training.runs.recipe_running import run_recipe
from auricle.training.runs.run_directory import MAY_CHANGE, RunDirectory


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starting")
    write_captioned_folder(folder / "sounds", {"train": 8, "validation": 2})
    return folder


def recipe_of(sounds, tmp_path, **more):
    recipe = tiny_recipe(sounds, sounds / "sounds")
    recipe["training"] |= {"epochs": 1}
    return recipe | {"output_dir": str(tmp_path / "run")} | more


def train(tmp_path, recipe, *arguments):
    write_recipe(tmp_path / "recipe.yaml", recipe)
    result = CliRunner().invoke(
        app, ["train", str(tmp_path / "recipe.yaml"), "--no-progress", *map(str, arguments)]
    )
    assert "Traceback" not in result.output and (result.exception is None or result.exit_code == 2), (
        result.output
    )
    return result


def error_of(result) -> str:
    lines = result.stderr.strip().splitlines()
    assert result.exit_code == 2 and len([line for line in lines if line.startswith("error: ")]) == 1, lines
    assert lines[-1].startswith("error: ")
    return lines[-1]


@pytest.mark.parametrize(
    ("wrong", "right", "says"),
    [
        ("--data.folder.path=nowhere", None, "nowhere: directory not found"),
        ("--model.text.pretrained=./nowhere", None, "./nowhere: there is no such directory"),
        ("--training.batch_size=500", None, "do not fill one batch of 500"),
        ("--positive_column=kind", None, "data.positive_column='kind' is not a column of split 'train'"),
        ("--model.projection_dim=0", "--model.projection_dim=8", "projection_dim"),
        ("--freesound_ids=nowhere.csv", None, "nowhere.csv is missing; get it with"),
    ],
)
def test_a_first_command_that_is_wrong_records_nothing_and_the_corrected_one_runs(
    sounds, tmp_path, wrong, right, says
):
    recipe = recipe_of(sounds, tmp_path)
    assert says in error_of(train(tmp_path, recipe, wrong))
    assert not (tmp_path / "run").exists()
    assert train(tmp_path, recipe, *([right] if right else [])).exit_code == 0
    assert (tmp_path / "run" / "first" / "stage.json").is_file()


def test_too_many_bad_clips_record_nothing_either(sounds, tmp_path):
    recipe = recipe_of(sounds, tmp_path)
    shutil.copytree(sounds / "sounds", tmp_path / "sounds")
    recipe["data"]["folder"]["path"] = str(tmp_path / "sounds")
    (tmp_path / "sounds" / "train_001.wav").write_bytes(b"")
    assert "1 of 8 clips are bad" in train(tmp_path, recipe).stderr
    assert not (tmp_path / "run").exists()
    assert train(tmp_path, recipe, "--max_bad_share", "0.5").exit_code == 0


def test_needs_of_later_stages_are_found_before_the_first_step(sounds, tmp_path, monkeypatch):
    """A package, a bank, a directory of back-translations and a tokenizer, all told at once."""
    recipe = recipe_of(sounds, tmp_path)
    recipe["stages"] = [
        {"name": "first"},
        {"name": "second", "clusters": {"embed_with": "first", "method": "bertopic"}},
        {"name": "third", "distillation": {"teachers": ["first", "./no-bank"]}},
        {"name": "fourth", "augmentation": {"back_translated": "./no-translations"}},
        {"name": "fifth", "starts_from": "pretrained", "model": {"text": {"tokenizer": "./no-words"}}},
    ]
    from auricle.training.clusters import cluster_methods

    found = cluster_methods.importlib.util.find_spec
    monkeypatch.setattr(
        cluster_methods.importlib.util,
        "find_spec",
        lambda name: None if name in ("bertopic", "hdbscan") else found(name),
    )
    line = error_of(train(tmp_path, recipe))
    assert line.startswith("error: 4 things are missing: ")
    for what in (
        "method 'bertopic' needs bertopic, hdbscan: pip install 'auricle[bertopic]'",
        "./no-bank",
        "no-translations/captions.parquet is missing",
        "tokenizer ./no-words: there is no such file or directory",
    ):
        assert what in line, what
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        ({"starts_from": "./nowhere"}, "starts_from='./nowhere' is neither 'pretrained'"),
        ({"starts_from": "someone/no-such-model"}, "someone/no-such-model"),
        ({"clusters": {"labels": "./nowhere"}}, "clusters nowhere: no clusters.json found"),
        ({"clusters": {"embed_with": "./nowhere"}}, "./nowhere: there is no such model directory"),
        ({"clusters": {"embed_with": "someone/no-such-model"}}, "someone/no-such-model"),
        ({"distillation": {"teachers": ["someone/no-such-model"]}}, "someone/no-such-model"),
        (
            {"starts_from": "pretrained", "model": {"audio": {"pretrained": "./none.pt"}}},
            "audio encoder ./none.pt",
        ),
        (
            {"starts_from": "pretrained", "model": {"text": {"pretrained": "someone/no-such-model"}}},
            "text encoder someone/no-such-model",
        ),
        ({"training": {"report_to": ["trackio"]}}, "training.report_to names 'trackio'"),
    ],
)
def test_each_need_is_named(sounds, tmp_path, monkeypatch, stage, says):
    monkeypatch.setattr(
        needs.importlib.util, "find_spec", lambda name: None if name == "trackio" else object()
    )
    recipe = Recipe.model_validate(
        recipe_of(sounds, tmp_path, stages=[{"name": "first"}, {"name": "second", **stage}])
    )
    with pytest.raises(needs.UNMET) as caught:
        check_needs(resolve_stages(recipe), RunDirectory(recipe))
    assert says in str(caught.value) and len(str(caught.value).splitlines()) == 1


def test_data_of_a_later_stage_are_looked_for_first(sounds, tmp_path):
    stages = [{"name": "first"}, {"name": "second", "data": {"folder": {"path": str(tmp_path / "gone")}}}]
    assert "gone: directory not found" in error_of(
        train(tmp_path, recipe_of(sounds, tmp_path, stages=stages))
    )
    assert not (tmp_path / "run").exists()


HOLD = """
import sys, time
from auricle.training.recipe.reading import read_recipe
from auricle.training.runs.run_directory import RunDirectory
with RunDirectory(read_recipe(sys.argv[1])).locked():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_training_in_the_same_directory_is_refused_in_one_line(sounds, tmp_path, monkeypatch):
    recipe = recipe_of(sounds, tmp_path)
    write_recipe(tmp_path / "recipe.yaml", recipe)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "recipe.yaml")],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(),
    )
    try:
        assert holder.stdout.readline() == "held\n"
        monkeypatch.setattr(RunDirectory.locked, "__wrapped__", RunDirectory.locked.__wrapped__)
        monkeypatch.setattr(RunDirectory.locked.__wrapped__, "__defaults__", (0.2,))
        line = error_of(train(tmp_path, recipe))
        assert f"{tmp_path / 'run'}: another training is running in this directory" in line
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.lock"]
    finally:
        holder.kill()
        holder.wait()
    assert train(tmp_path, recipe).exit_code == 0


def test_banks_and_clusters_of_other_rows_end_in_one_line(sounds, tmp_path):
    other = write_captioned_folder(tmp_path / "other", {"train": 8})
    write_recipe(tmp_path / "other.yaml", recipe_of(sounds, tmp_path, output_dir=str(tmp_path / "teacher")))
    run_recipe(
        Recipe.model_validate(recipe_of(sounds, tmp_path, output_dir=str(tmp_path / "teacher"))),
        progress=False,
    )
    model, bank, clusters = (str(tmp_path / name) for name in ("teacher/first/model", "bank", "clusters"))
    embedded = CliRunner().invoke(app, ["embed", model, str(other), "--out", bank, "--no-progress"])
    assert embedded.exit_code == 0, embedded.output
    options = ["--method", "kmeans", "--num-clusters", "2", "--out", clusters, "--no-progress"]
    clustered = CliRunner().invoke(app, ["cluster", str(other), "--embed-with", model, *options])
    assert clustered.exit_code == 0, clustered.output
    taught = recipe_of(sounds, tmp_path, distillation={"teachers": [bank]})
    assert f"teacher bank {bank}: row 'sounds/train/" in error_of(train(tmp_path, taught))
    shutil.rmtree(tmp_path / "run")
    sorted_in = recipe_of(sounds, tmp_path, clusters={"labels": clusters})
    assert "has no cluster" in error_of(train(tmp_path, sorted_in))


LIMITED = """
import resource, runpy, sys
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sys.argv[0] = "train.py"
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [8_000, 60_000, 150_000])
def test_a_disk_that_takes_no_more_ends_in_one_line(sounds, tmp_path, limit):
    """Stood in for by a limit on the size of files, which the system enforces in the same calls."""
    recipe = recipe_of(sounds, tmp_path)
    write_recipe(tmp_path / "recipe.yaml", recipe)
    command = [sys.executable, "-c", LIMITED, str(limit), str(tmp_path / "recipe.yaml"), "--no-progress"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=240)
    assert done.returncode == 2, done.stderr
    lines = [line for line in done.stderr.splitlines() if "error: " in line]
    assert len(lines) == 1 and "Traceback" not in done.stderr, done.stderr
    assert "cannot write" in lines[0] or "disk" in lines[0], lines
    assert not (tmp_path / "run" / "first" / "stage.json").exists()


def test_every_field_that_may_change_is_one_and_says_why():
    from auricle.training.recipe.reading import list_fields

    known = {row[0] for row in list_fields()}
    assert set(MAY_CHANGE) <= known
    assert all(len(reason) > 5 for reason in MAY_CHANGE.values())


@pytest.mark.parametrize(
    ("change", "allowed"),
    [
        ({"evaluation": {"batch_size": 7}}, True),
        ({"training": {"cpu_threads": 3}}, True),
        ({"training": {"num_workers": 3}}, True),
        ({"training": {"save_every": 7}}, True),
        ({"stages": [{"name": "first", "training": {"log_every": 3}}]}, True),
        ({"data": {"folder": {"path": "/elsewhere/sounds"}}}, True),
        ({"stages": [{"name": "first", "data": {"folder": {"path": "/elsewhere"}}}]}, False),
        ({"stages": [{"name": "first", "training": {"learning_rate": 0.5}}]}, False),
        ({"evaluation": {"best_metric": "text_to_audio_R@1"}}, False),
        ({"data": {"cache_waveforms": False}}, False),
    ],
)
def test_what_may_change_between_calls(tmp_path, change, allowed):
    begun = {
        "name": "r",
        "output_dir": str(tmp_path / "run"),
        "data": {"source": "folder", "folder": {"path": "sounds"}},
        "stages": [{"name": "first"}],
    }
    RunDirectory(Recipe.model_validate(begun)).start()
    values = {**begun, **change}
    values["data"] = {**begun["data"], **change.get("data", {})}
    again = Recipe.model_validate(values)
    if allowed:
        assert RunDirectory(again).record
        return
    with pytest.raises(RecipeError, match="contains a run with another recipe"):
        RunDirectory(again)


def test_the_new_place_of_data_is_recorded_when_the_run_goes_on(tmp_path):
    begun = {
        "name": "r",
        "output_dir": str(tmp_path / "run"),
        "data": {"source": "folder", "folder": {"path": "sounds"}},
        "stages": [{"name": "first"}],
    }
    RunDirectory(Recipe.model_validate(begun)).start()
    begun["data"] = {"source": "folder", "folder": {"path": "moved/sounds"}}
    run = RunDirectory(Recipe.model_validate(begun))
    before = (tmp_path / "run" / "run.json").read_text()
    assert '"sounds"' in before
    run.start()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["recipe"]["data"]["folder"]["path"] == "moved/sounds"
    assert RunDirectory(Recipe.model_validate(begun)).record == record
