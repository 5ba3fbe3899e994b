"""
Training input, file to model-ready PaSST segments and tokens: ours against the DCASE baseline's way of doing it.

    OMP_NUM_THREADS=1 python benchmarks/bench_input_pipeline.py ESC10_FOLDER [--clips 320] [--workers 2]

ESC10_FOLDER is what make_esc10_folder.py makes. The baseline's way: decode the whole file, resample it, pad or
crop it to 30 seconds, log-mel of its three ten-second segments, captions padded to 32 tokens. Decoder, resampler,
log-mel and tokenizer are ours in either way, so that only the way differs. CPU time of all loader processes, the
ways in turns; Ogg as they come, and the same sounds as WAV and MP3.
"""

import argparse
import resource
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from datasets import Dataset
from measuring import machine, table
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from transformers import AutoTokenizer

from auricle.data import load_captioned_folder, unique_clips
from auricle.data.waveform_cache import WaveformCache
from auricle.processing import AuricleFeatureExtractor, AuricleProcessor
from auricle.training.models.pretrained_text import locate_text_encoder
from auricle.training.recipe.schema import DataSection
from auricle.training.rows.collator import RetrievalCollator
from auricle.training.rows.training_clips import TrainingClips

BASELINE_SECONDS = 30
BASELINE_TOKENS = 32
FORMATS = {"Ogg": "ogg", "WAV": "wav", "MP3": "mp3"}


class BaselineClips(TorchDataset):
    """Whole files, decoded and resampled for every epoch, at 30 seconds each."""

    def __init__(self, paths: list[str], captions: list[str], sampling_rate: int):
        self.paths, self.captions, self.sampling_rate = paths, captions, sampling_rate

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[np.ndarray, str]:
        samples, rate = soundfile.read(self.paths[index], dtype="float32", always_2d=True)
        waveform = soxr.resample(samples.mean(axis=1), rate, self.sampling_rate)
        wanted = BASELINE_SECONDS * self.sampling_rate
        if len(waveform) > wanted:
            start = np.random.randint(len(waveform) - wanted + 1)
            waveform = waveform[start : start + wanted]
        return np.pad(waveform, (0, wanted - len(waveform))), self.captions[index]


class BaselineCollator:
    """Three segments a clip, full or empty, and captions of 32 tokens."""

    def __init__(self, processor: AuricleProcessor):
        self.processor = processor

    def __call__(self, rows: list[tuple[np.ndarray, str]]) -> dict[str, torch.Tensor]:
        extractor = self.processor.feature_extractor
        batch = dict(extractor([sound for sound, _ in rows], sampling_rate=extractor.sampling_rate))
        captions = [caption for _, caption in rows]
        options = {"padding": "max_length", "max_length": BASELINE_TOKENS, "truncation": True}
        return {**batch, **self.processor.tokenizer(captions, return_tensors="pt", **options)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("esc10", type=Path)
    parser.add_argument("--clips", type=int, default=320)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(
        locate_text_encoder("sentence-transformers/all-MiniLM-L6-v2").location
    )
    processor = AuricleProcessor(AuricleFeatureExtractor.for_tower("passt"), tokenizer)
    clips = unique_clips(load_captioned_folder(arguments.esc10, split="train")).select(range(arguments.clips))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, extension in FORMATS.items():
            converted = (
                clips if extension == "ogg" else _converted(clips, Path(folder) / extension, extension)
            )
            ways = _ways(converted, processor, Path(folder) / "cache")
            seconds = _measured(ways, arguments)
            theirs = seconds["baseline"]
            rows += [
                [name, way, f"{1e3 * spent / len(clips):.1f}", f"{theirs / spent:.1f}"]
                for way, spent in seconds.items()
            ]
    print(
        f"{machine()}, {arguments.workers} loader processes, {len(clips)} clips a round, best of {arguments.rounds}"
    )
    print(table(rows, ["files", "way", "CPU ms a clip", "times the baseline's speed"]))


def _converted(clips: Dataset, folder: Path, extension: str) -> Dataset:
    folder.mkdir()

    def convert(row: dict, index: int) -> dict:
        path = folder / f"{index:04}.{extension}"
        samples, rate = soundfile.read(row["audio"]["path"])
        soundfile.write(path, samples, rate)
        return {"audio": {**row["audio"], "path": str(path)}}

    return clips.map(convert, with_indices=True)


def _ways(clips: Dataset, processor: AuricleProcessor, cache: Path) -> dict[str, tuple]:
    extractor = processor.feature_extractor
    references = list(clips["audio"])
    section = DataSection(source="folder", max_clip_seconds=30.0)
    stored = WaveformCache.build(
        references, sampling_rate=extractor.sampling_rate, cache_dir=cache, progress=False
    )
    own = RetrievalCollator(processor)
    paths = [audio["path"] for audio in references]
    return {
        "baseline": (
            BaselineClips(paths, list(clips["caption"]), extractor.sampling_rate),
            BaselineCollator(processor),
        ),
        "ours, decoding": (TrainingClips(clips, extractor, section, seed=0), own),
        "ours, cached": (TrainingClips(clips, extractor, section, seed=0, waveforms=stored), own),
    }


def _measured(ways: dict[str, tuple], arguments: argparse.Namespace) -> dict[str, float]:
    best = dict.fromkeys(ways, float("inf"))
    for turn in range(arguments.rounds + 1):
        for name, (dataset, collator) in ways.items():
            before = _cpu_seconds()
            loader = DataLoader(
                dataset, 32, num_workers=arguments.workers, collate_fn=collator, drop_last=False
            )
            for _ in loader:
                pass
            del loader
            if turn:
                best[name] = min(best[name], _cpu_seconds() - before)
    return best


def _cpu_seconds() -> float:
    """Of this process and of those it has waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


if __name__ == "__main__":
    sys.exit(main())
