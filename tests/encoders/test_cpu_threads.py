"""Threads on a CPU: what a recipe says, what the environment says, else half of the cores."""

import os

import pytest
import torch

from auricle.encoders.cpu_threads import choose_cpu_threads, set_cpu_threads


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system does not tell usable cores")
@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (3, 1), (8, 4)])
def test_half_of_the_usable_cores(no_gpu, monkeypatch, cores, threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(cores)))
    assert choose_cpu_threads(None) == threads


def test_what_the_recipe_says_wins(no_gpu, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert choose_cpu_threads(3) == 3


def test_the_environment_and_a_gpu_are_left_alone(no_gpu, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert choose_cpu_threads(None) is None
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_cpu_threads(None) is None


def test_the_number_is_applied():
    before = torch.get_num_threads()
    try:
        set_cpu_threads(before + 1)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
