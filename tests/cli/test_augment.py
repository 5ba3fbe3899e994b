"""`auricle augment` against a real server on loopback, by rules, and killed in the middle."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as parquet
import pytest
from chat_server import chat_server
from tiny_recipes import environment, write_captioned_folder
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.data import load_captioned_folder
from auricle.data.augmentation import choose_mixes, read_back_translations
from auricle.data.augmentation.caption_mixing import measure_level
from auricle.processing import load_waveform

KEY = "sk-verysecretkey-0123456789"


@pytest.fixture
def server():
    with chat_server() as running:
        yield running


def write_captions(folder, count=6):
    path = folder / "captions.csv"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file_name", "caption"])
        subjects = [
            "A dog barks",
            "Rain falls on a roof",
            "Two people talk in the distance",
            "A train passes by",
        ]
        writer.writerows(
            [[f"{n}.wav", f"{subjects[n % 4]} and clock number {n} ticks"] for n in range(count)]
        )
    return path


def run(*arguments, code=0, env=None):
    done = CliRunner(env=env or {}).invoke(app, ["augment", *map(str, arguments), "--no-progress"])
    assert done.exit_code == code, done.output
    return done.output


def back_translate(dataset, out, server, *more, **options):
    arguments = ["--backend", "openai", "--model", "m", "--base-url", server.url, *more]
    return run("back-translate", dataset, out, *arguments, **options)


def rows(out):
    return parquet.read_table(out / "captions.parquet").to_pylist()


def test_every_caption_goes_there_and_back(server, tmp_path):
    output = back_translate(write_captions(tmp_path), tmp_path / "out", server, "--languages", "de,fr")
    assert "6 of 6 kept (100.0%), 12 requests sent now" in output
    found = rows(tmp_path / "out")
    assert found[0]["row_id"] == "captions/train/0.wav#0"
    assert found[0]["captions_backtranslated"] == [
        "In the recording a dog barks and clock number 0 ticks is heard."
    ]
    assert {row["languages"][0] for row in found} == {"de", "fr"}
    prompts = [body["messages"][0]["content"] for body in server.bodies]
    assert (
        sum(prompt.startswith("Translate this description of a sound from English to") for prompt in prompts)
        == 6
    )
    job = json.loads((tmp_path / "out" / "job.json").read_text())
    assert job["backend"]["model"] == "m" and job["rule_based"] is False and job["kept"] == 6
    assert job["prompt"]["version"].startswith("translate_v1-") and "{text}" in job["prompt"]["text"]
    caption, texts = read_back_translations(tmp_path / "out")["captions/train/5.wav#0"]
    assert caption.startswith("Rain falls") and len(texts) == 1


def test_called_again_nothing_is_asked_and_the_file_stays(server, tmp_path):
    dataset = write_captions(tmp_path)
    back_translate(dataset, tmp_path / "out", server)
    content = (tmp_path / "out" / "captions.parquet").read_bytes()
    assert "6 of 6 kept (100.0%), 0 requests sent now" in back_translate(dataset, tmp_path / "out", server)
    assert (tmp_path / "out" / "captions.parquet").read_bytes() == content
    assert set(server.asked.values()) == {1}
    # Another number of languages asks only what is new.
    assert "12 of 12 kept" in back_translate(dataset, tmp_path / "out", server, "--per-caption", "2")
    assert set(server.asked.values()) == {1} and len(server.asked) == 24


def test_faults_of_a_server_are_overcome(server, tmp_path):
    faults = {2: 429, 4: 500, 6: "cut", 9: 503, 11: "cut"}
    server.fault = lambda number, prompt: faults.get(number)
    output = back_translate(write_captions(tmp_path), tmp_path / "out", server, "--concurrency", "2")
    assert "6 of 6 kept" in output and set(server.asked.values()) == {1}


def test_what_stays_unanswered_is_left_out_and_reported(server, tmp_path):
    server.fault = lambda number, prompt: "garbage" if "clock number 3" in prompt else None
    output = back_translate(write_captions(tmp_path), tmp_path / "out", server)
    assert "5 of 6 kept (83.3%)" in output and "1 skipped: not answered" in output
    assert "the server did not return a completion" in output
    assert rows(tmp_path / "out")[3]["fault"] == "not answered"
    server.fault = lambda number, prompt: None
    assert "6 of 6 kept (100.0%), 2 requests sent now" in back_translate(
        write_captions(tmp_path), tmp_path / "out", server
    )


def test_a_slow_server_is_given_up_for_one_caption(server, tmp_path):
    server.fault = lambda number, prompt: (time.sleep(6) or 500) if "clock number 1" in prompt else None
    output = back_translate(
        write_captions(tmp_path, 3), tmp_path / "out", server, "--timeout", "2", "--max-retries", "0"
    )
    assert "2 of 3 kept" in output and "timed out" in output.lower()


def test_a_server_that_is_gone_stops_the_job_and_keeps_what_it_has(server, tmp_path):
    server.fault = lambda number, prompt: 500 if number > 12 else None
    dataset = write_captions(tmp_path, 40)
    output = back_translate(
        dataset, tmp_path / "out", server, "--max-retries", "0", "--concurrency", "1", code=2
    )
    assert "10 requests in a row failed" in output and "run the command again" in " ".join(output.split())
    server.fault = lambda number, prompt: None
    assert "40 of 40 kept (100.0%), 68 requests sent now" in back_translate(dataset, tmp_path / "out", server)


def test_a_refused_key_stops_at_once_and_is_shown_nowhere(server, tmp_path):
    server.key = "another"
    dataset = write_captions(tmp_path)
    output = back_translate(dataset, tmp_path / "out", server, code=2, env={"OPENAI_API_KEY": KEY})
    assert "the server rejected the API key" in output and len(server.bodies) <= 8
    written = b"".join(path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file())
    for text in (KEY, KEY[:8]):
        assert text not in output and text.encode() not in written


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda prompt: "I'm sorry, but I can't help with that.", "refusal"),
        (lambda prompt: "- a dog\n- a clock\n- a roof", "list"),
        (lambda prompt: "", "empty"),
        (lambda prompt: "A dog barks " * 40, "too long"),
        (lambda prompt: "Ein Hund bellt und die Uhr ist in der Ferne mit dem Regen", "not English"),
        (lambda prompt: prompt.rpartition("\n\n")[2], "copy"),
    ],
)
def test_answers_of_no_use_are_asked_for_anew_and_then_left_out(server, tmp_path, answer, reason):
    server.answer = answer
    output = back_translate(write_captions(tmp_path, 2), tmp_path / "out", server, "--attempts", "2")
    assert "0 of 2 kept" in output and f"2 skipped: {reason}" in output
    assert {row["fault"] for row in rows(tmp_path / "out")} == {reason}
    assert {body["seed"] for body in server.bodies} == {0, 1}


def test_rules_need_no_server_and_say_what_they_are(tmp_path):
    output = run("back-translate", write_captions(tmp_path, 12), tmp_path / "out")
    assert "come from fixed rules, not from a language model" in output and "12 of 12 kept" in output
    assert json.loads((tmp_path / "out" / "job.json").read_text())["rule_based"] is True
    for row in rows(tmp_path / "out"):
        (text,) = row["captions_backtranslated"]
        assert text.lower() != row["caption"].lower() and text.endswith(".")


def test_an_estimate_asks_nothing(tmp_path):
    dataset = write_captions(tmp_path)
    output = run(
        "back-translate", dataset, tmp_path / "out", "--dry-run", "--price-in", "2.5", "--price-out", "10"
    )
    assert output.startswith("12 requests, about ") and "estimated cost: " in output
    assert not (tmp_path / "out").exists()


def kill_at_random(command, env, generator, moments=(0.05, 0.6)):
    """Starts a command, waits until it has kept something, and kills it a moment later; True if it was killed."""
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    journal = command[command.index("back-translate") + 2] + "/answers.sqlite-wal"
    before = os.path.getsize(journal) if os.path.exists(journal) else 0
    while process.poll() is None and (not os.path.exists(journal) or os.path.getsize(journal) == before):
        time.sleep(0.01)
    time.sleep(generator.uniform(*moments))
    process.send_signal(signal.SIGKILL)
    return process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_job_that_is_killed_again_and_again_ends_like_an_unbroken_one(server, tmp_path):
    dataset, out = write_captions(tmp_path, 150), tmp_path / "out"
    server.delay = 0.05
    command = [sys.executable, "-m", "auricle", "augment", "back-translate", str(dataset), str(out)]
    command += [
        "--backend",
        "openai",
        "--model",
        "m",
        "--base-url",
        server.url,
        "--concurrency",
        "4",
        "--no-progress",
    ]
    generator, killed = random.Random(0), 0
    for _ in range(5):
        killed += kill_at_random(command, environment(), generator)
    assert killed == 5
    back_translate(dataset, out, server, "--concurrency", "4")
    # Answers under way at a kill never came in; all others were asked for once.
    assert sum(times - 1 for times in server.asked.values()) <= 5 * 4
    assert len(server.asked) == 300
    server.delay = 0.0
    back_translate(dataset, tmp_path / "unbroken", server)
    assert (out / "captions.parquet").read_bytes() == (
        tmp_path / "unbroken" / "captions.parquet"
    ).read_bytes()


@pytest.fixture
def folder(tmp_path):
    return write_captioned_folder(tmp_path / "sounds", {"train": 4})


@pytest.mark.parametrize("render", [False, True])
def test_mixes_are_a_captioned_folder_that_sounds_like_both(server, folder, tmp_path, render):
    out = tmp_path / "mixes"
    more = [
        "--backend",
        "openai",
        "--model",
        "m",
        "--base-url",
        server.url,
        *(["--render"] if render else []),
    ]
    output = run("mix", folder, out, "--count", "5", "--sampling-rate", "16000", "--gain-db", "3", *more)
    assert "5 of 5 kept" in output
    table, sources = load_captioned_folder(out), load_captioned_folder(folder)
    assert len(table) == 5 and table["rule_based"] == [False] * 5
    sounds = dict(zip(sources["row_id"], sources["audio"], strict=True))
    captions = dict(zip(sources["row_id"], sources["caption"], strict=True))
    mixes = choose_mixes(sources, 5, gain_db=3.0, seed=0)
    for row, mix in zip(table, mixes, strict=True):
        first, second = row["mixed_from"]
        assert row["caption"] == f"{captions[first].rstrip('.')} while {captions[second].lower()}"
        assert row["audio"]["path"].endswith(".flac" if render else ".mix")
        parts = [load_waveform(sounds[one]["path"], sampling_rate=16_000) for one in (first, second)]
        whole = load_waveform(row["audio"]["path"], sampling_rate=16_000)
        longest = max(len(part) for part in parts)
        assert len(whole) == longest and np.abs(whole).max() <= 1
        # What is heard is the two, each at its place with one gain, and nothing else.
        basis = np.zeros((longest, 2))
        for column, part in enumerate(parts):
            start = round(mix.place * (longest - len(part)))
            basis[start : start + len(part), column] = part
        gains, residue, *_ = np.linalg.lstsq(basis, whole, rcond=None)
        assert float(residue[0]) < 1e-5 * float((whole**2).sum())
        levels = [measure_level(part, 16_000).loudness_db for part in parts]
        louder = levels[1] - levels[0] + 20 * np.log10(gains[1] / gains[0])
        assert louder == pytest.approx(mix.gain_db, abs=0.05) and row["gain_db"] == mix.gain_db


def test_mixes_are_a_function_of_their_seed(folder, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run("mix", folder, tmp_path / name, "--count", "4", "--seed", seed)
    first, again, other = ((tmp_path / name / "metadata.jsonl").read_text() for name in "abc")
    assert first == again != other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["back-translate", "captions.csv", "out", "--languages", "de,xx"], "unknown language 'xx'"),
        (["back-translate", "captions.csv", "out", "--backend", "openai"], "--backend openai needs --model"),
        (
            ["back-translate", "captions.csv", "out", "--backend", "openai", "--model", "m"],
            "no API key found: set OPENAI_API_KEY",
        ),
        (
            ["back-translate", "captions.csv", "out", "--per-caption", "9"],
            "must be from 1 to the number of languages",
        ),
        (
            ["back-translate", "captions.csv", "out", "--prompt", "captions.csv"],
            "the field {source} is missing",
        ),
        (["mix", "sounds", "out", "--count", "999"], "cannot draw 999 mixes: the dataset has only "),
        (
            ["mix", "captions.csv", "out", "--count", "1"],
            "this file contains captions only; the command also needs audio",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(folder, tmp_path, monkeypatch, arguments, message):
    write_captions(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    output = run(*arguments, code=2)
    assert message in " ".join(output.split()) and "Traceback" not in output
