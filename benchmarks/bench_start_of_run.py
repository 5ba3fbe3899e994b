"""
Start-up of a training run on a large captioned folder: CPU time and memory of everything but training.

    OMP_NUM_THREADS=1 python benchmarks/bench_start_of_run.py [--rows 400000] [--folder DIR] [--check-audio false]

Makes a folder of very short WAV files with one caption each, and runs a recipe on it as `train.py` does, in
processes of their own: a small PaSST beside all-MiniLM-L6-v2, two steps, a handful of clips to validate and to test.
The first run hashes every file; the second one finds all of them unchanged; the third one skips its
finished stage. Prints CPU and wall seconds and the peak of the resident memory, of each run's process and its children.
``--folder`` keeps the files for the next call; ``--profile FILE`` writes what cProfile sees of the second run.
"""

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from measuring import machine, table

ROOT = Path(__file__).resolve().parent.parent
RATE = 16_000
SECONDS = 0.05
STEPS = 2
BATCH = 8
HELD_OUT = 40
SUBJECTS = (
    "a dog barks at",
    "rain falls on",
    "a bell rings near",
    "a siren wails behind",
    "birds sing above",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--folder", type=Path, help="where the sounds are made, or lie from the last call")
    parser.add_argument("--check-audio", default="false", help="data.check_audio of the recipe")
    parser.add_argument("--runs", type=int, default=3, help="of the three, the first so many")
    parser.add_argument("--profile", type=Path)
    parser.add_argument("--run", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        run(arguments.run, arguments.profile)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = arguments.folder or Path(place, "sounds")
        if not (folder / "metadata.csv").is_file():
            make(folder, arguments.rows)
        lines = []
        runs = (("first", "one"), ("files known", "two"), ("finished", "two"))
        for name, output in runs[: arguments.runs]:
            recipe = write_recipe(Path(place), folder, output, arguments)
            profile = arguments.profile if name == "files known" else None
            lines.append([name, *measured(recipe, profile)])
            print(*lines[-1], file=sys.stderr, flush=True)
    print(f"{machine()}, {arguments.rows:,} rows, data.check_audio: {arguments.check_audio}")
    print(table(lines, ["run", "CPU seconds", "wall seconds", "peak MB of the process"]))


def make(folder: Path, rows: int) -> None:
    """Files that all differ, as those of a data set do."""
    samples = (3000 * np.random.default_rng(0).standard_normal(round(RATE * SECONDS))).astype("<i2")
    head = b"".join(
        (
            b"RIFF",
            np.uint32(36 + samples.nbytes).tobytes(),
            b"WAVEfmt ",
            np.array([16], "<u4").tobytes(),
            np.array([1, 1], "<u2").tobytes(),
            np.array([RATE, 2 * RATE], "<u4").tobytes(),
            np.array([2, 16], "<u2").tobytes(),
            b"data",
            np.uint32(samples.nbytes).tobytes(),
        )
    )
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "metadata.csv.part", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "caption"])
        for row in range(rows):
            name = f"{row // 1000:04}/recording {row:07}.wav"
            if not row % 1000:
                (folder / name).parent.mkdir(exist_ok=True)
            samples[:4] = np.array([row], "<u8").view("<i2")
            (folder / name).write_bytes(head + samples.tobytes())
            subject = SUBJECTS[row % len(SUBJECTS)]
            writer.writerow([name, f"{subject} house number {row} while somebody walks past"])
    (folder / "metadata.csv.part").rename(folder / "metadata.csv")


def write_recipe(place: Path, folder: Path, output: str, arguments: argparse.Namespace) -> Path:
    recipe = yaml.safe_load((ROOT / "recipes" / "demo.yaml").read_text())
    share = HELD_OUT / arguments.rows
    recipe |= {
        "name": "start",
        "output_dir": str(place / output),
        "data": {
            "source": "folder",
            "folder": {"path": str(folder), "validation_share": share, "test_share": share},
            "cache_dir": str(place / "cache"),
            "cache_waveforms": False,
            "check_audio": yaml.safe_load(arguments.check_audio),
        },
        "evaluation": {},
        "stages": [{"name": "only"}],
    }
    epochs = STEPS * BATCH / arguments.rows
    # The sentence encoder is run in the steps: over all captions it would be a computation of an hour.
    recipe["training"] |= {
        "epochs": epochs,
        "batch_size": BATCH,
        "num_workers": 0,
        "cache_frozen_text": False,
    }
    path = place / f"{output}.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def measured(recipe: Path, profile: Path | None) -> list[str]:
    command = [sys.executable, __file__, "--run", str(recipe)]
    if profile is not None:
        command += ["--profile", str(profile)]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if done.returncode:
        raise SystemExit(done.stderr)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return [f"{cpu:.1f}", f"{wall:.1f}", done.stdout.split()[-1]]


def run(recipe: Path, profile: Path | None) -> None:
    import cProfile

    from auricle.training.recipe.reading import read_recipe
    from auricle.training.runs.recipe_running import run_recipe

    profiler = cProfile.Profile()
    if profile is not None:
        profiler.enable()
    run_recipe(read_recipe(recipe), progress=False)
    if profile is not None:
        profiler.disable()
        profiler.dump_stats(profile)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


if __name__ == "__main__":
    main()
