"""Mixes of a real job in a run of two stages: the student trains on them, and its teacher has judged them."""

import json

import pytest
from tiny_recipes import run_train, tiny_recipe, write_captioned_folder, write_recipe
from typer.testing import CliRunner

from auricle.cli.main import app

pytestmark = pytest.mark.slow


def test_a_student_learns_from_mixes_and_its_teachers_view_of_them(tmp_path):
    folder = write_captioned_folder(tmp_path / "sounds")
    recipe = tiny_recipe(tmp_path, folder)
    mixes = tmp_path / "mixes"
    recipe["training"]["epochs"] = 1
    recipe["stages"] = [
        {"name": "first"},
        {
            "name": "second",
            "distillation": {"teachers": ["first"]},
            "augmentation": {"word_deletion": 0.8, "mixes": str(mixes)},
        },
    ]
    path = write_recipe(tmp_path / "recipe.yaml", recipe)
    stopped = run_train(path, code=2)
    assert f"{mixes / 'metadata.jsonl'} is missing; make it with `auricle augment mix" in stopped.stderr
    assert not (tmp_path / "run").exists()
    made = CliRunner().invoke(
        app, ["augment", "mix", str(folder), str(mixes), "--count", "8", "--no-progress"]
    )
    assert made.exit_code == 0, made.output
    run_train(path)
    stages = {
        name: json.loads((tmp_path / "run" / name / "data.json").read_text()) for name in ("first", "second")
    }
    assert stages["second"]["train"]["rows"] == stages["first"]["train"]["rows"] + 8 == 40
    assert stages["second"]["validation"] == stages["first"]["validation"]
    record = json.loads((tmp_path / "run" / "second" / "stage.json").read_text())
    assert record["steps"] == 10 and all("loss_distillation" in one for one in record["log"] if "loss" in one)
