"""A run directory belongs to one recipe; nothing in another one's is touched."""

import json
import os

import pytest

from auricle.training.recipe.reading import RecipeError
from auricle.training.recipe.schema import Recipe
from auricle.training.runs.run_directory import RunDirectory, as_it_began


def recipe(tmp_path, **more) -> Recipe:
    values = {"name": "r", "output_dir": str(tmp_path / "run"), "stages": [{"name": "one"}]}
    return Recipe.model_validate({**values, **more})


def started(tmp_path, **more) -> RunDirectory:
    run = RunDirectory(recipe(tmp_path, **more))
    run.start()
    return run


def files_below(folder) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_start_records_the_recipe_and_the_packages(tmp_path):
    run = started(tmp_path, seed=7)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["recipe"]["seed"] == 7
    assert record["fingerprint"] == run.fingerprint
    assert set(record["packages"]) >= {"torch", "transformers"}


def test_the_same_recipe_opens_its_run_again(tmp_path):
    run = started(tmp_path)
    run.finish("one", {"steps": 3})
    before = files_below(tmp_path)
    again = started(tmp_path)
    assert again.is_finished("one") and not again.is_finished("two")
    assert again.fingerprint == run.fingerprint
    assert files_below(tmp_path) == before


def test_a_run_from_before_a_field_existed_goes_on_with_its_default(tmp_path):
    started(tmp_path)
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    del record["recipe"]["training"]["warmup_share"], record["recipe"]["data"]["gain_db"]
    path.write_text(json.dumps(record))
    RunDirectory(recipe(tmp_path))
    with pytest.raises(RecipeError, match=r"training.warmup_share is 0\.\d+ there and 0\.5 here"):
        RunDirectory(recipe(tmp_path, training={"warmup_share": 0.5}))
    record["recipe"]["training"]["a_field_that_is_gone"] = 1
    path.write_text(json.dumps(record))
    with pytest.raises(RecipeError, match="a_field_that_is_gone is 1 there and None here"):
        RunDirectory(recipe(tmp_path))


@pytest.mark.parametrize(
    ("change", "field", "old", "new"),
    [
        ({"seed": 1}, "seed", "0", "1"),
        ({"training": {"learning_rate": 0.5}}, "training.learning_rate", "2e-05", "0.5"),
        ({"data": {"folder": {"path": "other"}}}, "data.folder.path", "None", "'other'"),
        ({"model": {"audio": {"config": {"hidden_size": 8}}}}, "model.audio.config.hidden_size", "None", "8"),
        (
            {"evaluation": {"relevance_column": "label"}},
            "evaluation.relevance_column",
            "'clip_id'",
            "'label'",
        ),
    ],
)
def test_another_recipe_is_refused_naming_the_field(tmp_path, change, field, old, new):
    started(tmp_path).finish("one", {})
    before = files_below(tmp_path)
    with pytest.raises(RecipeError) as caught:
        RunDirectory(recipe(tmp_path, **change))
    assert f"{field} is {old} there and {new} here" in str(caught.value)
    assert str(tmp_path / "run") in str(caught.value)
    assert files_below(tmp_path) == before


def test_another_list_of_stages_is_refused(tmp_path):
    started(tmp_path)
    with pytest.raises(RecipeError, match="stages is"):
        RunDirectory(recipe(tmp_path, stages=[{"name": "one"}, {"name": "two"}]))


def test_what_is_asked_of_the_model_and_what_is_said_of_it_may_change(tmp_path):
    started(tmp_path, evaluation={"questions": ["a?"]}, description="before")
    run = RunDirectory(recipe(tmp_path, evaluation={"questions": ["b?", "c?"]}, description="after"))
    assert run.record


def test_how_fast_it_goes_and_how_it_reports_may_change(tmp_path):
    started(tmp_path)
    changed = {"num_workers": 3, "log_every": 7, "keep_checkpoints": 5, "report_to": ["tensorboard"]}
    assert RunDirectory(recipe(tmp_path, training=changed)).record


def test_a_run_that_was_moved_is_still_the_same(tmp_path):
    started(tmp_path)
    (tmp_path / "run").rename(tmp_path / "moved")
    assert RunDirectory(recipe(tmp_path, output_dir=str(tmp_path / "moved"))).record


def test_a_directory_with_other_things_is_refused_and_left_alone(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("precious")
    with pytest.raises(RecipeError, match="no run.json"):
        RunDirectory(recipe(tmp_path))
    assert files_below(tmp_path) == {"run/thesis.txt": b"precious"}


def test_a_start_that_was_killed_while_writing_its_record_can_be_repeated(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".run.json.1234").write_text('{"reci')
    assert started(tmp_path).record["recipe"]["name"] == "r"


def test_an_empty_directory_is_fine(tmp_path):
    (tmp_path / "run").mkdir()
    assert started(tmp_path).record


def test_a_file_in_its_place_and_a_broken_record_are_refused(tmp_path):
    (tmp_path / "run").write_text("a file")
    with pytest.raises(RecipeError, match="is a file"):
        RunDirectory(recipe(tmp_path))
    (tmp_path / "run").unlink()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text('{"recipe": ')
    with pytest.raises(RecipeError, match="run.json: is not valid JSON"):
        RunDirectory(recipe(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="needs a device file")
def test_a_place_that_cannot_be_written_is_an_error_of_the_recipe(tmp_path):
    run = RunDirectory(recipe(tmp_path, output_dir="/dev/null/run"))
    with pytest.raises(RecipeError, match="cannot be written"):
        run.start()


def test_values_are_saved_and_loaded_by_name(tmp_path):
    run = started(tmp_path)
    assert run.load("results") is None
    run.save("one/audio_check", {"bad": [["a.wav", "silent"]]})
    assert run.load("one/audio_check") == {"bad": [["a.wav", "silent"]]}
    assert run.model_dir("one") == tmp_path / "run" / "one" / "model"


def begun_before_names(tmp_path, normalize_captions: bool) -> None:
    """A run's record as it was when `normalize_captions` was all there was to say."""
    started(tmp_path)
    path = tmp_path / "run" / "run.json"
    record = json.loads(path.read_text())
    text = record["recipe"]["model"]["text"]
    del text["caption_normalization"]
    text["normalize_captions"] = normalize_captions
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(("older", "name"), [(True, "auricle-1"), (False, "none")])
def test_a_run_from_before_forms_of_captions_had_names_goes_on_with_its_own(tmp_path, older, name):
    begun_before_names(tmp_path, older)
    before = files_below(tmp_path)
    again = recipe(tmp_path)
    assert again.model.text.caption_normalization == "auricle-2"
    assert as_it_began(again).model.text.caption_normalization == name
    assert again.model.text.caption_normalization == "auricle-2"
    run = started(tmp_path)
    assert run.recipe["model"]["text"]["caption_normalization"] == name
    started(tmp_path, model={"text": {"normalize_captions": older}})
    started(tmp_path, model={"text": {"caption_normalization": name}})
    assert files_below(tmp_path) == before
    with pytest.raises(RecipeError, match=f"caption_normalization is '{name}' there and 'auricle-2' here"):
        RunDirectory(recipe(tmp_path, model={"text": {"caption_normalization": "auricle-2"}}))


def test_a_run_that_names_its_form_is_held_to_it(tmp_path):
    started(tmp_path, model={"text": {"caption_normalization": "publisher"}})
    with pytest.raises(RecipeError, match="caption_normalization is 'publisher' there and 'auricle-2' here"):
        RunDirectory(recipe(tmp_path))


def with_models(tmp_path, place, **more) -> Recipe:
    """A recipe that starts from, learns from and clusters with models below ``place``."""
    values = {
        "stages": [{"name": "one", "starts_from": f"{place}/start"}],
        "distillation": {"teachers": [f"{place}/teacher"]},
        "clusters": {"embed_with": f"{place}/teacher"},
    }
    return recipe(tmp_path, **{**values, **more})


def record_contents(tmp_path, **contents) -> None:
    roles = {
        "start": "the model it starts from",
        "teacher": "teacher 1",
        "clusters": "the model that clusters are made with",
    }
    inputs = {role: {"source": "?", "fingerprint": contents.get(name, "abc")} for name, role in roles.items()}
    (tmp_path / "run" / "one" / "checkpoint-3").mkdir(parents=True)
    (tmp_path / "run" / "one" / "made_from.json").write_text(json.dumps(inputs))


def test_models_may_move_where_their_contents_were_recorded(tmp_path):
    RunDirectory(with_models(tmp_path, "/before")).start()
    record_contents(tmp_path)
    run = RunDirectory(with_models(tmp_path, "/now"))
    run.start()
    record = json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]
    assert record["stages"][0]["starts_from"] == "/now/start"
    assert record["distillation"]["teachers"][0]["source"] == "/now/teacher"
    assert record["clusters"]["embed_with"] == "/now/teacher"


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("start", "stages.one.starts_from"),
        ("teacher", "distillation.teachers"),
        ("clusters", "clusters.embed_with"),
    ],
)
def test_a_model_whose_content_was_not_recorded_may_not_move(tmp_path, name, field):
    RunDirectory(with_models(tmp_path, "/before")).start()
    record_contents(tmp_path, **{name: None})
    with pytest.raises(RecipeError, match=f"another recipe \\({field} is"):
        RunDirectory(with_models(tmp_path, "/now"))


def test_a_stage_that_began_before_contents_were_recorded_keeps_its_places(tmp_path):
    RunDirectory(with_models(tmp_path, "/before")).start()
    RunDirectory(with_models(tmp_path, "/now"))  # it has not begun
    (tmp_path / "run" / "one" / "checkpoint-3").mkdir(parents=True)
    with pytest.raises(RecipeError, match="starts_from"):
        RunDirectory(with_models(tmp_path, "/now"))


@pytest.mark.parametrize(
    "change",
    [
        {"stages": [{"name": "one", "starts_from": "pretrained"}]},
        {"distillation": {"teachers": [{"source": "/now/teacher", "weight": 2.0}]}},
        {"distillation": {"teachers": ["/before/teacher", "/now/teacher"]}},
        {"model": {"audio": {"pretrained": "none"}}},
    ],
)
def test_another_start_other_weights_and_more_teachers_are_no_move(tmp_path, change):
    before = {"model": {"audio": {"pretrained": "/before/audio"}}} if "model" in change else {}
    RunDirectory(with_models(tmp_path, "/before", **before)).start()
    record_contents(tmp_path)
    with pytest.raises(RecipeError, match="contains a run with another recipe"):
        RunDirectory(with_models(tmp_path, "/before", **change))
