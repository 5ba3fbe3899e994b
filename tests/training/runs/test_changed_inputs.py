"""A run notices that its inputs have changed: by content, by name, and before a step is taken."""

import json
import logging
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from tiny_models import tiny_audio_config, write_sound
from tiny_recipes import tiny_recipe, weights_of, write_captioned_folder

from auricle.data import load_captioned_folder
from auricle.data.augmentation.back_translation import COLUMN, FILE
from auricle.data.waveform_writing import SAMPLES_FILE
from auricle.training.clusters.caption_clusters import LABEL_TYPES, CaptionClusters, ClusterSettings
from auricle.training.models.model_files import model_files_fingerprint
from auricle.training.recipe.reading import RecipeError
from auricle.training.recipe.schema import Recipe
from auricle.training.runs.made_from import made_from
from auricle.training.runs.recipe_running import run_recipe
from auricle.training.teachers.bank_files import caption_digest
from auricle.training.teachers.teacher_bank import TeacherBank, load_teacher, write_teacher_bank

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Sounds, and two trained models of one recipe that differ in their seed."""
    folder = tmp_path_factory.mktemp("world")
    write_captioned_folder(folder / "sounds", {"train": 8, "validation": 2})
    for seed in (1, 2):
        values = tiny_recipe(folder, folder / "sounds")
        values["training"] |= {"epochs": 1}
        values |= {"seed": seed, "output_dir": str(folder / f"model-{seed}")}
        run_recipe(Recipe.model_validate(values), progress=False)
    return folder


@pytest.fixture
def here(world, tmp_path):
    """A copy of the sounds, and of both models under the names that a recipe gives: start and teacher."""
    shutil.copytree(world / "sounds", tmp_path / "sounds")
    for name in ("start", "teacher"):
        place_model(world, tmp_path / name, 1)
    return tmp_path


def place_model(world, place, seed):
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(world / f"model-{seed}" / "first" / "model", place)


def student(world, here, **more) -> Recipe:
    """A stage from a start model, a teacher and clusters of the teacher's text tower."""
    values = tiny_recipe(world, here / "sounds")
    values |= {
        "output_dir": str(here / "run"),
        "stages": [{"name": "tune", "starts_from": str(here / "start")}],
    }
    values["distillation"] = {"teachers": [str(here / "teacher")]}
    values["clusters"] = {"embed_with": str(here / "teacher"), "method": "kmeans", "num_clusters": 2}
    values["training"] |= {"epochs": 2, "learning_rate": 1e-4}
    values["data"]["cache_dir"] = str(here / "cache")
    return Recipe.model_validate(values | more)


class Killed(Exception):
    """Stands for a kill: nothing of the run's own handles it."""


def killed_before_training(recipe, monkeypatch):
    """Runs until everything that the stage learns from is made, and not a step further."""

    def kill(*arguments, **options):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr("auricle.training.runs.recipe_running.run_stage", kill)
        run_recipe(recipe, progress=False)


def killed_at_step(recipe, step, monkeypatch):
    """Runs until a checkpoint of that step is whole."""
    from auricle.training.trainer_callbacks import CheckpointMarker

    mark = CheckpointMarker.on_save

    def kill(self, args, state, control, **options):
        mark(self, args, state, control, **options)
        if state.global_step >= step:
            raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(CheckpointMarker, "on_save", kill)
        run_recipe(recipe, progress=False)


def test_a_teacher_retrained_after_its_bank_was_made_is_run_again(world, here, monkeypatch, caplog):
    recipe = student(world, here)
    killed_before_training(recipe, monkeypatch)
    bank, clusters = here / "run" / "tune" / "teachers" / "0-teacher", here / "run" / "tune" / "clusters"
    old = TeacherBank.load(bank).fingerprint, CaptionClusters.load(clusters).source["fingerprint"]
    assert made_from(bank).is_current and made_from(clusters).is_current
    place_model(world, here / "teacher", 2)
    assert "changed" in made_from(bank).changed[0] and "changed" in made_from(clusters).changed[0]
    with caplog.at_level(logging.WARNING):
        run_recipe(recipe, progress=False)
    new = load_teacher(str(here / "teacher")).fingerprint
    assert new not in old
    assert TeacherBank.load(bank).fingerprint == new == CaptionClusters.load(clusters).source["fingerprint"]
    record = json.loads((here / "run" / "tune" / "stage.json").read_text())
    assert record["teachers"][0]["fingerprint"] == new == record["clusters"]["source"]["fingerprint"]
    told = caplog.text
    assert "stage tune starts again: teacher 1" in told
    assert "making the bank of teacher" in told and "making the clusters again" in told


def test_what_was_made_is_taken_again_where_nothing_changed(world, here, monkeypatch, caplog):
    recipe = student(world, here)
    killed_before_training(recipe, monkeypatch)
    made = [
        here / "run" / "tune" / name for name in ("teachers/0-teacher/bank.json", "clusters/clusters.json")
    ]
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in made]
    (here / "teacher" / "README.md").write_text("a card that came later")
    (here / "teacher").rename(here / "kept")
    shutil.copytree(here / "kept", here / "teacher")
    killed_before_training(recipe, monkeypatch)
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in made] == before
    assert "repeated" not in caplog.text and "again" not in caplog.text


@pytest.mark.parametrize(
    ("place", "named"),
    [("start", "the model it starts from"), ("teacher", "teacher 1")],
)
def test_with_a_checkpoint_a_replaced_model_is_refused_by_name(world, here, monkeypatch, place, named):
    recipe = student(world, here)
    killed_at_step(recipe, 4, monkeypatch)
    kept = weights_of(here / "run" / "tune" / "checkpoint-4")
    place_model(world, here / place, 2)
    with pytest.raises(RecipeError, match=r"its inputs have changed since it began") as caught:
        run_recipe(recipe, progress=False)
    assert f"{named} ({here / place})" in str(caught.value) and len(str(caught.value).splitlines()) == 1
    after = weights_of(here / "run" / "tune" / "checkpoint-4")
    assert all(torch.equal(value, after[name]) for name, value in kept.items())
    place_model(world, here / place, 1)
    run_recipe(recipe, progress=False)
    assert (here / "run" / "tune" / "stage.json").is_file()


def test_models_that_moved_are_followed_and_another_content_there_is_refused(world, here, monkeypatch):
    killed_at_step(student(world, here), 4, monkeypatch)
    made = [
        here / "run" / "tune" / name for name in ("teachers/0-teacher/bank.json", "clusters/clusters.json")
    ]
    before = [(path.stat().st_ino, path.stat().st_mtime_ns) for path in made]
    elsewhere = here / "elsewhere"
    elsewhere.mkdir()
    for name in ("start", "teacher"):
        (here / name).rename(elsewhere / name)
    moved = student(
        world,
        here,
        stages=[{"name": "tune", "starts_from": str(elsewhere / "start")}],
        distillation={"teachers": [str(elsewhere / "teacher")]},
        clusters={"embed_with": str(elsewhere / "teacher"), "method": "kmeans", "num_clusters": 2},
    )
    place_model(world, elsewhere / "teacher", 2)
    with pytest.raises(RecipeError, match="its inputs have changed since it began"):
        run_recipe(moved, progress=False)
    place_model(world, elsewhere / "teacher", 1)
    run_recipe(moved, progress=False)
    assert [(path.stat().st_ino, path.stat().st_mtime_ns) for path in made] == before
    assert made_from(here / "run" / "tune").is_current


def test_with_a_checkpoint_replaced_clusters_and_translations_are_refused_by_name(world, here, monkeypatch):
    rows = load_captioned_folder(here / "sounds", split="train")

    def write(first_label, wording):
        labels = [(number + first_label) % 2 for number in range(len(rows))]
        columns = {
            "row_id": list(rows["row_id"]),
            "clip_id": list(rows["clip_id"]),
            "caption_digest": [caption_digest(caption) for caption in rows["caption"]],
            "cluster": labels,
        }
        settings = ClusterSettings(method="kmeans", num_clusters=2)
        CaptionClusters(pa.table(columns, schema=LABEL_TYPES), settings, [8, 8], [[]] * 2).save(
            here / "labels"
        )
        (here / "translated").mkdir(exist_ok=True)
        texts = {"row_id": list(rows["row_id"]), "caption": list(rows["caption"])}
        texts[COLUMN] = [[f"{wording} {caption}"] for caption in rows["caption"]]
        parquet.write_table(pa.table(texts), here / "translated" / FILE)

    write(0, "so")
    recipe = student(
        world,
        here,
        distillation={},
        clusters={"labels": str(here / "labels")},
        augmentation={"back_translated": str(here / "translated")},
    )
    killed_at_step(recipe, 4, monkeypatch)
    write(1, "so")
    with pytest.raises(RecipeError, match=r"since it began: the clusters \(\S+labels\): "):
        run_recipe(recipe, progress=False)
    write(0, "thus")
    with pytest.raises(RecipeError, match=r"since it began: the back-translations \(\S+translated\): "):
        run_recipe(recipe, progress=False)
    write(0, "so")
    run_recipe(recipe, progress=False)
    assert made_from(here / "run" / "tune").is_current


def test_a_bank_from_outside_is_used_as_it_is_and_its_retrained_teacher_told(world, here, caplog):
    table = load_captioned_folder(here / "sounds", split="train")
    teacher = str(here / "teacher")
    files = model_files_fingerprint(teacher)
    write_teacher_bank(
        here / "bank", load_teacher(teacher), {"train": table}, model_name=teacher, model_files=files
    )
    place_model(world, here / "teacher", 2)
    recipe = student(world, here, distillation={"teachers": [{"source": str(here / "bank")}]}, clusters={})
    run_recipe(recipe, progress=False)
    assert f"teacher bank {here / 'bank'}: its model {teacher} has changed since" in caplog.text
    assert made_from(here / "run" / "tune").is_current and made_from(here / "bank").changed


def test_an_old_attempts_model_does_not_stay_because_its_figure_is_unbeaten(world, here):
    """Checkpoints and stage.json deleted, the start model replaced: the new attempt's model is the result."""
    recipe = student(world, here)
    run_recipe(recipe, progress=False)
    stage = here / "run" / "tune"
    best = json.loads((stage / "model" / "best.json").read_text())
    (stage / "model" / "best.json").write_text(json.dumps(best | {"value": 2.0}))
    old = weights_of(stage / "model")
    for path in [*stage.glob("checkpoint-*")]:
        shutil.rmtree(path)
    (stage / "stage.json").unlink()
    place_model(world, here / "start", 2)
    run_recipe(recipe, progress=False)
    new, start = weights_of(stage / "model"), weights_of(here / "start")
    assert json.loads((stage / "model" / "best.json").read_text())["value"] <= 1
    name = "audio_projection.weight"
    assert not torch.equal(new[name], old[name])
    assert (new[name] - start[name]).abs().max() < (new[name] - old[name]).abs().max()


@pytest.mark.parametrize("what", ["start", "teacher", "sound"])
def test_a_finished_stage_whose_inputs_changed_is_not_skipped_in_silence(world, here, what):
    recipe = student(world, here)
    run_recipe(recipe, progress=False)
    stage = here / "run" / "tune"
    answer = made_from(stage)
    assert answer.is_current and answer.kind == "stage"
    assert {"the model it starts from", "teacher 1", "the sounds of train", "the rows of validation"} <= set(
        answer.inputs
    )
    run_recipe(recipe, progress=False)
    named = {
        "start": "the model it starts from",
        "teacher": "teacher 1",
        "sound": "the sounds of train (1 of 8 clips, such as",
    }[what]
    if what == "sound":
        write_sound(here / "sounds" / "train_003.wav", 0.6, seed=99)
    else:
        place_model(world, here / what, 2)
    assert any(one.startswith(named) for one in made_from(stage).changed)
    with pytest.raises(RecipeError, match="is finished, but was made from something else") as caught:
        run_recipe(recipe, progress=False)
    assert named in str(caught.value) and str(stage) in str(caught.value)


def test_a_finished_stage_outlives_its_teacher_and_its_sounds(world, here):
    recipe = student(world, here)
    run_recipe(recipe, progress=False)
    shutil.rmtree(here / "teacher")
    run_recipe(recipe, progress=False)
    answer = made_from(here / "run" / "tune")
    assert not answer.changed and not answer.is_current
    assert any("teacher 1" in one for one in answer.missing)


def test_a_retrained_stage_of_the_same_run_makes_the_next_one_stale(world, here):
    values = student(world, here).model_dump()
    values |= {"distillation": {}, "clusters": {}}
    values["stages"] = [{"name": "first"}, {"name": "second", "distillation": {"teachers": ["first"]}}]
    values["training"] |= {"epochs": 1}
    recipe = Recipe.model_validate(values)
    run_recipe(recipe, progress=False)
    first = here / "run" / "first"
    bank = here / "run" / "second" / "teachers" / "0-first"
    assert made_from(first).is_current and made_from(bank).is_current
    shutil.rmtree(first / "model")
    place_model(world, first / "model", 2)
    assert made_from(bank).changed and made_from(here / "run" / "second").changed
    with pytest.raises(
        RecipeError, match=r"stage 'second' is finished, but .*the model it starts from \(first\)"
    ):
        run_recipe(recipe, progress=False)


def test_sounds_replaced_under_their_names_are_refused_on_resume(world, here, monkeypatch):
    recipe = student(world, here, distillation={}, clusters={})
    killed_at_step(recipe, 4, monkeypatch)
    old = (here / "sounds" / "train_002.wav").stat()
    write_sound(here / "sounds" / "train_002.wav", 1.7, seed=77)
    assert (here / "sounds" / "train_002.wav").stat().st_size == old.st_size
    with pytest.raises(RecipeError, match="the data have changed since it began") as caught:
        run_recipe(recipe, progress=False)
    assert "the sounds of train (1 of 8 clips, such as 'sounds/train/train_002.wav')" in str(caught.value)


def test_decoded_sounds_of_another_content_are_not_used(world, here, monkeypatch):
    """Replaced under the same name, size and time: the cache of decoded sounds is found by those."""
    recipe = student(world, here, distillation={}, clusters={})
    recipe.data.cache_waveforms = True
    killed_at_step(recipe, 4, monkeypatch)
    (cache,) = (path for path in (here / "cache").glob("waveforms-*") if path.is_dir())
    before = np.memmap(cache / SAMPLES_FILE, dtype="<i2", mode="r").copy()
    path = here / "sounds" / "train_002.wav"
    times = path.stat()
    write_sound(path, 1.7, seed=77)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    shutil.rmtree(here / "run")
    run_recipe(recipe, progress=False)
    (again,) = (path for path in (here / "cache").glob("waveforms-*") if path.is_dir())
    after = np.memmap(again / SAMPLES_FILE, dtype="<i2", mode="r")
    assert again == cache and before.shape == after.shape and not np.array_equal(before, after)


def test_labels_that_training_goes_by_are_compared(world, here, monkeypatch):
    recipe = student(world, here, distillation={}, clusters={})
    recipe.data.positive_column = "label"
    killed_at_step(recipe, 4, monkeypatch)
    table = here / "sounds" / "metadata.csv"
    table.write_text(table.read_text().replace("train_003.wav,siren", "train_003.wav,alarm"))
    with pytest.raises(RecipeError, match="the data have changed since it began: the labels of train"):
        run_recipe(recipe, progress=False)


def test_a_moved_folder_and_what_cannot_matter_go_on(world, here, monkeypatch):
    recipe = student(world, here)
    killed_at_step(recipe, 4, monkeypatch)
    (here / "moved").mkdir()
    moved = (here / "sounds").rename(here / "moved" / "sounds")
    values = recipe.model_dump()
    values["data"]["folder"]["path"] = str(moved)
    values["evaluation"]["batch_size"] = 3
    values["training"] |= {"cpu_threads": 1, "num_workers": 1, "log_every": 2, "keep_checkpoints": 5}
    values["data"]["max_bad_share"] = 0.5
    run_recipe(Recipe.model_validate(values), progress=False)
    assert (here / "run" / "tune" / "stage.json").is_file()
    kept = json.loads((here / "run" / "run.json").read_text())["recipe"]["data"]["folder"]["path"]
    assert kept == str(moved)
    assert made_from(here / "run" / "tune").is_current


def test_a_run_from_before_inputs_were_recorded_goes_on_and_says_what_is_not_known(
    world, here, monkeypatch, caplog
):
    recipe = student(world, here)
    killed_at_step(recipe, 4, monkeypatch)
    stage = here / "run" / "tune"
    for name in ("made_from.json", "sounds.parquet"):
        (stage / name).unlink()
    record = json.loads((here / "run" / "run.json").read_text())
    del record["precision"]
    (here / "run" / "run.json").write_text(json.dumps(record))
    with caplog.at_level(logging.WARNING):
        run_recipe(recipe, progress=False)
    assert "do not record everything they learned from" in caplog.text
    assert "the sounds of train" in caplog.text and "the rows of train" not in caplog.text
    answer = made_from(stage)
    assert answer.inputs is None and not answer.is_current
    run_recipe(recipe, progress=False)


def test_banks_tell_the_content_of_sounds_and_older_ones_go_on(world, here, caplog):
    table = load_captioned_folder(here / "sounds", split="train")
    bank = write_teacher_bank(
        here / "bank", load_teacher(str(here / "teacher")), {"train": table}, model_name=str(here / "teacher")
    )
    assert bank.records_content and made_from(here / "bank", table=table).is_current
    older = TeacherBank(
        **{**vars(bank), "name": "older", "rows": bank.rows.drop_columns(["content_digest"])},
    )
    older.save(here / "older")
    info = json.loads((here / "older" / "bank.json").read_text())
    del info["model_files"]
    (here / "older" / "bank.json").write_text(json.dumps(info))
    write_sound(here / "sounds" / "train_003.wav", 0.6, seed=99)
    (changed,) = made_from(here / "bank", table=table).changed
    assert "another one there" in changed and "one content of 'train_003.wav'" in changed
    answer = made_from(here / "older", table=table)
    assert not answer.changed and answer.unrecorded == ["the contents of its sounds"]
    for name in ("older", "bank"):
        values = student(world, here).model_dump() | {
            "output_dir": str(here / f"with-{name}"),
            "clusters": {},
        }
        values["distillation"]["teachers"] = [str(here / name)]
        if name == "older":
            run_recipe(Recipe.model_validate(values), progress=False)
            assert "does not record the content of its sounds" in caplog.text
        else:
            with pytest.raises(ValueError, match="was made from other data: row .*train_003"):
                run_recipe(Recipe.model_validate(values), progress=False)


def test_a_directory_of_something_else_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="is neither a stage of a run, nor a teacher bank, nor clusters"):
        made_from(tmp_path)


def test_another_tower_of_the_recipe_is_another_input(world, here):
    """The text encoder that a stage starts from counts by its content."""
    values = tiny_recipe(here, here / "sounds")
    values["model"]["audio"]["config"] = tiny_audio_config()
    values |= {"output_dir": str(here / "run")}
    values["training"] |= {"epochs": 1}
    recipe = Recipe.model_validate(values)
    run_recipe(recipe, progress=False)
    config = here / "text" / "config.json"
    config.write_text(config.read_text().replace("{", '{"note": 1,', 1))
    (changed,) = made_from(here / "run" / "first").changed
    assert changed.startswith(f"the text encoder it starts from ({here / 'text'})")
