"""
Questions of one to four words within templates: which phrase finds more, and does it on questions not chosen on?

    OMP_NUM_THREADS=1 python benchmarks/bench_short_queries.py MODEL [--esc10 ESC10_FOLDER]

Without a folder: the names of the demo's generated sounds, in the training's and in the unseen wording, with and
without their article, against the 200 test scenes; right is a scene in which that sound occurs. With the folder
that make_esc10_folder.py makes: other short names of its classes, against the clips of the test fold. The kinds of
sound are split in two halves by seed: the template is chosen on one, and its score stands for the other.
"""

import argparse
from pathlib import Path

import numpy as np
from measuring import table

from auricle.data import load_captioned_folder, unique_clips
from auricle.data.scenes import load_scenes
from auricle.data.scenes.vocabulary import HELD_OUT, TRAINING
from auricle.encoders import load_encoder
from auricle.evaluation.metrics.retrieval_metrics import retrieval_metrics
from auricle.search.query.query_text import SHORT_QUERY_WORDS, phrase_query

TEMPLATES = (
    "{}",
    "the sound of {}",
    "a sound of {}",
    "a recording of {}",
    "this is a sound of {}",
    "{} can be heard",
    "one hears {}",
    "somebody recorded {}",
    "{} in the background",
    "{}.",
)
# By a word that the class has in either layout of the folder ("dog bark", "dog").
ESC10_NAMES = {
    "dog": ("dog", "barking", "dog barking", "a dog barks", "hound", "puppy barks"),
    "rooster": ("rooster", "crowing", "cock crow", "a rooster crows", "farm bird call"),
    "rain": ("rain", "rainfall", "heavy rain", "raindrops", "it is raining"),
    "waves": ("sea", "waves", "ocean", "surf", "waves on a beach", "the shore"),
    "fire": ("fire", "campfire", "flames", "burning wood", "a fire crackles"),
    "baby": ("baby", "infant cry", "crying child", "a baby cries", "newborn"),
    "sneez": ("sneeze", "achoo", "somebody sneezes", "a person sneezing"),
    "clock": ("clock", "ticking", "a watch ticks", "tick tock", "timepiece"),
    "helicopter": ("helicopter", "chopper", "rotor blades", "aircraft", "a helicopter flies"),
    "chainsaw": ("chainsaw", "saw", "cutting wood", "motor saw", "logging"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("--esc10", type=Path, help="folder that make_esc10_folder.py made")
    parser.add_argument("--splits", type=int, default=10, help="halvings of the kinds of sound")
    arguments = parser.parse_args()
    encoder = load_encoder(arguments.model)
    names, clips, kinds = of_scenes() if arguments.esc10 is None else of_esc10(arguments.esc10)
    items, _ = encoder.embed_clips(clips)
    wordings = [(kind, name) for kind in sorted(names) for name in names[kind]]
    relevant = [[place for place, there in enumerate(kinds) if kind in there] for kind, _ in wordings]
    scores = np.zeros((len(TEMPLATES), len(wordings)))
    for row, template in enumerate(TEMPLATES):
        queries = encoder.embed_texts([phrase_query(name, template) for _, name in wordings])
        for column, (query, right) in enumerate(zip(queries, relevant, strict=True)):
            scores[row, column] = retrieval_metrics(query[None], items, [right])["mAP@16"]
    print(
        f"{len(wordings)} questions of at most {SHORT_QUERY_WORDS} words, {len(names)} kinds, {len(clips)} clips"
    )
    rows = [[repr(template), f"{scores[row].mean():.3f}"] for row, template in enumerate(TEMPLATES)]
    print(table(rows, ["template", "mAP@16, all"]))
    of_kind = np.array([kind for kind, _ in wordings])
    gains, chosen = [], []
    for seed in range(arguments.splits):
        order = np.random.default_rng(seed).permutation(sorted(names))
        here = np.isin(of_kind, order[: len(order) // 2])
        best = int(np.argmax(scores[:, here].mean(1)))
        chosen.append(TEMPLATES[best])
        gains.append(scores[best, ~here].mean() - scores[0, ~here].mean())
    print(f"chosen on one half: {chosen}")
    print(
        f"its gain over the bare words on the other half: {np.mean(gains):+.3f} "
        f"({min(gains):+.3f} to {max(gains):+.3f})"
    )


def of_scenes() -> tuple[dict[str, list[str]], list, list]:
    """Short names of each kind, the test scenes' sounds, and the kinds in each."""
    clips = unique_clips(load_scenes()["test"])
    names: dict[str, list[str]] = {}
    for vocabulary in (TRAINING, HELD_OUT):
        for kind, phrases in vocabulary.names.items():
            for phrase in phrases:
                singular = phrase.split(" | ")[0]
                bare = singular.removeprefix("a ").removeprefix("an ")
                found = names.setdefault(kind, [])
                found += [
                    one
                    for one in dict.fromkeys((singular, bare))
                    if len(one.split()) <= SHORT_QUERY_WORDS and one not in found
                ]
    there = {kind for kinds in clips["kinds"] for kind in kinds}
    return (
        {kind: found for kind, found in names.items() if kind in there},
        list(clips["audio"]),
        list(clips["kinds"]),
    )


def of_esc10(folder: Path) -> tuple[dict[str, list[str]], list, list]:
    """As above, of ESC-10's test fold."""
    clips = unique_clips(load_captioned_folder(folder, split="test"))
    labels = [next((word for word in ESC10_NAMES if word in label), "") for label in clips["label"]]
    if "" in labels:
        raise SystemExit(f"{folder}: no names are known of its class {clips['label'][labels.index('')]!r}.")
    return (
        {kind: list(found) for kind, found in ESC10_NAMES.items()},
        list(clips["audio"]),
        [[one] for one in labels],
    )


if __name__ == "__main__":
    main()
