"""
What it costs to feed a GPU: CPU time of the training input a clip, and the loader processes that a step needs.

    OMP_NUM_THREADS=1 python benchmarks/bench_feeding_a_gpu.py [--clips 24] [--rounds 3] [--step 0.3] [--batch 64]

Clips as Clotho's: 15 to 30 seconds of one channel at 44.1 kHz, here filtered noise, as WAV, FLAC and MP3 files and
from the waveform cache; five captions in turns. For each tower's front end the CPU milliseconds a clip of each part
(reading the file, resampling, log-mel, the rest of the collator with the tokenizer), then of all of it as the
training rows and the collator do it, best of the rounds. The last column is ``ceil(batch * CPU seconds a clip /
step)``: loader processes, each on a core of its own, that make a batch while the GPU takes ``step`` seconds.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
from measuring import machine, table
from scipy.signal import lfilter
from transformers import AutoTokenizer

from auricle.data import build_table
from auricle.data.waveform_cache import WaveformCache
from auricle.processing import AuricleFeatureExtractor, AuricleProcessor
from auricle.processing.audio_reading import load_waveform
from auricle.processing.resampling import resample
from auricle.training.models.pretrained_text import locate_text_encoder
from auricle.training.recipe.schema import DataSection
from auricle.training.rows.collator import RetrievalCollator
from auricle.training.rows.training_clips import TrainingClips

RATE = 44_100
TOWERS = ("passt", "eat", "beats")
FORMATS = ("wav", "flac", "mp3")
CAPTIONS = (
    "A dog barks twice while rain falls on a tin roof and a car passes by.",
    "Somebody walks over gravel, stops, and opens a heavy creaking door.",
    "Water drips into a metal bucket at an even pace.",
    "People talk in a large hall as dishes clatter in the background.",
    "The wind howls around a corner and something loose rattles.",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--step", type=float, default=0.3, help="seconds that the GPU takes for a batch")
    parser.add_argument("--batch", type=int, default=64, help="the paper's batch size for PaSST")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(
        locate_text_encoder("sentence-transformers/all-MiniLM-L6-v2").location
    )
    rows = []
    with tempfile.TemporaryDirectory() as place:
        paths = {kind: write_clips(Path(place), kind, arguments.clips) for kind in FORMATS}
        for tower in TOWERS:
            processor = AuricleProcessor(AuricleFeatureExtractor.for_tower(tower), tokenizer)
            for kind in FORMATS:
                rows.append([tower, kind, *measured(paths[kind], processor, None, arguments)])
            cached = measured(paths["wav"], processor, Path(place) / tower, arguments)
            rows.append([tower, "waveform cache", *cached])
    print(f"{machine()}; {arguments.clips} clips, best of {arguments.rounds} rounds; CPU ms a clip")
    workers = f"processes for {arguments.batch} clips in {arguments.step} s"
    print(table(rows, ["front end", "files", "read", "resample", "log-mel", "collate", "all", workers]))


def write_clips(folder: Path, kind: str, count: int) -> list[str]:
    generator = np.random.default_rng(0)
    paths = []
    for number in range(count):
        seconds = 15 + 15 * number / max(count - 1, 1)
        noise = generator.standard_normal(round(seconds * RATE))
        # Falls with frequency as recordings do; white noise would compress unlike any of them.
        samples = lfilter([1.0], [1.0, -0.95], noise) * (1 + np.sin(np.arange(len(noise)) / RATE))
        path = folder / f"{number:03}.{kind}"
        soundfile.write(path, 0.5 * samples / np.abs(samples).max(), RATE)
        paths.append(str(path))
    return paths


def measured(
    paths: list[str], processor: AuricleProcessor, cache: Path | None, arguments: argparse.Namespace
) -> list[str]:
    extractor = processor.feature_extractor
    rows = build_table(
        {
            "row_id": f"clips/train/{number}#0",
            "clip_id": f"clips/train/{number}",
            "audio": {"path": path},
            "caption": CAPTIONS[number % len(CAPTIONS)],
            "source": "clips",
            "split": "train",
            "license": "unknown",
        }
        for number, path in enumerate(paths)
    )
    rate, stored = extractor.sampling_rate, None
    if cache is not None:
        audio = list(rows["audio"])
        stored = WaveformCache.build(
            audio,
            sampling_rate=rate,
            downmix=extractor.downmix,
            resampler=extractor.resampler,
            cache_dir=cache,
        )
    clips = TrainingClips(rows, extractor, DataSection(source="folder"), seed=0, waveforms=stored)
    collator = RetrievalCollator(processor)
    if stored is None:
        read = [load_waveform(path, sampling_rate=RATE) for path in paths]
        waveforms = [resample(one, source_rate=RATE, target_rate=rate) for one in read]
    else:
        waveforms = [clips[number]["waveform"] for number in range(len(paths))]
    items = [clips[number] for number in range(len(paths))]
    ways: dict[str, Callable[[], object]] = {
        "mel": lambda: extractor(waveforms, sampling_rate=rate),
        "collate": lambda: collator(items),
        "all": lambda: collator([clips[number] for number in range(len(paths))]),
    }
    if stored is None:
        ways["read"] = lambda: [load_waveform(path, sampling_rate=RATE) for path in paths]
        ways["resample"] = lambda: [resample(one, source_rate=RATE, target_rate=rate) for one in read]
    else:
        ways["read"] = lambda: [clips[number] for number in range(len(paths))]
    best = dict.fromkeys(ways, math.inf)
    for turn in range(arguments.rounds + 1):
        for name, call in ways.items():
            start = time.process_time()
            call()
            if turn:
                best[name] = min(best[name], (time.process_time() - start) / len(paths))
    parts = [
        best["read"],
        best.get("resample"),
        best["mel"],
        max(0.0, best["collate"] - best["mel"]),
        best["all"],
    ]
    workers = math.ceil(arguments.batch * best["all"] / arguments.step)
    return [*("-" if part is None else f"{1e3 * part:.1f}" for part in parts), str(workers)]


if __name__ == "__main__":
    main()
