"""
Moments in generated recordings: ESC-10's test clips at known times over minutes of background noise.

    OMP_NUM_THREADS=1 python benchmarks/bench_generated_moments.py MODEL ESC10_FOLDER [--seeds 0 1 2] [--recordings 40]

The folder is made by benchmarks/make_esc10_folder.py. Events last as CASTELLA's test moments do (median 4 s, 1 to
30 s), 1 to 5 a query, -5 to 10 dB over the background. Each seed draws other recordings. Beside each figure stands
what an oracle would reach among the spans that the same way can give.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

from auricle.data import load_captioned_folder
from auricle.data.moments.generated_recordings import MomentSettings, make_moment_recordings, split_clips
from auricle.encoders import load_encoder
from auricle.evaluation.moments.moment_evaluation import evaluate_moments
from auricle.evaluation.moments.moment_queries import read_moment_queries
from auricle.search.moments.moment_answers import answer_moment_queries


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("esc10", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--recordings", type=int, default=40)
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.model)
    table = load_captioned_folder(arguments.esc10, split="test" if arguments.split == "test" else "train")
    if arguments.split == "validation":
        _, table = split_clips(table, 0.25)
    reports: dict[str, list[dict]] = {"windows": [], "frames": []}
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            settings = MomentSettings(recordings=arguments.recordings, seed=seed)
            queries = read_moment_queries(
                make_moment_recordings(table, folder, settings, progress=True)
            ).queries
            for edges, found in reports.items():
                answers = answer_moment_queries(
                    encoder, queries, Path(folder) / "audio", edges=edges, progress=True
                )
                report = evaluate_moments(queries, answers.spans)
                found.append({**report, "ceiling": answers.ceiling})
                print(f"seed {seed}, {edges}, {report['queries']} queries: {_line(found[-1:])}", flush=True)
    for edges, found in reports.items():
        print(f"mean of {len(found)} seeds, {edges}: {_line(found)}")


def _line(reports: list[dict]) -> str:
    cells = []
    for name in reports[0]["metrics"]:
        values = [100 * report["metrics"][name]["value"] for report in reports]
        cells.append(f"{name} {np.mean(values):.1f}")
        if len(values) > 1:
            cells[-1] += f" (sd {np.std(values, ddof=1):.1f})"
    for name in reports[0]["ceiling"]:
        cells.append(f"ceiling {name} {100 * np.mean([report['ceiling'][name] for report in reports]):.1f}")
    return ", ".join(cells)


if __name__ == "__main__":
    main()
