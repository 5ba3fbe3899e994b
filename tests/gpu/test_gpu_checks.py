"""The GPU checks: on a GPU at full size, and everywhere on the CPU at tiny sizes, so that their code runs."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

check_gpu = importlib.import_module("check_gpu")
gpu_checks = importlib.import_module("gpu_checks")
NAMES = list(check_gpu.checks())


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason=check_gpu.NO_GPU)
@pytest.mark.parametrize("name", NAMES)
def test_on_the_gpu(name):
    rows = list(check_gpu.checks()[name]("cuda", gpu_checks.FULL))
    assert rows
    assert [row for row in rows if row.passed is False] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_code_runs_on_the_cpu(name):
    rows = list(check_gpu.checks()[name]("cpu", gpu_checks.TINY))
    assert rows
    assert [row for row in rows if row.passed is False] == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_command_says_why_it_does_nothing(tmp_path):
    """From another directory, in an interpreter that does not know the package."""
    command = [sys.executable, str(HERE / "check_gpu.py"), "--output", str(tmp_path / "table.md")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (done.returncode, done.stdout) == (0, "skipped: no CUDA device is available to torch\n")
    assert list(tmp_path.iterdir()) == []


def test_a_check_that_raises_is_a_line_and_the_next_one_runs():
    def broken(device, sizes):
        yield gpu_checks.Row("first", "", "fine", passed=True)
        raise RuntimeError("out | of memory")

    def good(device, sizes):
        yield gpu_checks.Row("second", "", "measured")

    rows = check_gpu.run("cpu", gpu_checks.TINY, 60.0, {"broken": broken, "good": good})
    assert [row.passed for row in rows] == [True, False, None]
    text = check_gpu.table(rows, check_gpu.versions("cpu"))
    assert f"torch {torch.__version__}" in text and "transformers " in text
    assert "| broken |  | RuntimeError: out / of memory | no error | FAILED |" in text


def test_a_check_that_no_time_is_left_for_is_a_failed_line():
    (row,) = check_gpu.run("cpu", gpu_checks.TINY, -1.0, {"late": None})
    assert row.passed is False and "not run" in row.result


def test_a_tower_that_differs_on_the_device_does_not_pass(monkeypatch):
    """As if the device computed in bfloat16."""
    move = torch.nn.Module.to

    def move_and_round(self, *args, **options):
        with torch.no_grad():
            for weight in self.parameters():
                weight.copy_(weight.bfloat16())
        return move(self, *args, **options)

    monkeypatch.setattr(torch.nn.Module, "to", move_and_round)
    rows = list(gpu_checks.check_parity("cpu", gpu_checks.TINY))
    assert [row.passed for row in rows] == [False] * 4


@pytest.mark.parametrize(
    ("losses", "passed"),
    [([4.0, 3.0, 2.0, 1.0], True), ([4.0] * 4, False), ([4.0, float("nan"), 2.0, 1.0], False)],
)
def test_training_that_diverges_or_stands_still_does_not_pass(losses, passed):
    assert gpu_checks.judge_training("fp16", losses, 0).passed is passed


@pytest.mark.parametrize(("cut", "passed"), [(50, True), (51, False), (None, None)])
def test_memory_of_micro_batches_is_judged_against_the_whole(cut, passed):
    assert gpu_checks.judge_memory("eat", 100, cut).passed is passed


def test_vectors_that_are_not_finite_are_infinitely_far():
    assert gpu_checks.largest_distance(torch.tensor([[float("nan")]]), torch.ones(1, 1)) == float("inf")
    assert gpu_checks.largest_distance(torch.zeros(2, 2), torch.tensor([[0.0, 0], [3, 4]])) == 5.0
