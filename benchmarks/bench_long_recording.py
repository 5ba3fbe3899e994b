"""
Memory of embedding one long file, above what model and libraries take.

    OMP_NUM_THREADS=1 python benchmarks/bench_long_recording.py TOWER [--minutes 60] [--layers 12]

Writes noise of that length to a temporary file at 44.1 kHz and embeds it block after block with a tower of
published width and random weights. Fewer layers take less time and the same memory: without gradients a layer's
intermediate values go when it is done.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from measuring import machine

from auricle.modeling import AuricleConfig, AuricleModel
from auricle.processing import AuricleFeatureExtractor

RATE = 44100
TINY_TEXT = {"model_type": "bert", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}


def write_noise(path: Path, minutes: int) -> None:
    minute = 0.1 * np.random.default_rng(0).standard_normal(RATE * 60).astype(np.float32)
    with soundfile.SoundFile(path, "w", samplerate=RATE, channels=1, subtype="PCM_16") as file:
        for _ in range(minutes):
            file.write(minute)


def resident_megabytes() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("tower", nargs="?", default="passt", choices=["passt", "beats", "eat"])
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--segments-per-block", type=int, default=4)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long.wav"
        # In a process of its own, so that the noise is not counted.
        if (child := os.fork()) == 0:
            write_noise(path, arguments.minutes)
            os._exit(0)
        os.waitpid(child, 0)
        audio = {"model_type": f"auricle_{arguments.tower}", "num_hidden_layers": arguments.layers}
        model = AuricleModel(AuricleConfig(audio_config=audio, text_config=TINY_TEXT)).eval()
        extractor = AuricleFeatureExtractor.for_tower(arguments.tower)
        blocks = extractor.iter_segments(path, segments_per_block=arguments.segments_per_block)
        before, start = resident_megabytes(), time.process_time()
        model.embed_recording(block.inputs for block in blocks)
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(machine())
    print(
        f"{arguments.tower}, {arguments.layers} layer(s), {arguments.minutes} minutes: at most "
        f"{peak - before:.0f} MB above the model ({before:.0f} MB), {seconds:.0f} CPU seconds"
    )


if __name__ == "__main__":
    main()
