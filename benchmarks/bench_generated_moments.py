"""
Moments in generated recordings: ESC-10's test clips at known times over minutes of background noise.

    OMP_NUM_THREADS=1 python benchmarks/bench_generated_moments.py MODEL ESC10_FOLDER [--seeds 1 2 3 4 5]
        [--recordings 40] [--edges windows frames dense] [--hop SECONDS] [--keep FOLDER]

The folder is made by benchmarks/make_esc10_folder.py. Events last as CASTELLA's test moments do (median 4 s, 1 to
30 s), 1 to 5 a query, -5 to 10 dB over the background. Each seed draws other recordings. Beside each figure stands
what an oracle would reach among the spans that the same way can give. At the end stand means over seeds, and
bootstrap intervals over the recordings of all seeds.

"windows" is the finder of the project's first release of moments, unchanged. The finders' settings were chosen with
--split validation, whose clips the model was trained on, and seeds 101 and 102.
"""

import argparse
import tempfile
import time
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
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5])
    parser.add_argument("--recordings", type=int, default=40)
    parser.add_argument(
        "--edges", nargs="+", choices=("windows", "frames", "dense"), default=["windows", "frames", "dense"]
    )
    parser.add_argument(
        "--hop", type=float, help="seconds between (short) windows; by default what moments takes"
    )
    parser.add_argument("--keep", type=Path, help="keep the recordings in this folder, and use those in it")
    parser.add_argument("--split", choices=("validation", "test"), default="test")
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.model)
    table = load_captioned_folder(arguments.esc10, split="test" if arguments.split == "test" else "train")
    if arguments.split == "validation":
        _, table = split_clips(table, 0.25)
    reports: dict[str, list[dict]] = {edges: [] for edges in arguments.edges}
    everything: dict[str, tuple[list, dict]] = {edges: ([], {}) for edges in arguments.edges}
    for seed in arguments.seeds:
        with tempfile.TemporaryDirectory() as folder:
            settings = MomentSettings(recordings=arguments.recordings, seed=seed)
            if arguments.keep is not None:
                folder = str(arguments.keep / f"{arguments.split}{seed}")
            made = Path(folder) / "moments.jsonl"
            if not made.exists():
                made = make_moment_recordings(table, folder, settings)
            queries = read_moment_queries(made).queries
            for edges, found in reports.items():
                used = time.process_time()
                answers = answer_moment_queries(
                    encoder, queries, Path(folder) / "audio", edges=edges, hop_seconds=arguments.hop
                )
                used = time.process_time() - used
                report = evaluate_moments(queries, answers.spans)
                found.append({**report, "ceiling": answers.ceiling})
                print(
                    f"seed {seed}, {edges}, {report['queries']} queries, {used:.0f} s of CPU: {_line(found[-1:])}",
                    flush=True,
                )
                asked, predicted = everything[edges]
                for query in queries:
                    name = f"{seed}/{query.qid}"
                    asked.append(query._replace(qid=name, vid=f"{seed}/{query.vid}"))
                    predicted[name] = answers.spans[query.qid]
    for edges, found in reports.items():
        print(f"mean of {len(found)} seeds, {edges}: {_line(found)}")
        whole = evaluate_moments(*everything[edges])
        intervals = whole["over_recordings"]
        print("    95 % over recordings:", ", ".join(f"{k} {_interval(v)}" for k, v in intervals.items()))


def _interval(values: dict) -> str:
    return f"{100 * values['low']:.1f} to {100 * values['high']:.1f}"


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
