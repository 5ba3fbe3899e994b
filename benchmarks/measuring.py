"""CPU time of several ways to do the same, taken in turns so that a busy machine is unfair to none."""

import os
import platform
import time
from collections.abc import Callable

import torch


def interleaved(ways: dict[str, Callable[[], object]], *, rounds: int, warm_up: int = 1) -> dict[str, float]:
    """
    Best CPU seconds of this process for one call of each way.

    Args:
        ways: name to call.
        rounds: how often each is measured, always one after the other.
        warm_up: unmeasured rounds before.

    Returns:
        Name to seconds, in the order given.
    """
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(warm_up + rounds):
        for name, call in ways.items():
            start = time.process_time()
            call()
            elapsed = time.process_time() - start
            if turn >= warm_up:
                best[name] = min(best[name], elapsed)
    return best


def machine() -> str:
    """Processor, threads and torch version in one line."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
        model = names[0] if names else model
    return f"{model}, {torch.get_num_threads()} thread(s), torch {torch.__version__}"


def table(rows: list[list[str]], head: list[str]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
