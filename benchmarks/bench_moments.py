"""
Moments within recordings: concatenations of ESC-10's test clips, each clip asked for by its class.

    OMP_NUM_THREADS=1 python benchmarks/bench_moments.py MODEL ESC10_FOLDER [--recordings 8]

Each recording is 20 clips of the test fold, drawn by seed, so that several may fit one sentence; a question counts
as right if the top span overlaps a clip of its class with an intersection over union of at least 0.5. Beside it
stands R@1 of the same questions over the same recording's clips, each embedded by itself.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from auricle.data import load_captioned_folder, unique_clips
from auricle.encoders import load_encoder
from auricle.encoders.recordings.recording_windows import embed_recording
from auricle.processing import load_waveform
from auricle.search.moments.spans import DEFAULT_THRESHOLD
from auricle.search.query.ranking import SHORTEST_SPAN, merge_spans

CLIPS = 20


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("esc10", type=Path)
    parser.add_argument("--recordings", type=int, default=8)
    parser.add_argument("--hop", type=float, default=0.5, help="of a window")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threshold", type=float, default=DEFAULT_THRESHOLD)
    parser.add_argument(
        "--shortest", type=float, default=SHORTEST_SPAN, help="in windows; 1 and --threshold -1: alone"
    )
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.model)
    rate = encoder.sampling_rate
    rows = load_captioned_folder(arguments.esc10, split="test")
    clips = unique_clips(rows)
    questions: dict[str, list[str]] = {}
    for caption, label in zip(rows["caption"], rows["label"], strict=True):
        if caption not in questions.setdefault(label, []):
            questions[label].append(caption)
    vectors, _ = encoder.embed_clips(list(clips["audio"]))
    generator = np.random.default_rng(arguments.seed)
    spans_right = clips_right = asked = 0
    for _ in range(arguments.recordings):
        chosen = generator.choice(len(clips), CLIPS, replace=False)
        sounds = [load_waveform(clips["audio"][int(place)]["path"], sampling_rate=rate) for place in chosen]
        edges = np.cumsum([0, *map(len, sounds)]) / rate
        labels = [clips["label"][int(place)] for place in chosen]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "recording.wav"
            soundfile.write(path, np.concatenate(sounds), rate, subtype="FLOAT")
            found = embed_recording(encoder, path, hop_seconds=arguments.hop * encoder.window_seconds)
        for label in sorted(set(labels)):
            for vector in encoder.embed_texts(questions[label]):
                (start, end, _), *_ = merge_spans(
                    found.starts,
                    found.ends,
                    found.vectors @ vector,
                    top=1,
                    threshold=arguments.threshold,
                    shortest=arguments.shortest,
                )
                right = [place for place, other in enumerate(labels) if other == label]
                spans_right += any(overlap(start, end, edges[p], edges[p + 1]) >= 0.5 for p in right)
                clips_right += labels[int(np.argmax(vectors[chosen] @ vector))] == label
                asked += 1
    print(f"{asked} questions over {arguments.recordings} recordings of {CLIPS} clips")
    print(f"top span right {spans_right / asked:.3f}, R@1 of the clips {clips_right / asked:.3f}")


def overlap(start: float, end: float, other_start: float, other_end: float) -> float:
    shared = max(0.0, min(end, other_end) - max(start, other_start))
    return shared / (max(end, other_end) - min(start, other_start))


if __name__ == "__main__":
    main()
