"""Bad moment files through the real command line: each is one line that names the file and the value."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from tiny_models import saved_tiny_model, write_sound
from tiny_recipes import environment

pytestmark = pytest.mark.slow

QUERY = {"qid": "a_1", "query": "a dog barks", "vid": "a", "duration": 60, "relevant_windows": [[2, 5]]}
PREDICTION = {"qid": "a_1", "query": "a dog barks", "vid": "a", "pred_relevant_windows": [[2, 5, 0.9]]}


def auricle(place, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "auricle", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=place,
        env=environment(),
        timeout=600,
    )


def write_lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.mark.parametrize(
    ("query", "prediction", "told"),
    [
        (
            {"relevant_windows": [[58, 99]]},
            {},
            "q.jsonl, line 1: the moment [58, 99] is outside the recording of 60",
        ),
        ({"relevant_windows": [[5, 2]]}, {}, "q.jsonl, line 1: the moment [5, 2] ends before it starts."),
        ({"relevant_windows": [[5, 5]]}, {}, "q.jsonl, line 1: the moment [5, 5] has length zero."),
        (
            {"relevant_windows": []},
            {},
            "q.jsonl, line 1: query 'a_1' has no true moment; relevant_windows is empty.",
        ),
        ({}, {"vid": "b"}, "p.jsonl, line 1: predicts recording 'b', but query 'a_1' is about 'a'."),
        ({}, {"qid": "b_1"}, "p.jsonl, line 1: qid 'b_1' is not among the 1 queries."),
        (
            {},
            {"pred_relevant_windows": [[2, 5, float("nan")]]},
            "p.jsonl, line 1: the prediction [2, 5, nan] needs a finite score as its third number.",
        ),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path, query, prediction, told):
    write_lines(tmp_path / "q.jsonl", {**QUERY, **query})
    write_lines(tmp_path / "p.jsonl", {**PREDICTION, **prediction})
    done = auricle(tmp_path, "evaluate", "p.jsonl", "q.jsonl", "--moments")
    assert done.returncode == 2 and done.stdout == ""
    assert told in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_overlapping_duplicates_count_and_are_reported(tmp_path):
    write_lines(tmp_path / "q.jsonl", {**QUERY, "relevant_windows": [[2, 5], [2, 5], [4, 9]]})
    write_lines(tmp_path / "p.jsonl", {**PREDICTION, "pred_relevant_windows": [[2, 5, 0.9], [2, 5, 0.9]]})
    done = auricle(tmp_path, "evaluate", "p.jsonl", "q.jsonl", "--moments")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "q.jsonl: 1 true moments are listed twice; each counts as often as it is listed.",
        "q.jsonl: 1 true moments overlap an earlier one of their query; each counts as a moment of its own.",
    ]
    assert "3 true moments" in done.stdout


@pytest.mark.parametrize("edges", ["dense", "windows", "frames"])
def test_a_recording_shorter_than_a_frame_is_answered(tmp_path, edges):
    """Of a hundredth of a second and of one sample: one span, within the recording."""
    saved_tiny_model(tmp_path / "encoder")
    write_sound(tmp_path / "audio" / "a.wav", 0.01, seed=1)
    soundfile.write(tmp_path / "audio" / "b.wav", np.ones(1, np.float32), 16000)
    write_lines(
        tmp_path / "q.jsonl",
        {**QUERY, "duration": 0.01, "relevant_windows": [[0, 0.01]]},
        {**QUERY, "qid": "b_1", "vid": "b", "duration": 1 / 16000, "relevant_windows": [[0, 1 / 16000]]},
    )
    done = auricle(
        *(tmp_path, "evaluate", "encoder", "q.jsonl", "--moments", "--audio", "audio", "--edges", edges),
        *("--submission", "out.jsonl", "--no-progress"),
    )
    assert done.returncode == 0, done.stderr
    for record in map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines()):
        ((start, end, score),) = record["pred_relevant_windows"]
        assert start == 0 and 0 < end <= 0.01 and np.isfinite(score)
    again = auricle(tmp_path, "evaluate", "out.jsonl", "q.jsonl", "--moments")
    assert again.returncode == 0, again.stderr
