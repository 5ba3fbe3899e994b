"""Checkpoints that came in parts are read from the parts; what is no part is left alone."""

import json
import random
from pathlib import Path

import pytest
from miniature_retrieval import cut, refused, tokenizer_dir, write_miniature

from auricle.conversion import ConversionError, convert_retrieval
from auricle.conversion.convert import new_directory, sha256_of


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory) -> Path:
    return tokenizer_dir(tmp_path_factory.mktemp("tokenizer"))


@pytest.mark.parametrize("pattern", ["passt_roberta.{}.ckpt", "passt_roberta.ckpt.00{}", "part{}"])
def test_parts_are_joined_by_the_first_one_by_any_and_by_all(pattern, tokenizer, tmp_path):
    path = write_miniature(tmp_path, "salsa")
    whole = sha256_of(path)
    parts = cut(path, 5, pattern)
    (tmp_path / "passt_roberta.note.txt").write_text("beside them")
    shuffled = random.Random(0).sample(parts, k=5)
    for number, given in enumerate((parts[0], parts[3], shuffled)):
        report = convert_retrieval(given, tmp_path / f"out{number}", tokenizer=tokenizer)
        assert report.source_sha256 == whole
    record = json.loads((tmp_path / "out0" / "conversion.json").read_text())
    assert record["source"] == [part.name for part in parts]
    assert {path.name for path in tmp_path.iterdir()} == {
        *(part.name for part in parts),
        "passt_roberta.note.txt",
        "out0",
        "out1",
        "out2",
    }


def test_ten_parts_stand_in_the_order_of_their_numbers(tokenizer, tmp_path):
    parts = cut(write_miniature(tmp_path, "salsa"), 11)
    convert_retrieval(sorted(parts, key=str), tmp_path / "out", tokenizer=tokenizer)
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_missing_part_is_named(tokenizer, tmp_path):
    parts = cut(write_miniature(tmp_path, "salsa"), 5)
    parts[2].rename(tmp_path / "elsewhere")
    message = refused(parts[0], tmp_path / "target", tokenizer)
    assert (
        "part 3 is missing; found are passt_roberta.1.ckpt, passt_roberta.2.ckpt, passt_roberta.4" in message
    )
    (tmp_path / "elsewhere").rename(parts[2])
    parts[4].unlink()
    message = refused(parts[0], tmp_path / "target", tokenizer)
    assert "passt_roberta.1.ckpt and 3 more parts: the file is truncated" in message
    assert "the table of contents at its end is missing" in message
    assert "no such file" in refused([*parts[:4], parts[4]], tmp_path / "target", tokenizer)
    for part in parts[1:4]:
        part.unlink()
    assert "one of several parts" in refused(parts[0], tmp_path / "target", tokenizer)


def test_whole_files_are_not_joined(tokenizer, tmp_path):
    first = write_miniature(tmp_path, "salsa").rename(tmp_path / "epoch.1.ckpt")
    second = write_miniature(tmp_path, "dcase2025_baseline").rename(tmp_path / "epoch.2.ckpt")
    assert "epoch.1.ckpt: is a whole checkpoint" in refused([first, second], tmp_path / "target", tokenizer)


def test_what_cannot_be_read_while_a_directory_is_made_is_named(tmp_path):
    out = tmp_path / "out"
    with (
        pytest.raises(
            ConversionError, match=r"absent\.ckpt: cannot read the file or directory: No such file"
        ),
        new_directory(out),
    ):
        (tmp_path / "absent.ckpt").read_bytes()
    with (
        pytest.raises(ConversionError, match="out: cannot write the file or directory: No such file"),
        new_directory(out) as building,
    ):
        (building / "sub" / "file").write_bytes(b"")
    assert list(tmp_path.iterdir()) == []


def test_numbered_files_that_are_no_parts_are_left_alone(tokenizer, tmp_path):
    first = write_miniature(tmp_path, "salsa").rename(tmp_path / "epoch.1.ckpt")
    second = write_miniature(tmp_path, "dcase2025_baseline").rename(tmp_path / "epoch.2.ckpt")
    for number, path in enumerate((first, second)):
        report = convert_retrieval(path, tmp_path / str(number), tokenizer=tokenizer)
        assert report.source_sha256 == sha256_of(path)
