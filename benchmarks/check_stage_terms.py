"""
Do the terms of stages 2 and 3 carry what they should? On ESC-10, after a run of the three-stage recipe.

    python benchmarks/make_esc10_folder.py PATH_OF_ESC_10 esc10
    python train.py recipes/esc10_three_stages.yaml --data.folder.path esc10
    python benchmarks/check_stage_terms.py runs/esc10_three_stages --out runs/esc10_terms

Prints, with the bar that each is held against:

* mAP@16 of a tower trained from scratch on the teachers' similarities alone, and on the same with the teachers'
  caption vectors shuffled among the captions;
* how often the cluster heads name the right cluster of test captions and test clips (a test row has the
  cluster that is most frequent among training captions of its class);
* mAP@16 of the teachers' uniform ensemble and the mean of its members.
"""

import argparse
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from auricle.data.schema import unique_clips
from auricle.encoders.auricle_embedding import embed_captions, embed_clips, evaluation_mode
from auricle.evaluation.metrics.retrieval_metrics import retrieval_metrics_from_similarities
from auricle.evaluation.retrieval import RetrievalSplit
from auricle.files.saved_directories import read_json
from auricle.training.clusters.caption_clusters import CaptionClusters
from auricle.training.models.model_building import load_model
from auricle.training.recipe.reading import resolve_stages
from auricle.training.recipe.schema import Recipe, StageSection
from auricle.training.rows.split_loading import load_splits
from auricle.training.runs.recipe_running import run_recipe
from auricle.training.teachers.teacher_bank import TeacherBank

METRIC = "text_to_audio_mAP@16"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument(
        "run", type=Path, help="directory of a finished run of recipes/esc10_three_stages.yaml"
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of the runs made here")
    parser.add_argument("--epochs", type=float, default=12, help="of the runs made here")
    arguments = parser.parse_args()
    recipe = Recipe.model_validate(read_json(arguments.run / "run.json")["recipe"])
    stages = resolve_stages(recipe)
    banks = [
        path
        for path in sorted((arguments.run / "finetune" / "teachers").iterdir())
        if TeacherBank.is_one(path)
    ]
    splits = load_splits(stages[-1].data, progress=False)

    shuffled = [_shuffled(bank, arguments.out / "shuffled_banks" / bank.name) for bank in banks]
    alone = _distil_alone(recipe, banks, arguments.out / "teachers_alone", arguments.epochs)
    nothing = _distil_alone(recipe, shuffled, arguments.out / "shuffled_teachers", arguments.epochs)
    print(f"distillation alone: {METRIC} {alone:.3f} (at least 0.55)")
    print(f"the same, teachers' captions shuffled: {nothing:.3f} (at least 0.40 below)")

    text, audio, clusters = _head_accuracy(arguments.run, stages[-1].name, splits)
    print(
        f"cluster heads, {clusters} clusters: text {text:.3f} (at least 0.8), audio {audio:.3f} (at least 0.3)"
    )

    members, ensemble = _ensemble(
        [arguments.run / entry.source / "model" for entry in stages[-1].distillation.teachers], splits
    )
    shown = ", ".join(f"{value:.3f}" for value in members)
    print(f"teachers: {shown}; mean {np.mean(members):.3f}; uniform ensemble {ensemble:.3f}")


def _shuffled(bank: Path, target: Path) -> Path:
    """The bank with the caption vectors of one caption given to another; equal captions stay equal."""
    loaded = TeacherBank.load(bank)
    digests = loaded.rows["caption_digest"].to_pylist()
    first = {digest: place for place, digest in reversed(list(enumerate(digests)))}
    names = sorted(first)
    order = np.random.default_rng(0).permutation(len(names))
    other = {name: first[names[place]] for name, place in zip(names, order, strict=True)}
    captions = loaded.captions[[other[digest] for digest in digests]]
    replace(loaded, captions=captions).save(target)
    return target


def _distil_alone(recipe: Recipe, banks: list[Path], directory: Path, epochs: float) -> float:
    stage = StageSection(
        name="distil",
        starts_from="pretrained",
        distillation={"teachers": [str(bank) for bank in banks]},
        training={"contrastive_weight": 0.0, "epochs": epochs},
    )
    evaluation = recipe.evaluation.model_copy(update={"compare_untrained": False, "questions": []})
    results = run_recipe(
        recipe.model_copy(update={"stages": [stage], "output_dir": str(directory), "evaluation": evaluation}),
        progress=False,
    )
    return results["figures"]["test"][METRIC]


@torch.no_grad()
def _head_accuracy(run: Path, stage: str, splits: dict) -> tuple[float, float, int]:
    built = load_model(str(run / stage / "model"))
    clusters = CaptionClusters.load(run / stage / "clusters")
    train, test = splits["train"], splits["test"]
    of_class: dict[str, Counter] = {}
    for label, cluster in zip(train["label"], clusters.labels_for(train), strict=True):
        of_class.setdefault(label, Counter())[int(cluster)] += 1
    right = {label: counts.most_common(1)[0][0] for label, counts in of_class.items()}
    model, processor = built.model, built.processor
    clips = unique_clips(test)
    with evaluation_mode(model):
        pooled = torch.from_numpy(embed_captions(model, processor, list(test["caption"]), pooled=True))
        text = model.text_cluster_head(pooled).argmax(dim=1).tolist()
        audio = [
            int(
                model.audio_cluster_head(
                    model.pool_audio(processor.feature_extractor(clip)["input_features"]).mean(dim=0)
                ).argmax()
            )
            for clip in clips["audio"]
        ]
    text_right = np.mean([got == right[label] for got, label in zip(text, test["label"], strict=True)])
    audio_right = np.mean([got == right[label] for got, label in zip(audio, clips["label"], strict=True)])
    return float(text_right), float(audio_right), clusters.num_clusters


def _ensemble(models: list[Path], splits: dict) -> tuple[list[float], float]:
    split = RetrievalSplit.from_table(splits["test"], "label")
    matrices = []
    for directory in models:
        built = load_model(str(directory))
        clips, _ = embed_clips(built.model, built.processor, split.audio)
        matrices.append(embed_captions(built.model, built.processor, split.captions) @ clips.T)
    relevant = [
        np.flatnonzero(np.asarray(split.clip_groups) == group).tolist() for group in split.caption_groups
    ]
    values = [retrieval_metrics_from_similarities(matrix, relevant)["mAP@16"] for matrix in matrices]
    return values, retrieval_metrics_from_similarities(np.mean(matrices, axis=0), relevant)["mAP@16"]


if __name__ == "__main__":
    main()
