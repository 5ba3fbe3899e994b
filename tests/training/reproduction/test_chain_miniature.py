"""
The whole chain of `auricle reproduce` with tiny towers, unbroken and killed at random moments.

`make test-chain` runs it, nothing else does. AURICLE_CHAIN_KILLS is the number of kills (2), AURICLE_CHAIN_SEED decides
when they come (0).
"""

import csv
import json
import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from chain_miniature import TOWERS, auricle, auricle_command, write_chain, write_data
from tiny_recipes import environment, weights_of

from auricle.evaluation.similarities import Similarities
from auricle.training.reproduction.chain_recipe import read_chain
from auricle.training.reproduction.plan import plan_chain

pytestmark = [pytest.mark.chain, pytest.mark.timeout(3600)]

KILLS = int(os.environ.get("AURICLE_CHAIN_KILLS", "2"))
SEED = int(os.environ.get("AURICLE_CHAIN_SEED", "0"))
MODELS = "runs/*/*/model/model.safetensors"


def reproduce(place, out, *arguments, code=0):
    return auricle(
        "reproduce",
        place / "recipes" / "chain.yaml",
        place / "data",
        out,
        *arguments,
        "--no-progress",
        code=code,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    write_chain(folder / "recipes")
    write_data(folder / "data")
    return folder


@pytest.fixture(scope="module")
def unbroken(place):
    """The output directory of a chain that nothing disturbed, and how many seconds it took."""
    start = time.monotonic()
    reproduce(place, place / "unbroken", "--whole-development")
    return place / "unbroken", time.monotonic() - start


def plan_of(place):
    return plan_chain(read_chain(place / "recipes" / "chain.yaml"), whole_development=True)


def test_every_step_wrote_its_outputs(place, unbroken):
    out, _ = unbroken
    for step in plan_of(place):
        for name in step.outputs:
            assert (out / name).exists(), f"{step.name}: {name}"
    assert len(list(out.glob(MODELS))) == 30


def test_banks_are_made_once_and_shared(unbroken):
    out, _ = unbroken
    assert sorted(path.name for path in (out / "banks").iterdir()) == sorted(
        f"{prefix}sid1_{tower}" for prefix in ("", "whole_") for tower in TOWERS
    )
    assert not list(out.glob("runs/*/*/teachers"))
    record = json.loads((out / "runs" / "sid5_eat" / "refinetune" / "stage.json").read_text())
    assert [teacher["source"] for teacher in record["teachers"]] == [
        str(out / "banks" / f"sid1_{tower}") for tower in TOWERS
    ]


def test_later_systems_train_on_mixes_and_the_whole_development_set_on_all_splits(unbroken):
    rows = {
        name: json.loads(next((unbroken[0] / "runs" / name).glob("*/data.json")).read_text())["train"]["rows"]
        for name in ("sid2_passt", "sid3_passt", "whole_sid2_passt")
    }
    assert rows["sid2_passt"] == 25
    assert rows["sid3_passt"] == 28
    assert rows["whole_sid2_passt"] == 5 * (5 + 6 + 6)


def test_the_results_table_holds_measured_metrics_beside_the_papers(unbroken):
    out, _ = unbroken
    rows = {row["name"]: row for row in json.loads((out / "results.json").read_text())["rows"]}
    assert len(rows) == 15 + 4
    assert rows["sid2_passt"]["paper"]["multi mAP@16"] == 46.62
    assert rows["sid2_passt"]["queries"] == {"single": 30, "multi": 6}
    for row in rows.values():
        for value, low, high in row["measured"].values():
            assert 0 <= low <= value <= high <= 100
    table = (out / "results.md").read_text()
    assert "| *E1, paper* | *48.83* |" in table and "not measured here" in table


def test_an_ensemble_is_evaluated_as_auricle_evaluate_does(place, unbroken, tmp_path):
    """The command loads every model again and embeds the split itself."""
    out, _ = unbroken
    auricle(
        "evaluate",
        out / "ensembles" / "E3.json",
        place / "data" / "clotho",
        "--relevance",
        place / "data" / "relevance.csv",
        "--json",
        tmp_path / "report.json",
        "--submission",
        tmp_path / "submission.csv",
        "--no-progress",
    )
    own = json.loads((out / "evaluation" / "E3.json").read_text())
    theirs = json.loads((tmp_path / "report.json").read_text())
    for kind in ("single", "multi"):
        for name, value in theirs[kind]["text_to_audio"]["metrics"].items():
            assert own[kind]["text_to_audio"]["metrics"][name]["value"] == pytest.approx(value["value"])
    with open(out / "submissions" / "E3.csv") as one, open(tmp_path / "submission.csv") as other:
        assert list(csv.reader(one)) == list(csv.reader(other))


def test_again_every_step_is_skipped(place, unbroken):
    out, _ = unbroken
    before = {path: path.stat().st_mtime_ns for path in out.glob(MODELS)}
    done = reproduce(place, out, "--whole-development")
    steps = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert len(steps) == len(plan_of(place)) - 1
    assert all(line.endswith(": done") for line in steps), done.stderr
    assert {path: path.stat().st_mtime_ns for path in out.glob(MODELS)} == before
    plan = reproduce(place, out, "--whole-development", "--plan")
    assert f"Done: {len(steps)} of {len(steps) + 1} steps." in plan.stdout


def test_killed_at_random_moments_the_chain_ends_alike(place, unbroken):
    whole, seconds = unbroken
    out = place / "killed"
    command = auricle_command(
        "reproduce",
        place / "recipes" / "chain.yaml",
        place / "data",
        out,
        "--whole-development",
        "--no-progress",
    )
    draw = random.Random(SEED)
    moments = []
    with open(place / "killed.log", "w") as log:
        for _ in range(KILLS):
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment(), start_new_session=True
            )
            moment = draw.uniform(2, 8 + 0.8 * seconds / KILLS)
            try:
                process.wait(timeout=moment)
                pytest.fail(f"ended with {process.returncode} before it was killed: {log.name}")
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            moments.append(round(moment, 1))
    print(f"killed after {moments} seconds")
    reproduce(place, out, "--whole-development")

    models = sorted(path.relative_to(whole) for path in whole.glob(MODELS))
    assert len(models) == 30
    for model in models:
        expected, found = weights_of((whole / model).parent), weights_of((out / model).parent)
        assert expected.keys() == found.keys()
        assert all(torch.equal(value, found[name]) for name, value in expected.items()), model
    for directory in sorted(whole.glob("similarities/*/*")):
        expected = Similarities.load(directory)
        found = Similarities.load(out / directory.relative_to(whole))
        np.testing.assert_array_equal(np.asarray(expected.scores), np.asarray(found.scores))
    for name in ["results.md", "results.json", *(f"submissions/E{number}.csv" for number in range(1, 5))]:
        assert (whole / name).read_text() == (out / name).read_text(), name


def test_what_changed_is_made_anew_or_refused_by_name(place):
    """On a data directory of its own, with the runs that sid2_passt needs."""
    own = place / "own"
    shutil.copytree(place / "data", own / "data")
    shutil.copytree(place / "recipes", own / "recipes")
    out = own / "out"
    only = ("--only", "sid2_passt")
    reproduce(own, out, *only)
    model = Path("runs/sid2_passt/finetune/model/model.safetensors")
    first = (out / model).read_bytes()

    # Relevance: the evaluation alone is repeated.
    text = (own / "data" / "relevance.csv").read_text().splitlines()
    (own / "data" / "relevance.csv").write_text("\n".join(text[:-1]) + "\n")
    done = reproduce(own, out, *only)
    assert "evaluate sid2_passt: repeated (the relevance file changed)" in done.stderr
    assert done.stderr.count(": done") == 3 + 3 + 1 + 1
    report = json.loads((out / "evaluation" / "sid2_passt.json").read_text())
    assert report["multi"]["text_to_audio"]["queries"] == 5

    # A training clip with another sound: every training is refused, by name, until it may be trained anew.
    clips = sorted((own / "data" / "clotho" / "development").glob("*.wav"))
    shutil.copy(clips[1], clips[0])
    plan = reproduce(own, out, *only, "--plan")
    assert "train sid1_passt: outdated: the sounds of train" in plan.stdout
    assert "bank sid1_passt: outdated: rows and sounds changed" in plan.stdout
    refused = reproduce(own, out, *only, code=2)
    assert "step 'train sid1_passt': was made from something else" in refused.stderr
    assert "--retrain" in refused.stderr
    assert (out / model).read_bytes() == first
    done = reproduce(own, out, *only, "--retrain")
    assert done.stderr.count("repeated (the sounds of train") == 3
    assert "train sid2_passt: repeated" in done.stderr
    assert (out / model).read_bytes() != first
    again = reproduce(own, out, *only)
    assert again.stderr.count(": done") == len(
        [line for line in again.stderr.splitlines() if line[:1] == "["]
    )


def test_a_chain_whose_directories_moved_is_done(place):
    """Data, weights and OUT move together; nothing is made again, and an ensemble finds its members."""
    own = place / "before"
    shutil.copytree(place / "data", own / "data")
    shutil.copytree(place / "recipes", own / "recipes")
    only = ("--only", "sid3_passt", "--only", "sid2_passt")
    reproduce(own, own / "out", *only)
    now = own.rename(place / "after")
    again = reproduce(now, now / "out", *only)
    steps = [line for line in again.stderr.splitlines() if line[:1] == "["]
    assert len(steps) == 12 and all(line.endswith(": done") for line in steps), again.stderr
