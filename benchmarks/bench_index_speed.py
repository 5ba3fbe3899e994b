"""
Indexing a mixed library with a full-size tower, by engine and precision, against the DCASE 2025 baseline's own way.

    OMP_NUM_THREADS=1 python benchmarks/bench_index_speed.py [--towers passt beats eat] [--clips 16] [--workers 2]
        [--ways torch packed onnx int8]

The library: clips of 5 to 30 s at 44.1 kHz, half of them MP3, random weights, a small text tower. The baseline is
written from its description: every clip decoded as a whole, resampled, padded to three segments of ten seconds, and
computed by plain torch with attention written out. CPU time of one process, the ways one after the other on the same
clips; loading the model is left out on both sides. With --workers also throughput by wall time; that means little on a
busy machine. --busy N runs N programs beside it that compute without a pause: the most that indexing can then get is
its share of the cores.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from measuring import machine, table
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, RobertaConfig

from auricle.encoders.auricle_checkpoint import load_pretrained
from auricle.modeling import AuricleConfig, AuricleModel
from auricle.processing import AuricleFeatureExtractor, AuricleProcessor
from auricle.search.encoder_settings import EncoderSettings
from auricle.search.sound_index import SoundIndex

RATE, SECONDS = 44_100, (5.0, 30.0)
SEGMENTS = 3


def save_model(tower: str, folder: Path) -> None:
    torch.manual_seed(0)
    words = {word: place for place, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "rain", "a", "dog"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=64,
    )
    text = RobertaConfig(
        vocab_size=len(words),
        hidden_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        pad_token_id=1,
    )
    config = AuricleConfig(audio_config={"model_type": f"auricle_{tower}"}, text_config=text.to_dict())
    AuricleModel(config).eval().save_pretrained(folder)
    AuricleProcessor(AuricleFeatureExtractor.for_tower(tower), fast).save_pretrained(folder)


def write_library(folder: Path, clips: int) -> list[Path]:
    generator = np.random.default_rng(0)
    folder.mkdir()
    paths = []
    for number, seconds in enumerate(np.linspace(*SECONDS, clips)):
        samples = 0.1 * generator.standard_normal(round(seconds * RATE))
        paths.append(folder / f"{number:03}{'.mp3' if number % 2 else '.wav'}")
        soundfile.write(paths[-1], samples, RATE)
    return paths


def baseline(model: Path) -> Callable[[list[Path]], np.ndarray]:
    """The published system's own way of embedding clips, from its description."""
    network, processor = load_pretrained(model)
    network.set_attn_implementation("eager")
    extractor = processor.feature_extractor
    length = SEGMENTS * extractor.segment_samples

    @torch.no_grad()
    def embed(paths: list[Path]) -> np.ndarray:
        rows = []
        for path in paths:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
            mono = soxr.resample(samples.mean(axis=1), rate, extractor.sampling_rate, quality="HQ")
            padded = np.zeros(length, dtype=np.float32)
            padded[: min(length, len(mono))] = mono[:length]
            inputs = extractor(padded, sampling_rate=extractor.sampling_rate)
            assert len(inputs["input_features"]) == SEGMENTS
            pooled = network.pool_audio(inputs["input_features"], inputs.get("audio_attention_mask"))
            rows.append(network.project_audio(pooled, torch.tensor([SEGMENTS]))[0].numpy())
        return np.stack(rows)

    return embed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--towers", nargs="+", default=["passt"], choices=("passt", "beats", "eat"))
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--busy", type=int, default=0)
    parser.add_argument("--ways", nargs="+", default=["torch", "packed", "onnx", "int8"])
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print(machine(), flush=True)
    beside = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(arguments.busy)]
    try:
        rows = [row for tower in arguments.towers for row in measure(tower, arguments)]
    finally:
        for program in beside:
            program.kill()
    head = [
        "tower",
        "way",
        "CPU s a clip",
        "wall s a clip",
        "times the baseline",
        f"lowest cosine to {arguments.ways[0]}",
    ]
    print(table(rows, head))


def measure(tower: str, arguments: argparse.Namespace) -> list[list[str]]:
    rows, vectors, reference = [], {}, 0.0
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        save_model(tower, root / "model")
        paths = write_library(root / "sounds", arguments.clips)
        os.environ["AURICLE_CACHE"] = str(root / "cache")
        for way in ("baseline", *arguments.ways):
            if way == "baseline":
                embed = baseline(root / "model")
                embed(paths[:1])
                used, wall, vectors[way] = timed(lambda embed=embed: embed(paths))
                reference = used
            else:
                settings = EncoderSettings(precision=way) if way == "int8" else EncoderSettings(engine=way)
                index = SoundIndex.create(root / way, str(root / "model"), settings=settings)
                index._encoder.encoder.workers = arguments.workers or None
                used, wall, _ = timed(lambda index=index: index.update([root / "sounds"], progress=False))
                entries = index.store.entries([str(path) for path in paths])
                vectors[way] = np.stack([entries[str(path)].vector for path in paths])
            first = vectors[arguments.ways[0]] if arguments.ways[0] in vectors else vectors[way]
            cosine = (vectors[way] * first).sum(axis=1).min()
            rows.append(
                [
                    tower,
                    way,
                    f"{used / len(paths):.3f}",
                    f"{wall / len(paths):.3f}",
                    f"{reference / used:.2f}",
                    "" if way == "baseline" else f"{cosine:.5f}",
                ]
            )
            print(rows[-1], flush=True)
    return rows


def timed(call: Callable[[], object]) -> tuple[float, float, object]:
    began, used = time.perf_counter(), time.process_time()
    found = call()
    return time.process_time() - used, time.perf_counter() - began, found


if __name__ == "__main__":
    main()
