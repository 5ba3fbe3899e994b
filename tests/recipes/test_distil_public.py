"""The recipe with public teachers: what it resolves to, and that its comment's commands are commands."""

from tiny_recipes import ROOT
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.training.recipe.reading import read_recipe, resolve_stages

RECIPE = ROOT / "recipes" / "clotho" / "distil_public.yaml"


def test_it_trains_passt_and_roberta_on_clotho_from_three_public_teachers():
    recipe = read_recipe(RECIPE)
    (stage,) = resolve_stages(recipe, str(RECIPE))
    assert [teacher.source for teacher in stage.distillation.teachers] == [
        "laion/clap-htsat-unfused",
        "facebook/pe-av-base",
        "dcase2025-baseline",
    ]
    assert stage.distillation.is_on and stage.starts_from == "pretrained"
    assert stage.model.audio.config["model_type"] == "auricle_passt"
    assert stage.model.text.pretrained == "roberta-large"
    assert stage.data.source == "clotho" and stage.training.contrastive_weight > 0
    # Nothing of another recipe's run is needed.
    assert "runs/" not in RECIPE.read_text(encoding="utf-8")


def test_banks_can_stand_for_its_models():
    banks = ["banks/clap", {"source": "banks/pe-av", "weight": 2}]
    (stage,) = resolve_stages(read_recipe(RECIPE, {"distillation.teachers": banks}))
    assert [teacher.weight for teacher in stage.distillation.teachers] == [1, 2]


def test_the_commands_of_its_comment_exist():
    text = RECIPE.read_text(encoding="utf-8")
    assert "auricle convert retrieval CHECKPOINT dcase2025-baseline --tokenizer roberta-large" in text
    for command, words in (("convert", ("--tokenizer", "retrieval")), ("embed", ("--split", "--out"))):
        shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200"}).output
        assert all(word in shown for word in words)
