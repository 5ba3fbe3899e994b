"""What a run says before it trains, and what its results and card say about the data."""

import csv
import logging
import shutil

import pyarrow as pa
import pytest
from datasets import Dataset
from tiny_models import saved_tiny_model
from tiny_recipes import tiny_recipe, write_captioned_folder, write_recipe

from auricle.cli.train import format_results
from auricle.data import load_captioned_folder
from auricle.encoders import load_encoder
from auricle.evaluation.protocol import evaluate_similarities
from auricle.evaluation.relevance import relevant_clips
from auricle.evaluation.similarities import compute_similarities
from auricle.hub.model_card import render_model_card
from auricle.training.recipe.reading import read_recipe
from auricle.training.runs.data_remarks import share_of_repeated_captions, shared_clips
from auricle.training.runs.recipe_running import run_recipe


def rows(**columns) -> Dataset:
    return Dataset(pa.table(columns))


def test_clips_are_shared_by_content_and_unknown_content_is_not_compared():
    train = pa.table({"clip_id": ["a", "b", "c"], "content": ["1", "2", None]})
    other = pa.table({"clip_id": ["x", "y", "z"], "content": [None, "2", "3"]})
    assert shared_clips(train, other) == [("y", "b")]


def test_captions_of_one_clip_are_not_repeated():
    assert share_of_repeated_captions(rows(caption=["a", "a", "b", "c"], clip_id=["1", "1", "2", "3"])) == 0
    assert share_of_repeated_captions(rows(caption=["a", "a", "b", "c"], clip_id=["1", "2", "2", "3"])) == 0.5


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run from an existing model, on captions that clips share, with a test clip that is a training clip."""
    root = tmp_path_factory.mktemp("remarks")
    folder = write_captioned_folder(root / "sounds", {"train": 8, "test": 4}, captions=1)
    with open(folder / "metadata.csv", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    for number, row in enumerate(table):
        row["caption_1"] = f"a sound of kind {number % 2}"
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    shutil.copy(folder / "train_001.wav", folder / "test_010.wav")
    saved_tiny_model(root / "other" / "first" / "model")
    recipe = tiny_recipe(root, folder)
    recipe["training"] |= {"epochs": 1}
    recipe["evaluation"] = {"relevance_column": "caption"}
    recipe["stages"] = [
        {"name": "tune", "starts_from": str(root / "other" / "first" / "model")},
        {"name": "more"},
    ]
    records: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger("auricle").addHandler(handler)
    try:
        results = run_recipe(read_recipe(write_recipe(root / "recipe.yaml", recipe)), progress=False)
    finally:
        logging.getLogger("auricle").removeHandler(handler)
    return root, results, "\n".join(records)


def test_the_log_names_shared_clips_repeated_captions_and_an_unused_section(run):
    root, _, told = run
    assert "split test: 1 of 4 clips are also in train (same content), so its metrics are too high" in told
    assert "sounds/test/test_010.wav = sounds/train/train_001.wav" in told
    assert told.count("are also in train") == 1  # not of each stage
    assert "100 % of the training captions occur for several clips" in told
    assert f"section 'model' is not used: the model is that of {root}/other/first/model" in told


def test_the_results_and_both_commands_name_one_definition(run):
    root, results, _ = run
    assert results["relevance_column"] == "caption"
    assert results["evaluated"] == {"test": {"captions": 4, "clips": 4, "queries": 2}}
    assert "relevant: clips and captions with the same 'caption'" in "\n".join(format_results(results))
    table = load_captioned_folder(root / "sounds", split="test")
    similarities = compute_similarities(load_encoder(results["model"]), table, name="m")
    relevant = relevant_clips(table, similarities.queries, similarities.clip_ids, column="caption")
    report = evaluate_similarities(similarities, relevant=relevant, resamples=3)
    for direction in ("text_to_audio", "audio_to_text"):
        for metric, entry in report["multi"][direction]["metrics"].items():
            assert entry["value"] == pytest.approx(results["figures"]["test"][f"{direction}_{metric}"]), (
                metric
            )
    assert report["single"]["audio_to_text"]["metrics"] != report["multi"]["audio_to_text"]["metrics"]


def test_the_card_says_what_was_used_and_what_is_relevant(run):
    root, _, _ = run
    card = render_model_card(root / "run")
    assert str(root) not in card and "stage first of run other" in card and "\n\n\n" not in card
    assert "same value of `caption`" in card and "test: 2 sentences, 4 clips." in card
    assert "| train | 8 |\n| test | 4 |" in card
    assert "## Teachers" not in card and "## Clusters" not in card and "None." not in card
    assert "projection_dim: 12" not in card and "the recipe has no section `model`" in card
