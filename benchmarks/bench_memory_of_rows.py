"""
Memory of a training run that reads its sounds from disk, for growing data sets.

    OMP_NUM_THREADS=1 python benchmarks/bench_memory_of_rows.py [--rows 2000 20000] [--steps 40]

Each size in a process of its own: a captioned folder of half-second WAV files, a small network and the same few
steps of 32 clips with two loader processes. Prints the memory that nothing on disk backs: of the training process
once the table is read, after the first step and after the last one, and of its largest loader process.
"""

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from measuring import table

RATE = 16_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train is not None:
        train(arguments.train, arguments.steps)
        return
    lines = []
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            make(Path(folder), rows)
            command = [sys.executable, __file__, "--train", folder, "--steps", str(arguments.steps)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise SystemExit(done.stderr)
            lines.append([f"{rows:,}", *done.stdout.split()[-4:]])
    print(
        table(
            lines,
            ["rows", "after the table", "after the first step", "after the last step", "loader process"],
        )
    )
    print("MB resident")


def make(folder: Path, rows: int) -> None:
    generator = np.random.default_rng(0)
    noise = 0.1 * generator.standard_normal(RATE // 2)
    with open(folder / "metadata.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "caption"])
        for row in range(rows):
            soundfile.write(folder / f"recording number {row:06}.wav", np.roll(noise, row), RATE)
            writer.writerow([f"recording number {row:06}.wav", f"somebody reads the number {row} out aloud"])


def train(folder: Path, steps: int) -> None:
    import torch
    from torch.utils.data import DataLoader

    from auricle.data import load_captioned_folder
    from auricle.processing import AuricleFeatureExtractor
    from auricle.training.recipe.schema import DataSection
    from auricle.training.rows.training_clips import TrainingClips

    torch.set_num_threads(1)
    rows = load_captioned_folder(folder)
    extractor = AuricleFeatureExtractor.for_tower("passt")
    clips = TrainingClips(rows, extractor, DataSection(source="folder"), seed=0)
    shown = [resident()]
    network = torch.nn.Sequential(
        torch.nn.Conv1d(1, 64, 400, 160), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(1)
    )
    optimizer = torch.optim.AdamW(network.parameters())

    def collate(items: list[dict]) -> tuple[torch.Tensor, list[str], int]:
        sounds = torch.from_numpy(np.stack([item["waveform"][:RATE] for item in items]))
        return sounds, [item["caption"] for item in items], resident()

    loader = DataLoader(clips, 32, shuffle=True, num_workers=2, collate_fn=collate, drop_last=True)
    largest = 0
    for step, (sounds, _, loading) in enumerate(loader):
        network(sounds[:, None]).square().mean().backward()
        optimizer.step()
        largest = max(largest, loading)
        if step == 0:
            shown.append(resident())
        if step + 1 == steps:
            break
    print(*shown, resident(), largest)


def resident() -> int:
    """MB of this process that nothing on disk backs."""
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    return int(lines["RssAnon"].split()[0]) // 1024


if __name__ == "__main__":
    main()
