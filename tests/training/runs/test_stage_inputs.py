"""Recorded inputs against today's: by content, each change named by its role."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from tiny_models import write_sound
from tiny_recipes import tiny_recipe, write_captioned_folder

from auricle.files.content_digests import ContentDigests
from auricle.training.recipe.reading import resolve_stages
from auricle.training.recipe.schema import Recipe
from auricle.training.rows.split_loading import load_splits
from auricle.training.runs.stage_inputs import compare_inputs, data_inputs, record_inputs, recorded_inputs


@pytest.fixture
def asked(tmp_path):
    """Inputs of a stage on a copy of the sounds; called again, those of what lies there now."""
    write_captioned_folder(tmp_path / "sounds", {"train": 4, "validation": 2})
    recipe = Recipe.model_validate(tiny_recipe(tmp_path, tmp_path / "sounds"))
    digests = ContentDigests(tmp_path / "cache")

    def inputs(folder=tmp_path / "sounds"):
        (stage,) = resolve_stages(recipe)
        stage.data.folder.path = str(folder)
        stage.data.positive_column = "label"
        return data_inputs(load_splits(stage.data, progress=False), stage, recipe.evaluation, digests)

    return inputs


def test_what_is_recorded_is_read_again_and_nothing_differs(asked, tmp_path):
    inputs, sounds = asked()
    record_inputs(tmp_path / "stage", inputs, sounds)
    assert recorded_inputs(tmp_path / "stage") == inputs
    assert recorded_inputs(tmp_path) is None
    assert set(inputs) == {
        f"the {what} of {split}" for what in ("rows", "labels", "sounds") for split in ("train", "validation")
    }
    moved = shutil.copytree(tmp_path / "sounds", tmp_path / "elsewhere" / "sounds")
    for now in (inputs, asked(moved)[0]):
        found = compare_inputs(recorded_inputs(tmp_path / "stage"), now)
        assert found.changed == found.missing == found.unrecorded == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("sound", ["the sounds of train (1 of 4 clips, such as 'sounds/train/train_001.wav')"]),
        ("caption", ["the rows of train (8 then, 8 now)"]),
        ("label", ["the labels of train: "]),
        ("chosen by", ["the sounds of validation (1 of 2 clips, such as"]),
    ],
)
def test_each_change_is_named(asked, tmp_path, change, named):
    inputs, sounds = asked()
    record_inputs(tmp_path / "stage", inputs, sounds)
    table = tmp_path / "sounds" / "metadata.csv"
    if change == "sound":
        write_sound(tmp_path / "sounds" / "train_001.wav", 1.0, seed=50)
    elif change == "chosen by":
        write_sound(tmp_path / "sounds" / "validation_004.wav", 1.0, seed=50)
    elif change == "caption":
        table.write_text(table.read_text().replace("a rain falls 1 x", "the rain falls 1 x"))
    else:
        table.write_text(table.read_text().replace("train_001.wav,rain", "train_001.wav,hail"))
    now, sounds_now = asked()
    found = compare_inputs(inputs, now, tmp_path / "stage", sounds_now)
    assert len(found.changed) == len(named) and not found.missing
    for line, start in zip(found.changed, named, strict=True):
        assert line.startswith(start)


def test_what_is_not_there_and_what_was_not_recorded_are_no_changes(asked):
    inputs, _ = asked()
    teacher = {"teacher 1": {"source": "somewhere", "fingerprint": None}}
    found = compare_inputs(inputs | {"teacher 1": {"source": "x", "fingerprint": "1"}}, inputs | teacher)
    assert found.missing == ["teacher 1 (somewhere)"] and not found.changed
    found = compare_inputs(inputs, inputs | {"teacher 1": {"source": "x", "fingerprint": "1"}})
    assert found.unrecorded == ["teacher 1 (x)"] and not found.changed
    gone = {**inputs, "the sounds of train": {**inputs["the sounds of train"], "fingerprint": None}}
    assert compare_inputs(inputs, gone).missing == ["the sounds of train"]


def test_fingerprints_are_those_that_earlier_versions_recorded(asked, tmp_path):
    """Of JSON lines a column, each column ended by a zero byte."""
    inputs, _ = asked()
    recipe = Recipe.model_validate(tiny_recipe(tmp_path, tmp_path / "sounds"))
    rows = list(load_splits(recipe.data, progress=False)["train"])
    lines = "".join(f"{row['row_id']}\0{row['caption']}\n" for row in rows)
    assert inputs["the rows of train"]["fingerprint"] == hashlib.sha256(lines.encode()).hexdigest()
    columns = [[row[name] for row in rows] for name in ("clip_id", "label")]
    assert inputs["the labels of train"]["fingerprint"] == of_columns(columns)
    clips = {row["clip_id"]: row["audio"] for row in rows}
    sounds = [
        [
            clip,
            audio["offset"],
            audio["duration"],
            hashlib.sha256(Path(audio["path"]).read_bytes()).hexdigest(),
        ]
        for clip, audio in clips.items()
    ]
    assert inputs["the sounds of train"]["fingerprint"] == of_columns([sounds])


def of_columns(columns):
    text = "".join("".join(f"{json.dumps(value)}\n" for value in column) + "\0" for column in columns)
    return hashlib.sha256(text.encode()).hexdigest()
