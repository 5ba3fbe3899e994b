"""Every subset of a tiny recipe's ingredients, trained and tabled."""

import json

import pytest
from tiny_recipes import tiny_recipe, weights_of, write_captioned_folder, write_recipe

from auricle.training.recipe.reading import RecipeError, read_recipe
from auricle.training.runs.ablation import run_ablation

SUBSETS = ["none", "distillation", "augmentation", "distillation+augmentation"]


def recipe_of(folder, **changes):
    sounds = write_captioned_folder(folder / "sounds", {"train": 8, "validation": 2, "test": 3})
    recipe = tiny_recipe(folder, sounds) | changes
    recipe["training"] |= {"epochs": 1}
    return read_recipe(write_recipe(folder / "recipe.yaml", recipe))


STAGES = [
    {"name": "pretrain"},
    {
        "name": "finetune",
        "distillation": {"teachers": ["pretrain"]},
        "augmentation": {"word_deletion": 1.0},
        "training": {"epochs": 2},
    },
    # Untouched by an ingredient itself, but not by what it starts from.
    {"name": "cool"},
]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ablation")
    recipe = recipe_of(folder, stages=STAGES)
    return recipe, folder / "out", run_ablation(recipe, [3], folder / "out", progress=False)


@pytest.mark.slow
def test_every_subset_is_trained_and_in_the_table(done):
    _, out, table = done
    assert sorted(table["figures"]) == sorted(SUBSETS)
    assert table["ingredients"] == ["distillation", "augmentation"]
    assert json.loads((out / "ablation.json").read_text()) == table
    for name in SUBSETS:
        results = json.loads((out / "seed-3" / name / "results.json").read_text())
        assert table["figures"][name]["test"]["text_to_audio_mAP@16"] == [
            results["figures"]["test"]["text_to_audio_mAP@16"]
        ]


@pytest.mark.slow
def test_only_the_subset_is_switched_on_and_all_else_is_equal(done):
    _, out, _ = done
    records = {
        name: json.loads((out / "seed-3" / name / "run.json").read_text())["recipe"] for name in SUBSETS
    }
    for name, record in records.items():
        finetune, cool = record["stages"]
        assert bool(finetune["distillation"]["teachers"]) == ("distillation" in name)
        assert (finetune["augmentation"].get("word_deletion") == 1.0) == ("augmentation" in name)
        assert finetune["starts_from"] == str(out / "seed-3" / "shared" / "pretrain" / "model")
        assert cool["starts_from"] == "finetune"
        assert record["seed"] == 3
        steps = [
            json.loads((out / "seed-3" / name / stage / "stage.json").read_text())["steps"]
            for stage in ("finetune", "cool")
        ]
        assert steps == [8, 4]
    weights = {
        name: weights_of(out / "seed-3" / name / "cool" / "model")["audio_projection.weight"]
        for name in SUBSETS
    }
    assert all(not weights["none"].equal(weights[name]) for name in SUBSETS[1:])


@pytest.mark.slow
def test_again_nothing_is_trained(done):
    recipe, out, table = done
    before = {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")}
    assert run_ablation(recipe, [3], out, progress=False) == table
    assert {path: path.stat().st_mtime_ns for path in out.rglob("model.safetensors")} == before


@pytest.mark.parametrize(
    ("stages", "seeds", "message"),
    [
        ([{"name": "only"}], [0], "no stage uses any of distillation, augmentation, clusters"),
        (STAGES, [], "give one or more, none twice"),
        (STAGES, [1, 1], "give one or more, none twice"),
        (
            [STAGES[0], STAGES[1] | {"training": {"contrastive_weight": 0}}],
            [0],
            "stage 'finetune': with training.contrastive_weight=0 it cannot be trained without",
        ),
    ],
)
def test_what_cannot_be_tabled_is_refused(tmp_path, stages, seeds, message):
    recipe = recipe_of(tmp_path, stages=stages)
    with pytest.raises(RecipeError, match=message):
        run_ablation(recipe, seeds, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()
