"""A run whose teachers each held a half out: none of them answers for a recording that it learned from."""

import json

import numpy as np
import pyarrow.parquet as parquet
import pytest
from tiny_recipes import run_train, tiny_recipe, write_captioned_folder, write_recipe

from auricle.data import load_captioned_folder
from auricle.files.content_digests import ContentDigests
from auricle.training.teachers.aligned_teachers import AlignedTeachers
from auricle.training.teachers.teacher_bank import BankError, TeacherBank

pytestmark = pytest.mark.slow
HALVES = ("half_0", "half_1")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two teachers of a half each, a third of everything, and a student of the two; the files of all of them."""
    folder = tmp_path_factory.mktemp("cross_fit")
    sounds = write_captioned_folder(folder / "sounds", {"train": 11, "test": 3})
    recipe = tiny_recipe(folder, sounds)
    recipe["training"] |= {"epochs": 1}
    recipe["stages"] = [
        *(
            {
                "name": name,
                "starts_from": "pretrained",
                "data": {"hold_out_fold": {"folds": 2, "fold": fold, "seed": 1}},
            }
            for fold, name in enumerate(HALVES)
        ),
        {"name": "whole", "starts_from": "pretrained"},
        {"name": "student", "distillation": {"teachers": list(HALVES), "cross_fit": 2}},
    ]
    write_recipe(folder / "recipe.yaml", recipe)
    run_train(folder / "recipe.yaml")
    recipe["stages"][-1] = {
        "name": "fooled",
        "distillation": {"teachers": [str(folder / "run" / name / "model") for name in ("half_0", "whole")]}
        | {"cross_fit": 2},
    }
    write_recipe(folder / "fooled.yaml", recipe)
    return folder


def learned_from(run, stage: str) -> set[str]:
    """Contents of the recordings that a stage's own record of its inputs has."""
    rows = parquet.read_table(run / "run" / stage / "sounds.parquet").to_pylist()
    return {row["content"] for row in rows if row["split"] == "train"}


def aligned(run) -> tuple[AlignedTeachers, list[str]]:
    table = load_captioned_folder(run / "sounds", split="train")
    banks = [TeacherBank.load(run / "run/student/teachers" / f"{n}-{name}") for n, name in enumerate(HALVES)]
    digests = ContentDigests()
    contents = digests.of_files(audio["path"] for audio in table["audio"])
    teachers = AlignedTeachers.align(banks, [1.0, 2.0], table, digests, cross_fit=2)
    return teachers, [contents[audio["path"]] for audio in table["audio"]]


def test_a_teacher_never_answers_for_a_recording_that_it_learned_from(run):
    teachers, contents = aligned(run)
    seen = [learned_from(run, name) for name in HALVES]
    assert len(contents) == 22 and set(contents) == seen[0] | seen[1] and sorted(map(len, seen)) == [5, 6]
    width = teachers.width // 2
    for row, content in enumerate(contents):
        asked = teachers.answering(row).reshape(2, width)
        assert set(np.unique(asked)) == {0.0, 1.0} and (asked == asked[:, :1]).all()
        answers = [teacher for teacher in (0, 1) if asked[teacher, 0]]
        assert len(answers) == 1 and content not in seen[answers[0]] and content in seen[1 - answers[0]]


def test_a_fold_with_one_teacher_has_that_teachers_similarities_whatever_its_weight(run):
    teachers, _ = aligned(run)
    audio = teachers.audio_vectors(0) * teachers.answering(0)
    fold = int(teachers.fold_of_row[0])
    bank = teachers.banks[fold]
    found = [audio @ teachers.caption_vectors(row) for row in range(len(teachers))]
    clip = bank.audio[teachers.audio_places[fold][0]]
    expected = bank.captions[teachers.caption_places[fold]] @ clip
    assert np.allclose(found, expected, atol=1e-6)


def test_the_run_and_its_banks_say_who_held_out_what(run):
    record = json.loads((run / "run/student/stage.json").read_text())["teachers"]
    assert [entry["held_out_fold"]["fold"] for entry in record] == [0, 1]
    assert len({entry["held_out_fold"]["assignment"] for entry in record}) == 1
    model = json.loads((run / "run/half_1/model/held_out_fold.json").read_text())
    bank = json.loads((run / "run/student/teachers/1-half_1/bank.json").read_text())
    assert model == bank["held_out_fold"]
    assert learned_from(run, "half_1").isdisjoint(model["held_out"])


def test_a_teacher_of_all_rows_is_refused_by_name(run):
    teachers, _ = aligned(run)
    table = load_captioned_folder(run / "sounds", split="train")
    unknown = TeacherBank.load(run / "run/student/teachers/0-half_0")
    object.__setattr__(unknown, "held_out_fold", None)
    with pytest.raises(BankError, match="0-half_0: does not say which fold it held out"):
        AlignedTeachers.align([unknown, teachers.banks[1]], None, table, cross_fit=2)
    refused = run_train(run / "fooled.yaml", "--output_dir", run / "other", code=2)
    assert "whole/model: does not say which fold it held out" in refused.stderr
