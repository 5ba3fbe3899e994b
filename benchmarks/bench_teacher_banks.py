"""
Size of teacher banks on disk, and the time and memory of reading them.

    OMP_NUM_THREADS=1 python benchmarks/bench_teacher_banks.py [--clips 3839] [--captions 5] [--width 1024] [--banks 3]

Writes banks of random vectors and captions, by default with the sizes of Clotho's development split. Then a process
of its own opens them, aligns them with the table, and reads the vectors of rows in random order. Memory is that of the
process without mapped files.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from datasets import Dataset
from measuring import table

from auricle.training.teachers.imported_vectors import ImportedRow, import_bank


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=3839)
    parser.add_argument("--captions", type=int, default=5, help="of each clip")
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--banks", type=int, default=3)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read is not None:
        read(arguments.read, arguments)
        return
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.banks):
            write(Path(folder), number, arguments)
        bank = Path(folder) / "bank0"
        sizes = {file.name: file.stat().st_size for file in bank.iterdir()}
        rows = arguments.clips * arguments.captions
        command = [sys.executable, __file__, "--read", folder]
        for name in ("clips", "captions", "width", "banks"):
            command += [f"--{name}", str(getattr(arguments, name))]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(done.stderr)
        seconds, megabytes, microseconds = done.stdout.split()[-3:]
        lines = [
            ["a row, bytes", f"{sum(sizes.values()) / rows:,.0f}"],
            ["rows.parquet, bytes a row", f"{sizes['rows.parquet'] / rows:,.0f}"],
            ["a bank, MB", f"{sum(sizes.values()) / 1e6:.1f}"],
            [f"opening and aligning {arguments.banks} banks, CPU-s", seconds],
            ["the same, MB of memory", megabytes],
            ["vectors of one row, all banks, microseconds", microseconds],
        ]
    print(table(lines, [f"{rows:,} captions of {arguments.clips:,} clips", "measured"]))


def data_of(arguments: argparse.Namespace) -> list[dict]:
    return [
        {
            "row_id": f"clotho/train/{clip:05}.wav#{number}",
            "clip_id": f"clotho/train/{clip:05}.wav",
            "source": "clotho",
            "split": "train",
            "caption": f"caption {number} of clip {clip}",
            "audio": {"path": f"{clip:05}.wav", "offset": 0.0, "duration": 20.0},
        }
        for clip in range(arguments.clips)
        for number in range(arguments.captions)
    ]


def write(folder: Path, number: int, arguments: argparse.Namespace) -> None:
    generator = np.random.default_rng(number)
    data = data_of(arguments)
    clips = list(dict.fromkeys(row["clip_id"] for row in data))
    np.savez(
        folder / "arrays.npz",
        audio=generator.standard_normal((len(clips), arguments.width), np.float32),
        audio_ids=np.array(clips),
        captions=generator.standard_normal((len(data), arguments.width), np.float32),
        caption_ids=np.array([row["row_id"] for row in data]),
    )
    rows = [
        ImportedRow(**row, audio_id=row["clip_id"], caption_id=row["row_id"], where=row["row_id"])
        for row in data
    ]
    import_bank(folder / f"bank{number}", folder / "arrays.npz", rows, model_name="random vectors")


def read(folder: Path, arguments: argparse.Namespace) -> None:
    from auricle.training.teachers.bank_files import TeacherBank
    from auricle.training.teachers.teacher_bank import AlignedTeachers

    rows = Dataset.from_list(data_of(arguments))
    memory, start = private_bytes(), time.process_time()
    banks = [TeacherBank.load(folder / f"bank{number}") for number in range(arguments.banks)]
    teachers = AlignedTeachers.align(banks, None, rows)
    seconds, memory = time.process_time() - start, private_bytes() - memory
    order = np.random.default_rng(0).permutation(len(rows))
    for row in order:  # maps the pages in
        teachers.audio_vectors(row), teachers.caption_vectors(row)
    start = time.process_time()
    for row in order:
        teachers.audio_vectors(row), teachers.caption_vectors(row)
    each = (time.process_time() - start) / len(order)
    print(f"{seconds:.2f} {memory / 1e6:.0f} {each * 1e6:.0f}")


def private_bytes() -> int:
    """Memory of this process that no file backs."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise SystemExit("This benchmark reads /proc/self/status, which only Linux has.")


if __name__ == "__main__":
    main()
