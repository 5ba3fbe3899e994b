"""Recipes that extend one another, and stages with sections of their own."""

import pytest
import yaml

from auricle.training.recipe.reading import read_recipe, resolve_stages
from auricle.training.recipe.recipe_file import RecipeError, load_recipe_file, merged


def write(path, **values):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def test_a_file_states_only_its_difference(tmp_path):
    write(
        tmp_path / "base.yaml",
        name="base",
        training={"epochs": 3, "batch_size": 8},
        evaluation={"questions": ["a", "b"]},
        stages=[{"name": "one"}, {"name": "two"}],
    )
    write(tmp_path / "middle.yaml", extends="base.yaml", training={"epochs": 5})
    last = write(
        tmp_path / "deep" / "last.yaml",
        extends="../middle.yaml",
        name="last",
        evaluation={"questions": ["c"]},
        stages=[{"name": "only"}],
    )
    recipe = read_recipe(last, {"training.batch_size": 4})
    assert recipe.name == "last"
    assert (recipe.training.epochs, recipe.training.batch_size) == (5, 4)
    assert recipe.evaluation.questions == ["c"]
    assert recipe.stage_names() == ["only"]
    assert read_recipe(tmp_path / "base.yaml").training.epochs == 3


def test_an_emptied_section_takes_nothing_away():
    assert merged({"training": {"epochs": 3}}, {"training": None}) == {"training": {"epochs": 3}}


def test_another_tower_brings_its_own_fields():
    base = {
        "audio": {"config": {"model_type": "auricle_passt", "time_stride": 8}},
        "front_end": {"n_fft": 512},
    }
    own = {"audio": {"config": {"model_type": "auricle_beats"}}, "front_end": {"front_end": "beats"}}
    assert merged(base, own) == own
    same = merged(base, {"audio": {"config": {"model_type": "auricle_passt", "patch_size": 4}}})
    assert same["audio"]["config"] == {"model_type": "auricle_passt", "time_stride": 8, "patch_size": 4}
    assert merged(base, {"audio": {"config": {"patch_size": 4}}})["audio"]["config"]["time_stride"] == 8
    assert base["audio"]["config"] == {"model_type": "auricle_passt", "time_stride": 8}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.yaml": {"extends": "a.yaml"}}, "extends itself"),
        ({"a.yaml": {"extends": "b.yaml"}, "b.yaml": {"extends": "a.yaml"}}, "extends itself"),
        ({"a.yaml": {"extends": "none.yaml"}}, "none.yaml: cannot be read"),
        ({"a.yaml": {"extends": ["b.yaml"]}}, "extends must be the path of one recipe file"),
    ],
)
def test_what_cannot_be_extended_is_named(tmp_path, files, message):
    for name, values in files.items():
        write(tmp_path / name, **values)
    with pytest.raises(RecipeError, match=message):
        load_recipe_file(tmp_path / "a.yaml")


def stages(tmp_path, *own, **shared):
    return resolve_stages(read_recipe(write(tmp_path / "r.yaml", name="r", stages=list(own), **shared)))


def test_stages_have_towers_teachers_and_clusters_of_their_own(tmp_path):
    passt, beats, tune, last = stages(
        tmp_path,
        {"name": "passt"},
        {
            "name": "beats",
            "starts_from": "pretrained",
            "model": {"audio": {"config": {"model_type": "auricle_beats"}}},
        },
        {
            "name": "tune",
            "starts_from": "passt",
            "distillation": {"teachers": ["passt", {"source": "beats", "weight": 2}]},
            "augmentation": {"word_deletion": 0.8},
        },
        {"name": "last", "clusters": {"embed_with": "tune"}},
        model={"audio": {"config": {"time_stride": 8}}},
    )
    assert passt.model.audio.config == {"time_stride": 8}
    assert beats.model.audio.config == {"model_type": "auricle_beats"}
    assert not passt.distillation.is_on and not passt.clusters.is_on
    assert tune.distillation.is_on and not tune.clusters.is_on
    assert [(teacher.source, teacher.weight) for teacher in tune.distillation.teachers] == [
        ("passt", 1),
        ("beats", 2),
    ]
    assert tune.augmentation.word_deletion == 0.8
    assert last.clusters.is_on and last.starts_from == "tune"


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"distillation": {"teachers": ["second"]}}, "'second' is a stage that does not come before it"),
        ({"clusters": {"embed_with": "second"}}, "'second' is a stage that does not come before it"),
        ({"clusters": {"embed_with": "x", "labels": "y"}}, "exclude each other"),
        ({"distillation": {"teachers": ["x", "x"]}}, "'x' occurs twice"),
        ({"distillation": {"teachers": [{"source": "x", "weight": 0}]}}, "greater than 0"),
        ({"distillation": {"teachers": "x"}}, "teachers"),
        ({"training": {"contrastive_weight": 0}}, "needs distillation.teachers"),
        ({"clusters": {"min_cluster_size": 1}}, "greater than or equal to 2"),
        ({"distilation": {}}, "did you mean 'distillation'"),
    ],
)
def test_wrong_stages_are_explained(tmp_path, own, message):
    with pytest.raises(RecipeError, match=message):
        stages(tmp_path, {"name": "first", **own}, {"name": "second"})


def test_a_stage_that_goes_on_keeps_its_model(tmp_path):
    with pytest.raises(RecipeError, match="model can only differ where a stage starts from 'pretrained'"):
        stages(tmp_path, {"name": "first"}, {"name": "second", "model": {"projection_dim": 8}})
