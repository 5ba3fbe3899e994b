"""
Do negated captions and a dissimilarity loss teach "X without Y", and what do they cost elsewhere?

    OMP_NUM_THREADS=1 python benchmarks/bench_negated_captions.py MODEL [--seeds 0 1 2] [--weights 0.3 1 3]

MODEL is a trained model of recipes/demo.yaml (`make demo`); its towers stay as they are. Their vectors of the demo's
scenes and sentences are computed once and kept in --work. From there the audio projection, and in a second part both
projections, are trained further for the same number of steps on batches of the same clips:

    control          contrastive loss; a fifth of the clips comes with one more caption of their own
    captions         these clips come with a negated caption instead ("X lacking Y"); all clips of the batch that it is
                     true of are its positives
    dissimilarity W  the same and W times the dissimilarity loss of each negated caption, with a clip that fits and one
                     that contains the excluded sound

Seeds draw the batches; each arm sees the same ones. The queries of the evaluation say "without" in words that no
training caption uses. The row "hyphen" needs no training: it is the start's answer to the same queries, written as
`auricle search` excludes sounds, X -"Y". Tables: means over seeds, then differences from the control of the same seed
with 95 % intervals (Student's t over seeds). Columns: mAP@16 of seen captions ("captions"), of queries that exclude a
sound ("without"), of all other kinds of user query ("other") and of captions in unseen words ("unseen"); "pairs" are
shares of pairs in which a clip that fits stands above one with the excluded sound, for the queries ("without") and for
sentences as in training ("negated").
"""

import argparse
import copy
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset
from dissimilarity import dissimilarity_loss, negated_captions
from measuring import machine, table
from scipy import stats
from torch import nn
from tqdm.auto import tqdm

from auricle.data import SceneSettings, load_scenes, unique_clips
from auricle.data.scenes.vocabulary import TRAINING
from auricle.encoders import load_encoder
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.encoders.clip_embedding import clip_windows
from auricle.evaluation.metrics.retrieval_metrics import (
    query_metrics_from_ranks,
    relevant_ranks_from_similarities,
)
from auricle.evaluation.user_queries import QUERY_KINDS, UserQuery, scene_queries
from auricle.evaluation.user_queries.query_report import trap_values
from auricle.files.replacing import replace_path
from auricle.modeling.contrastive_loss import contrastive_loss
from auricle.search.query.ranking import combine_scores
from auricle.training.learning_rate import warmup_cosine_schedule
from auricle.training.teachers.pooled_captions import PooledCaptions

NEGATED_CAPTIONS = 3000
PAIRS, PAIRS_MORE = 64, 16
WARMUP_SHARE, WEIGHT_DECAY = 0.1, 0.05
SPLITS = ("train", "validation", "test")
PARTS = {"audio projection": ("audio",), "both projections": ("audio", "text")}


@dataclass(frozen=True)
class Sentences:
    """Sentences with the clips that fit them: pooled vectors ``(sentences, width)``, and places of clips."""

    pooled: torch.Tensor
    queries: list[UserQuery]


@dataclass(frozen=True)
class Split:
    """Pooled vectors of a split's clips ``(clips, width)``, and sets of sentences by name."""

    clips: torch.Tensor
    sentences: dict[str, Sentences]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="Directory or name of a model trained by recipes/demo.yaml.")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--weights", type=float, nargs="+", default=[0.3, 1.0, 3.0])
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--work", type=Path, default=Path("runs/bench_negated_captions"))
    arguments = parser.parse_args()
    if len(arguments.seeds) < 2:
        parser.error(f"--seeds names {len(arguments.seeds)} seed; an interval needs two or more")
    encoder = load_encoder(arguments.model)
    if not isinstance(encoder, AuricleEncoder):
        parser.error(
            f"{arguments.model} is a {encoder.kind} model; the projections of an Auricle model are trained here"
        )
    started = time.process_time()
    splits = read_splits(encoder, arguments.work)
    print(f"{machine()}\nvectors: {time.process_time() - started:.0f} CPU seconds")
    start = {"audio": encoder.model.audio_projection, "text": encoder.model.text_projection}
    arms = {"control": None, "captions": 0.0} | {f"dissimilarity {w:g}": w for w in arguments.weights}
    fixed = {"start": measures(start, splits), "hyphen": hyphen_measures(encoder, splits)}
    for part, trained in PARTS.items():
        started = time.process_time()
        figures: dict[str, list[dict[str, dict[str, float]]]] = {arm: [] for arm in arms}
        for seed in tqdm(arguments.seeds, desc=part, unit="seed"):
            for arm, weight in arms.items():
                projections = train(
                    start,
                    trained,
                    splits["train"],
                    weight,
                    seed=seed,
                    steps=arguments.steps,
                    learning_rate=arguments.learning_rate,
                    scale=encoder.logit_scale,
                )
                figures[arm].append(measures(projections, splits))
        print(f"\n{part}: {time.process_time() - started:.0f} CPU seconds")
        for split in SPLITS:
            print(f"\n{part}, {split} scenes\n\n{of_arms(fixed, figures, split)}")


def read_splits(encoder: AuricleEncoder, work: Path) -> dict[str, Split]:
    """Vectors of all splits before the projections; those in ``work`` are read."""
    settings = SceneSettings()
    tables = load_scenes(settings)
    captions = PooledCaptions(work / "captions")
    splits = {}
    for name in SPLITS:
        rows = tables[name]
        clips = unique_clips(rows)
        negated = NEGATED_CAPTIONS if name == "train" else 300
        found = {
            "captions": of_rows(rows),
            "negated": negated_captions(clips["kinds"], negated, seed=SPLITS.index(name)),
        }
        if name != "train":
            queries = scene_queries(rows, vocabulary=TRAINING)
            found["without"] = [query for query in queries if query.kind == "without"]
            found["other"] = [query for query in queries if query.kind != "without"]
        if name == "test":
            found["unseen"] = of_rows(tables["test_unseen_wording"])
        path = work / f"{encoder.fingerprint}-{settings.fingerprint()}-{name}.npy"
        if not path.is_file():
            work.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part.npy")
            np.save(unfinished, pooled_clips(encoder, list(clips["audio"]), name))
            replace_path(unfinished, path)
        splits[name] = Split(
            torch.from_numpy(np.load(path)),
            {
                key: Sentences(
                    torch.from_numpy(captions.pooled(encoder, [one.text for one in some], progress=True)),
                    some,
                )
                for key, some in found.items()
            },
        )
    return splits


def of_rows(rows: Dataset) -> list[UserQuery]:
    """A table's captions, each with its own clip."""
    places = {clip: place for place, clip in enumerate(unique_clips(rows)["clip_id"])}
    return [
        UserQuery(caption, "caption", (places[clip],))
        for caption, clip in zip(rows["caption"], rows["clip_id"], strict=True)
    ]


def pooled_clips(encoder: AuricleEncoder, clips: Sequence[object], description: str) -> np.ndarray:
    """Mean vectors of each clip's windows before the projection, float32 ``(clips, audio hidden_size)``."""
    rows = []
    for clip in tqdm(clips, desc=f"{description} clips", unit="clip"):
        windows = list(clip_windows(encoder, clip))
        padded = np.zeros((len(windows), encoder.window_samples), dtype=np.float32)
        for row, window in zip(padded, windows, strict=True):
            row[: len(window)] = window
        rows.append(encoder.pool_windows(padded, [len(window) for window in windows]).mean(axis=0))
    return np.stack(rows)


def train(
    start: dict[str, nn.Linear],
    trained: Sequence[str],
    split: Split,
    weight: float | None,
    *,
    seed: int,
    steps: int,
    learning_rate: float,
    scale: float,
) -> dict[str, nn.Linear]:
    """
    Trained copies of projections.

    Args:
        start: projections of "audio" and "text".
        trained: which of them are trained.
        split: training clips and sentences.
        weight: of the dissimilarity loss; None trains without negated captions.
        seed: of the batches.
        steps: number of batches.
        learning_rate: the highest of a warm-up and cosine schedule.
        scale: 1 / temperature of both losses.
    """
    projections = {
        name: copy.deepcopy(layer).requires_grad_(name in trained) for name, layer in start.items()
    }
    parameters = [value for name in trained for value in projections[name].parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=WEIGHT_DECAY)
    scheduler = warmup_cosine_schedule(
        optimizer, warmup_steps=int(WARMUP_SHARE * steps), cosine_end_step=steps, min_learning_rate=0.0
    )
    captions, negated = split.sentences["captions"], split.sentences["negated"]
    clip_of_row = np.array([query.relevant[0] for query in captions.queries])
    rows_of_clip = [np.flatnonzero(clip_of_row == clip) for clip in range(len(split.clips))]
    fits = np.zeros((len(split.clips), len(negated.queries)), dtype=bool)
    for column, query in enumerate(negated.queries):
        fits[list(query.relevant), column] = True
    draws = np.random.default_rng(seed)
    for _ in range(steps):
        rows = draws.integers(len(clip_of_row), size=PAIRS)
        chosen = draws.integers(len(negated.queries), size=PAIRS_MORE)
        fitting = np.array([draws.choice(negated.queries[one].relevant) for one in chosen])
        traps = np.array([draws.choice(negated.queries[one].traps) for one in chosen])
        more_rows = np.array([draws.choice(rows_of_clip[clip]) for clip in fitting])
        clips = np.concatenate([clip_of_row[rows], fitting])
        own = clips[:, None] == clip_of_row[rows][None]
        if weight is None:
            texts = [captions.pooled[rows], captions.pooled[more_rows]]
            positives = np.concatenate([own, clips[:, None] == fitting[None]], axis=1)
        else:
            texts = [captions.pooled[rows], negated.pooled[chosen]]
            positives = np.concatenate([own, fits[np.ix_(clips, chosen)]], axis=1)
        audio = embedded(projections["audio"], split.clips[clips])
        text = embedded(projections["text"], torch.cat(texts))
        loss = contrastive_loss(scale * audio @ text.T, torch.from_numpy(positives))
        if weight:
            sentences = text[PAIRS:]
            trapped = embedded(projections["audio"], split.clips[traps])
            loss = loss + weight * dissimilarity_loss(
                (audio[PAIRS:] * sentences).sum(dim=1), (trapped * sentences).sum(dim=1), 1 / scale
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        scheduler.step()
    return projections


def embedded(projection: nn.Linear, pooled: torch.Tensor) -> torch.Tensor:
    """Projected rows of unit length."""
    return nn.functional.normalize(projection(pooled), dim=-1)


@torch.no_grad()
def measures(projections: dict[str, nn.Linear], splits: dict[str, Split]) -> dict[str, dict[str, float]]:
    """By split and name: mAP@16 of the sets of sentences, and shares of pairs in which the fitting clip is above."""
    found: dict[str, dict[str, float]] = {}
    for name, split in splits.items():
        clips = embedded(projections["audio"], split.clips).numpy()
        own = found[name] = {}
        for key, sentences in split.sentences.items():
            text = embedded(projections["text"], sentences.pooled).numpy()
            own |= of_scores(key, sentences.queries, text @ clips.T)
    return found


def of_scores(key: str, queries: list[UserQuery], scores: np.ndarray) -> dict[str, float]:
    """The measures of one set of sentences, from scores ``(sentences, clips)``."""
    found = {}
    if key != "negated":
        ranks = relevant_ranks_from_similarities(scores, [query.relevant for query in queries])
        values = query_metrics_from_ranks(*ranks, recall_at=(1,), map_at=(16,))["mAP@16"]
        kinds = np.array([query.kind for query in queries])
        # Each kind of query counts the same, however many of it there are.
        found[key] = float(np.mean([values[kinds == kind].mean() for kind in dict.fromkeys(kinds)]))
    if key in ("without", "negated"):
        found[f"pairs, {key}"] = float(np.mean(trap_values(queries, scores)))
    return found


def hyphen_measures(encoder: AuricleEncoder, splits: dict[str, Split]) -> dict[str, dict[str, float]]:
    """The "without" queries answered as `auricle search` answers X -"Y", by the model as it is."""
    found: dict[str, dict[str, float]] = {}
    for name, split in splits.items():
        found[name] = {}
        if "without" not in split.sentences:
            continue
        queries = split.sentences["without"].queries
        names = [names_of(query.text) for query in queries]
        clips = encoder.project_windows(split.clips.numpy())
        wanted, unwanted = (encoder.embed_texts(some) @ clips.T for some in zip(*names, strict=True))
        scores = np.stack([combine_scores(one, [other]) for one, other in zip(wanted, unwanted, strict=True)])
        found[name] = of_scores("without", queries, scores)
    return found


def names_of(query: str) -> tuple[str, str]:
    """The wanted and the excluded name of a "without" query, as they stand in it."""
    for template in QUERY_KINDS["without"]:
        pattern = re.escape(template)
        for field, group in {"a": "wanted", "tag_a": "wanted", "b": "unwanted", "tag_b": "unwanted"}.items():
            pattern = pattern.replace(re.escape(f"{{{field}}}"), f"(?P<{group}>.+)")
        match = re.fullmatch(pattern, query)
        if match:
            return match["wanted"], match["unwanted"]
    raise ValueError(f"{query!r} is of no template of {QUERY_KINDS['without']}")


def of_arms(
    fixed: dict[str, dict[str, dict[str, float]]],
    figures: dict[str, list[dict[str, dict[str, float]]]],
    split: str,
) -> str:
    """What no training changes, then means over seeds, then differences from the control."""
    names = list(fixed["start"][split])
    rows = [
        [row, *(f"{own[split][name]:.3f}" if name in own[split] else "-" for name in names)]
        for row, own in fixed.items()
        if own[split]
    ]
    values = {
        arm: np.array([[one[split][name] for name in names] for one in runs]) for arm, runs in figures.items()
    }
    rows += [[arm, *(f"{value:.3f}" for value in own.mean(axis=0))] for arm, own in values.items()]
    for arm, own in values.items():
        if arm != "control":
            gains = own - values["control"]
            half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains, axis=0)
            cells = (
                f"{gain:+.3f} ± {width:.3f}" for gain, width in zip(gains.mean(axis=0), half, strict=True)
            )
            rows.append([f"{arm} - control", *cells])
    return table(rows, ["arm", *names])


if __name__ == "__main__":
    main()
