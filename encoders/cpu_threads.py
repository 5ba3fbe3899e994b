"""Number of threads that torch uses on the CPU."""

import os

import torch


def choose_cpu_threads(wanted: int | None) -> int | None:
    """
    The number of threads to set, or None to keep torch's setting.

    A small model's step is hundreds of short parallel regions, and each ends when the slowest thread does. With
    one thread a core, any other busy process (a data worker, a browser) stalls every one of them: measured on two
    cores, a step then took ten times as long. Half of the cores are slower at best and steady otherwise.

    Args:
        wanted: the recipe's number, or None for the rule above.

    Returns:
        ``wanted``; without it, half of the usable cores, or None if there is a GPU or OMP_NUM_THREADS is set.
    """
    if wanted is not None:
        return wanted
    if torch.cuda.is_available() or os.environ.get("OMP_NUM_THREADS"):
        return None
    return half_of_the_cores()


def half_of_the_cores() -> int:
    """Half of the cores that this process may use, at least 1."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, usable // 2)


def set_cpu_threads(wanted: int | None) -> None:
    """Applies [`choose_cpu_threads`] to this process."""
    threads = choose_cpu_threads(wanted)
    if threads is not None:
        torch.set_num_threads(threads)
