"""Teacher banks: written once, found again row by row, and refused where they do not fit."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
import torch
from datasets import concatenate_datasets
from safetensors.numpy import load_file, save_file
from tiny_models import tiny_model, tiny_model_and_processor
from tiny_recipes import write_captioned_folder

from auricle.data import CaptionedClip, DataError, build_table, load_captioned_folder
from auricle.encoders.auricle_embedding import embed_captions, embed_clips
from auricle.encoders.auricle_encoder import AuricleEncoder
from auricle.encoders.model_fingerprint import model_fingerprint
from auricle.training.teachers import teacher_bank
from auricle.training.teachers.aligned_teachers import AlignedTeachers
from auricle.training.teachers.teacher_bank import BankError, TeacherBank, write_teacher_bank


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    return tiny_model_and_processor(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = write_captioned_folder(tmp_path_factory.mktemp("data") / "sounds", {"train": 5, "validation": 2})
    return {split: load_captioned_folder(folder, split=split) for split in ("train", "validation")}


@pytest.fixture(scope="module")
def bank(built, tables, tmp_path_factory):
    directory = tmp_path_factory.mktemp("banks") / "a"
    return write_teacher_bank(directory, AuricleEncoder(*built), tables, model_name="tiny", batch_size=3)


@pytest.fixture
def copied(bank, tmp_path):
    """A copy of the bank that a test may damage."""
    return Path(shutil.copytree(bank.name, tmp_path / "copied"))


def random_unit(rng: np.random.Generator, rows: int, width: int) -> np.ndarray:
    vectors = rng.standard_normal((rows, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def random_bank(bank: TeacherBank, width: int, seed: int) -> TeacherBank:
    """A teacher of its own width, with the rows of another bank in another order."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(bank.rows.num_rows)
    return dataclasses.replace(
        bank,
        name=f"random {seed}",
        rows=bank.rows.take(pa.array(order)),
        audio=random_unit(rng, len(bank.audio), width),
        captions=random_unit(rng, len(order), width),
    )


def changed(table, row: int, **values):
    """The table with other values in one row."""
    rows = table.to_list()
    rows[row] |= values
    return build_table(rows)


def rewrite_info(directory: Path, **values) -> None:
    path = directory / "bank.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# ---------------------------------------------------------------------------------------------- writing


def test_a_bank_holds_the_teachers_vectors(bank, built, tables):
    model, processor = built
    for table in tables.values():
        teachers = AlignedTeachers.align([bank], None, table)
        audio, _ = embed_clips(model, processor, list(table["audio"]))
        captions = embed_captions(model, processor, list(table["caption"]))
        assert np.abs(np.diff(captions, axis=0)).max() > 0.01
        for row in range(len(table)):
            assert np.abs(teachers.audio_vectors(row) - audio[row]).max() < 1e-6
            assert np.abs(teachers.caption_vectors(row) - captions[row]).max() < 1e-6


def test_a_bank_says_what_it_is_and_where_nothing_lay(bank, built, tables):
    info = json.loads((Path(bank.name) / "bank.json").read_text())
    assert info["fingerprint"] == bank.fingerprint == model_fingerprint(*built)
    assert (info["model_name"], info["width"], info["rows"], info["clips"]) == ("tiny", 12, 14, 7)
    assert info["splits"] == [
        {"source": "sounds", "split": "train", "rows": 10, "clips": 5},
        {"source": "sounds", "split": "validation", "rows": 4, "clips": 2},
    ]
    assert bank.audio.shape == (7, 12) and bank.captions.shape == (14, 12)
    folder = os.path.dirname(tables["train"][0]["audio"]["path"]).encode()
    assert not any(folder in path.read_bytes() for path in Path(bank.name).iterdir())


def test_each_clip_and_each_distinct_caption_is_embedded_once(built, tables, tmp_path, monkeypatch):
    seen = []
    real = teacher_bank.embed_in_shares

    def counting(encoder, clips, captions, **options):
        seen.append((len(clips), len(captions)))
        return real(encoder, clips, captions, **options)

    monkeypatch.setattr(teacher_bank, "embed_in_shares", counting)
    table = changed(tables["train"], 3, caption=tables["train"][0]["caption"])
    bank = write_teacher_bank(tmp_path / "bank", AuricleEncoder(*built), {"train": table}, model_name="tiny")
    assert seen == [(5, 9)]
    assert np.array_equal(bank.captions[3], bank.captions[0])


def test_one_sound_listed_under_two_splits_is_kept_once(built, tables, tmp_path):
    rows = [row | {"row_id": f"{row['row_id']}-other", "split": "test"} for row in tables["train"].to_list()]
    both = {"train": tables["train"], "test": build_table(rows)}
    bank = write_teacher_bank(tmp_path / "bank", AuricleEncoder(*built), both, model_name="tiny")
    assert len(bank.audio) == 5 and bank.rows.num_rows == 20
    assert [part["clips"] for part in bank.splits] == [5, 5]
    for table in both.values():
        assert len(AlignedTeachers.align([bank], None, table)) == 10


def test_a_file_that_cannot_be_read_is_left_out_and_named(built, tables, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"no sound")
    rows = tables["train"].to_list()
    for row in rows[4:6]:
        row["audio"] = row["audio"] | {"path": str(broken)}
    table = build_table(rows)
    bank = write_teacher_bank(tmp_path / "bank", AuricleEncoder(*built), {"train": table}, model_name="tiny")
    assert bank.rows.num_rows == 8 and len(bank.audio) == 4
    (clip,) = bank.unreadable
    assert clip["clip_id"] == rows[4]["clip_id"] and "broken.wav" in clip["reason"]
    assert str(tmp_path) not in clip["reason"]
    readable = [row for row in range(10) if row not in (4, 5)]
    assert len(AlignedTeachers.align([bank], None, table.select(readable))) == 8
    with pytest.raises(BankError, match=r"train_002.wav#0'.* \(2 of 10 rows are not\).*could not be read"):
        AlignedTeachers.align([bank], None, table)


def test_a_bank_of_no_readable_clip_is_an_error(built, tables, tmp_path):
    rows = [row | {"audio": {"path": str(tmp_path / "none.wav")}} for row in tables["train"].to_list()[:2]]
    with pytest.raises(BankError, match=r"none of the 1 clips can be read.*none\.wav"):
        write_teacher_bank(
            tmp_path / "bank", AuricleEncoder(*built), {"train": build_table(rows)}, model_name="tiny"
        )
    assert not (tmp_path / "bank").exists()


@pytest.mark.parametrize("given", [{}, {"train": 0}])
def test_no_rows_to_embed_is_an_error(built, tables, tmp_path, given):
    given = {name: tables[name].select([]) for name in given}
    with pytest.raises(BankError, match="no rows to embed"):
        write_teacher_bank(tmp_path / "bank", AuricleEncoder(*built), given, model_name="tiny")


def test_a_row_that_occurs_twice_is_an_error(built, tables, tmp_path):
    with pytest.raises(
        BankError, match="row 'sounds/train/train_000.wav#0' of 'sounds', split 'train', occurs twice"
    ):
        write_teacher_bank(
            tmp_path / "bank",
            AuricleEncoder(*built),
            {"a": tables["train"], "b": tables["train"]},
            model_name="tiny",
        )


def test_a_table_against_the_schema_is_an_error(built, tables, tmp_path):
    with pytest.raises(DataError, match="no column 'split'"):
        write_teacher_bank(
            tmp_path / "bank",
            AuricleEncoder(*built),
            {"a": tables["train"].remove_columns("split")},
            model_name="tiny",
        )


def test_a_caption_without_a_word_is_an_error_that_names_its_row(built, tables, tmp_path):
    table = changed(tables["train"], 7, caption="?!")
    with pytest.raises(
        BankError, match=r"row 'sounds/train/train_003.wav#1': its caption '\?!' contains no word"
    ):
        write_teacher_bank(tmp_path / "bank", AuricleEncoder(*built), {"train": table}, model_name="tiny")


def test_a_teacher_that_gives_nan_writes_nothing(built, tables, tmp_path):
    model = tiny_model()
    with torch.no_grad():
        model.text_projection.bias[0] = float("nan")
    with pytest.raises(
        BankError, match=r"caption of row sounds/train/train_000.wav#0 has numbers that are not finite"
    ):
        write_teacher_bank(tmp_path / "bank", AuricleEncoder(model, built[1]), tables, model_name="tiny")
    assert not (tmp_path / "bank").exists()


def test_a_directory_with_something_else_is_not_overwritten(built, tables, bank, tmp_path):
    (tmp_path / "thesis.txt").write_text("ten years of work")
    for target in (tmp_path, tmp_path / "thesis.txt"):
        with pytest.raises(BankError, match=r"not overwritten|is a file"):
            write_teacher_bank(target, AuricleEncoder(*built), tables, model_name="tiny")
        with pytest.raises(BankError, match=r"not overwritten|is a file"):
            bank.save(target)
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_a_bank_is_replaced_in_one_swap(bank, copied, monkeypatch):
    other = random_bank(bank, 5, seed=1)
    other.save(copied)
    assert TeacherBank.load(copied).width == 5
    before = sorted(os.listdir(copied.parent))

    def failing(*arguments, **options):
        raise OSError("no space left on device")

    monkeypatch.setattr("auricle.training.teachers.bank_files.save_file", failing)
    with pytest.raises(OSError, match="no space"):
        bank.save(copied)
    with pytest.raises(OSError, match="no space"):
        bank.save(copied.parent / "fresh")
    assert TeacherBank.load(copied).width == 5
    leftovers = set(os.listdir(copied.parent)) - set(before)
    assert leftovers == {"copied.new", "fresh.new"}
    assert not any(TeacherBank.is_one(copied.parent / name) for name in leftovers | {"fresh"})


# --------------------------------------------------------------------------------------------- aligning


@pytest.mark.parametrize("weights", [None, [1.0, 1.0, 1.0], [0.2, 3.0, 0.0], [5, 1, 2]])
def test_the_inner_product_is_the_weighted_mean_of_the_teachers_similarities(bank, tables, weights):
    banks = [bank, random_bank(bank, 7, seed=1), random_bank(bank, 30, seed=2)]
    table = tables["train"].shuffle(seed=3)
    teachers = AlignedTeachers.align(banks, weights, table)
    assert teachers.width == 12 + 7 + 30 and len(teachers) == 10
    shares = np.array(weights or [1, 1, 1], dtype=np.float64) / sum(weights or [1, 1, 1])
    for i in range(len(table)):
        for j in range(len(table)):
            expected = 0.0
            for one, share in zip(banks, shares, strict=True):
                ids = one.rows["row_id"].to_pylist()
                clip = one.rows["clip_index"][ids.index(table[i]["row_id"])].as_py()
                caption = ids.index(table[j]["row_id"])
                audio, text = one.audio[clip].astype(np.float64), one.captions[caption].astype(np.float64)
                expected += share * (audio @ text) / (np.linalg.norm(audio) * np.linalg.norm(text))
            a, c = teachers.audio_vectors(i), teachers.caption_vectors(j)
            assert a.dtype == c.dtype == np.float32 and a.shape == c.shape == (49,)
            assert abs(float(a.astype(np.float64) @ c.astype(np.float64)) - expected) < 1e-6


def test_neither_the_order_of_the_table_nor_what_it_leaves_out_matters(bank, tables):
    table = tables["train"]
    whole = AlignedTeachers.align([bank], None, table)
    order = [8, 1, 5, 0]
    part = AlignedTeachers.align([bank], None, table.select(order))
    assert len(part) == 4
    for place, row in enumerate(order):
        assert np.array_equal(part.audio_vectors(place), whole.audio_vectors(row))
        assert np.array_equal(part.caption_vectors(place), whole.caption_vectors(row))
    both = concatenate_datasets([tables["validation"], table])
    joined = AlignedTeachers.align([bank], None, both)
    assert np.array_equal(joined.caption_vectors(4), whole.caption_vectors(0))


def test_sounds_that_have_moved_are_found(bank, tables):
    rows = [
        row | {"audio": row["audio"] | {"path": f"/elsewhere/{os.path.basename(row['audio']['path'])}"}}
        for row in tables["train"].to_list()
    ]
    moved = AlignedTeachers.align([bank], None, build_table(rows))
    there = AlignedTeachers.align([bank], None, tables["train"])
    assert np.array_equal(moved.audio_vectors(9), there.audio_vectors(9))


def same_name_in_two_splits(tables, row_id: str | None):
    """Two splits with one file name; ``row_id`` is what both call their row, None keeps the schema's names."""
    result = {}
    for number, split in enumerate(("validation", "test")):
        path = tables["train"][2 * number]["audio"]["path"]
        clip = CaptionedClip("clotho", split, "01 A pug.wav", path, [f"a dog barks {number}"])
        rows = [row | ({"row_id": row_id} if row_id else {}) for row in clip.rows()]
        result[split] = build_table(rows)
    return result


@pytest.mark.parametrize("row_id", [None, "01 A pug.wav#0"])
def test_one_file_name_in_two_splits_is_two_clips(built, tables, tmp_path, row_id):
    splits = same_name_in_two_splits(tables, row_id)
    bank = write_teacher_bank(tmp_path / "bank", AuricleEncoder(*built), splits, model_name="tiny")
    assert len(bank.audio) == 2
    vectors = []
    for split, table in splits.items():
        teachers = AlignedTeachers.align([bank], None, table)
        expected, _ = embed_clips(*built, [table[0]["audio"]])
        assert np.abs(teachers.audio_vectors(0) - expected[0]).max() < 1e-6, split
        vectors.append(teachers.audio_vectors(0))
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-3


def test_a_row_of_another_split_is_missing(built, tables, tmp_path):
    splits = same_name_in_two_splits(tables, "01 A pug.wav#0")
    bank = write_teacher_bank(
        tmp_path / "bank", AuricleEncoder(*built), {"a": splits["test"]}, model_name="tiny"
    )
    with pytest.raises(
        BankError,
        match="split 'validation', is not in it.*has a row of this id as one of 'clotho', split 'test'",
    ):
        AlignedTeachers.align([bank], None, splits["validation"])


def test_the_first_missing_row_is_named(built, bank, tables, tmp_path):
    half = write_teacher_bank(
        tmp_path / "half",
        AuricleEncoder(*built),
        {"train": tables["train"].select([0, 1, 3, 5, 6, 7])},
        model_name="tiny",
    )
    expected = (
        r"half: row 'sounds/train/train_001.wav#0' of 'sounds', split 'train', is not in it "
        r"\(4 of 10 rows are not\). It contains 'sounds' 'train' \(6 rows\)"
    )
    with pytest.raises(BankError, match=expected):
        AlignedTeachers.align([bank, half], None, tables["train"])


def test_another_caption_is_an_error_that_names_the_row(bank, tables):
    table = changed(tables["train"], 6, caption="a bell rings at dawn")
    with pytest.raises(
        BankError, match=r"train_003.wav#0' has the caption 'a bell rings at dawn' .*1 of 10 rows"
    ):
        AlignedTeachers.align([bank], None, table)


@pytest.mark.parametrize(
    ("audio", "shown"),
    [
        ({"path": "/elsewhere/other.wav"}, r"'other.wav' from 0 s to its end"),
        ({"offset": 0.25}, r"from 0.25 s to its end"),
        ({"duration": 0.5}, r"from 0 s to 0.5 s"),
    ],
)
def test_another_sound_is_an_error_that_names_the_row(bank, tables, audio, shown):
    rows = tables["train"].to_list()
    for row in rows[4:6]:
        row["audio"] = row["audio"] | audio
    with pytest.raises(BankError, match=rf"train_002.wav#0' has the sound .*{shown}.*2 of 10 rows"):
        AlignedTeachers.align([bank], None, build_table(rows))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "1 weights for 2 teacher banks"),
        ([1.0, -0.5], "weight 1 of the teachers is -0.5"),
        ([float("nan"), 1.0], "weight 0 of the teachers is nan"),
        ([1.0, float("inf")], "weight 1 of the teachers is inf"),
        ([0.0, 0], "are all 0"),
    ],
)
def test_weights_that_cannot_be_are_an_error(bank, tables, weights, message):
    with pytest.raises(BankError, match=message):
        AlignedTeachers.align([bank, bank], weights, tables["train"])


def test_nothing_to_align_is_an_error(bank, tables):
    with pytest.raises(BankError, match="no teacher banks are given"):
        AlignedTeachers.align([], None, tables["train"])
    with pytest.raises(BankError, match="table has no rows"):
        AlignedTeachers.align([bank], None, tables["train"].select([]))
    with pytest.raises(BankError, match=r"lacks the columns \['caption'\]"):
        AlignedTeachers.align([bank], None, tables["train"].remove_columns("caption"))


# ---------------------------------------------------------------------------------------------- loading


def test_a_loaded_bank_is_the_written_one_and_stays_on_disk(bank):
    again = TeacherBank.load(bank.name)
    assert again.rows.equals(bank.rows) and np.array_equal(again.audio, bank.audio)
    assert (again.model_name, again.fingerprint, again.splits) == ("tiny", bank.fingerprint, bank.splits)
    # Vectors that own their numbers would lie in memory, one copy a process.
    assert not again.audio.flags.owndata and not again.captions.flags.owndata


def test_what_is_no_bank_is_refused(copied, tmp_path):
    with pytest.raises(BankError, match="no such directory"):
        TeacherBank.load(tmp_path / "none")
    (copied / "bank.json").unlink()
    assert not TeacherBank.is_one(copied)
    with pytest.raises(BankError, match=r"has no bank.json, so it is not a bank, or was not finished"):
        TeacherBank.load(copied)
    (copied / "bank.json").write_text("{")
    with pytest.raises(BankError, match=r"bank.json: is not valid JSON"):
        TeacherBank.load(copied)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"version": 2}, "has the format version 2; this program reads 1"),
        ({"version": None}, "has the format version None"),
        ({"format": "tar"}, "does not name the format 'auricle teacher bank'"),
        ({"fingerprint": None}, "lacks 'fingerprint'"),
        ({"fingerprint": "0" * 64}, "its files belong to different banks"),
    ],
)
def test_another_format_is_refused(copied, values, message):
    rewrite_info(copied, **values)
    with pytest.raises(BankError, match=message):
        TeacherBank.load(copied)


@pytest.mark.parametrize("name", ["rows.parquet", "audio.safetensors", "captions.safetensors"])
def test_a_missing_or_cut_file_is_named(copied, name):
    content = (copied / name).read_bytes()
    (copied / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(BankError, match="a file is missing or damaged"):
        TeacherBank.load(copied)
    (copied / name).unlink()
    with pytest.raises(BankError, match=rf"a file is missing or damaged \(.*{name}"):
        TeacherBank.load(copied)


def test_files_of_two_banks_are_not_one(bank, copied):
    other = dataclasses.replace(random_bank(bank, 12, seed=1), fingerprint="1" * 64)
    other.save(copied.parent / "other")
    shutil.copy(copied.parent / "other" / "audio.safetensors", copied)
    with pytest.raises(BankError, match="its files belong to different banks"):
        TeacherBank.load(copied)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 0.0, 3.0])
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("audio", "clip sounds/train/train_003.wav"),
        ("captions", "the caption of row sounds/train/train_001.wav#1"),
    ],
)
def test_a_vector_that_is_none_is_named(copied, name, shown, value):
    vectors = load_file(copied / f"{name}.safetensors")["vectors"].copy()
    vectors[3] = value
    save_file({"vectors": vectors}, copied / f"{name}.safetensors")
    with pytest.raises(BankError, match=rf"the vector of {shown} has .* must be a unit vector"):
        TeacherBank.load(copied)


def test_rows_that_do_not_fit_are_refused(bank, copied):
    def replace_rows(rows: pa.Table) -> None:
        parquet.write_table(rows, copied / "rows.parquet")

    replace_rows(bank.rows.slice(0, 0))
    with pytest.raises(BankError, match="contains no rows"):
        TeacherBank.load(copied)
    replace_rows(bank.rows.slice(0, 9))
    with pytest.raises(BankError, match="9 rows do not fit the vectors"):
        TeacherBank.load(copied)
    replace_rows(bank.rows.drop_columns(["split"]))
    with pytest.raises(BankError, match=r"rows.parquet has the columns .* but must have"):
        TeacherBank.load(copied)
    replace_rows(pa.concat_tables([bank.rows.slice(0, 13), bank.rows.slice(0, 1)]))
    with pytest.raises(
        BankError, match="row 'sounds/train/train_000.wav#0' of 'sounds', split 'train', occurs twice"
    ):
        TeacherBank.load(copied)
    index = bank.rows["clip_index"].to_numpy() + 1
    replace_rows(bank.rows.set_column(6, "clip_index", pa.array(index)))
    with pytest.raises(BankError, match="points at other clips than the 7"):
        TeacherBank.load(copied)
