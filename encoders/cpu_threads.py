"""Number of threads that torch uses on the CPU."""

import os

import torch


def choose_cpu_threads(wanted: int | None) -> int | None:
    """
    The number of threads to set, or None to keep torch's setting.

    A step of a small model consists of hundreds of short parallel regions, each as long as its slowest thread. With
    one thread per core, any other busy process (a data worker, a browser) delays all of them: measured on two
    cores, a step then took ten times as long. Half of the cores are slower on an idle machine, but steady on a busy
    one.

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
