"""A run killed at any moment and started again ends with the weights of an unbroken one, bit for bit."""

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
from tiny_recipes import (
    ROOT,
    environment,
    run_train,
    tiny_recipe,
    train_command,
    weights_of,
    write_captioned_folder,
    write_recipe,
)

pytestmark = pytest.mark.slow

STEPS_AN_EPOCH, EPOCHS = 8, 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All that is random in training is on: dropout, crops, roll, gain, jitter, patchout, words that go."""
    folder = tmp_path_factory.mktemp("resume")
    recipe = tiny_recipe(folder, write_captioned_folder(folder / "sounds"), dropout=0.1)
    recipe["data"] |= {"crop_seconds": 0.5, "time_roll": True, "gain_db": 6.0}
    recipe["data"] |= {"mel_fmin_jitter": 10, "mel_fmax_jitter": 1000}
    recipe["augmentation"] = {"word_deletion": 0.8}
    recipe["model"]["audio"]["config"]["random_time_offset"] = True
    recipe["training"] |= {"epochs": EPOCHS, "learning_rate": 3.0e-3, "keep_checkpoints": 9}
    write_recipe(folder / "recipe.yaml", recipe)
    return folder


@pytest.fixture(scope="module")
def unbroken(folder) -> Path:
    run_train(folder / "recipe.yaml", "--output_dir", folder / "unbroken")
    return folder / "unbroken"


def kill_when(there: Path, command: list[str]) -> None:
    """Starts a run and kills it, with all its processes, as soon as a path is there."""
    run = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not there.exists():
        assert run.poll() is None and time.monotonic() < deadline, f"the run ended before {there} was there"
        time.sleep(0.002)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL


def assert_same_end(run: Path, unbroken: Path) -> None:
    last = f"checkpoint-{STEPS_AN_EPOCH * EPOCHS}"
    for place in (last, "model"):
        ours, theirs = weights_of(run / "first" / place), weights_of(unbroken / "first" / place)
        assert ours.keys() == theirs.keys()
        different = [name for name, value in ours.items() if not torch.equal(value, theirs[name])]
        assert different == [], place
    for name in ("first/model/best.json", "results.json"):
        ours, theirs = (json.loads((place / name).read_text()) for place in (run, unbroken))
        ours.pop("model", None), theirs.pop("model", None)
        assert ours == theirs


def test_the_unbroken_run_is_random_and_learns(unbroken):
    """Else the comparisons below would say little."""
    log = json.loads((unbroken / "first" / "stage.json").read_text())["log"]
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert len(losses) == len(set(losses)) == STEPS_AN_EPOCH * EPOCHS
    first, last = (weights_of(unbroken / "first" / f"checkpoint-{step}") for step in (8, 48))
    assert all(not torch.equal(value, last[name]) for name, value in first.items() if value.dim() > 1)


@pytest.mark.parametrize(
    ("save_every", "seen", "half_written"),
    [
        # In mid-epoch, with a checkpoint of the same epoch behind it.
        (3, "checkpoint-12/complete.json", False),
        # In mid-epoch, with the last checkpoint at the end of an epoch.
        ("epoch", "checkpoint-16/complete.json", False),
        # While a checkpoint is written; another one, nearly whole, is left behind too.
        (3, "checkpoint-15", True),
    ],
)
def test_a_killed_run_ends_like_an_unbroken_one(folder, unbroken, save_every, seen, half_written):
    run = folder / f"killed-{save_every}-{half_written}"
    arguments = (folder / "recipe.yaml", "--output_dir", run, "--save_every", save_every)
    kill_when(run / "first" / seen, train_command(*arguments))
    assert not (run / "first" / "stage.json").exists() and not (run / "results.json").exists()
    assert not (run / "first" / f"checkpoint-{STEPS_AN_EPOCH * EPOCHS}").exists()
    complete = sorted(
        int(path.parent.name.rsplit("-")[-1]) for path in (run / "first").glob("*/complete.json")
    )
    if save_every == 3:
        assert complete[-1] % STEPS_AN_EPOCH != 0 or len(complete) > 5
    if half_written:
        torn = run / "first" / "checkpoint-40"
        shutil.copytree(run / "first" / f"checkpoint-{complete[-1]}", torn)
        (torn / "complete.json").unlink()
        (torn / "optimizer.pt").write_bytes((torn / "optimizer.pt").read_bytes()[:100])
    done = run_train(*arguments)
    assert f"resuming from {run / 'first' / f'checkpoint-{complete[-1]}'}" in done.stderr
    assert_same_end(run, unbroken)


def test_data_that_changed_in_between_are_refused(folder, tmp_path):
    """The rows left to see would be others: the end would be neither the old run's nor a new one's."""
    sounds = shutil.copytree(folder / "sounds", tmp_path / "sounds")
    arguments = (folder / "recipe.yaml", "--output_dir", tmp_path / "run", "--data.folder.path", sounds)
    arguments += ("--save_every", 3)
    kill_when(tmp_path / "run" / "first" / "checkpoint-3" / "complete.json", train_command(*arguments))
    kept = (tmp_path / "run" / "first" / "checkpoint-3" / "model.safetensors").read_bytes()
    metadata = sounds / "metadata.csv"
    whole = metadata.read_text()
    metadata.write_text(whole.replace("train_003.wav,siren,a siren", "train_003.wav,siren,the siren"))
    assert metadata.read_text() != whole
    done = run_train(*arguments, code=2)
    assert "the data have changed since it began" in done.stderr
    assert (tmp_path / "run" / "first" / "checkpoint-3" / "model.safetensors").read_bytes() == kept
