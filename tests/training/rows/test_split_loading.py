"""From a recipe's data section to tables: splits, what is held out, and what is left out."""

import csv
import json
import logging

import pytest
from datasets import Dataset
from miniature_clotho import write_miniature_clotho
from miniature_sources import write_miniature_audiocaps, write_miniature_wavcaps
from pydantic import ValidationError
from tiny_models import write_sound
from tiny_recipes import write_captioned_folder

from auricle.data import DataError
from auricle.training.recipe.reading import RecipeError
from auricle.training.recipe.schema import DataSection
from auricle.training.rows.split_loading import check_splits, load_splits, not_read


def section(path, *, folder=None, **more) -> DataSection:
    settings = {"path": None if path is None else str(path), **(folder or {})}
    return DataSection(source="folder", folder=settings, **more)


def load(path, **more):
    return load_splits(section(path, **more), progress=False)


def clips(table) -> set[str]:
    return set(table["clip_id"])


def rewrite(folder, change) -> None:
    """Rewrites metadata.csv, each row through ``change``."""
    with open(folder / "metadata.csv", encoding="utf-8") as file:
        rows = [change(row) for row in csv.DictReader(file)]
    with open(folder / "metadata.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_a_split_column_is_followed(tmp_path):
    splits = load(write_captioned_folder(tmp_path, {"train": 3, "validation": 2, "test": 1, "test_noisy": 2}))
    assert {name: len(table) for name, table in splits.items()} == {
        "train": 6,
        "validation": 4,
        "test": 2,
        "test_noisy": 4,
    }
    assert set(splits["test_noisy"]["split"]) == {"test_noisy"}


def test_splits_without_a_use_are_named(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        splits = load(write_captioned_folder(tmp_path, {"train": 2, "fold2": 3, "dev": 1, "validation": 1}))
    assert set(splits) == {"train", "validation"}
    assert "not use 1 row of split 'dev' (use 'validation'), 3 rows of split 'fold2'; it uses" in caplog.text


@pytest.mark.parametrize(("name", "meant"), [("dev", "validation"), ("VAL", "validation"), ("Test", "test")])
def test_another_name_of_a_split_is_refused_with_the_right_one(tmp_path, name, meant):
    with pytest.raises(
        DataError, match=f"rows? of split '{name}' .use '{meant}'.*[Rr]ename '{name}' to '{meant}'"
    ):
        load(write_captioned_folder(tmp_path, {"train": 2, name: 1}))


def test_groups_are_held_out_whole(tmp_path):
    folder = write_captioned_folder(tmp_path, {"x": 60}, split_column=False, captions=1, seconds=(0.05,))
    rewrite(folder, lambda row: row | {"recording": str(int(row["file_name"][2:5]) // 3)})
    shares = {"validation_share": 0.2, "test_share": 0.3}
    splits = load(folder, folder={"group_column": "recording", **shares})
    assert set(splits) == {"train", "validation", "test"} and sum(map(len, splits.values())) == 60
    groups = [set(table["recording"]) for table in splits.values()]
    assert sum(map(len, groups)) == 20 == len(set.union(*groups))
    rewrite(folder, lambda row: row | {"recording": ""})
    ungrouped = load(folder, folder=shares)
    assert {
        name: clips(one) for name, one in load(folder, folder={"group_column": "recording", **shares}).items()
    } == {name: clips(one) for name, one in ungrouped.items()}
    with pytest.raises(RecipeError, match="group_column='take' is not a column"):
        load(folder, folder={"group_column": "take"})
    with pytest.raises(RecipeError, match="have a column 'split'"):
        load(write_captioned_folder(tmp_path / "split", {"train": 2}), folder={"group_column": "label"})


def test_rows_without_a_split_are_counted(tmp_path, caplog):
    folder = write_captioned_folder(tmp_path, {"train": 3})
    rewrite(folder, lambda row: row | {"split": ""} if row["file_name"] == "train_000.wav" else row)
    with caplog.at_level(logging.WARNING):
        load(folder)
    assert "rows without a split are not used: 1" in caplog.text


def test_training_needs_a_training_split(tmp_path):
    with pytest.raises(DataError, match=r"\['dev', 'test'\], but training needs rows of split 'train'"):
        load(write_captioned_folder(tmp_path, {"dev": 1, "test": 1}))


def test_without_a_split_column_clips_are_held_out(tmp_path):
    folder = write_captioned_folder(tmp_path, {"x": 60}, split_column=False, seconds=(0.1,))
    splits = load(folder, folder={"validation_share": 0.2, "test_share": 0.3})
    assert set(splits) == {"train", "validation", "test"}
    held = {name: clips(table) for name, table in splits.items()}
    assert sum(len(ids) for ids in held.values()) == 60 == len(set.union(*held.values()))
    # Both captions of a clip go the same way.
    assert all(len(splits[name]) == 2 * len(ids) for name, ids in held.items())
    assert 5 <= len(held["validation"]) <= 20 and 9 <= len(held["test"]) <= 28
    assert {name: clips(table) for name, table in load(folder).items()} != held
    again = load(folder, folder={"validation_share": 0.2, "test_share": 0.3})
    assert {name: clips(table) for name, table in again.items()} == held


def test_files_that_are_added_move_no_clip_to_another_split(tmp_path):
    before = load(write_captioned_folder(tmp_path, {"x": 30}, split_column=False, seconds=(0.1,)))
    after = load(write_captioned_folder(tmp_path, {"x": 60}, split_column=False, seconds=(0.1,)))
    for name, table in before.items():
        assert clips(table) <= clips(after[name])
    assert len(clips(after["train"])) > len(clips(before["train"]))


def test_shares_of_zero_hold_nothing_out(tmp_path):
    folder = write_captioned_folder(tmp_path, {"x": 12}, split_column=False, seconds=(0.1,))
    assert set(load(folder, folder={"validation_share": 0, "test_share": 0})) == {"train"}


def test_too_few_clips_to_hold_some_out(tmp_path, caplog):
    folder = write_captioned_folder(tmp_path, {"x": 1}, split_column=False, seconds=(0.1,))
    with caplog.at_level(logging.WARNING):
        assert set(load(folder, folder={"validation_share": 0.001, "test_share": 0.001})) == {"train"}
    assert "held out for validation" in caplog.text and "held out for test" in caplog.text
    with pytest.raises(DataError, match="none is left to train on"):
        load(folder, folder={"test_share": 0.999, "validation_share": 0})


def test_a_folder_must_be_named(tmp_path):
    with pytest.raises(RecipeError, match="--data.folder.path DIRECTORY"):
        load(None)
    with pytest.raises(DataError, match="nowhere: directory not found"):
        load(tmp_path / "nowhere")


def test_settings_reach_the_folder(tmp_path):
    folder = write_captioned_folder(tmp_path, {"train": 2})
    table = load(folder, folder={"caption_column": "label", "license": "CC0-1.0"})["train"]
    assert table["caption"][:] == ["dog", "rain"] and set(table["license"]) == {"CC0-1.0"}
    (folder / "train_000.wav").unlink()
    with pytest.raises(DataError, match="'train_000.wav'"):
        load(folder)
    assert len(clips(load(folder, folder={"missing": "skip"})["train"])) == 1


def test_bad_files_are_left_out_and_counted_split_by_split(tmp_path, caplog):
    folder = write_captioned_folder(tmp_path, {"train": 8, "test": 4})
    (folder / "train_001.wav").write_bytes(b"")
    (folder / "train_005.wav").write_text("no sound at all")
    write_sound(folder / "test_010.wav", 0.0)
    settings = section(folder, max_bad_share=0.3)
    (folder / "sub.xyz").touch()
    (folder / "gone.wav").symlink_to(folder / "nowhere.wav")
    loaded = load_splits(settings, progress=False)
    with caplog.at_level("WARNING"):
        splits, reports = check_splits(loaded, settings, progress=False)
        rest = not_read(settings)
    # What is not read is reported once for all splits.
    assert (
        caplog.messages[-2:]
        == rest.counts
        == [
            "1 file skipped: a link whose target does not exist: .wav (1)",
            "1 file with endings that are not read: .xyz (1)",
        ]
    )
    assert "1 file skipped: the file is empty: .wav (1)" in caplog.messages
    assert {name: len(table) for name, table in splits.items()} == {"train": 12, "test": 6}
    left_out = {name: clips(loaded[name]) - clips(table) for name, table in splits.items()}
    assert {name: sorted(id.rsplit("/")[-1] for id in ids) for name, ids in left_out.items()} == {
        "train": ["train_001.wav", "train_005.wav"],
        "test": ["test_010.wav"],
    }
    assert (reports["train"].checked, len(reports["train"].bad)) == (8, 2)
    assert (reports["test"].checked, len(reports["test"].bad)) == (4, 1)


def test_a_share_of_each_split_is_checked(tmp_path, caplog):
    write_captioned_folder(tmp_path, {"train": 20, "validation": 4})
    splits = load(tmp_path)
    for share, checked in ((0.25, (5, 1)), (1.0, (20, 4)), (True, (20, 4))):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            good, reports = check_splits(splits, section(tmp_path, check_audio=share), seed=3, progress=False)
        assert tuple(reports[name].checked for name in ("train", "validation")) == checked
        assert [reports[name].clips for name in ("train", "validation")] == [20, 4]
        assert ("checked 5 of 20 clips" in caplog.text) == (share == 0.25)
        assert good["train"] is splits["train"]


@pytest.mark.parametrize("value", [-0.1, 1.5, "half", [0.5]])
def test_what_is_no_share_is_refused(tmp_path, value):
    with pytest.raises(ValidationError, match="check_audio"):
        section(tmp_path, check_audio=value)
    assert section(tmp_path, check_audio=False).check_audio is False
    assert section(tmp_path, check_audio=0.1).check_audio == 0.1


def test_too_many_bad_files_stop_with_the_list(tmp_path):
    folder = write_captioned_folder(tmp_path, {"train": 8})
    for name in ("train_001.wav", "train_005.wav"):
        (folder / name).write_bytes(b"")
    settings = section(folder, max_bad_share=0.2)
    with pytest.raises(DataError) as caught:
        check_splits(load_splits(settings, progress=False), settings, progress=False)
    assert "2 of 8" in str(caught.value) and "0.2" in str(caught.value)
    assert "train_001.wav" in str(caught.value) and "train_005.wav" in str(caught.value)


def test_generated_scenes_take_their_settings_from_the_recipe(tmp_path):
    scenes = {"train_scenes": 3, "validation_scenes": 2, "test_scenes": 2, "seconds": 3.0}
    settings = DataSection(source="scenes", scenes=scenes, cache_dir=str(tmp_path))
    splits = load_splits(settings, progress=False)
    assert {name: len(clips(table)) for name, table in splits.items()} == {
        "train": 3,
        "validation": 2,
        "test": 2,
        "test_unseen_wording": 2,
        "test_second_unseen_wording": 2,
    }
    assert all(path["path"].startswith(str(tmp_path)) for path in splits["train"]["audio"])


@pytest.fixture
def published(tmp_path):
    """Clotho, AudioCaps and WavCaps, some of whose recordings are in Clotho's evaluation splits."""
    write_miniature_clotho(tmp_path / "clotho", {"train": 3, "validation": 2, "test": 2}, seconds=0.2)
    write_miniature_audiocaps(tmp_path / "audiocaps", {"train": 2, "validation": 1, "test": 1})
    write_miniature_wavcaps(tmp_path / "wavcaps", {"FreeSound": 8, "AudioSet_SL": 2}, first=0)
    return tmp_path


def mixture(place, **more):
    settings = {
        "clotho": {"path": str(place / "clotho")},
        "audiocaps": {"path": str(place / "audiocaps"), "train_splits": ["train", "validation", "test"]},
        "wavcaps": {"path": str(place / "wavcaps"), "weight": 0.5},
        **more,
    }
    return DataSection(source=["clotho", "audiocaps", "wavcaps"], **settings)


def test_several_data_sets_train_and_the_first_is_evaluated_on(published, caplog):
    with caplog.at_level(logging.WARNING):
        splits = load_splits(mixture(published), progress=False)
    assert list(splits) == ["train", "validation", "test"]
    assert splits["validation"].unique("source") == splits["test"].unique("source") == ["clotho"]
    train = splits["train"]
    assert {name: list(train["source"]).count(name) for name in train.unique("source")} == {
        "clotho": 15,
        "audiocaps": 2 + 5 + 5,
        # Clotho's miniature gives its validation and test clips the Freesound ids 1003 to 1006.
        "wavcaps": 10 - 4,
    }
    assert "skipped 4 of 17 training clips" in caplog.text
    weights = dict(zip(train["source"], train["epoch_weight"], strict=True))
    assert weights == {"clotho": 1.0, "audiocaps": 1.0, "wavcaps": 0.5}


def test_what_is_evaluated_may_be_kept_and_more_be_excluded(published):
    (published / "ids.csv").write_text("sound_id\n1000\n1007\n")
    exclude = {"evaluated": False, "freesound_ids": str(published / "ids.csv")}
    train = load_splits(mixture(published, exclude=exclude), progress=False)["train"]
    ids = [value for value in train["freesound_id"] if value]
    assert "1000" not in ids and "1007" not in ids and "1004" in ids
    assert sum(source == "clotho" for source in train["source"]) == 10


def write_mixes(folder, *pairs):
    """What a mixing job leaves: sounds, captions and the two rows that each is mixed from."""
    lines = []
    for number, rows in enumerate(pairs):
        write_sound(folder / f"{number}.wav", 0.2, seed=number)
        line = {"file_name": f"{number}.wav", "caption": f"mix {number}", "mixed_from": list(rows)}
        lines.append(json.dumps(line))
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return str(folder)


def test_all_mixes_are_trained_on_and_none_of_an_evaluated_clip(published, caplog):
    section = DataSection(source="clotho", clotho={"path": str(published / "clotho")})
    before = load_splits(section, progress=False)
    trained, tested = before["train"]["row_id"], before["test"]["row_id"]
    pairs = [(trained[number % 15], trained[number % 11]) for number in range(20)]
    mixes = write_mixes(published / "mixes", *pairs, (trained[0], tested[0]))
    with caplog.at_level(logging.WARNING):
        splits = load_splits(section, mixes=mixes, progress=False)
    assert len(splits["train"]) == len(before["train"]) + 20
    assert "skipped 1 of 21 mixes" in caplog.text
    assert {name: len(table) for name, table in splits.items() if name != "train"} == {
        name: len(table) for name, table in before.items() if name != "train"
    }
    plain = write_captioned_folder(published / "plain", {"x": 1}, split_column=False)
    with pytest.raises(DataError, match="no column 'mixed_from'"):
        load_splits(section, mixes=str(plain), progress=False)


def test_the_whole_development_set_is_trained_on_whatever_the_list_says(published):
    """Clotho's validation and test recordings are on the challenge's list, and WavCaps holds them too."""
    (published / "ids.csv").write_text("sound_id\n1003\n1004\n1005\n1006\n")
    exclude = {"freesound_ids": str(published / "ids.csv")}
    clotho = {"path": str(published / "clotho"), "train_splits": ["train", "validation", "test"]}
    splits = load_splits(mixture(published, clotho=clotho, exclude=exclude), progress=False)
    assert set(splits) == {"train"}
    train = splits["train"]
    assert list(train["source"]).count("clotho") == 5 * 7
    assert list(train["source"]).count("wavcaps") == 10 - 4


def test_a_part_of_a_mixture_that_lacks_its_place_is_named(published):
    with pytest.raises(RecipeError, match=r"data\.wavcaps\.path is not set"):
        load_splits(mixture(published, wavcaps={}), progress=False)
    with pytest.raises(DataError, match=r"nowhere: directory not found; expected AudioCaps there"):
        load_splits(mixture(published, audiocaps={"path": str(published / "nowhere")}), progress=False)
    with pytest.raises(ValueError, match="each once"):
        DataSection(source=["clotho", "clotho"])


def test_a_data_set_in_the_hubs_formats(tmp_path):
    paths = [str(write_sound(tmp_path / f"{n}.wav", 0.2, seed=n)) for n in range(3)]
    for split, count in (("train", 3), ("test", 1)):
        rows = [{"audio": path, "text": f"sound {n}"} for n, path in enumerate(paths[:count])]
        (tmp_path / "set").mkdir(exist_ok=True)
        Dataset.from_list(rows).to_parquet(tmp_path / "set" / f"{split}-00000-of-00001.parquet")
    hub = {
        "name": str(tmp_path / "set"),
        "caption_column": "text",
        "splits": {"train": "train", "test": "test"},
    }
    splits = load_splits(DataSection(source="hub", hub=hub, cache_dir=str(tmp_path)), progress=False)
    assert {name: len(table) for name, table in splits.items()} == {"train": 3, "test": 1}
    with pytest.raises(RecipeError, match=r"data\.hub\.name is not set"):
        load_splits(DataSection(source="hub"), progress=False)
    with pytest.raises(RecipeError, match="names no split to train on"):
        load_splits(DataSection(source="hub", hub={**hub, "splits": {"test": "test"}}), progress=False)
