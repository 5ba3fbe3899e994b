"""
Front ends, ten-second clips: ours against transformers' CLAP extractor and a loop over torchaudio.

    OMP_NUM_THREADS=1 python benchmarks/bench_front_ends.py [--clips 8] [--rounds 5]

CPU time of one process, all ways in turns. torchaudio is only needed for its own rows and is no
dependency of ours: a torchaudio built for another torch makes `import transformers` fail. Install the
release that names the installed torch, or none.
"""

import argparse
import warnings

import numpy as np
import torch
from measuring import interleaved, machine, table
from transformers import ClapFeatureExtractor

from auricle.processing import AuricleFeatureExtractor

try:
    from torchaudio.compliance.kaldi import fbank as torchaudio_fbank
except ImportError:
    torchaudio_fbank = None

SECONDS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    generator = np.random.default_rng(0)

    def clips(rate: int) -> torch.Tensor:
        noise = 0.1 * generator.standard_normal((arguments.clips, rate * SECONDS))
        return torch.from_numpy(noise.astype(np.float32))

    at_16, at_32, at_48 = clips(16000), clips(32000), list(clips(48000).numpy())
    clap = ClapFeatureExtractor()
    extractors = {name: AuricleFeatureExtractor.for_tower(name) for name in ("passt", "beats", "eat")}
    waves = {"passt": at_32, "beats": at_16, "eat": at_16}
    ways = {"transformers CLAP": lambda: clap(at_48, sampling_rate=48000, return_tensors="np")}
    for name, extractor in extractors.items():
        ways[f"auricle {name}"] = lambda extractor=extractor, name=name: extractor.features(waves[name])
    # The same functions on the whole batch at once: what a GPU would want and a CPU's cache does not.
    for name, extractor in extractors.items():
        ways[f"auricle {name}, one batch"] = lambda extractor=extractor, name=name: extractor._block_features(
            waves[name], None, torch.full((arguments.clips,), waves[name].shape[1])
        )
    if torchaudio_fbank is not None:
        settings = {"num_mel_bins": 128, "sample_frequency": 16000, "frame_length": 25, "frame_shift": 10}
        ways["torchaudio, BEATs"] = lambda: [
            torchaudio_fbank(clip[None] * 32768, **settings) for clip in at_16
        ]
        ways["torchaudio, EAT"] = lambda: [
            torchaudio_fbank((clip - clip.mean())[None], window_type="hanning", htk_compat=True, **settings)
            for clip in at_16
        ]
    best = {
        name: seconds / arguments.clips
        for name, seconds in interleaved(ways, rounds=arguments.rounds).items()
    }
    rows = [
        [name, f"{1e3 * seconds:.2f}", f"{best['transformers CLAP'] / seconds:.1f}"]
        for name, seconds in best.items()
    ]
    print(machine())
    print(table(rows, ["front end", "CPU ms a 10 s clip", "times CLAP's speed"]))
    if torchaudio_fbank is not None:
        for name, theirs in (("beats", "torchaudio, BEATs"), ("eat", "torchaudio, EAT")):
            print(
                f"{name}: {best[theirs] / best[f'auricle {name}']:.2f} times as fast as the loop over torchaudio"
            )


if __name__ == "__main__":
    main()
