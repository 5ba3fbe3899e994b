"""A moment head from the command line: train, evaluate, find, card, and push to a Hub on loopback."""

import json
import subprocess
import sys

import pytest
from hub_server import hub_server
from publishing_client import REPO, Client, files_of
from tiny_moments import write_moment_place, write_moment_recipe
from tiny_recipes import environment, run_train

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A place with a finished run, and the folder of its test recordings."""
    root = write_moment_place(tmp_path_factory.mktemp("moment_commands"))
    done = run_train(write_moment_recipe(root, "run"))
    assert "validation: mIoU" in done.stdout and "R1@0.7" in done.stdout
    return root


@pytest.fixture(scope="module")
def recordings(place):
    """The folder of generated test recordings."""
    predicted = (place / "run" / "test_predictions.jsonl").read_text().splitlines()
    asked = {json.loads(line)["query"] for line in predicted}
    for folder in (place / "cache" / "generated_moments").iterdir():
        lines = (folder / "moments.jsonl").read_text().splitlines()
        if {json.loads(line)["query"] for line in lines} == asked and len(lines) == len(predicted):
            return folder
    raise AssertionError("no folder holds the test queries")


def auricle(place, *arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "auricle", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=place,
        env=environment(),
        timeout=600,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_evaluate_gives_the_figures_of_the_run(place, recordings):
    queries = recordings / "moments.jsonl"
    audio = recordings / "audio"
    common = ("evaluate", "encoder", queries, "--moments", "--audio", audio, "--head", "run/head/model")
    auricle(place, *common, "--json", "report.json", "--submission", "predictions.jsonl", "--no-progress")
    report = json.loads((place / "report.json").read_text())
    results = json.loads((place / "run" / "results.json").read_text())
    assert report["edges"] == "head" and report["head"] == "run/head/model" and report["frame_seconds"] == 0.5
    for name, entry in results["test"]["metrics"].items():
        # The run's frames were kept in float16.
        assert report["metrics"][name]["value"] == pytest.approx(entry["value"], abs=0.05)
    assert len((place / "predictions.jsonl").read_text().splitlines()) == report["queries"]
    told = auricle(place, *common, "--edges", "frames", code=2).stderr
    assert "--edges does not go with --head" in told
    told = auricle(place, *("other" if one == "encoder" else one for one in common), code=2).stderr
    assert "was trained on the frames of 'encoder'" in told and "the model is 'other'" in told


def test_moments_are_found_with_an_index(place, recordings):
    auricle(place, "index", "clips", "--index", "sounds.auricle", "--model", "encoder", "--no-progress")
    file = next((recordings / "audio").glob("*.flac"))
    where = ("--index", "sounds.auricle", "--head", "run/head/model")
    hits = json.loads(auricle(place, "moments", file, "a dog barks", *where, "--json", "--top", "3").stdout)
    assert 1 <= len(hits) <= 3
    assert all(0 <= hit["start"] < hit["end"] and 0 <= hit["score"] <= 1 for hit in hits)
    assert [hit["score"] for hit in hits] == sorted((hit["score"] for hit in hits), reverse=True)
    told = auricle(place, "moments", file, "a dog barks", *where, "--hop", "0.5", code=2).stderr
    assert "--hop, --edges and --min-percentile do not go with --head" in told
    told = auricle(
        place, "moments", file, "a dog", "--index", "sounds.auricle", "--head", "encoder", code=2
    ).stderr
    assert "encoder: not a moment head: config.json has model_type 'auricle'" in told


def test_a_head_is_pushed_with_a_card(place, tmp_path):
    with hub_server() as server:
        client = Client(server, tmp_path)
        try:
            done = client.push(place / "run", "--license", "mit")
            assert f"{server.url}/{REPO}/commit/" in done.stdout
            files = files_of(server)
            refused = client.push(place / "run", "--stage", "head", code=2)
        finally:
            client.process.kill()
            client.process.wait()
    assert "is a moment head; --stage does not apply" in refused.stderr
    assert set(files) == {
        "README.md",
        "config.json",
        "config_checks.py",
        "configuration_moment.py",
        "evaluation.json",
        "model.safetensors",
        "modeling_moment.py",
        "moment_spans.py",
        "recipe.yaml",
        "training_log.json",
    }
    card = files["README.md"].decode()
    results = json.loads((place / "run" / "results.json").read_text())
    value = results["test"]["over_recordings"]["mIoU"]["value"]
    assert f"| mIoU | {100 * value:.2f} |" in card and "license: mit" in card
    assert "`encoder`, fingerprint `" in card
    for name, content in files.items():
        assert str(place).encode() not in content, name


def test_the_card_is_written_and_a_bare_head_is_not_pushed(place):
    assert "# tiny" in auricle(place, "card", "run", "--print").stdout
    auricle(place, "card", "run")
    assert (place / "run" / "head" / "model" / "README.md").is_file()
    (place / "bare").mkdir()
    for path in (place / "run" / "head" / "model").iterdir():
        (place / "bare" / path.name).write_bytes(path.read_bytes())
    told = auricle(place, "push", "bare", "me/head", "--dry-run", code=2).stderr
    assert "is a moment head; publish its run" in told
