"""The commands with a public model: a tiny CLAP from its directory, and what each prints of its vectors."""

import json

import numpy as np
import pytest
from public_models import save_clap
from tiny_models import write_sound
from tiny_recipes import write_captioned_folder
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.encoders import load_encoder
from auricle.encoders.recordings.recording_windows import embed_recording

SENTENCE = "a dog barks while rain falls"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A saved CLAP, sounds of under one window, over one and three of them, and an index of these."""
    root = tmp_path_factory.mktemp("clap")
    (root / "clap").mkdir()
    save_clap(root / "clap")
    for name, seconds in (("short", 1.0), ("medium", 12.0), ("long", 25.0)):
        write_sound(root / "sounds" / f"{name}.wav", seconds, seed=len(name))
    write_captioned_folder(root / "captioned", {"test": 4})
    done = run("index", root / "sounds", "--model", root / "clap", "--index", root / "index", "--no-progress")
    assert "3 added" in done.stdout and "6 windows embedded" in done.stdout
    return root, load_encoder(root / "clap", device="cpu")


def run(*arguments):
    done = CliRunner().invoke(app, list(map(str, arguments)))
    assert done.exit_code == 0, done.output
    return done


def best_window(encoder, path, vector):
    """The highest cosine of a file's windows."""
    return float((embed_recording(encoder, path, hop_seconds=10.0).vectors @ vector).max())


def test_search_ranks_by_the_models_cosines(place):
    root, encoder = place
    answers = json.loads(
        run("search", SENTENCE, "--index", root / "index", "--template", "{}", "--json").stdout
    )
    query = encoder.embed_texts([SENTENCE])[0]
    scores = {path: best_window(encoder, path, query) for path in (root / "sounds").iterdir()}
    expected = sorted(scores, key=scores.get, reverse=True)
    assert [hit["path"] for hit in answers] == [str(path) for path in expected]
    # The index keeps half precision.
    assert [hit["score"] for hit in answers] == pytest.approx([scores[path] for path in expected], abs=2e-3)


def test_similar_finds_the_nearest(place):
    root, _ = place
    given = root / "sounds/medium.wav"
    answers = json.loads(run("similar", given, "--index", root / "index", "--json").stdout)
    assert len(answers) == 2 and str(given) not in [hit["path"] for hit in answers]
    assert answers[0]["score"] >= answers[1]["score"] > 0


def test_moments_lie_within_the_file(place):
    root, _ = place
    done = run("moments", root / "sounds/long.wav", SENTENCE, "--index", root / "index", "--json")
    spans = json.loads(done.stdout)
    assert spans and all(0 <= span["start"] < span["end"] <= 25.0 for span in spans)


def test_embed_writes_the_models_vectors(place, tmp_path):
    from auricle.training.teachers.teacher_bank import TeacherBank

    root, encoder = place
    run("embed", root / "clap", root / "captioned", "--out", tmp_path / "bank", "--no-progress")
    bank = TeacherBank.load(tmp_path / "bank")
    assert bank.fingerprint == encoder.fingerprint
    clips = sorted((root / "captioned").rglob("*.wav"))
    expected, _ = encoder.embed_clips([str(path) for path in clips])
    cosines = np.asarray(bank.audio, dtype=np.float32) @ expected.T
    assert len(clips) == 4 and np.allclose(np.sort(cosines.max(axis=0)), 1, atol=1e-3)


def test_evaluate_reports_the_models_figures(place, tmp_path):
    from auricle.data import load_captioned_folder
    from auricle.evaluation.retrieval import evaluate_retrieval

    root, encoder = place
    out = tmp_path / "r.json"
    options = ("--json", out, "--resamples", 10, "--no-progress")
    run("evaluate", root / "clap", root / "captioned", "--split", "test", *options)
    expected, _ = evaluate_retrieval(encoder, load_captioned_folder(root / "captioned", split="test"))
    report = json.loads(out.read_text())
    for direction in ("text_to_audio", "audio_to_text"):
        for name, entry in report["single"][direction]["metrics"].items():
            assert entry["value"] == pytest.approx(expected[f"{direction}_{name}"])


def test_ask_and_zero_shot(place):
    from auricle.evaluation.zero_shot import classify_sounds

    root, encoder = place
    done = run("ask", root / "clap", root / "sounds", SENTENCE, "--no-progress")
    rows, _ = encoder.embed_clips([str(path) for path in sorted((root / "sounds").iterdir())])
    best = max(rows @ encoder.embed_texts([SENTENCE])[0])
    assert f" 1. {best:.3f}" in done.stdout
    (shares,) = classify_sounds(encoder, [str(root / "sounds/short.wav")], ["dog", "rain"])
    assert sum(share for _, share in shares) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ask", "clap", "sounds", "rain", "--int8"), "precision 'int8' is not one of float32"),
        (("export", "clap", "out"), "contains a model of type 'clap'; expected 'auricle'"),
        (("search", "!?", "--index", "index"), "no word"),
    ],
)
def test_what_it_cannot_is_said_in_one_line(place, monkeypatch, arguments, message):
    monkeypatch.chdir(place[0])
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 2 and message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
