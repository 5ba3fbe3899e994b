"""
Answers that learn from marks: how much better are they than the question alone, after 5 to 40 marks?

    OMP_NUM_THREADS=1 python benchmarks/bench_refine.py MODEL ESC10_FOLDER [--seeds 3] [--from best|half|least-sure]
    OMP_NUM_THREADS=1 python benchmarks/bench_refine.py MODEL --scenes

The first line indexes ESC-10 (benchmarks/make_esc10_folder.py names its layouts) and asks for each of its ten classes
by its name. A person who is always right marks windows, ten a round, with the code that `auricle refine` uses. What
the person is shown is chosen by --from: the best windows that are not marked, those the classifier is least sure of,
or both in turns. A round shows fifteen, of which the person marks ten at random: the seeds differ in these. Measured
are average precision and precision at 10 on the clips of recordings that no mark is of, for the refined answers, for
Rocchio alone, for the question alone and for "more like the best hit".

The second line does the same on the demo's 400 scenes for validation and test, and asks for kinds of sound that are in
25 or more of them: settings were chosen on it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from make_esc10_folder import read_labels
from measuring import table

from auricle import SoundIndex
from auricle.data import unique_clips
from auricle.data.scenes import load_scenes
from auricle.search.refine import MarkTable, SavedSearches, refine
from auricle.search.refine.classifiers import rocchio

ROUND, SHOWN = 10, 15
LEAST_SCENES = 25
COUNTS = (10, 20, 30, 40)
WAYS = ("refined", "rocchio", "question alone", "like the best hit")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("esc10", type=Path, nargs="?", help="folder of ESC-10 or ESC-50")
    parser.add_argument("--scenes", action="store_true", help="the demo's scenes in place of ESC-10")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--from", dest="shown", choices=("best", "half", "least-sure"), default="half")
    arguments = parser.parse_args()
    if arguments.scenes == (arguments.esc10 is not None):
        parser.error("give either a folder of ESC-10 or --scenes")
    kinds_of, source_of, questions = of_scenes() if arguments.scenes else of_esc10(arguments.esc10)
    with tempfile.TemporaryDirectory() as folder:
        index = SoundIndex.create(Path(folder) / "index", arguments.model)
        index.update(sorted(kinds_of), progress=False)
        print(
            f"{len(questions)} questions, {len(kinds_of)} clips, {arguments.seeds} seeds, marks from {arguments.shown}"
        )
        found: dict[tuple[int, str], list[tuple[float, float]]] = {}
        for kind, question in questions.items():
            for seed in range(arguments.seeds):
                play(index, kind, question, kinds_of, source_of, arguments.shown, seed, found)
                print(".", end="", flush=True, file=sys.stderr)
    print(file=sys.stderr)
    report(found)


def report(found: dict[tuple[int, str], list[tuple[float, float]]]) -> None:
    """Prints AP and precision at 10 by number of marks, and the gain over the question alone."""
    rows = []
    for count in COUNTS:
        means = {way: np.mean(found[count, way], axis=0) for way in WAYS}
        gain = means["refined"] - means["question alone"]
        cells = [f"{means[way][0]:.3f} / {means[way][1]:.2f}" for way in WAYS]
        rows.append([str(count), *cells, f"{gain[0]:+.3f} / {gain[1]:+.2f}"])
    print(table(rows, ["marks", *WAYS, "refined - question"]))


def play(
    index: SoundIndex,
    kind: str,
    question: str,
    kinds_of: dict[str, set[str]],
    source_of: dict[str, str],
    shown: str,
    seed: int,
    found: dict[tuple[int, str], list[tuple[float, float]]],
) -> None:
    """Marks round after round for one question, and adds (AP, precision at 10) by number of marks and way."""
    searches, marks, random = SavedSearches(index), MarkTable(index), np.random.default_rng(seed)
    searches.save(kind, question)
    query = searches.get(kind).vectors[0]
    paths = sorted(kinds_of)
    vectors = vectors_of(index, paths)
    fits = np.array([kind in kinds_of[path] for path in paths])
    marked: set[str] = set()
    best_hit = refine(index, kind).answers(1)[0].path
    for count in COUNTS:
        learned = refine(index, kind)
        best = learned.answers(SHOWN, unmarked=True)
        unsure = learned.least_sure(SHOWN)
        choice = {"best": best, "least-sure": unsure, "half": interleave(best, unsure)}[shown]
        choice = [hit for hit in choice if hit.path not in marked][:SHOWN]
        for place in sorted(random.permutation(len(choice))[:ROUND]):
            hit = choice[place]
            marks.add(kind, hit.path, hit.start, hit.end, fits=kind in kinds_of[hit.path], who="oracle")
            marked.add(hit.path)
        sources = {source_of[path] for path in marked}
        left = np.array([source_of[path] not in sources for path in paths])
        learned = refine(index, kind)
        order = [hit.path for hit in learned.answers(len(paths))]
        rank = {path: -place for place, path in enumerate(order)}
        scores = {
            "refined": np.array([rank[path] for path in paths], dtype=float),
            "rocchio": vectors @ rocchio(query, learned.matched.vectors, learned.matched.fits),
            "question alone": vectors @ query,
            "like the best hit": vectors @ vectors[paths.index(best_hit)],
        }
        for way, values in scores.items():
            found.setdefault((count, way), []).append(quality(values[left], fits[left]))
    searches.delete(kind)


def interleave(one: list, other: list) -> list:
    """Taken in turns, each window once."""
    pairs = (hit for pair in zip(one, other, strict=True) for hit in pair)
    return list({(hit.path, hit.start): hit for hit in pairs}.values())


def quality(scores: np.ndarray, fits: np.ndarray) -> tuple[float, float]:
    """Average precision and precision at 10 of a ranking; of equal scores the first comes first."""
    right = fits[np.argsort(-scores, kind="stable")]
    if not right.any():
        return 0.0, 0.0
    precisions = np.cumsum(right) / np.arange(1, len(right) + 1)
    return float(precisions[right].mean()), float(right[:10].mean())


def vectors_of(index: SoundIndex, paths: list[str]) -> np.ndarray:
    """Of the first window of each file, ``(files, width)``."""
    entries = index.store.entries(paths)
    return np.stack([entries[path].vectors[0] for path in paths])


def of_esc10(folder: Path) -> tuple[dict[str, set[str]], dict[str, str], dict[str, str]]:
    """Kinds of each clip, the recording it was cut from, and a question for each kind."""
    kinds, sources = {}, {}
    for row in read_labels(folder):
        path = str((folder / row["path"]).resolve())
        kinds[path] = {row["label"]}
        # The name ends with the take of its source: 1-17150-A.
        sources[path] = Path(path).stem.split("-")[1]
    return kinds, sources, {kind: kind for kind in sorted({one for held in kinds.values() for one in held})}


def of_scenes() -> tuple[dict[str, set[str]], dict[str, str], dict[str, str]]:
    """The same of the demo's scenes; each is a recording of its own."""
    kinds = {}
    for split in ("validation", "test"):
        clips = unique_clips(load_scenes()[split])
        paths = [audio if isinstance(audio, str) else audio["path"] for audio in clips["audio"]]
        kinds |= {path: set(held) for path, held in zip(paths, clips["kinds"], strict=True)}
    counts: dict[str, int] = {}
    for held in kinds.values():
        for kind in held:
            counts[kind] = counts.get(kind, 0) + 1
    chosen = sorted(kind for kind, count in counts.items() if count >= LEAST_SCENES)
    return kinds, {path: path for path in kinds}, {kind: kind.replace("_", " ") for kind in chosen}


if __name__ == "__main__":
    main()
