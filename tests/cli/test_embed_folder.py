"""`auricle embed MODEL FOLDER OUT.parquet`: vectors of a folder, by one process or two."""

import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as parquet
import pytest
import soundfile
from tiny_models import saved_tiny_model, sound, write_sound
from tiny_recipes import ROOT, environment
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.encoders.auricle_embedding import embed_clips

CONFIG = ROOT / "recipes" / "accelerate" / "cpu_2_processes.yaml"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root = tmp_path_factory.mktemp("embed")
    model, processor = saved_tiny_model(root / "model")
    for number in range(5):
        write_sound(root / "sounds" / f"part {number % 2}" / f"{number}.wav", 0.5 + number, seed=number)
    (root / "sounds" / "broken.wav").write_text("no sound")
    return root, model, processor


def read(path):
    table = parquet.read_table(path)
    rows = dict(zip(table["path"].to_pylist(), np.array(table["embedding"].to_pylist()), strict=True))
    return rows, json.loads(table.schema.metadata[b"auricle"])


def test_the_vectors_of_a_folder(saved):
    root, model, processor = saved
    arguments = [
        "embed",
        str(root / "model"),
        str(root / "sounds"),
        str(root / "out.parquet"),
        "--no-progress",
    ]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    rows, note = read(root / "out.parquet")
    assert list(rows) == sorted(rows) and len(rows) == 5 and len(note["fingerprint"]) == 64
    assert "1 of 6 files are unreadable" in done.stderr and "broken.wav" in done.stderr
    for name, row in rows.items():
        expected, _ = embed_clips(model, processor, [str(root / "sounds" / name)])
        assert np.abs(row - expected[0]).max() < 1e-6


def test_what_is_not_read_is_counted_and_listed(saved, tmp_path):
    root, *_ = saved
    write_sound(tmp_path / "sounds" / "take.wav", 0.5, seed=1)
    for name in ("._take.wav", "a.xyz", "b.xyz", "notes.txt"):
        (tmp_path / "sounds" / name).touch()
    (tmp_path / "sounds" / "broken.wav").write_text("no sound")
    gone, inverse = tmp_path / "sounds" / "gone.wav", tmp_path / "sounds" / "inverse.wav"
    gone.symlink_to("/no/such/file.wav")
    mono = 0.5 * sound(0.5, seed=2)
    soundfile.write(inverse, np.stack([mono, -mono], axis=1), 16_000, subtype="FLOAT")
    paths = [str(path) for path in (root / "model", tmp_path / "sounds", tmp_path / "out.parquet")]
    done = CliRunner().invoke(
        app, ["embed", *paths, "--no-progress", "--json", str(tmp_path / "report.json")]
    )
    assert done.exit_code == 0 and list(read(tmp_path / "out.parquet")[0]) == ["inverse.wav", "take.wav"], (
        done.output
    )
    lines = done.stderr.splitlines()
    assert "2 files with endings that are not read: .xyz (2)" in lines
    assert any(line.startswith("1 file that macOS wrote") for line in lines)
    assert any(line.startswith("1 file skipped: ") and line.endswith(": .wav (1)") for line in lines)
    assert f"  skipped {gone}: a link whose target does not exist (/no/such/file.wav)" in lines
    report = json.loads((tmp_path / "report.json").read_text())
    broken = str(tmp_path / "sounds" / "broken.wav")
    assert [entry["path"] for entry in report["skipped"]] == [broken, str(gone)]
    (remark,) = report["remarks"]
    assert remark["path"] == str(inverse) and remark["reason"].startswith("its channels cancel each other")
    assert f"  note on {inverse}: {remark['reason']}" in lines and report["counts"] == [
        line for line in lines if line[0].isdigit() and not line.startswith("1 of ")
    ]
    assert sorted(entry["ending"] for entry in report["unread"]) == [".wav", ".xyz", ".xyz"]


@pytest.mark.slow
def test_two_processes_write_what_one_does(saved):
    root, *_ = saved
    outs = [root / "one.parquet", root / "two.parquet"]
    launch = ["accelerate.commands.launch", "--config_file", str(CONFIG), "--main_process_port", "0"]
    for out, start in zip(outs, (["auricle"], [*launch, "-m", "auricle"]), strict=True):
        command = [sys.executable, "-m", *start, "embed", str(root / "model"), str(root / "sounds"), str(out)]
        done = subprocess.run(
            [*command, "--no-progress"], env=environment(), capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
    one, two = (read(out)[0] for out in outs)
    assert list(one) == list(two) and all(np.abs(one[name] - two[name]).max() < 1e-6 for name in one)


@pytest.mark.parametrize(
    ("rest", "message"),
    [
        (["sounds"], "not both"),
        (["sounds", "out.csv"], "the file extension must be .parquet"),
        (["nowhere", "out.parquet"], "folder not found"),
        (["model", "out.parquet"], "no audio files found"),
        (["sounds", "out.parquet", "--out", "bank"], "not both"),
    ],
)
def test_bad_arguments(saved, rest, message):
    root, *_ = saved
    paths = [part if part.startswith("--") else str(root / part) for part in rest]
    done = CliRunner().invoke(app, ["embed", str(root / "model"), *paths])
    assert done.exit_code == 2 and message in done.output.replace("\n", " ").replace("│ ", "")
