"""`auricle ask`: ranks, what is printed, and one line with exit code 2 for whatever is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from tiny_models import sound, tiny_model_and_processor, write_sound
from typer.testing import CliRunner

from auricle.cli.main import app

SENTENCE = "a dog barks, then rain falls"


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    model, processor = tiny_model_and_processor(folder)
    model.save_pretrained(folder / "model")
    processor.save_pretrained(folder / "model")
    return folder / "model", model, processor


GOOD = ["b.wav", "a.flac", "below/c.ogg", "below/deeper/D.WAV", "e.mp3"]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    for seed, name in enumerate(GOOD):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rate = 32_000 if name.endswith("mp3") else 16_000
        if name.endswith("WAV"):
            soundfile.write(path, sound(2.5, rate, seed), rate, format="WAV", subtype="FLOAT")
        else:
            write_sound(path, 0.5 + seed, rate, seed)
    (folder / "notes.txt").write_text("no sound by its name")
    (folder / "empty.wav").touch()
    (folder / "text.flac").write_text("not a sound at all\n" * 10)
    broken = sound(1.0)
    broken[5] = np.nan
    soundfile.write(folder / "below" / "nan.wav", broken, 16_000, subtype="FLOAT")
    (folder / "folder.wav").mkdir()
    return folder


BROKEN = ["below/nan.wav", "empty.wav", "text.flac"]


def ask(*arguments):
    return CliRunner().invoke(app, ["ask", *map(str, arguments)])


def expected_ranking(saved, sounds, sentence=SENTENCE):
    _, model, processor = saved
    with torch.no_grad():
        query = model.get_text_features(**processor(text=sentence)).pooler_output[0]
        scores = {}
        for name in GOOD:
            clip = model.get_audio_features(**processor(audio=[str(sounds / name)])).pooler_output[0]
            scores[str(sounds / name)] = float(clip @ query)
    return sorted(scores.items(), key=lambda pair: -pair[1])


def assert_one_line_error(result, *words):
    assert result.exit_code == 2
    assert result.stdout == ""
    # Warnings of the libraries below may stand before it; the error is one line, and no traceback.
    lines = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, result.stderr
    assert result.stderr.rstrip().endswith(lines[0])
    assert "Traceback" not in result.stderr
    for word in words:
        assert str(word) in lines[0]


# ------------------------------------------------------------------------------------------ answers


def test_ranked_answers(saved, sounds):
    result = ask(saved[0], sounds, SENTENCE, "--no-progress")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    expected = expected_ranking(saved, sounds)
    assert [line.split(maxsplit=2)[2] for line in lines] == [path for path, _ in expected]
    assert [line.split()[0] for line in lines] == ["1.", "2.", "3.", "4.", "5."]
    for line, (_, score) in zip(lines, expected, strict=True):
        assert float(line.split()[1]) == pytest.approx(score, abs=6e-4)


def test_broken_files_are_listed_and_left_out(saved, sounds):
    result = ask(saved[0], sounds, SENTENCE, "--no-progress")
    lines = [line for line in result.stderr.splitlines() if str(sounds) in line]
    assert "3 of 8 files are unreadable:" in result.stderr
    assert [line.strip().split(": ")[0] for line in lines] == [str(sounds / name) for name in BROKEN]
    assert "NaN" in lines[0] and "empty" in lines[1] and "not an audio file" in lines[2]
    assert not any(str(sounds / name) in result.stdout for name in BROKEN)


def test_json(saved, sounds):
    result = ask(saved[0], sounds, SENTENCE, "--json", "--no-progress", "--top", "3")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert set(answer) == {"sentence", "answers", "unreadable", "skipped", "unread", "remarks", "counts"}
    assert answer["sentence"] == SENTENCE
    expected = expected_ranking(saved, sounds)[:3]
    assert [entry["path"] for entry in answer["answers"]] == [path for path, _ in expected]
    assert [entry["score"] for entry in answer["answers"]] == pytest.approx(
        [s for _, s in expected], abs=1e-6
    )
    assert [entry["path"] for entry in answer["unreadable"]] == [str(sounds / name) for name in BROKEN]
    assert all(entry["path"] in entry["reason"] for entry in answer["unreadable"])


@pytest.mark.parametrize(("top", "count"), [(1, 1), (2, 2), (50, 5)])
def test_how_many_answers(saved, sounds, top, count):
    result = ask(saved[0], sounds, SENTENCE, "-k", top, "--no-progress")
    assert len(result.stdout.splitlines()) == count


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_the_batch_size_changes_no_rank(saved, sounds, batch_size):
    result = ask(saved[0], sounds, SENTENCE, "--json", "--batch-size", batch_size, "--no-progress")
    paths = [entry["path"] for entry in json.loads(result.stdout)["answers"]]
    assert paths == [path for path, _ in expected_ranking(saved, sounds)]


def test_equal_sounds_stand_in_the_order_of_their_paths(saved, tmp_path):
    for name in ("z.wav", "a.wav", "m.wav"):
        write_sound(tmp_path / name, 1.0, seed=1)
    result = ask(saved[0], tmp_path, SENTENCE, "--no-progress")
    assert [Path(line.split()[2]).name for line in result.stdout.splitlines()] == ["a.wav", "m.wav", "z.wav"]
    assert len({line.split()[1] for line in result.stdout.splitlines()}) == 1


def test_file_names_of_any_kind(saved, tmp_path):
    names = ["with space.wav", "\N{GREEK SMALL LETTER ALPHA}.wav", "'quoted'.wav", "-dash.wav"]
    for seed, name in enumerate(names):
        write_sound(tmp_path / name, 0.5, seed=seed)
    answers = json.loads(ask(saved[0], tmp_path, SENTENCE, "--json", "--no-progress").stdout)["answers"]
    assert sorted(Path(answer["path"]).name for answer in answers) == sorted(names)


@pytest.mark.skipif(sys.platform != "linux", reason="other file systems refuse such a name")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_file_name_that_is_no_text(saved, tmp_path, options):
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav")
    os.rename(write_sound(tmp_path / "plain.wav"), path)
    result = ask(saved[0], tmp_path, SENTENCE, "--no-progress", *options)
    assert result.exit_code == 0, result.exception
    assert "caf" in result.stdout


# ------------------------------------------------------------------------------------------- errors


def test_no_such_folder(saved, tmp_path):
    assert_one_line_error(
        ask(saved[0], tmp_path / "nowhere", SENTENCE), tmp_path / "nowhere", "folder not found"
    )


def test_a_file_in_place_of_the_folder(saved, sounds):
    assert_one_line_error(ask(saved[0], sounds / "b.wav", SENTENCE), sounds / "b.wav", "folder")


def test_a_folder_without_sounds(saved, tmp_path):
    (tmp_path / "notes.txt").write_text("nothing to hear")
    assert_one_line_error(ask(saved[0], tmp_path, SENTENCE), tmp_path, "no audio files found")


def test_eight_bit_layers_answer_nearly_the_same(saved, sounds):
    exact = json.loads(ask(saved[0], sounds, SENTENCE, "--json", "--no-progress").stdout)["answers"]
    rounded = json.loads(ask(saved[0], sounds, SENTENCE, "--json", "--no-progress", "--int8").stdout)[
        "answers"
    ]
    scores = [{answer["path"]: answer["score"] for answer in answers} for answers in (exact, rounded)]
    assert scores[0].keys() == scores[1].keys() and scores[0] != scores[1]
    assert all(abs(scores[0][path] - scores[1][path]) < 0.05 for path in scores[0])


@pytest.mark.parametrize("sentence", ["", "   ", "?!..."])
def test_a_sentence_without_a_word(saved, sounds, sentence):
    assert_one_line_error(ask(saved[0], sounds, sentence), repr(sentence), "no word")


def test_a_text_of_ten_thousand_characters_is_answered(saved, sounds):
    result = ask(saved[0], sounds, "dog " * 2_500, "--no-progress")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 5


def test_no_model(sounds, tmp_path):
    assert_one_line_error(ask(tmp_path / "nowhere", sounds, SENTENCE), tmp_path / "nowhere")
    assert_one_line_error(ask(tmp_path, sounds, SENTENCE), tmp_path, "no config.json")


def test_a_damaged_model(saved, sounds, tmp_path):
    model, processor = saved[1:]
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 1000)
    assert_one_line_error(ask(tmp_path, sounds, SENTENCE), tmp_path, "weights cannot be loaded")


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_folder_of_broken_files_is_no_success(saved, tmp_path, options):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("not a sound")
    result = ask(saved[0], tmp_path, SENTENCE, "--no-progress", *options)
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    for name in ("empty.wav", "text.wav"):
        assert str(tmp_path / name) in result.output
    if options:
        assert json.loads(result.stdout)["answers"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["model"],
        ["model", "folder"],
        ["model", "folder", "dog", "--top", "0"],
        ["m", "f", "s", "--batch-size", "0"],
    ],
)
def test_faulty_usage(arguments):
    result = ask(*arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


# ------------------------------------------------------------------------------------- as a command


def run(*arguments, **options):
    return subprocess.run(
        [sys.executable, *map(str, arguments)], capture_output=True, text=True, timeout=120, **options
    )


def test_the_real_command(saved, sounds, tmp_path):
    result = run("-m", "auricle", "ask", saved[0], sounds, SENTENCE, "--json", "--no-progress", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    answers = json.loads(result.stdout)["answers"]
    assert [answer["path"] for answer in answers] == [path for path, _ in expected_ranking(saved, sounds)]


HELP = """
import sys
from auricle.cli.main import main
sys.argv = ["auricle", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
heavy = {name.split(".")[0] for name in sys.modules} & {"torch", "transformers", "datasets", "numpy", "soundfile"}
print("HEAVY", sorted(heavy))
"""


@pytest.mark.parametrize("arguments", [["--help"], ["ask", "--help"], ["train", "--help"]])
def test_help_loads_nothing_heavy(arguments, tmp_path):
    result = run("-c", HELP, *arguments, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Usage" in result.stdout
    assert "HEAVY []" in result.stdout


def test_links_unread_files_and_remarks_are_in_the_report(saved, tmp_path):
    folder = tmp_path / "sounds"
    write_sound(folder / "a.wav", 0.5, 16_000, 1)
    mono = 0.5 * sound(0.5, seed=2)
    inverse = folder / "inverse.wav"
    soundfile.write(inverse, np.stack([mono, -mono], axis=1), 16_000, subtype="FLOAT")
    (folder / "a.xyz").touch()
    (folder / "gone.wav").symlink_to("/no/such/file.wav")
    done = ask(saved[0], folder, SENTENCE, "--json", "--no-progress")
    report = json.loads(done.stdout)
    assert len(report["answers"]) == 2 and report["unreadable"] == []
    assert [entry["path"] for entry in report["skipped"]] == [str(folder / "gone.wav")]
    assert [entry["path"] for entry in report["unread"]] == [str(folder / "a.xyz")]
    assert [entry["path"] for entry in report["remarks"]] == [str(inverse)]
    lines = ask(saved[0], folder, SENTENCE, "--no-progress").stderr.splitlines()
    assert set(report["counts"]) <= set(lines) and len(report["counts"]) == 3
    assert f"  note on {inverse}: {report['remarks'][0]['reason']}" in lines
