"""
Runs every GPU check and writes one Markdown table: `make test-gpu`, or with any interpreter

    python tests/gpu/check_gpu.py [--output table.md] [--minutes 8]

It needs torch, transformers, numpy and soundfile (or av), in whatever versions the interpreter has, and no
installation of this package. Without a GPU it says so and ends with code 0; if a check fails, with code 1.
"""

import argparse
import importlib.util
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
NO_GPU = "no CUDA device is available to torch"


def make_package_importable() -> None:
    """Enters the repository as the package `auricle`, whatever its folder is called and whatever is installed."""
    if "auricle" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            "auricle", ROOT / "__init__.py", submodule_search_locations=[str(ROOT)]
        )
        module = sys.modules["auricle"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    if str(HERE) not in sys.path:
        sys.path.insert(0, str(HERE))


def checks() -> dict[str, Callable]:
    """Name to check; each takes a device and sizes and yields rows of the table."""
    import gpu_checks
    import gpu_throughput

    return {
        "float32 against CPU": gpu_checks.check_parity,
        "same batch size, other place": gpu_checks.check_batches,
        "demo miniature, training": gpu_checks.check_demo_training,
        "one process": gpu_checks.check_one_process,
        "GradCache memory": gpu_checks.check_gradient_cache,
        "pairs a second, bf16": gpu_throughput.check_throughput,
        "input pipeline": gpu_throughput.check_input_pipeline,
        "torch.compile": gpu_checks.check_compile,
    }


def run(device: str, sizes, budget_seconds: float, chosen: dict[str, Callable] | None = None) -> list:
    """
    Rows of all checks. One that raises becomes a row that failed; after the budget, the rest become rows "not run".

    Args:
        device: "cuda" or "cpu".
        sizes: how much to compute, a ``gpu_checks.Sizes``.
        budget_seconds: no check starts later than this.
        chosen: the checks; by default all.
    """
    from gpu_checks import Row

    started, rows = time.monotonic(), []
    for name, check in (chosen or checks()).items():
        elapsed = time.monotonic() - started
        if elapsed > budget_seconds:
            rows.append(Row(name, "", f"not run: {elapsed:.0f} s were spent before", passed=False))
            continue
        print(f"{elapsed:5.0f} s  {name}", file=sys.stderr, flush=True)
        try:
            rows.extend(check(device, sizes))
        except Exception as error:  # every check gets its turn, and its line in the table
            reason = " ".join(f"{type(error).__name__}: {error}".split())[-200:]
            rows.append(Row(name, "", reason.replace("|", "/"), "no error", False))
    return rows


def versions(device: str) -> str:
    """Device, driver and libraries in one line."""
    import numpy
    import torch
    import transformers

    parts = [platform.processor() or platform.machine()]
    if device == "cuda":
        query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
        try:
            driver = subprocess.run(query, capture_output=True, text=True, timeout=30).stdout.strip()
        except OSError:
            driver = ""
        parts = [torch.cuda.get_device_name(0), f"driver {driver or 'unknown'}", f"CUDA {torch.version.cuda}"]
        parts.append(f"NCCL {'.'.join(map(str, torch.cuda.nccl.version()))}")
    libraries = {"torch": torch, "transformers": transformers, "numpy": numpy}
    parts += [f"{name} {module.__version__}" for name, module in libraries.items()]
    return ", ".join([*parts, f"Python {platform.python_version()}"])


def table(rows: Iterable, head: str) -> str:
    """The Markdown table, with the versions above it."""
    words = {None: "measured", True: "passed", False: "FAILED"}
    lines = [["check", "", "result", "accepted", ""], ["---"] * 5]
    lines += [[row.check, row.subject, row.result, row.accepted, words[row.passed]] for row in rows]
    return "\n".join([head, "", *("| " + " | ".join(line) + " |" for line in lines)])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    parser.add_argument("--minutes", type=float, default=8.0, help="no check starts later than this")
    parser.add_argument("--tiny-on-cpu", action="store_true", help="try the checks on the CPU at tiny sizes")
    arguments = parser.parse_args()
    import torch

    make_package_importable()
    from gpu_checks import FULL, TINY

    device, sizes = ("cpu", TINY) if arguments.tiny_on_cpu else ("cuda", FULL)
    if device == "cuda" and not torch.cuda.is_available():
        print(f"skipped: {NO_GPU}")
        return 0
    started = time.monotonic()
    rows = run(device, sizes, 60 * arguments.minutes)
    minutes = (time.monotonic() - started) / 60
    text = table(rows, f"{versions(device)}; {minutes:.1f} minutes")
    print(text)
    if arguments.output is not None:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text + "\n", encoding="utf-8")
    return int(any(row.passed is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
