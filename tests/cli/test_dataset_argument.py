"""What a DATASET argument may name, and what is said where it names nothing."""

import pytest
from tiny_models import write_sound
from tiny_recipes import tiny_recipe, write_captioned_folder, write_recipe

from auricle.cli.dataset_argument import DatasetArgumentError, load_dataset_argument
from auricle.data import DataError
from auricle.training.recipe.reading import RecipeError
from auricle.training.rows.split_loading import load_splits

CAPTIONS = 'file_name,caption_1,caption_2\na b.wav,A dog barks.,\nc.wav,Rain falls,"Rain, then wind"\n'


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return write_captioned_folder(
        tmp_path_factory.mktemp("data") / "sounds", {"train": 3, "validation": 2, "test": 1, "spare": 1}
    )


def rows_of(tables) -> dict[str, list[str]]:
    return {name: list(table["row_id"]) for name, table in tables.items()}


def test_a_folder_gives_all_its_splits_or_one(sounds):
    tables = load_dataset_argument(str(sounds), split=None)
    assert {name: len(table) for name, table in tables.items()} == {
        "spare": 2,
        "test": 2,
        "train": 6,
        "validation": 4,
    }
    assert all(set(table["split"]) == {name} for name, table in tables.items())
    only = load_dataset_argument(str(sounds), split="validation")
    assert rows_of(only) == {"validation": rows_of(tables)["validation"]}


def test_a_folder_without_splits_is_one_to_train_on(tmp_path):
    folder = write_captioned_folder(tmp_path / "plain", {"train": 2}, split_column=False)
    tables = load_dataset_argument(str(folder), split=None)
    assert rows_of(tables) == rows_of(load_dataset_argument(str(folder), split="train"))
    assert list(tables) == ["train"] and len(tables["train"]) == 4
    with pytest.raises(DatasetArgumentError, match="no split 'test'.*no column 'split'"):
        load_dataset_argument(str(folder), split="test")


def test_a_recipe_gives_what_training_would_load(sounds, tmp_path):
    other = write_captioned_folder(tmp_path / "other", {"train": 2, "test": 1})
    recipe = tiny_recipe(tmp_path, sounds) | {
        "stages": [{"name": "first"}, {"name": "second", "data": {"folder": {"path": str(other)}}}]
    }
    path = str(write_recipe(tmp_path / "recipe.YAML", recipe))
    tables = load_dataset_argument(path, split=None)
    assert {name: len(table) for name, table in tables.items()} == {"train": 6, "validation": 4, "test": 2}
    second = load_dataset_argument(path, split="test", stage="second")
    assert rows_of(second) == {"test": ["other/test/test_002.wav#0", "other/test/test_002.wav#1"]}
    overridden = load_dataset_argument(path, split=None, overrides={"data.folder.path": str(other)})
    assert len(overridden["train"]) == 4
    with pytest.raises(
        DatasetArgumentError, match=r"no stage 'third' in this recipe; the stages are \['first', 'second'\]"
    ):
        load_dataset_argument(path, split=None, stage="third")
    with pytest.raises(
        DatasetArgumentError, match=r"no split 'dev'; the splits are \['test', 'train', 'validation'\]"
    ):
        load_dataset_argument(path, split="dev")
    with pytest.raises(RecipeError, match="No such file or directory"):
        load_dataset_argument(str(tmp_path / "none.yaml"), split=None)


def test_the_word_scenes_means_the_generated_scenes(monkeypatch, tmp_path):
    asked = []

    def loader(section, *, progress):
        asked.append(section)
        return load_splits(
            section.model_copy(update={"scenes": small, "cache_dir": str(tmp_path)}), progress=False
        )

    from auricle.training.recipe.data_section import SceneSection

    small = SceneSection(train_scenes=2, validation_scenes=1, test_scenes=1, seconds=3)
    monkeypatch.setattr("auricle.training.rows.split_loading.load_splits", loader)
    tables = load_dataset_argument("scenes", split=None, progress=False)
    assert {"train", "validation", "test"} <= set(tables)
    assert asked[0].source == "scenes" and asked[0].scenes == SceneSection()
    assert list(load_dataset_argument("scenes", split="test", progress=False)) == ["test"]


def test_a_captions_file_needs_no_sounds(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("\ufeff" + CAPTIONS, encoding="utf-8")
    tables = load_dataset_argument(str(path), split=None, captions_only=True)
    assert rows_of(tables) == {"train": ["mine/train/a b.wav#0", "mine/train/c.wav#0", "mine/train/c.wav#1"]}
    assert list(tables["train"]["caption"]) == ["A dog barks.", "Rain falls", "Rain, then wind"]
    assert list(load_dataset_argument(str(path), split="dev", captions_only=True)) == ["dev"]
    with pytest.raises(DatasetArgumentError, match="the command also needs audio"):
        load_dataset_argument(str(path), split=None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "found the columns None; required are 'file_name'"),
        ("file_name,words\na.wav,b\n", r"found the columns \['file_name', 'words'\]"),
        ("file_name,caption\n", "the file has no rows"),
        ("file_name,caption\na.wav,b\n,c\n", "line 3: the file_name is empty"),
        ("file_name,caption_1,caption_2\na.wav, ,\n", "line 2: the captions are empty"),
        ("file_name,caption\na.wav,b\na.wav,c\n", "'mine/train/a.wav#0'"),
        ('file_name,caption\na.wav,"b"c\n', "not a valid CSV file in UTF-8"),
    ],
)
def test_a_captions_file_that_is_wrong_is_refused(tmp_path, content, message):
    path = tmp_path / "mine.csv"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        load_dataset_argument(str(path), split=None, captions_only=True)
    assert "mine.csv" in str(caught.value)


def test_what_names_nothing_is_told_what_could_be(tmp_path, sounds):
    with pytest.raises(DatasetArgumentError, match=r"'none': no such file.*recipe.*folder.*Clotho.*scenes"):
        load_dataset_argument("none", split=None)
    with pytest.raises(DatasetArgumentError, match=r"none\.csv': no such file.*Also a CSV file"):
        load_dataset_argument(str(tmp_path / "none.csv"), split=None, captions_only=True)
    sound = write_sound(tmp_path / "a.wav")
    with pytest.raises(DatasetArgumentError, match=r"a\.wav': not a dataset"):
        load_dataset_argument(str(sound), split=None)
    with pytest.raises(DataError, match=r"neither metadata\.csv nor metadata\.jsonl found"):
        load_dataset_argument(str(tmp_path), split=None)
    with pytest.raises(DatasetArgumentError, match="fields of a recipe can only be used with a recipe"):
        load_dataset_argument(str(sounds), split=None, overrides={"data.source": "scenes"})


def test_a_directory_in_clothos_layout_and_its_captions_file_have_the_same_rows(tmp_path):
    header = "file_name," + ",".join(f"caption_{n}" for n in range(1, 6))
    for part, names in (("development", ["a b.wav", "c.wav"]), ("evaluation", ["c.wav"])):
        lines = [",".join([name, *(f"A dog barks {part} {name} {n}." for n in range(5))]) for name in names]
        (tmp_path / f"clotho_captions_{part}.csv").write_text("\n".join([header, *lines]) + "\n")
        for name in names:
            write_sound(tmp_path / part / name)
    tables = load_dataset_argument(str(tmp_path), split=None)
    assert {name: len(table) for name, table in tables.items()} == {"train": 10, "test": 5}
    assert list(load_dataset_argument(str(tmp_path), split="test")) == ["test"]
    with pytest.raises(
        DatasetArgumentError, match=r"no split 'validation'; the splits are \['train', 'test'\]"
    ):
        load_dataset_argument(str(tmp_path), split="validation")
    for part, split in (("development", "train"), ("evaluation", "test")):
        path = str(tmp_path / f"clotho_captions_{part}.csv")
        captions = load_dataset_argument(path, split=None, captions_only=True)
        for column in ("row_id", "clip_id", "caption", "source", "split"):
            assert list(captions[split][column]) == list(tables[split][column]), column
