"""
Ranking recordings by their best window or by their clip vector, on labelled recordings of several windows.

    OMP_NUM_THREADS=1 python benchmarks/bench_ranking.py MODEL ESC10_FOLDER [--recordings 60] [--seeds 0 1 2]

Two kinds of recordings, made of ESC-10's test clips: compositions of 12 to 30 s, one clip after another, each of
another class; and recordings of 1 to 10 minutes, faint pink noise with one to three events. A question is a caption
of a class; every recording that holds a clip of that class is right. Figures are mAP@16 and R@1 over all questions,
by length, as a mean over seeds with the smallest and largest.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from auricle.data import load_captioned_folder, unique_clips
from auricle.encoders import AudioTextEncoder, load_encoder
from auricle.encoders.recordings.recording_windows import embed_recording
from auricle.evaluation.metrics.retrieval_metrics import retrieval_metrics_from_similarities
from auricle.processing import load_waveform

BACKGROUND_LEVEL = 0.003  # RMS of the pink noise
KINDS = {"12-30 s": None, "1-3 min": (60, 180), "3-10 min": (180, 600)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("esc10", type=Path)
    parser.add_argument("--recordings", type=int, default=60, help="of each length")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.model)
    rows = load_captioned_folder(arguments.esc10, split="test")
    clips = unique_clips(rows)
    sounds = [load_waveform(audio["path"], sampling_rate=encoder.sampling_rate) for audio in clips["audio"]]
    questions = sorted(set(zip(rows["caption"], rows["label"], strict=True)))
    text = encoder.embed_texts([caption for caption, _ in questions])
    print(
        f"{len(questions)} questions; {arguments.recordings} recordings of each length; seeds {arguments.seeds}"
    )
    for kind in arguments.kinds:
        figures: dict[str, list[dict[str, float]]] = {"window": [], "clip": []}
        for seed in arguments.seeds:
            made = embedded_recordings(encoder, sounds, clips["label"], kind, arguments.recordings, seed)
            relevant = [
                [place for place, (_, _, labels) in enumerate(made) if label in labels]
                for _, label in questions
            ]
            scores = {
                "window": np.array([(windows @ text.T).max(axis=0) for windows, _, _ in made]).T,
                "clip": text @ np.array([vector for _, vector, _ in made]).T,
            }
            for way, similarities in scores.items():
                figures[way].append(retrieval_metrics_from_similarities(similarities, relevant))
        for way, found in figures.items():
            shown = {name: [one[name] for one in found] for name in ("mAP@16", "R@1")}
            line = "  ".join(
                f"{name} {np.mean(values):.3f} ({min(values):.3f}-{max(values):.3f})"
                for name, values in shown.items()
            )
            print(f"{kind:>9}  rank by {way:<6}  {line}")
        print(json.dumps({"length": kind, **figures}))


def embedded_recordings(
    encoder: AudioTextEncoder, sounds: list, labels: list, kind: str, count: int, seed: int
) -> list[tuple[np.ndarray, np.ndarray, set]]:
    """Windows' vectors, clip vector and labels of made recordings."""
    generator, rate, made = np.random.default_rng(seed), encoder.sampling_rate, []
    for _ in range(count):
        chosen = drawn_events(generator, labels, kind, rate, sounds)
        samples = (
            np.concatenate([sounds[place] for place in chosen])
            if KINDS[kind] is None
            else scattered(generator, [sounds[place] for place in chosen], KINDS[kind], rate)
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "recording.wav"
            soundfile.write(path, samples, rate, subtype="FLOAT")
            found = embed_recording(encoder, path, hop_seconds=encoder.window_seconds)
        made.append((found.vectors, found.vector, {labels[place] for place in chosen}))
    return made


def drawn_events(
    generator: np.random.Generator, labels: list, kind: str, rate: int, sounds: list
) -> list[int]:
    """Places of clips, each of another class: as many as fill 12 to 30 s, or one to three."""
    order = generator.permutation(len(sounds))
    first = {}
    for place in order:
        first.setdefault(labels[int(place)], int(place))
    places = [int(place) for place in generator.permutation(list(first.values()))]
    if KINDS[kind] is not None:
        return places[: int(generator.integers(1, 4))]
    wanted, chosen = generator.uniform(12, 30) * rate, []
    while sum(len(sounds[place]) for place in chosen) < wanted - len(sounds[0]) / 2:
        chosen.append(places.pop())
    return chosen


def scattered(
    generator: np.random.Generator, events: list[np.ndarray], seconds: tuple[int, int], rate: int
) -> np.ndarray:
    """Events at random times in faint pink noise."""
    length = round(generator.uniform(*seconds) * rate)
    spectrum = np.fft.rfft(generator.standard_normal(length))
    noise = np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), n=length)
    samples = noise / np.sqrt(np.mean(noise**2)) * BACKGROUND_LEVEL
    for event in events:
        start = int(generator.integers(0, length - len(event)))
        samples[start : start + len(event)] += event
    return samples.astype(np.float32)


if __name__ == "__main__":
    main()
