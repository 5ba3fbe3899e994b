"""`auricle compare` on saved models: its figures are those of `auricle evaluate`, and its files and exit codes."""

import csv
import json
import signal
import subprocess
import sys
import time

import pytest
from tiny_models import saved_tiny_model
from tiny_recipes import ROOT, environment, tiny_recipe, write_captioned_folder, write_recipe
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import load_captioned_folder


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two saved models of other widths, and a captioned folder."""
    folder = tmp_path_factory.mktemp("compare")
    saved_tiny_model(folder / "one")
    saved_tiny_model(folder / "two", seed=5, projection_dim=8)
    (folder / "two" / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n")
    write_captioned_folder(folder / "sounds", {"train": 2, "test": 8})
    return folder


def run(*arguments, code=0):
    done = CliRunner().invoke(app, [*map(str, arguments), "--no-progress"])
    assert done.exit_code == code, done.output
    return done


def test_figures_are_those_of_evaluate_and_files_hold_them(place, tmp_path):
    table = load_captioned_folder(place / "sounds", split="test")
    names = [table["audio"][row]["path"].rsplit("/", 1)[1] for row in (2, 6)]
    with open(tmp_path / "relevance.csv", "w", newline="") as file:
        csv.writer(file).writerows([["query", "audio_filenames"], [table["caption"][2], str(names)]])
    options = ["--relevance", tmp_path / "relevance.csv", "--resamples", 50, "--seed", 3]
    done = run(
        "compare", place / "one", f"b={place / 'two'}", "--on", place / "sounds", *options, "--reference", "b",
        "--cache-dir", tmp_path / "cache", "--json", tmp_path / "c.json", "--markdown", tmp_path / "new" / "c.md",
    )  # fmt: skip
    report = json.loads((tmp_path / "c.json").read_text())
    run(
        "evaluate", place / "one", place / "sounds", "--against", place / "two", *options,
        "--json", tmp_path / "e.json",
    )  # fmt: skip
    alone = json.loads((tmp_path / "e.json").read_text())
    first, second = report["systems"]
    for kind in ("single", "multi", "multi_by_relevant"):
        assert first[kind] == alone[kind]
    assert second["name"] == "b" and second["license"] == "cc-by-4.0" and second["embedding_dim"] == 8
    assert first["origin"]["caption_lengths"]["limit"] == 32
    figure = f"{first['multi']['text_to_audio']['metrics']['mAP@16']['value']:.4f}"
    assert figure in done.stdout and figure in (tmp_path / "new" / "c.md").read_text()
    assert done.stderr.splitlines()[-2:] == [f"[1/2] {place / 'one'}", "[2/2] b"]


def test_a_model_that_fails_ends_with_one_and_the_others_are_reported(place, tmp_path):
    done = run(
        "compare", place / "sounds", place / "two", "--on", place / "sounds", "--cache-dir", tmp_path / "cache",
        "--json", tmp_path / "c.json", "--reference", "best", code=1,
    )  # fmt: skip
    report = json.loads((tmp_path / "c.json").read_text())
    assert "not a saved model" in report["systems"][0]["error"]
    assert report["systems"][1]["error"] is None and report["reference"]["name"] == str(place / "two")
    assert "1 of 2 systems could not be evaluated" in done.stdout and "  failed: " in done.stderr


def test_generated_scenes_are_compared_and_a_second_call_takes_what_is_kept(place, tmp_path):
    scenes = {"train_scenes": 2, "validation_scenes": 1, "test_scenes": 4, "seconds": 3}
    recipe = tiny_recipe(tmp_path, place / "sounds")
    recipe["data"] = {"source": "scenes", "scenes": scenes, "cache_dir": str(tmp_path / "scenes")}
    path = write_recipe(tmp_path / "scenes.yaml", recipe)
    options = ["--on", path, "--cache-dir", tmp_path / "cache", "--speed-clips", 1, "--resamples", 20]
    run("compare", place / "one", *options, "--json", tmp_path / "first.json")
    run(
        "compare", place / "one", place / "two", *options, "--json", tmp_path / "both.json",
        "--markdown", tmp_path / "both.md",
    )  # fmt: skip
    first, both = (json.loads((tmp_path / name).read_text()) for name in ("first.json", "both.json"))
    assert (both["source"], both["clips"]) == ("scenes", 4)
    assert [system["from_cache"] for system in both["systems"]] == [True, False]
    assert both["systems"][0]["single"] == first["systems"][0]["single"]
    assert (tmp_path / "both.md").read_text().startswith("# Retrieval on scenes, test")


@pytest.mark.slow
def test_a_killed_call_goes_on(place, tmp_path):
    command = ["compare", place / "one", place / "two", "--on", place / "sounds", "--cache-dir", tmp_path]
    going = subprocess.Popen(
        [sys.executable, "-m", "auricle", *map(str, command), "--no-progress"],
        cwd=ROOT.parent,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("*/*/similarities/similarities.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    going.send_signal(signal.SIGKILL)
    going.wait()
    kept = len(list(tmp_path.glob("*/*/similarities/similarities.json")))
    assert kept >= 1
    done = run(*command, "--json", tmp_path / "c.json")
    assert done.stderr.count("similarities taken from the cache") == kept
    systems = json.loads((tmp_path / "c.json").read_text())["systems"]
    assert [system["from_cache"] for system in systems].count(True) == kept
    run("compare", *command[1:], "--fresh", "--json", tmp_path / "f.json")
    for system, fresh in zip(systems, json.loads((tmp_path / "f.json").read_text())["systems"], strict=True):
        assert not fresh["from_cache"] and fresh["single"] == system["single"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ONE", "--on", "nowhere"], "DATASET 'nowhere': no such file or directory"),
        (["ONE", "--on", "SOUNDS", "--split", "dev"], "no split 'dev'"),
        (["ONE", "ONE", "--on", "SOUNDS"], "occurs twice; give each its own with NAME=MODEL"),
        (["ONE", "--on", "SOUNDS", "--reference", "two"], "--reference 'two': expected first, best"),
        (
            ["ONE", "--on", "SOUNDS", "--relevance-column", "class"],
            "--relevance-column 'class': no such column",
        ),
        (["ONE", "--on", "SOUNDS", "--relevance", "r.csv"], "r.csv: cannot be read"),
        (["ONE", "--on", "SOUNDS", "--relevance", "r", "--relevance-column", "label"], "cannot be combined"),
        (["ONE", "--on", "SOUNDS", "--json", "."], ".: is a directory; name a file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_before_a_model_is_loaded(
    place, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    for short, name in (("ONE", "one"), ("SOUNDS", "sounds")):
        arguments = [str(place / name) if argument == short else argument for argument in arguments]
    done = run("compare", *arguments, code=2)
    assert message in done.stderr and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1


def test_a_call_without_models_or_data_says_what_is_missing(place):
    assert "Missing argument" in run("compare", "--on", place / "sounds", code=2).stderr
    assert "Missing option '--on'" in run("compare", place / "one", code=2).stderr
