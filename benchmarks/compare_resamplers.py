"""How near BEATs' and EAT's features *of a file* come to the recorded ones, by resampler.

The parity fixtures hold waveforms that the reference implementations' own resampler made of ESC-10 clips at 44.1 kHz.
This reads the clips themselves, resamples them here, and compares both waveforms and their features:

    python benchmarks/compare_resamplers.py --fixtures DIR --clips DIR_WITH_ESC10
"""

import argparse
import json
import re
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from auricle.processing import AuricleFeatureExtractor, load_waveform

SPAN = re.compile(r"(\d-\d+-[A-Z]\.ogg)\D*?(?: \([^)]*\))? ([\d.]+)-([\d.]+) s")
RATE = 16_000


def main() -> None:
    """Prints a line a model and resampler."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fixtures", type=Path, required=True, help="Folder with beats/ and eat/.")
    parser.add_argument("--clips", type=Path, required=True, help="Folder of ESC-10, searched for the clips.")
    arguments = parser.parse_args()
    clips = {path.name: path for path in arguments.clips.rglob("*.ogg")}
    print("model  resampler   spans  max |waveform|  max |features|  mean |features|")
    for model in ("beats", "eat"):
        for resampler in ("torchaudio", "soxr"):
            rows = compare(arguments.fixtures / model, clips, model, resampler)
            waveform, largest, mean = np.max(rows, axis=0) if rows else (np.nan,) * 3
            print(f"{model:6} {resampler:10} {len(rows):6} {waveform:15.2e} {largest:15.2e} {mean:16.2e}")


def compare(
    folder: Path, clips: dict[str, Path], model: str, resampler: str
) -> list[tuple[float, float, float]]:
    """Of each recorded span: the largest difference of samples, and the largest and mean one of features."""
    extractor = AuricleFeatureExtractor.for_tower(model, downmix="mean", resampler=resampler)
    rows = []
    for case in sorted(folder.glob("*.json")):
        tensors = load_file(case.with_suffix(".safetensors"))
        spans = SPAN.findall(json.loads(case.read_text())["audio"])
        for number, (name, start, end) in enumerate(spans):
            recorded = tensors.get(f"in/waveform_{number}", tensors.get("in/waveform"))
            if name not in clips or recorded is None:
                continue
            recorded = recorded[number if recorded.shape[0] > 1 else 0].numpy()
            whole = load_waveform(clips[name], sampling_rate=RATE, downmix="mean", resampler=resampler)
            part = whole[round(float(start) * RATE) : round(float(end) * RATE)]
            recorded = recorded[: len(part)]
            features = [
                extractor.features(torch.from_numpy(np.array(samples))[None]) for samples in (part, recorded)
            ]
            apart = (features[0] - features[1]).abs()
            rows.append((float(np.abs(part - recorded).max()), float(apart.max()), float(apart.mean())))
    return rows


if __name__ == "__main__":
    main()
