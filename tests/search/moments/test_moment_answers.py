"""Moments of many queries: predicted, written, evaluated by the command, beside the ceiling of an oracle."""

import json

import numpy as np
import pytest
import soundfile
from tiny_models import SAMPLING_RATE, saved_tiny_model, sound
from typer.testing import CliRunner

from auricle.cli.main import app
from auricle.encoders import load_encoder
from auricle.evaluation.metrics.moment_metrics import ceiling_ious, temporal_iou
from auricle.evaluation.moments.moment_queries import read_moment_queries
from auricle.search.moments.moment_answers import answer_moment_queries
from auricle.search.sound_index import SearchError


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("moments")
    saved_tiny_model(root / "model")
    (root / "audio" / "deeper").mkdir(parents=True)
    for name, seconds in (("audio/one", 9.0), ("audio/deeper/two", 4.2)):
        samples = sound(seconds)
        samples[: SAMPLING_RATE * 2] *= 0.001
        soundfile.write(root / f"{name}.wav", samples, SAMPLING_RATE, subtype="FLOAT")
    queries = [
        {"qid": "one_1", "query": "a dog barks", "vid": "one", "duration": 9, "relevant_windows": [[2, 5]]},
        {
            "qid": "one_2",
            "query": "rain falls",
            "vid": "one",
            "duration": 9,
            "relevant_windows": [[0, 1], [7, 9]],
        },
        {"qid": "two_1", "query": "rain falls", "vid": "two", "duration": 4, "relevant_windows": [[1, 5]]},
    ]
    (root / "moments.jsonl").write_text("".join(json.dumps(query) + "\n" for query in queries))
    return root


def run(*arguments, code=0):
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == code, done.output
    return done


@pytest.mark.parametrize("edges", ["dense", "frames", "windows"])
def test_spans_lie_in_their_recordings_and_are_ranked(place, edges):
    queries = read_moment_queries(place / "moments.jsonl").queries
    answers = answer_moment_queries(load_encoder(place / "model"), queries, place / "audio", edges=edges)
    assert answers.edges == edges and answers.spans.keys() == {"one_1", "one_2", "two_1"}
    for query in queries:
        spans = answers.spans[query.qid]
        assert 1 <= len(spans) <= 10
        assert all(0 <= start < end <= query.duration + 0.2 for start, end, _ in spans)
        scores = [score for _, _, score in spans]
        assert scores == sorted(scores, reverse=True)
    assert 0 < answers.ceiling["mIoU"] <= 1
    again = answer_moment_queries(load_encoder(place / "model"), queries[::-1], place / "audio", edges=edges)
    assert again.spans == answers.spans


def test_dense_is_the_default_where_short_windows_are_cheap_and_its_ceiling_is_the_moment_itself(place):
    encoder, queries = load_encoder(place / "model"), read_moment_queries(place / "moments.jsonl").queries
    answers = answer_moment_queries(encoder, queries[:2], place / "audio")
    assert (answers.edges, answers.hop_seconds) == ("dense", 1.0)
    # Moments of a second and more: any edges can be given.
    assert answers.ceiling == {"R1@0.5": 1.0, "R1@0.7": 1.0, "mIoU": pytest.approx(1.0)}
    encoder.__class__ = type("Padded", (type(encoder),), {"embeds_short_windows": False})
    assert answer_moment_queries(encoder, queries[:2], place / "audio").edges == "windows"
    with pytest.raises(SearchError, match="edges='sharp' is not one of 'dense', 'frames', 'windows'"):
        answer_moment_queries(encoder, queries, place / "audio", edges="sharp")


def test_the_command_predicts_evaluates_and_reads_its_own_submission(place, tmp_path):
    where = ("--moments", "--audio", place / "audio", "--edges", "frames", "--no-progress")
    out = ("--json", tmp_path / "report.json", "--submission", tmp_path / "submission.jsonl")
    shown = run("evaluate", place / "model", place / "moments.jsonl", *where, *out)
    assert "3 queries on 2 recordings, 4 true moments" in shown.stdout and "an oracle among" in shown.stdout
    assert "1 true moments end up to one second after" in shown.stderr
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["edges"] == "frames" and report["ceiling"]["mIoU"] >= report["metrics"]["mIoU"]["value"]
    run("evaluate", tmp_path / "submission.jsonl", place / "moments.jsonl", "--moments", *out[:2])
    again = json.loads((tmp_path / "report.json").read_text())
    assert again["metrics"] == report["metrics"] and "ceiling" not in again


def test_what_does_not_go_together_is_one_line(place, tmp_path):
    queries = place / "moments.jsonl"
    lines = queries.read_text().splitlines()
    (tmp_path / "some.jsonl").write_text(json.dumps({"qid": "one_1", "pred_relevant_windows": []}) + "\n")
    (tmp_path / "longer.jsonl").write_text(lines[0].replace('"duration": 9', '"duration": 12') + "\n")
    (tmp_path / "other.jsonl").write_text(lines[0].replace('"vid": "one"', '"vid": "none"') + "\n")
    audio = ("--audio", place / "audio")
    for arguments, message in (
        (("some.jsonl", queries), "2 of 3 queries are missing"),
        (("some.jsonl", queries, *audio), "go with a model"),
        ((place / "model", queries), "needs --audio"),
        ((place / "model", tmp_path / "other.jsonl", *audio), "1 of 1 recordings are missing, first 'none'"),
        ((place / "model", tmp_path / "longer.jsonl", *audio), "lasts 9.000 s, but query 'one_1' gives 12 s"),
        ((place / "model", queries, "--audio", tmp_path / "nowhere"), "not a directory of recordings"),
    ):
        first = tmp_path / arguments[0] if isinstance(arguments[0], str) else arguments[0]
        done = run("evaluate", first, *arguments[1:], "--moments", "--no-progress", code=2)
        error = [line for line in done.stderr.splitlines() if "true moments end up to" not in line]
        assert message in " ".join(error) and "Traceback" not in done.output
    done = run("evaluate", place / "model", queries, *audio, code=2)
    assert "--audio, --edges and --head go with --moments" in done.stderr


def test_a_recording_that_is_there_twice_is_named(place, tmp_path):
    queries = read_moment_queries(place / "moments.jsonl").queries
    for name in ("one.wav", "one.flac", "two.wav"):
        soundfile.write(tmp_path / name, sound(1.0), SAMPLING_RATE)
    with pytest.raises(SearchError, match="both are recording 'one'"):
        answer_moment_queries(load_encoder(place / "model"), queries, tmp_path)


def test_no_span_of_a_finder_beats_its_ceiling():
    generator = np.random.default_rng(0)
    for _ in range(200):
        starts = np.sort(generator.uniform(0, 60, size=12))
        ends = np.sort(generator.uniform(0, 60, size=12))
        true = [
            (float(start), float(start + length)) for start, length in generator.uniform(1, 20, size=(3, 2))
        ]
        spans = [(s, e) for s in starts for e in ends if 3 <= e - s <= 25]
        by_hand = temporal_iou(spans, true).max(axis=0) if spans else np.zeros(3)
        assert np.allclose(ceiling_ious(starts, ends, true, shortest=3, longest=25), by_hand, atol=1e-12)
