"""Recipes: what is accepted, and what the errors name."""

import pytest
import yaml
from tiny_recipes import ROOT

from auricle.training.recipe.reading import (
    RecipeError,
    list_fields,
    parse_overrides,
    read_recipe,
    resolve_stages,
)
from auricle.training.recipe.schema import Recipe

MINIMAL = {"name": "r", "stages": [{"name": "one"}]}
# A recipe of recipes has fields of its own, and tests of its own.
RECIPES = sorted(
    path
    for path in (*ROOT.glob("recipes/*.yaml"), *ROOT.glob("recipes/clotho/*.yaml"))
    if not path.name.startswith("moments_")  # of another kind: tests/training/moments
    if path.name != "dcase2025.yaml"
)


@pytest.fixture
def read(tmp_path):
    """Writes values (or text) as a recipe and reads it back."""

    def write_and_read(values, overrides=None) -> Recipe:
        path = tmp_path / "recipe.yaml"
        path.write_text(values if isinstance(values, str) else yaml.safe_dump(values), encoding="utf-8")
        return read_recipe(path, overrides)

    return write_and_read


def refused(read, values, overrides=None) -> str:
    with pytest.raises(RecipeError) as caught:
        read(values, overrides)
    message = str(caught.value)
    assert "recipe.yaml" in message or overrides
    assert "\n" not in message
    return message


@pytest.mark.parametrize("path", RECIPES, ids=[path.name for path in RECIPES])
def test_every_recipe_of_the_repository_reads(path):
    recipe = read_recipe(path)
    assert recipe.description and path.stem == recipe.name
    assert [stage.name for stage in resolve_stages(recipe)] == recipe.stage_names()


def test_there_are_recipes():
    assert {"demo.yaml", "folder.yaml", "sid5_eat.yaml"} <= {path.name for path in RECIPES}


@pytest.mark.parametrize(
    ("values", "wrong", "nearest"),
    [
        ({"nmae": "x"}, "nmae", "name"),
        ({"data": {"sorce": "folder"}}, "data.sorce", "source"),
        ({"data": {"scenes": {"train_scene": 1}}}, "data.scenes.train_scene", "train_scenes"),
        ({"data": {"folder": {"caption_colum": "c"}}}, "data.folder.caption_colum", "caption_column"),
        ({"model": {"text_poling": "cls"}}, "model.text_poling", "text_pooling"),
        ({"model": {"audio": {"pretraned": "x"}}}, "model.audio.pretraned", "pretrained"),
        ({"model": {"text": {"max_token": 8}}}, "model.text.max_token", "max_tokens"),
        ({"training": {"epoch": 3}}, "training.epoch", "epochs"),
        ({"evaluation": {"question": []}}, "evaluation.question", "questions"),
        ({"stages": [{"name": "one", "start_from": "x"}]}, "stages.0.start_from", "starts_from"),
    ],
)
def test_an_unknown_field_suggests_the_nearest(read, values, wrong, nearest):
    message = refused(read, {**MINIMAL, **values})
    assert f"{wrong} is not a known field; did you mean '{nearest}'?" in message


@pytest.mark.parametrize(
    ("section", "wrong", "nearest"),
    [
        ("training", {"batch_sise": 8}, "batch_size"),
        ("data", {"crop_second": 1.0}, "crop_seconds"),
        ("data", {"scenes": {"train_scene": 1}}, "train_scenes"),
    ],
)
def test_an_unknown_field_of_a_stage_names_the_stage(read, section, wrong, nearest):
    message = refused(read, {**MINIMAL, "stages": [{"name": "tune", section: wrong}]})
    assert "stage 'tune'" in message and f"did you mean '{nearest}'?" in message


def test_a_field_far_from_all_lists_what_there_is(read):
    message = refused(read, {**MINIMAL, "evaluation": {"zzz": 1}})
    assert "known fields: batch_size, best_metric" in message


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("training", "epochs", "many"),
        ("training", "epochs", True),
        ("training", "epochs", -1),
        ("training", "epochs", float("inf")),
        ("training", "epochs", float("nan")),
        ("training", "batch_size", 7.5),
        ("training", "batch_size", 1),
        ("training", "num_workers", False),
        ("training", "freeze", "text"),
        ("training", "freeze", ["audoi"]),
        ("training", "precision", "fp8"),
        ("training", "save_every", 0),
        ("training", "save_every", "step"),
        ("training", "save_every", True),
        ("training", "save_every", 2.5),
        ("data", "time_roll", "sometimes"),
        ("data", "max_bad_share", 1.5),
        ("data", "source", "internet"),
        ("data", "scenes", ["train"]),
        ("model", "projection_dim", [1]),
        ("model", "temperature", 0),
        ("model", "text_projection_initialization", "identity"),
        ("evaluation", "questions", "what barks?"),
    ],
)
def test_a_wrong_value_names_field_and_value(read, section, field, value):
    message = refused(read, {**MINIMAL, section: {field: value}})
    assert f"{section}.{field}" in message and repr(value).strip("[]") in message


@pytest.mark.parametrize(
    ("training", "reason"),
    [
        ({"freeze": ["audio", "text", "audio_projection", "text_projection"]}, "train one of them"),
        ({"freeze": ["text_projection"], "lora": {"towers": ["audio"]}}, "freeze names 'text_projection'"),
    ],
)
def test_what_leaves_nothing_to_train_is_refused(read, training, reason):
    assert reason in refused(read, {**MINIMAL, "training": training})


def test_a_wrong_value_within_a_stage_names_the_stage(read):
    message = refused(read, {**MINIMAL, "stages": [{"name": "tune", "training": {"epochs": "many"}}]})
    assert "stage 'tune'" in message and "epochs" in message and "'many'" in message


def test_shares_that_leave_nothing_to_train_on_are_refused(read):
    message = refused(read, {**MINIMAL, "data": {"folder": {"validation_share": 0.5, "test_share": 0.5}}})
    assert "validation_share and test_share" in message


def test_a_number_that_yaml_takes_for_text_is_a_number(read):
    recipe = read("name: r\ntraining: {learning_rate: 2e-5, epochs: 3}\nstages: [{name: one}]\n")
    assert recipe.training.learning_rate == 2e-5
    assert isinstance(recipe.training.learning_rate, float)
    assert recipe.training.epochs == 3.0


def test_a_section_with_every_field_commented_out_keeps_its_defaults(read):
    recipe = read("name: r\ntraining:\n  # epochs: 3\ndata:\nstages:\n  - name: one\n    training:\n")
    assert recipe.training == type(recipe.training)()
    assert resolve_stages(recipe)[0].training == recipe.training


def test_an_empty_section_of_a_stage_keeps_the_shared_values(read):
    text = "name: r\ndata: {scenes: {train_scenes: 7}}\nstages:\n  - name: one\n    data: {scenes: }\n"
    assert resolve_stages(read(text))[0].data.scenes.train_scenes == 7


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "must be a mapping of sections, not NoneType"),
        ("- a\n- b\n", "must be a mapping of sections, not list"),
        ("just words", "must be a mapping of sections, not str"),
        ("name: [unclosed\nstages: 1\n", "is not valid YAML"),
        ("name: r\n\tstages: 1\n", "is not valid YAML"),
        ("name: r\nstages: []\n", "stages"),
        ("stages: [{name: one}]\n", "name is missing"),
        ("name: a/b\nstages: [{name: one}]\n", "name"),
    ],
)
def test_a_file_that_is_no_recipe(read, text, says):
    assert says in refused(read, text)


def test_yaml_errors_name_the_line(read):
    assert "line 3" in refused(read, "name: r\nstages: [{name: one}]\ntraining: ]\n")


def test_a_field_given_twice_is_refused(read):
    text = "name: r\ntraining:\n  epochs: 3\n  epochs: 4\nstages: [{name: one}]\n"
    message = refused(read, text)
    assert "'epochs' occurs twice" in message and "line 4" in message


def test_a_file_that_is_missing_or_not_text(tmp_path):
    with pytest.raises(RecipeError, match="nowhere.yaml: cannot be read"):
        read_recipe(tmp_path / "nowhere.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_recipe(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"name: \xff\xfe\n")
    with pytest.raises(RecipeError, match="binary.yaml: is not UTF-8"):
        read_recipe(tmp_path / "binary.yaml")


def test_overrides_by_whole_and_by_bare_name(read):
    overrides = {"training.epochs": 3, "weight_decay": 0.5, "model.audio.config.hidden_size": 8, "seed": 4}
    recipe = read(MINIMAL, overrides)
    assert recipe.training.epochs == 3 and recipe.training.weight_decay == 0.5
    assert recipe.model.audio.config == {"hidden_size": 8}
    # A bare name that stands at the top means the one at the top.
    assert recipe.seed == 4 and recipe.data.scenes.seed == 0


def test_an_ambiguous_bare_name_lists_the_whole_ones(read):
    with pytest.raises(RecipeError, match="training.batch_size, evaluation.batch_size"):
        read(MINIMAL, {"batch_size": 8})


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("starts_from", "Did you mean --stages.one.starts_from?"),
        ("training.starts_from", "Did you mean --stages.one.starts_from?"),
        ("model.max_tokens", "Did you mean --model.text.max_tokens?"),
        ("epoch", "Did you mean --epochs?"),
        ("training.epoch", "did you mean 'epochs'?"),
        ("zzzz", "--zzzz"),
    ],
)
def test_an_unknown_override_is_refused(read, name, hint):
    with pytest.raises(RecipeError) as caught:
        read(MINIMAL, {name: 3})
    assert hint in str(caught.value)


def test_an_override_below_something_that_is_no_section(read):
    with pytest.raises(RecipeError, match="'name' is not a section"):
        read(MINIMAL, {"name.first": "x"})


def test_overrides_for_all_beat_those_of_the_stages(read):
    values = {**MINIMAL, "training": {"epochs": 5}}
    values["stages"] = [{"name": "a", "training": {"epochs": 7, "weight_decay": 0.1}}, {"name": "b"}]
    assert [stage.training.epochs for stage in resolve_stages(read(values))] == [7, 5]
    stages = resolve_stages(read(values, {"epochs": 2}))
    assert [stage.training.epochs for stage in stages] == [2, 2]
    assert [stage.training.weight_decay for stage in stages] == [0.1, 0.0]


def test_overrides_for_one_stage_only(read):
    values = {**MINIMAL, "stages": [{"name": "v1.5"}, {"name": "fine-tune"}]}
    overrides = {"stages.fine-tune.training.epochs": 2, "stages.v1.5.data.gain_db": 3.0}
    first, second = resolve_stages(read(values, overrides))
    assert (first.training.epochs, second.training.epochs) == (20, 2)
    assert (first.data.gain_db, second.data.gain_db) == (3.0, 0.0)


@pytest.mark.parametrize("field", ["stages.two.training.epochs", "stages.one", "stages", "stages.0.training"])
def test_an_override_for_a_stage_that_is_not_there_lists_those_that_are(read, field):
    with pytest.raises(RecipeError, match=r"has the stages \['one'\]"):
        read(MINIMAL, {field: 2})


def test_arguments_become_overrides():
    arguments = ["--epochs", "3", "--training.save-every=50", "--freeze", "[text]", "--crop_seconds", "null"]
    arguments += ["--stages.fine-tune.training.learning_rate", "2e-5", "--data.time-roll=true", "--x=-1"]
    assert parse_overrides(arguments) == {
        "epochs": 3,
        "training.save_every": 50,
        "freeze": ["text"],
        "crop_seconds": None,
        "stages.fine-tune.training.learning_rate": "2e-5",
        "data.time_roll": True,
        "x": -1,
    }


def test_arguments_for_text_fields_stay_text(read):
    overrides = parse_overrides(["--data.folder.path", "2024", "--output-dir=on", "--description", "a: b"])
    recipe = read(MINIMAL, overrides)
    assert (recipe.data.folder.path, recipe.output_dir, recipe.description) == ("2024", "on", "a: b")
    assert read(MINIMAL, parse_overrides(["--output_dir", "null"])).output_dir is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--epochs"], "--epochs: a value is missing"),
        (["epochs", "3"], "'epochs': expected --field value"),
        (["--", "3"], "expected --field value"),
        (["--freeze", "[text"], "--freeze: '[text' is not a valid value"),
    ],
)
def test_arguments_that_are_no_overrides(arguments, says):
    with pytest.raises(RecipeError) as caught:
        parse_overrides(arguments)
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_stages_start_from_the_one_before_them_or_from_where_they_say(read):
    stages = [{"name": "a"}, {"name": "b"}, {"name": "c", "starts_from": "a"}, {"name": "d"}]
    resolved = resolve_stages(
        read({**MINIMAL, "stages": [*stages, {"name": "e", "starts_from": "some/dir"}]})
    )
    assert [stage.starts_from for stage in resolved] == ["pretrained", "a", "a", "c", "some/dir"]


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        ([{"name": "a"}, {"name": "a"}], "'a' occurs twice"),
        (
            [{"name": "a", "starts_from": "b"}, {"name": "b"}],
            "'a' starts from 'b', which does not come before",
        ),
        ([{"name": "a", "starts_from": "a"}], "does not come before"),
        ([{"name": "pretrained"}], "'pretrained'"),
        ([{"name": "../up"}], "stages.0.name"),
    ],
)
def test_stages_that_cannot_be(read, stages, says):
    assert says in refused(read, {**MINIMAL, "stages": stages})


def test_every_field_is_listed_with_a_description():
    rows = {name: (kind, default, text) for name, kind, default, text in list_fields()}
    assert rows["training.epochs"][:2] == ("float", "20")
    assert rows["data.folder.path"][:2] == ("str | None", "None")
    assert all(text for _, _, text in rows.values())


def captions_of(recipe: Recipe) -> list[str]:
    return [stage.model.text.caption_normalization for stage in resolve_stages(recipe)]


def test_the_older_word_for_the_form_of_captions_is_understood_wherever_it_stands(read, tmp_path):
    assert captions_of(read(MINIMAL)) == ["auricle-2"]
    for older, name in ((True, "auricle-1"), (False, "none")):
        text = {"model": {"text": {"normalize_captions": older}}}
        assert captions_of(read({**MINIMAL, **text})) == [name]
        assert captions_of(read({**MINIMAL, "stages": [{"name": "one", **text}, {"name": "two"}]})) == [
            name,
            "auricle-2",
        ]
        for field in ("normalize_captions", "model.text.normalize_captions"):
            assert captions_of(read(MINIMAL, parse_overrides([f"--{field}", str(older).lower()]))) == [name]
        # The later word counts, in whichever spelling.
        (tmp_path / "base.yaml").write_text(
            yaml.safe_dump({"model": {"text": {"caption_normalization": "publisher"}}})
        )
        assert captions_of(read({"extends": "base.yaml", **MINIMAL, **text})) == [name]
        newer = parse_overrides(["--caption_normalization", "publisher"])
        assert captions_of(read({**MINIMAL, **text}, newer)) == ["publisher"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            {"normalize_captions": True, "caption_normalization": "none"},
            "means caption_normalization: auricle-1",
        ),
        ({"normalize_captions": "yes please"}, "normalize_captions='yes please' must be true or false"),
        ({"caption_normalization": "auricle-9"}, "'auricle-2', 'auricle-1', 'publisher' or 'none'"),
    ],
)
def test_forms_of_captions_that_cannot_be(read, text, says):
    assert says in refused(read, {**MINIMAL, "model": {"text": text}})
