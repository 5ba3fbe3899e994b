"""The fifteen recipes of the report, as they resolve: what each configuration adds, and what it demands."""

import shlex

import pytest
import typer
from tiny_recipes import ROOT
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.training.recipe.reading import RecipeError, read_recipe, resolve_stages
from auricle.training.rows import synonyms
from auricle.training.runs import needed_inputs
from auricle.training.runs.needed_inputs import check_inputs, missing_inputs
from auricle.training.runs.recipe_running import run_recipe

TOWERS = ("passt", "eat", "beats")
RECIPES = [(sid, tower) for sid in range(1, 6) for tower in TOWERS]
PUBLISHED = {
    "passt": "passt-s-f128-p16-s16-ap.468.pt",
    "eat": "EAT-base_epoch30_pt.pt",
    "beats": "BEATs_iter3_plus_AS2M.pt",
}


def recipe_of(sid, tower, overrides=None):
    return read_recipe(ROOT / f"recipes/clotho/sid{sid}_{tower}.yaml", overrides)


def stage_of(sid, tower, overrides=None):
    (stage,) = resolve_stages(recipe_of(sid, tower, overrides))
    return stage


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working directory with the list of excluded ids; WordNet counts as installed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dcase2025_excluded_freesound_ids.csv").write_text("sound_id\n354184\n")
    monkeypatch.setattr(needed_inputs, "WordNet", object)
    return tmp_path


@pytest.mark.parametrize(("sid", "tower"), RECIPES)
def test_each_configuration_is_the_reports(sid, tower):
    stage = stage_of(sid, tower)
    assert stage.distillation.is_on == (sid >= 2)
    assert stage.clusters.is_on == (sid >= 4)
    augmentation = stage.augmentation
    if sid < 3:
        assert not augmentation.is_on
    else:
        assert (augmentation.word_deletion, augmentation.synonyms) == (0.8, True)
        assert augmentation.back_translated == "augmented/back_translated"
        assert augmentation.back_translation_probability > 0
        assert augmentation.mixes == "augmented/mixes"
    assert stage.starts_from == {
        1: "pretrained",
        2: f"runs/sid1_{tower}/pretrain/model",
        3: f"runs/sid1_{tower}/pretrain/model",
    }.get(sid, f"runs/sid3_{tower}/finetune/model")


@pytest.mark.parametrize(("sid", "tower"), RECIPES)
def test_the_schedule_is_the_baselines_and_nothing_is_clipped(sid, tower):
    training = stage_of(sid, tower).training
    assert (training.epochs, training.warmup_epochs, training.cosine_end_epoch) == (20, 1, 16)
    assert training.min_learning_rate == 1e-7 and training.max_grad_norm == 0


def test_recipes_for_other_data_keep_the_schedule_they_had():
    for name in ("demo", "folder", "esc10_three_stages", "esc10_lora"):
        for stage in resolve_stages(read_recipe(ROOT / f"recipes/{name}.yaml")):
            training = stage.training
            assert (training.warmup_share, training.max_grad_norm) == (0.1, 1.0)
            assert training.warmup_epochs is None and training.cosine_end_epoch is None


@pytest.mark.parametrize("tower", TOWERS)
def test_stage_1_demands_its_published_weights(place, tower):
    (missing,) = missing_inputs([stage_of(1, tower)])
    assert missing.field == "model.audio.pretrained" and PUBLISHED[tower] in missing.message
    assert f"auricle convert {tower} {PUBLISHED[tower]}" in missing.message
    for given in ("none", "converted"):
        check_inputs([stage_of(1, tower, {"model.audio.pretrained": given})])
    # A stage that starts from another one has its audio tower from there.
    check_inputs([stage_of(2, tower)])


def test_none_means_random_weights():
    audio = stage_of(1, "passt", {"model.audio.pretrained": "none"}).model.audio
    assert audio.pretrained_source is None and audio.pretrained == "none"


@pytest.mark.parametrize("sid", [3, 4, 5])
def test_augmentation_is_demanded_with_the_commands_that_make_it(place, sid):
    missing = missing_inputs([stage_of(sid, "eat", {"data.clotho.path": "my clotho"})])
    assert [one.field for one in missing] == ["augmentation.back_translated", "augmentation.mixes"]
    for one, file in zip(
        missing,
        ("augmented/back_translated/captions.parquet", "augmented/mixes/metadata.jsonl"),
        strict=True,
    ):
        assert "\n" not in one.message and f"{file} is missing" in one.message
        words = shlex.split(one.message.split("`")[1])
        command = typer.main.get_command(app)
        for word in words[1:3]:
            command = command.commands[word]
            command = command.load() if hasattr(command, "load") else command
        context = command.make_context(words[2], words[3:])
        assert context.params["dataset"] == "my clotho"
        assert context.params["out"].parts == tuple(file.split("/")[:2])
        (place / file).parent.mkdir(parents=True)
        (place / file).touch()
    check_inputs([stage_of(sid, "eat")])


def test_synonyms_demand_wordnet(place, monkeypatch):
    def missing():
        raise synonyms.SynonymError(
            "augmentation.synonyms needs WordNet's files: python -m nltk.downloader wordnet"
        )

    monkeypatch.setattr(needed_inputs, "WordNet", missing)
    assert "augmentation.synonyms" in [one.field for one in missing_inputs([stage_of(3, "passt")])]
    assert missing_inputs([stage_of(2, "passt")]) == []


def test_a_missing_list_of_ids_is_named_with_the_command_that_fetches_it(place):
    (place / "dcase2025_excluded_freesound_ids.csv").unlink()
    (missing,) = missing_inputs([stage_of(2, "passt")])
    assert missing.field == "data.exclude.freesound_ids"
    assert "`auricle data fetch exclusions . --accept-license`" in missing.message


def test_a_run_stops_in_one_line_before_it_has_made_anything(place):
    with pytest.raises(RecipeError, match=r"stage 'finetune': augmentation\.back_translated"):
        run_recipe(recipe_of(3, "passt"))
    shown = CliRunner().invoke(app, ["train", str(ROOT / "recipes/clotho/sid1_passt.yaml")])
    assert shown.exit_code == 2
    assert shown.output.count("\n") == 1 and "model.audio.pretrained is not set" in shown.output
    assert not (place / "runs").exists()


def test_wrong_schedules_are_named():
    with pytest.raises(RecipeError, match="warmup_epochs=16 must be less than cosine_end_epoch=16"):
        stage_of(1, "passt", {"training.warmup_epochs": 16})
    with pytest.raises(RecipeError, match="max_grad_norm"):
        stage_of(1, "passt", {"training.max_grad_norm": -1})
