"""The `evaluate` module gives the numbers of our own metrics."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from auricle.evaluation import retrieval_metrics_from_similarities

pytest.importorskip("evaluate")
FOLDER = Path(__file__).resolve().parents[2] / "metrics" / "retrieval"


@pytest.fixture(scope="module")
def metric():
    import evaluate

    return evaluate.load(str(FOLDER))


def test_the_numbers_are_ours(metric):
    generator = np.random.default_rng(0)
    scores = generator.uniform(-1, 1, (40, 30))
    relevant = [
        sorted(generator.choice(30, generator.integers(1, 6), replace=False).tolist()) for _ in range(40)
    ]
    theirs = metric.compute(predictions=scores.tolist(), references=relevant)
    ours = retrieval_metrics_from_similarities(scores, relevant)
    assert theirs.keys() == ours.keys()
    assert all(theirs[name] == pytest.approx(ours[name], abs=1e-12) for name in ours)


def test_batches_add_up_and_ties_go_to_the_first(metric):
    metric.add_batch(predictions=[[0.5, 0.5]], references=[[1]])
    metric.add_batch(predictions=[[0.5, 0.5]], references=[[0]])
    assert metric.compute(recall_at=(1,), map_at=(2,)) == {"R@1": 0.5, "mAP@2": 0.75}


@pytest.mark.parametrize(
    ("scores", "relevant", "message"),
    [
        ([[0.1, float("nan")]], [[0]], "query 0: score 1 is not finite"),
        ([[0.1, 0.2]], [[]], "query 0: has no relevant item"),
        ([[0.1, 0.2]], [[2]], "relevant item 2 is not among its 2 items"),
    ],
)
def test_bad_input_is_named(metric, scores, relevant, message):
    with pytest.raises(ValueError, match=message):
        metric.compute(predictions=scores, references=relevant)


def test_it_loads_where_this_package_does_not_exist(tmp_path):
    code = (
        "import evaluate, sys\n"
        f"m = evaluate.load({str(FOLDER)!r})\n"
        "print(m.compute(predictions=[[0.9, 0.1]], references=[[0]])['mAP@16'])\n"
        "assert 'auricle' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.strip() == "1.0", done.stderr


@pytest.mark.slow
def test_it_loads_from_a_space(tmp_path):
    from hub_server import Commit, Repo, hub_server

    files = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.is_file()}
    commit = Commit("a" * 40, "first", files)
    code = (
        "import evaluate\n"
        "metric = evaluate.load('someone/retrieval', module_type='metric')\n"
        "print(metric.compute(predictions=[[0.9, 0.1]], references=[[1]])['mAP@16'])"
    )
    with hub_server() as server:
        server.repos["spaces", "someone/retrieval"] = Repo(False, {commit.oid: commit}, {"main": commit.oid})
        kept = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        more = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_XET": "1"}
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={**kept, **more},
            timeout=120,
        )
    assert done.returncode == 0 and done.stdout.strip() == "0.5", done.stderr
