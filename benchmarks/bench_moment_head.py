"""
A trained moment head on generated recordings, beside what windows find without training.

    OMP_NUM_THREADS=1 python benchmarks/bench_moment_head.py MODEL ESC10_FOLDER [--seeds 0 1 2 3 4]

MODEL is made by recipes/esc10_passt_tiny.yaml, the folder by benchmarks/make_esc10_folder.py. A head is trained for
each seed with recipes/moments_demo.yaml on recordings of clips of folds 1 to 4, and chosen by recordings of other
clips of these folds. All heads and both ways of `auricle moments` without a head (windows, dense) answer the same test
recordings, of clips of fold 5: those of benchmarks/bench_generated_moments.py with seeds 1, 2 and 3. With --decoders
dense queries the two kinds of head are compared by their validation figure.

Everything lies in --work; what is there is not made again, and several calls may train seeds side by side.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from auricle.data import load_captioned_folder
from auricle.data.moments.generated_recordings import MomentSettings, make_moment_recordings
from auricle.encoders import load_encoder
from auricle.encoders.recordings.moment_head import MomentHead
from auricle.evaluation.metrics.bootstrap import bootstrap_group_means
from auricle.evaluation.metrics.moment_metrics import query_moment_values
from auricle.evaluation.moments.moment_queries import read_moment_queries
from auricle.files.content_digests import ContentDigests
from auricle.files.json_files import read_json, write_json
from auricle.files.saved_directories import replace_directory
from auricle.search.moments.moment_answers import answer_moment_queries
from auricle.training.moments.frame_store import FrameStore, read_frames
from auricle.training.moments.moment_recipe import read_moment_recipe
from auricle.training.moments.moment_running import run_moment_recipe

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "moments_demo.yaml"
# How moments are found without training.
WAYS = ("windows", "dense")
MEASURES = ("R1@0.5", "R1@0.7", "mAP", "mAP@0.75", "mIoU")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("esc10", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--test-seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--decoders", choices=("dense", "queries"), nargs="+", default=["dense"])
    parser.add_argument("--epochs", type=int, help="Train this long in place of the recipe's epochs.")
    parser.add_argument(
        "--ways", choices=WAYS, nargs="*", default=[*WAYS], help="Ways without training to report beside."
    )
    parser.add_argument("--work", type=Path, default=Path("runs/bench_moment_head"))
    parser.add_argument("--only-train", action="store_true", help="Train the seeds and report nothing.")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    runs = {
        decoder: {seed: train(arguments, work, decoder, seed) for seed in arguments.seeds}
        for decoder in arguments.decoders
    }
    for decoder, by_seed in runs.items():
        values = [100 * run["validation"] for run in by_seed.values()]
        minutes = [run["cpu_seconds"] / 60 for run in by_seed.values()]
        print(
            f"{decoder}: validation R1@0.7 {spread(values)}, {len(values)} seeds, CPU minutes of training "
            f"{min(minutes):.1f} to {max(minutes):.1f}"
        )
    if not arguments.only_train:
        report(arguments, work, runs)


def train(arguments: argparse.Namespace, work: Path, decoder: str, seed: int) -> dict:
    """Trains one head, or finds it trained; frames are embedded before the time is taken."""
    run_dir = work / f"{decoder}_{seed}"
    done = read_json(run_dir / "benchmark.json")
    if done is not None:
        return done
    longer = {} if arguments.epochs is None else {"training.epochs": arguments.epochs}
    recipe = read_moment_recipe(
        RECIPE,
        {
            **longer,
            "encoder": arguments.model,
            "data.generated.clips": str(arguments.esc10),
            "data.generated.test_recordings": 0,
            "data.cache_dir": str(work / "cache"),
            "head.decoder": decoder,
            "seed": seed,
            "output_dir": str(run_dir),
        },
    )
    started = time.process_time()
    results = run_moment_recipe(recipe, progress=False)
    stage = read_json(run_dir / "head" / "stage.json")
    done = {
        "model": results["model"],
        "validation": results["validation"]["value"],
        "cpu_seconds": stage["cpu_seconds"],
        "cpu_seconds_with_frames": time.process_time() - started,
    }
    write_json(run_dir / "benchmark.json", done)
    return done


def report(arguments: argparse.Namespace, work: Path, runs: dict[str, dict[int, dict]]) -> None:
    """Prints the test figures of both ways without training and of each kind of head."""
    encoder = load_encoder(arguments.model)
    table = load_captioned_folder(arguments.esc10, split="test")
    ways = arguments.ways
    values: dict[str, list[dict[str, np.ndarray]]] = {way: [] for way in ways}
    recordings: list[str] = []
    ceilings: dict[str, list[dict[str, float]]] = {way: [] for way in ways}
    heads = {
        decoder: [MomentHead.load(run["model"], encoder) for run in by_seed.values()]
        for decoder, by_seed in runs.items()
    }
    # By decoder and seed, the values of all test sets one after another.
    of_heads = {decoder: [[] for _ in own] for decoder, own in heads.items()}
    for seed in arguments.test_seeds:
        folder = work / f"test_{seed}"
        if not (folder / "moments.jsonl").is_file():
            settings = MomentSettings(recordings=40, seed=seed)
            replace_directory(
                folder, lambda target, settings=settings: make_moment_recordings(table, target, settings)
            )
        queries = read_moment_queries(folder / "moments.jsonl").queries
        recordings += [f"{seed} {query.vid}" for query in queries]
        for way in ways:
            kept = read_json(folder / f"by_{way}.json")
            if kept is None:
                answers = answer_moment_queries(encoder, queries, folder / "audio", edges=way)
                kept = {"spans": answers.spans, "ceiling": answers.ceiling}
                write_json(folder / f"by_{way}.json", kept)
            values[way].append(of_queries(queries, kept["spans"]))
            ceilings[way].append(kept["ceiling"])
        sentences = sorted({query.query for query in queries})
        vectors = dict(zip(sentences, encoder.embed_texts(sentences), strict=True))
        spans = {decoder: [{} for _ in own] for decoder, own in heads.items()}
        # The same for all heads: kept, as those of training are.
        config = next(iter(heads.values()))[0].model.config
        cache = work / "cache"
        store = FrameStore(
            encoder, float(config.frame_seconds), cache, ContentDigests(cache), config.frame_source
        )
        paths = {query.vid: str(folder / "audio" / f"{query.vid}.flac") for query in queries}
        places, _ = store.embed({paths[query.vid]: query.duration for query in queries})
        for vid in paths:
            grid = read_frames(places[paths[vid]])
            for decoder, own in heads.items():
                for head, found in zip(own, spans[decoder], strict=True):
                    for query in queries:
                        if query.vid == vid:
                            found[query.qid] = head.find(grid, vectors[query.query], top=10)
        for decoder, own in spans.items():
            for place, found in enumerate(own):
                of_heads[decoder][place].append(of_queries(queries, found))
    print(f"\n{len(recordings)} test queries, {len(set(recordings))} recordings; per cent\n")
    outcome = {}
    for way in ways:
        outcome[way] = [
            {name: 100 * float(column.mean()) for name, column in one.items()} for one in values[way]
        ]
        print(f"{way}, over test seeds: {line(outcome[way])}")
        print(f"{way}, ceiling R1@0.7: {100 * np.mean([one['R1@0.7'] for one in ceilings[way]]):.1f}")
    for decoder, by_seed in of_heads.items():
        whole = [joined(one) for one in by_seed]
        figures = [{name: 100 * float(column.mean()) for name, column in one.items()} for one in whole]
        outcome[decoder] = figures
        print(f"\n{decoder} head, over {len(whole)} training seeds: {line(figures)}")
        # Queries of one recording are not independent: recordings are drawn, each with all seeds' values.
        means = {name: np.mean([one[name] for one in whole], axis=0) for name in MEASURES}
        for name, interval in bootstrap_group_means(means, recordings, resamples=2000, seed=0).items():
            low, high = 100 * interval.low, 100 * interval.high
            print(f"  {name}: {100 * interval.value:.1f} [{low:.1f}, {high:.1f}] over recordings")
        reached = np.mean([one["R1@0.7"].mean() for one in whole])
        for way in ways:
            print(f"  R1@0.7 is {reached / joined(values[way])['R1@0.7'].mean():.1f} times that of {way}")
        print("  the head's ceiling is 100")
    write_json(work / "report.json", outcome)


def of_queries(queries, spans) -> dict[str, np.ndarray]:
    """Measures of each query."""
    found = [[span[:2] for span in spans[query.qid]] for query in queries]
    return query_moment_values(found, [query.moments for query in queries])


def joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Values of several test sets one after another."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def spread(values: list[float]) -> str:
    """Mean and standard deviation."""
    return f"{np.mean(values):.1f}" + (f" (sd {np.std(values, ddof=1):.1f})" if len(values) > 1 else "")


def line(rows: list[dict[str, float]]) -> str:
    """Measures with their spread."""
    return ", ".join(f"{name} {spread([row[name] for row in rows])}" for name in MEASURES)


if __name__ == "__main__":
    main()
