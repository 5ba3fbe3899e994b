"""Speed of the three towers and of the input pipeline on a device."""

import resource
import tempfile
import time
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from gpu_checks import TOWERS, Row, Sizes, batch_for, build, contrastive, free, synchronize
from torch.utils.data import DataLoader, Dataset

from auricle.processing import AuricleFeatureExtractor
from auricle.processing.audio_reading import load_waveform

RATE = 44_100


def best_seconds(device: str, call: Callable[[], object], repeats: int) -> float:
    """Shortest wall time of a call, after one that is not timed."""
    best = float("inf")
    for turn in range(repeats + 1):
        synchronize(device)
        started = time.perf_counter()
        call()
        synchronize(device)
        if turn:
            best = min(best, time.perf_counter() - started)
    return best


def check_throughput(device: str, sizes: Sizes) -> Iterator[Row]:
    """Pairs of one segment a second, both towers in bf16: embedding, and whole training steps with AdamW."""
    for tower in TOWERS:
        model = build(tower, sizes).to(device)
        batch = batch_for(model, sizes.batch_size, device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()

        def embed(model=model, batch=batch) -> None:
            with torch.inference_mode(), torch.autocast(device, dtype=torch.bfloat16):
                model(**batch)

        def step(model=model, batch=batch, optimizer=optimizer) -> None:
            with torch.autocast(device, dtype=torch.bfloat16):
                outputs = model(**batch)
            contrastive(outputs).backward()
            optimizer.step()
            optimizer.zero_grad()

        model.eval()
        embedding = best_seconds(device, embed, sizes.repeats)
        model.train()
        training = best_seconds(device, step, sizes.repeats)
        peak = f", peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if device == "cuda" else ""
        rates = f"{sizes.batch_size / embedding:.0f} embedded, {sizes.batch_size / training:.0f} trained"
        yield Row("pairs a second, bf16", f"{tower}, batch {sizes.batch_size}", rates + peak)
        del model, optimizer, embed, step
        free(device)


class Segments(Dataset):
    """Files, decoded, resampled and turned into features by the extractor."""

    def __init__(self, paths: list[Path], extractor: AuricleFeatureExtractor):
        self.paths, self.extractor = paths, extractor

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        # A worker has a core of its own; more threads would only fight.
        torch.set_num_threads(1)
        rate = self.extractor.sampling_rate
        sound = load_waveform(self.paths[index], sampling_rate=rate)
        return self.extractor([sound], sampling_rate=rate)["input_features"]


def check_input_pipeline(device: str, sizes: Sizes) -> Iterator[Row]:
    """Clips a second from 44.1 kHz files to features on the device, and CPU time a clip, of PaSST's front end."""
    extractor = AuricleFeatureExtractor.for_tower("passt")
    with tempfile.TemporaryDirectory() as folder:
        paths = [write_noise(Path(folder) / f"{n}.wav", sizes.seconds, n) for n in range(sizes.files)]
        for workers in sizes.workers:
            cpu, started = cpu_seconds(), time.perf_counter()
            loader = DataLoader(
                Segments(paths, extractor),
                8,
                num_workers=workers,
                collate_fn=torch.cat,
                pin_memory=device == "cuda",
            )
            segments = sum(len(batch.to(device, non_blocking=True)) for batch in loader)
            synchronize(device)
            seconds = time.perf_counter() - started
            del loader
            spent = 1e3 * (cpu_seconds() - cpu) / len(paths)
            result = f"{len(paths) / seconds:.0f} clips a second, {spent:.0f} CPU-ms a clip"
            subject = f"{workers} workers, clips of {sizes.seconds:g} s"
            yield Row("input pipeline", subject, result, "a segment a clip", segments == len(paths))


def write_noise(path: Path, seconds: float, seed: int) -> Path:
    """A 16-bit mono WAV file of noise."""
    samples = np.random.default_rng(seed).normal(0, 3000, round(seconds * RATE)).clip(-32768, 32767)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def cpu_seconds() -> float:
    """Of this process and of those it has waited for."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)
