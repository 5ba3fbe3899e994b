"""Encoders of other kinds than a model directory as teachers, for clusters, in ensembles, zero-shot, in comparisons."""

import json
import shutil

import numpy as np
import pytest
from encoder_cases import missing_packages, save_case
from tiny_models import saved_tiny_model
from tiny_recipes import tiny_recipe, write_captioned_folder, write_recipe
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import load_captioned_folder
from auricle.encoders import load_encoder
from auricle.evaluation.ensembles.ensemble import Ensemble, Member
from auricle.evaluation.zero_shot import classify_sounds
from auricle.training.clusters.caption_embedding import embed_captions_with
from auricle.training.models.pretrained_text import PretrainedError
from auricle.training.recipe.reading import read_recipe, resolve_stages
from auricle.training.runs.stage_objective import prepare_objective
from auricle.training.teachers.teacher_bank import BankError, TeacherBank

KINDS = ("adapter", "onnx", "clap", "pe-av", "two-towers")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with one directory of each kind, a model directory and captioned sounds."""
    folder = tmp_path_factory.mktemp("in_use")
    for kind in KINDS:
        if not missing_packages(kind):
            save_case(kind, folder / kind)
    saved_tiny_model(folder / "model", seed=3, projection_dim=8)
    write_captioned_folder(folder / "sounds", {"train": 4, "test": 3}, seconds=(0.5, 1.3))
    return folder


@pytest.fixture(params=KINDS)
def kind(request, place):
    if missing_packages(request.param):
        pytest.skip(f"{', '.join(missing_packages(request.param))} is not installed")
    return request.param


def objective(place, directory, teachers):
    """What the only stage of a tiny recipe learns from."""
    values = tiny_recipe(place, place / "sounds") | {"distillation": {"teachers": teachers}}
    recipe = read_recipe(write_recipe(directory / "recipe.yaml", values))
    train = load_captioned_folder(place / "sounds", split="train")
    (stage,) = resolve_stages(recipe)
    made = prepare_objective(
        stage,
        train,
        directory=directory,
        model_of_stage=lambda name: None,
        batch_size=4,
        progress=False,
    )
    return made, train


def test_it_teaches_beside_a_bank(place, kind, tmp_path):
    bank = tmp_path / "bank"
    done = CliRunner().invoke(
        app, ["embed", str(place / "model"), str(place / "sounds"), "--out", str(bank), "--no-progress"]
    )
    assert done.exit_code == 0, done.output
    made, train = objective(
        place, tmp_path, [{"source": str(place / kind), "weight": 3}, {"source": str(bank), "weight": 1}]
    )
    encoder = load_encoder(place / kind, device="cpu")
    audio, _ = encoder.embed_clips(list(train["audio"]))
    text = encoder.embed_texts(list(train["caption"]))
    for row in range(len(train)):
        vectors = made.teachers.audio_vectors(row), made.teachers.caption_vectors(row)
        own = encoder.embedding_dim
        assert [len(vector) for vector in vectors] == [own + 8, own + 8]
        np.testing.assert_allclose(vectors[0][:own], 0.75**0.5 * audio[row], atol=2e-6)
        np.testing.assert_allclose(vectors[1][:own], 0.75**0.5 * text[row], atol=2e-6)
    kept = TeacherBank.load(tmp_path / "teachers" / f"0-{kind}")
    assert kept.fingerprint == encoder.fingerprint == made.record["teachers"][0]["fingerprint"]


def test_its_sentences_are_clustered(place, kind):
    captions = ["a dog barks", "rain falls", "a dog barks", "a bell rings"]
    vectors, source = embed_captions_with(str(place / kind), captions)
    encoder = load_encoder(place / kind, device="cpu")
    pooled = encoder.pool_texts(captions)
    cosines = (vectors * pooled).sum(axis=1) / np.linalg.norm(pooled, axis=1)
    np.testing.assert_allclose(cosines, 1, atol=1e-6)
    assert np.array_equal(vectors[0], vectors[2]) and source["fingerprint"] == encoder.fingerprint
    with pytest.raises(PretrainedError, match="takes captions without a prefix"):
        embed_captions_with(str(place / kind), captions, prompt="query: ")


def test_it_sorts_sounds_into_classes(place, kind):
    encoder = load_encoder(place / kind, device="cpu")
    scale = encoder.logit_scale or 15.0
    clips = list(load_captioned_folder(place / "sounds", split="test")["audio"])[::2]
    labels = ["dog", "rain", "bell"]
    answers = classify_sounds(encoder, clips, labels, logit_scale=None if encoder.logit_scale else scale)
    cosines = encoder.embed_clips(clips)[0] @ encoder.embed_texts([f"the sound of {x}" for x in labels]).T
    for row, answer in zip(np.exp(scale * cosines.astype(np.float64)), answers, strict=True):
        assert dict(answer) == pytest.approx(dict(zip(labels, row / row.sum(), strict=True)), abs=1e-6)
    # A scale of one's own moves shares, not the order.
    flat = classify_sounds(encoder, clips, labels, logit_scale=0.01)
    assert [[x for x, _ in row] for row in flat] == [[x for x, _ in row] for row in answers]
    assert all(abs(share - 1 / 3) < 0.01 for row in flat for _, share in row)


def test_an_encoder_without_a_scale_needs_one(place):
    if missing_packages("onnx"):
        pytest.skip("onnx is not installed")
    encoder = load_encoder(place / "onnx")
    assert encoder.logit_scale == pytest.approx(20)
    encoder.record = {name: value for name, value in encoder.record.items() if name != "logit_scale"}
    with pytest.raises(ValueError, match="has no logit_scale.*give one, such as logit_scale=20"):
        classify_sounds(encoder, [], ["dog", "rain"])
    with pytest.raises(ValueError, match="logit_scale=-1: must be a number above 0"):
        classify_sounds(encoder, [], ["dog", "rain"], logit_scale=-1)


def test_all_of_them_are_members_and_compared(place, tmp_path):
    kinds = [name for name in KINDS if not missing_packages(name)]
    names = [*kinds, "model"]
    members = [word for name in names for word in ("--member", f"{name}={place / name}")]
    search = ["--method", "uniform", "--validation", "train", "--no-progress"]
    runner, sounds = CliRunner(), str(place / "sounds")
    done = runner.invoke(
        app,
        ["ensemble", sounds, *members, "--out", str(tmp_path / "e.json"), *search],
    )
    assert done.exit_code == 0, done.output
    assert [member.name for member in Ensemble.load(tmp_path / "e.json").members] == names
    command = ["compare", *(f"{name}={place / name}" for name in names), f"all={tmp_path / 'e.json'}"]
    command += ["--on", sounds, "--cache-dir", str(tmp_path / "cache"), "--json", str(tmp_path / "c.json")]
    done = runner.invoke(app, [*command, "--no-progress"])
    assert done.exit_code == 0, done.output
    rows = {system["name"]: system for system in json.loads((tmp_path / "c.json").read_text())["systems"]}
    for name in kinds:
        encoder = load_encoder(place / name, device="cpu")
        assert rows[name]["fingerprint"] == encoder.fingerprint
        assert rows[name]["num_parameters"] > 2_000
        assert rows[name]["query_milliseconds"] > 0
    if {"adapter", "onnx"} <= set(kinds):
        # Both are of one tiny model.
        assert rows["adapter"]["num_parameters"] == rows["onnx"]["num_parameters"] > 20_000
    assert rows["all"]["num_parameters"] == sum(rows[name]["num_parameters"] for name in names)
    assert [member["name"] for member in rows["all"]["members"]] == names


def test_what_is_no_encoder_is_named(place, tmp_path):
    with pytest.raises(BankError, match="sounds: not a saved model"):
        objective(place, tmp_path, [str(place / "sounds")])
    if not missing_packages("onnx"):
        half = tmp_path / "half"
        shutil.copytree(place / "onnx", half)
        record = json.loads((half / "onnx.json").read_text())
        del record["towers"]["audio"]
        (half / "onnx.json").write_text(json.dumps(record))
        with pytest.raises(ValueError, match="no exported audio tower found, only \\['text'\\]"):
            objective(place, tmp_path, [str(half)])
        Ensemble((Member("half", str(half), 1.0),)).save(tmp_path / "half.json")
        table = load_captioned_folder(place / "sounds", split="test")
        with pytest.raises(ValueError, match="no exported audio tower found"):
            Ensemble.load(tmp_path / "half.json").similarities(table)
