"""`auricle evaluate` and `auricle ensemble` on tiny models, and one line for whatever is wrong."""

import csv
import json

import numpy as np
import pytest
from tiny_models import tiny_model_and_processor
from tiny_recipes import write_captioned_folder
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import load_captioned_folder
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.evaluation.ensembles.ensemble import Ensemble
from auricle.evaluation.retrieval import evaluate_retrieval
from auricle.evaluation.similarities import Similarities


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two saved models of other widths, and a captioned folder."""
    folder = tmp_path_factory.mktemp("evaluate")
    for name, seed, width in (("one", 0, 12), ("two", 5, 8)):
        parts = tiny_model_and_processor(folder / f"parts_{name}", seed=seed, projection_dim=width)
        for part in parts:
            part.save_pretrained(folder / name)
        if name == "one":
            built = parts
    write_captioned_folder(folder / "sounds", {"train": 3, "validation": 7, "test": 8})
    return folder, built


def run(*arguments, code=0):
    done = CliRunner().invoke(app, [*map(str, arguments), "--no-progress"])
    assert done.exit_code == code, done.output
    return done


def test_the_figures_are_those_of_training(place, tmp_path):
    folder, built = place
    done = run(
        "evaluate", folder / "one", folder / "sounds", "--json", tmp_path / "r.json", "--resamples", 50
    )
    report = json.loads((tmp_path / "r.json").read_text())
    expected, _ = evaluate_retrieval(
        AuricleEncoder(*built), load_captioned_folder(folder / "sounds", split="test")
    )
    for direction in ("text_to_audio", "audio_to_text"):
        for name, entry in report["single"][direction]["metrics"].items():
            assert entry["value"] == pytest.approx(expected[f"{direction}_{name}"])
            assert entry["low"] <= entry["value"] <= entry["high"]
    assert f"{report['single']['text_to_audio']['metrics']['mAP@16']['value']:.4f} [" in done.stdout
    assert report["leaks"] is None and "multi" not in report


def test_a_class_or_a_file_says_what_else_is_right(place, tmp_path):
    folder, built = place
    run(
        "evaluate",
        folder / "one",
        folder / "sounds",
        "--relevance-column",
        "label",
        "--json",
        tmp_path / "r.json",
    )
    report = json.loads((tmp_path / "r.json").read_text())
    table = load_captioned_folder(folder / "sounds", split="test")
    expected, _ = evaluate_retrieval(AuricleEncoder(*built), table, relevance_column="label")
    for direction in ("text_to_audio", "audio_to_text"):
        assert report["multi"][direction]["metrics"]["mAP@16"]["value"] == pytest.approx(
            expected[f"{direction}_mAP@16"]
        )

    caption, names = table["caption"][2], [table["audio"][row]["path"].rsplit("/", 1)[1] for row in (2, 6)]
    with open(tmp_path / "relevance.csv", "w", newline="") as file:
        csv.writer(file).writerows([["query", "audio_filenames"], [caption, str(names)]])
    run(
        "evaluate", folder / "one", folder / "sounds", "--relevance", tmp_path / "relevance.csv",
        "--json", tmp_path / "f.json", "--submission", tmp_path / "s.csv",
    )  # fmt: skip
    report = json.loads((tmp_path / "f.json").read_text())
    # Most captions are not annotated: a clip's right ones are not known.
    assert list(report["multi"]) == ["text_to_audio"]
    parts = report["multi_by_relevant"]
    assert {name: part["queries"] for name, part in parts.items()} == {"2-3": 1}
    rows = list(csv.reader((tmp_path / "s.csv").open()))
    assert len(rows) == 2 and rows[1][0] == caption and len(rows[1]) == 9


def test_saved_similarities_stand_for_their_model(place, tmp_path):
    folder, _ = place
    first = run("evaluate", folder / "one", folder / "sounds", "--save", tmp_path / "saved")
    again = run(
        "evaluate",
        tmp_path / "saved",
        folder / "sounds",
        "--against",
        folder / "one",
        "--json",
        tmp_path / "d.json",
    )
    assert first.stdout.splitlines()[3] in again.stdout
    report = json.loads((tmp_path / "d.json").read_text())
    assert report["single"]["text_to_audio"]["difference"]["mAP@16"] == {"value": 0, "low": 0, "high": 0}
    wrong = run("evaluate", tmp_path / "saved", folder / "sounds", "--split", "validation", code=2)
    assert "contains similarities of sounds test" in wrong.stderr


def test_trained_clips_are_found_and_end_with_one(place):
    folder, _ = place
    clean = run("evaluate", folder / "one", folder / "sounds", "--training", folder / "sounds")
    assert "none of the 8 clips of split 'test' was used for training" in clean.stdout
    leaky = run(
        "evaluate",
        folder / "one",
        folder / "sounds",
        "--split",
        "train",
        "--training",
        folder / "sounds",
        code=1,
    )
    assert "3 of 3 clips of split 'train' were used for training" in leaky.stderr


def test_an_ensemble_is_found_on_validation_and_evaluated_like_a_model(place, tmp_path):
    folder, _ = place
    members = ["--member", f"sid1/passt={folder / 'one'}", "--member", f"sid1/eat={folder / 'two'}"]
    done = run("ensemble", folder / "sounds", *members, "--out", tmp_path / "e.json", "--parts", 4)
    ensemble = Ensemble.load(tmp_path / "e.json")
    assert [member.name for member in ensemble.members] == ["sid1/passt", "sid1/eat"]
    assert sum(member.weight for member in ensemble.members) == pytest.approx(1)
    assert ensemble.how["ensemble"] >= max(ensemble.how["members"].values())
    assert f"{ensemble.how['ensemble']:.4f}" in done.stdout
    run("evaluate", tmp_path / "e.json", folder / "sounds", "--save", tmp_path / "both")

    run("ensemble", folder / "sounds", *members, "--out", tmp_path / "u.json", "--method", "uniform")
    run("evaluate", tmp_path / "u.json", folder / "sounds", "--save", tmp_path / "uniform")
    table = load_captioned_folder(folder / "sounds", split="test")
    uniform = Ensemble.load(tmp_path / "u.json")
    audio = uniform.embed_clips(list(table["audio"])[::2])
    text = uniform.embed_captions(list(table["caption"]))
    assert text.shape == (16, 20)
    np.testing.assert_allclose(text @ audio.T, Similarities.load(tmp_path / "uniform").scores, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(text, axis=1), 1, atol=1e-6)


def test_an_ensemble_is_fitted_on_the_annotations_that_are_named(place, tmp_path):
    folder, _ = place
    members = ["--member", f"a={folder / 'one'}", "--member", f"b={folder / 'two'}"]
    options = ["--method", "grid", "--parts", 4, "--relevance-column", "label"]
    done = run("ensemble", folder / "sounds", *members, "--out", tmp_path / "e.json", *options)
    how = Ensemble.load(tmp_path / "e.json").how
    assert how["metric"] == "mAP@16, multiple annotations by 'label'" and how["metric"][8:] in done.stdout
    run(
        "evaluate", tmp_path / "e.json", folder / "sounds", "--split", "validation", "--relevance-column", "label",
        "--json", tmp_path / "r.json", "--resamples", 3,
    )  # fmt: skip
    multi = json.loads((tmp_path / "r.json").read_text())["multi"]["text_to_audio"]
    assert multi["metrics"]["mAP@16"]["value"] == pytest.approx(how["ensemble"], abs=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "nowhere", "SOUNDS"], "nowhere"),
        (["evaluate", "none.json", "SOUNDS"], "none.json: ensemble file not found"),
        (["evaluate", "ONE", "SOUNDS", "--split", "dev"], "no split 'dev'"),
        (
            ["evaluate", "ONE", "SOUNDS", "--relevance-column", "class"],
            "--relevance-column 'class': no such column",
        ),
        (
            ["evaluate", "ONE", "SOUNDS", "--relevance", "x", "--relevance-column", "label"],
            "cannot be combined",
        ),
        (["evaluate", "ONE", "SOUNDS", "--relevance", "none.csv"], "none.csv: cannot be read"),
        # Before a model is loaded.
        (["evaluate", "nowhere", "SOUNDS", "--relevance-column", "class"], "'class': no such column"),
        (["compare", "nowhere", "ONE", "--on", "SOUNDS", "--relevance-column", "class"], "no such column"),
        (
            ["ensemble", "SOUNDS", "--member", "a=nowhere", "--member", "b=TWO", "--out", "e.json"],
            "needs member names like SYSTEM/TOWER",
        ),
        (
            ["ensemble", "SOUNDS", "--member", "a=ONE", "--out", "e.json"],
            "got 1 member; an ensemble needs at least two",
        ),
        (["ensemble", "SOUNDS", "--member", "a", "--out", "e.json"], "--member 'a': expected NAME=MODEL"),
        (
            ["ensemble", "SOUNDS", "--member", "a=ONE", "--member", "a=TWO", "--out", "e.json"],
            "--member 'a': this name occurs twice",
        ),
        (
            ["ensemble", "SOUNDS", "--member", "a=ONE", "--member", "b=TWO", "--out", "e.json"],
            "needs member names like SYSTEM/TOWER",
        ),
        (
            [
                "ensemble",
                "SOUNDS",
                "--member",
                "a/b=ONE",
                "--member",
                "c/d=TWO",
                "--out",
                "e.json",
                "--method",
                "paper-e1",
            ],
            "E1 needs the members",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(place, tmp_path, monkeypatch, arguments, message):
    folder, _ = place
    monkeypatch.chdir(tmp_path)
    names = {"ONE": str(folder / "one"), "TWO": str(folder / "two"), "SOUNDS": str(folder / "sounds")}
    for short, path in names.items():
        arguments = [argument.replace(short, path) for argument in arguments]
    done = run(*arguments, code=2)
    assert message in done.stderr and done.stderr.startswith("error: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "not a file of `auricle ensemble`"),
        ("[", "is not valid JSON"),
        ('{"format": "auricle ensemble", "version": 3}', "version 3"),
        (
            '{"format": "auricle ensemble", "version": 1, "members": [{"name": "a"}]}',
            "member 0 must have name",
        ),
        ('{"format": "auricle ensemble", "version": 1, "members": []}', "not all 0"),
    ],
)
def test_wrong_ensemble_files_are_explained(place, tmp_path, text, message):
    (tmp_path / "e.json").write_text(text)
    done = run("evaluate", tmp_path / "e.json", place[0] / "sounds", code=2)
    assert message in done.stderr
