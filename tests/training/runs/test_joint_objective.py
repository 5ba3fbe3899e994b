"""The joint objective: clips and captions, and beside them frames and the phrases of events with known times."""

import csv
import json

import numpy as np
import pytest
import torch
from tiny_models import tiny_audio_config, tiny_model, write_sound
from tiny_recipes import tiny_recipe, write_captioned_folder, write_recipe

from auricle.encoders import load_encoder
from auricle.modeling import AuricleModel
from auricle.training.recipe.reading import RecipeError, read_recipe
from auricle.training.runs.recipe_running import run_recipe


def with_events(folder, entry):
    path = folder / "metadata.csv"
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*rows[0], "events"])
        writer.writeheader()
        writer.writerows({**row, "events": entry(place, row)} for place, row in enumerate(rows))
    return folder


def joint_recipe(root, folder, **changes):
    recipe = tiny_recipe(root, folder)
    recipe["model"]["audio"]["config"] = tiny_audio_config(patchout_frequency=0, patchout_time=0)
    recipe["training"] |= {"epochs": 1, "frame_phrase_weight": 0.5}
    return read_recipe(write_recipe(root / "recipe.yaml", recipe), changes)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("joint")
    with_events(
        write_captioned_folder(root / "sounds", {"train": 8, "validation": 2, "test": 2}),
        lambda place, row: json.dumps([[0.1, 0.5, f"a {row['label']}", row["label"]]] if place % 3 else []),
    )
    return root


def test_frames_get_a_projection_of_their_own(place):
    run_recipe(joint_recipe(place, place / "sounds"), progress=False)
    model_dir = place / "run" / "first" / "model"
    log = json.loads((model_dir.parent / "stage.json").read_text())["log"]
    assert all(entry["loss_frame_phrase"] > 0 for entry in log if "loss" in entry)
    model = AuricleModel.from_pretrained(model_dir)
    assert model.config.local_projection
    assert not torch.equal(model.local_projection.weight, model.audio_projection.weight)
    # Frames pass it, and clips do not.
    encoder = load_encoder(model_dir)
    waveforms = np.random.default_rng(0).standard_normal((1, encoder.window_samples)).astype(np.float32)
    frames, clips = (
        encoder.embed_frames(waveforms, [waveforms.shape[1]]),
        encoder.embed_windows(waveforms, [waveforms.shape[1]]),
    )
    encoder.model.local_projection.weight.data.zero_()
    assert np.abs(encoder.embed_frames(waveforms, [waveforms.shape[1]]) - frames).max() > 1e-3
    assert np.array_equal(encoder.embed_windows(waveforms, [waveforms.shape[1]]), clips)


def test_a_model_without_it_is_the_model_it_was():
    model = tiny_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    columns = torch.randn(3, 24, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.project_frames(columns), model.project_audio(columns))
    model.set_local_projection(True)
    assert torch.equal(model.project_frames(columns), model.project_audio(columns))
    model.set_local_projection(False)
    assert set(model.state_dict()) == set(before) and not model.config.local_projection


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"data.time_roll": True},
            r"frame_phrase_weight=0.5 needs clips with unchanged times; switch data.time_roll off",
        ),
        ({"data.crop_seconds": 0.5}, "switch data.crop_seconds off"),
        ({"training.micro_batch_size": 2}, "does not go with training.micro_batch_size"),
        ({"data.events_column": "evnts"}, "data.events_column='evnts' is not a column"),
        ({"data.max_clip_seconds": 0.4}, r"ends after data.max_clip_seconds=0.4"),
        ({"model.audio.config": tiny_audio_config()}, "set model.audio.config.patchout_time to 0"),
    ],
)
def test_settings_that_move_or_hide_frames_are_refused(place, tmp_path, changes, told):
    with pytest.raises((RecipeError, ValueError), match=told):
        run_recipe(
            joint_recipe(place, place / "sounds", output_dir=str(tmp_path / "run"), **changes), progress=False
        )


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ("[[0.5, 0.1, 'x']]", "its events are not valid JSON"),
        ('{"a": 1}', "its events must be a list"),
        ('[[0.5, 0.1, "x"]]', "its times must be 0 <= start < end"),
        ('[[0, NaN, "x"]]', "its times must be 0 <= start < end"),
        ("[[0, 1]]", r"must be \[start, end, phrase, label\]"),
        ('[[0, 1, " "]]', "its phrase and label must be text"),
    ],
)
def test_events_that_cannot_be_used_are_named(tmp_path, events, told):
    write_sound(tmp_path / "one.wav", 0.5, seed=0)
    folder = with_events(write_captioned_folder(tmp_path / "sounds", {"train": 4}), lambda place, row: events)
    from auricle.data import load_captioned_folder
    from auricle.training.rows.clip_events import read_clip_events

    with pytest.raises(RecipeError, match=rf"clip .*{told}"):
        read_clip_events(load_captioned_folder(folder), "events", 30.0)
