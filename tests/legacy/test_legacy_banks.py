"""Teacher banks and tables of vectors of earlier versions: read by training, and made alike again."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
import yaml
from safetensors.numpy import load_file
from tiny_recipes import environment
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import load_captioned_folder
from auricle.training.teachers.aligned_teachers import AlignedTeachers
from auricle.training.teachers.teacher_bank import TeacherBank

ELSEWHERE = 2e-6
SPLITS = {"train": 24, "validation": 6, "test": 6}


@pytest.mark.parametrize("split", SPLITS)
def test_training_reads_a_bank(legacy, split):
    folder = legacy.unpacked("banks") / "bank"
    bank = TeacherBank.load(folder)
    assert bank.fingerprint == legacy.recorded("fingerprints")["models/passt"]
    assert {part["split"]: part["rows"] for part in bank.splits} == SPLITS
    assert [clip["clip_id"] for clip in bank.unreadable] == ["captioned/train/train_12.flac"]
    table = load_captioned_folder(legacy.unpacked("run") / "captioned", split=split)
    left_out = {clip["clip_id"] for clip in bank.unreadable}
    table = table.filter(lambda clip: clip not in left_out, input_columns="clip_id")
    assert len(table) == SPLITS[split]
    aligned = AlignedTeachers.align([bank], None, table)
    rows = parquet.read_table(folder / "rows.parquet").to_pylist()
    place = {(row["split"], row["row_id"]): number for number, row in enumerate(rows)}
    vectors = {name: load_file(folder / f"{name}.safetensors")["vectors"] for name in ("audio", "captions")}
    for row, row_id in enumerate(table["row_id"]):
        number = place[split, row_id]
        assert np.array_equal(aligned.caption_vectors(row), vectors["captions"][number])
        assert np.array_equal(aligned.audio_vectors(row), vectors["audio"][rows[number]["clip_index"]])


def test_a_bank_made_now_is_the_same(legacy, tmp_path):
    model, old = legacy.unpacked("models") / "models" / "passt", legacy.unpacked("banks") / "bank"
    arguments = [model, legacy.unpacked("run") / "captioned", "--out", tmp_path / "bank", "--no-progress"]
    done = CliRunner().invoke(app, ["embed", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    one, two = (
        parquet.read_table(folder / "rows.parquet").to_pylist() for folder in (old, tmp_path / "bank")
    )
    assert one == [{name: row[name] for name in one[0]} for row in two]
    for name in ("audio", "captions"):
        expected, found = (
            load_file(folder / f"{name}.safetensors")["vectors"] for folder in (old, tmp_path / "bank")
        )
        np.testing.assert_allclose(found, expected, rtol=0, atol=legacy.tolerance(ELSEWHERE))


def test_vectors_of_a_folder_made_now_are_the_same(legacy, tmp_path):
    model, old = legacy.unpacked("models") / "models" / "passt", legacy.unpacked("banks") / "vectors.parquet"
    arguments = [model, legacy.unpacked("run") / "captioned", tmp_path / "vectors.parquet", "--no-progress"]
    done = CliRunner().invoke(app, ["embed", *map(str, arguments)])
    assert done.exit_code == 0, done.output
    expected, found = map(parquet.read_table, (old, tmp_path / "vectors.parquet"))
    assert found["path"].to_pylist() == expected["path"].to_pylist() and len(expected) == 18
    one, two = (np.array(table["embedding"].to_pylist(), np.float32) for table in (expected, found))
    np.testing.assert_allclose(two, one, rtol=0, atol=legacy.tolerance(ELSEWHERE))
    notes = [json.loads(table.schema.metadata[b"auricle"]) for table in (expected, found)]
    assert notes[0]["fingerprint"] == notes[1]["fingerprint"]
    assert notes[0]["format"] == notes[1]["format"]


@pytest.mark.slow
def test_a_stage_learns_from_a_bank(legacy, tmp_path):
    run = legacy.unpacked("run")
    recipe = yaml.safe_load((run / "recipe.yaml").read_text())
    recipe["data"]["folder"]["path"] = str(run / "captioned")
    recipe["model"]["text"]["pretrained"] = str(run / "text")
    bank = str(legacy.unpacked("banks") / "bank")
    recipe["stages"] = [{"name": "distilled", "distillation": {"teachers": [bank]}}]
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    done = subprocess.run(
        [sys.executable, "-m", "auricle", "train", "recipe.yaml", "--no-progress"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads((tmp_path / "run" / "distilled" / "stage.json").read_text())
    assert [(teacher["source"], teacher["fingerprint"]) for teacher in summary["teachers"]] == [
        (bank, legacy.recorded("fingerprints")["models/passt"])
    ]
    assert not Path(tmp_path / "run" / "distilled" / "teachers").exists()
