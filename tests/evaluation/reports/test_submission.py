"""The submission file."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from planted import planted_similarities

from auricle.evaluation.reports.submission import write_submission


def rows_of(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_file_names_stand_in_the_order_of_their_scores(tmp_path):
    planted = planted_similarities(clips=20)
    write_submission(tmp_path / "s.csv", planted, queries=[0, 7])
    header, first, second = rows_of(tmp_path / "s.csv")
    assert header == ["query", *(f"audio_filename_{n}" for n in range(1, 17))]
    assert first[0] == "caption 0 of clip 0" and second[0] == planted.queries[7]
    best = np.argsort(-planted.scores[7])[:16]
    assert second[1:] == [f"{clip}.wav" for clip in best]


def test_equal_captions_are_written_once_and_ties_keep_their_order(tmp_path):
    planted = planted_similarities(clips=3, captions=1)
    planted = replace(
        planted, queries=["same, twice", "same, twice", "other"], scores=np.zeros((3, 3), np.float32)
    )
    write_submission(tmp_path / "s.csv", planted, ranked=2)
    assert rows_of(tmp_path / "s.csv")[1:] == [["same, twice", "0.wav", "1.wav"], ["other", "0.wav", "1.wav"]]


def test_clips_of_one_name_are_refused(tmp_path):
    planted = planted_similarities(clips=3)
    planted = replace(planted, clip_ids=["a/test/x.wav", "b/test/x.wav", "a/test/y.wav"])
    with pytest.raises(ValueError, match=r"two clips are called 'x\.wav'"):
        write_submission(tmp_path / "s.csv", planted)
    with pytest.raises(ValueError, match="ranked=0"):
        write_submission(tmp_path / "s.csv", planted, ranked=0)
    assert not list(tmp_path.iterdir())
