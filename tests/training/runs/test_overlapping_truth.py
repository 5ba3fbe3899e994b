"""
Where captions of different clips overlap, a teacher's soft targets are nearer the truth than the labels.

The scenes know which captions are true of which clips: most true pairs are not labelled ones. The teacher is of the
demo's size; the targets are what the distillation loss makes of it, in batches of the report's size for PaSST.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from auricle.data import unique_clips
from auricle.data.scenes.claims import fitting_matrix
from auricle.encoders.auricle_embedding import embed_captions, embed_clips
from auricle.training.models.model_building import load_model
from auricle.training.recipe.reading import read_recipe, resolve_stages
from auricle.training.recipe.schema import StageSection
from auricle.training.rows.split_loading import load_splits
from auricle.training.runs.recipe_running import run_recipe

pytestmark = pytest.mark.slow

BATCH, BATCHES, TEMPERATURE = 64, 60, 0.05
DEMO = Path(__file__).parents[3] / "recipes" / "demo.yaml"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    """A teacher's similarities, the truth and the labels, each ``(clips, captions)``, of what it was trained on."""
    changes = {
        "seed": 3,
        "output_dir": str(tmp_path_factory.mktemp("overlap") / "run"),
        "evaluation.compare_untrained": False,
        "evaluation.questions": [],
        "data.scenes.overlap": True,
        "data.scenes.train_scenes": 400,
        "data.scenes.validation_scenes": 30,
        "data.scenes.test_scenes": 30,
        # The teachers whose figures docs/stages.md has: both projections are trained.
        "model.projection_dim": 256,
        "model.text_projection_initialization": "normal",
        "model.temperature": TEMPERATURE,
        "training.freeze": ["text"],
        "training.projection_learning_rate": 1e-4,
    }
    recipe = read_recipe(str(DEMO), changes)
    recipe = recipe.model_copy(update={"stages": [StageSection(name="pretrain", training={"epochs": 4})]})
    results = run_recipe(recipe, progress=False)
    teacher = load_model(results["model"])
    table = load_splits(resolve_stages(recipe)[0].data, progress=False)["train"]
    clips = unique_clips(table)
    audio, _ = embed_clips(teacher.model, teacher.processor, list(clips["audio"]))
    text = embed_captions(teacher.model, teacher.processor, list(table["caption"]))
    labels = np.asarray(clips["clip_id"])[:, None] == np.asarray(table["clip_id"])[None]
    return audio @ text.T, fitting_matrix(table).T, labels


def squared_distances(similarities, truth, labels, *, seed: int = 0) -> tuple[float, float]:
    """Mean squared distance of soft targets and of labels from the truth, over batches and both directions."""
    generator = np.random.default_rng(seed)
    soft, hard = [], []
    for _ in range(BATCHES):
        rows = generator.choice(truth.shape[1], BATCH, replace=False)
        clips = labels[:, rows].argmax(axis=0)
        batch = np.ix_(clips, rows)
        own, fits = (torch.from_numpy(matrix[batch]).double() for matrix in (labels, truth))
        scores = torch.from_numpy(similarities[batch]).double() / TEMPERATURE
        for axis in (0, 1):
            wanted = fits / fits.sum(axis, keepdim=True)
            for targets, found in ((scores.softmax(axis), soft), (own / own.sum(axis, keepdim=True), hard)):
                found.append((targets - wanted).square().sum(axis).mean().item())
    return float(np.mean(soft)), float(np.mean(hard))


def test_most_true_pairs_have_no_label(scenes):
    _, truth, labels = scenes
    assert not (labels & ~truth).any()
    assert labels.sum() / truth.sum() < 0.1


def test_distilled_targets_are_nearer_the_truth_than_labels(scenes):
    soft, hard = squared_distances(*scenes)
    assert soft < 0.85 * hard


def test_shuffled_teachers_are_not(scenes):
    similarities, truth, labels = scenes
    shuffled = similarities[:, np.random.default_rng(0).permutation(similarities.shape[1])]
    soft, hard = squared_distances(shuffled, truth, labels)
    assert soft > hard


def test_true_pairs_without_a_label_are_ranked_above_false_ones(scenes):
    similarities, truth, labels = scenes
    # Labels alone cannot tell these apart: 0.5.
    assert roc_auc_score(truth[~labels], similarities[~labels]) > 0.85
