"""The protocol's figures against one query at a time, and the DCASE annotations where they are there."""

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
from planted import average_precision, planted_similarities

from auricle.data import load_clotho
from auricle.evaluation.protocol import (
    clip_values,
    evaluate_similarities,
    has_all_parts,
    query_values,
    relevance_by_value,
    split_values,
)
from auricle.evaluation.relevance import match_relevance, read_relevance
from auricle.evaluation.reports.report_table import format_report
from auricle.evaluation.reports.submission import write_submission
from auricle.evaluation.similarities import Similarities, SimilarityError

SHARED = os.environ.get("AURICLE_DATA_DIR")


def test_single_annotation_is_the_clip_that_the_caption_was_written_for():
    planted = planted_similarities()
    values = query_values(planted)
    assert len(values["mAP@10"]) == 36
    for query, own in enumerate(planted.clip_of_query):
        row = planted.scores[query]
        assert values["mAP@10"][query] == pytest.approx(average_precision(row, [own], 10), abs=1e-12)
        assert values["R@5"][query] == (int((row > row[own]).sum()) < 5)


def test_multiple_annotations_count_every_clip_that_fits():
    planted = planted_similarities()
    relevant = {0: [0, 4, 7], 5: [1], 9: list(range(12))}
    values = query_values(planted, relevant)
    for place, (query, clips) in enumerate(relevant.items()):
        for cutoff in (10, 16):
            assert values[f"mAP@{cutoff}"][place] == pytest.approx(
                average_precision(planted.scores[query], clips, cutoff), abs=1e-12
            )


def test_audio_to_text_takes_a_clips_own_captions():
    planted = planted_similarities()
    values = clip_values(planted)
    for clip in range(12):
        expected = average_precision(planted.scores[:, clip], [3 * clip, 3 * clip + 1, 3 * clip + 2], 16)
        assert values["mAP@16"][clip] == pytest.approx(expected, abs=1e-12)


def test_audio_to_text_of_complete_annotations_takes_every_fitting_caption():
    planted = planted_similarities()
    groups = [query % 4 for query in range(36)]
    relevant = relevance_by_value(groups, [0, 1, 2, 3] * 3)
    values = clip_values(planted, relevant)
    for clip in range(12):
        fitting = [query for query in range(36) if groups[query] == clip % 4]
        expected = average_precision(planted.scores[:, clip], fitting, 16)
        assert values["mAP@16"][clip] == pytest.approx(expected, abs=1e-12)
    del relevant[7]
    assert clip_values(planted, relevant) is None
    older = split_values(planted)
    assert has_all_parts(older, planted, relevant) and has_all_parts(older, planted, None)
    assert not has_all_parts(older, planted, relevant | {7: [3]})


def test_the_report_holds_all_parts_and_json_takes_it():
    planted = planted_similarities()
    relevant = {0: [0], 1: [0, 3], 2: [0, 1, 2, 3], 3: [1, 2, 5], 4: [1]}
    report = json.loads(json.dumps(evaluate_similarities(planted, relevant=relevant, resamples=200)))
    parts = report["multi_by_relevant"]
    assert {name: part["queries"] for name, part in parts.items()} == {"1": 2, "2-3": 2, "4+": 1}
    whole = report["multi"]["text_to_audio"]
    assert whole["queries"] == 5
    mean = sum(part["queries"] * part["metrics"]["mAP@16"]["value"] for part in parts.values()) / 5
    assert whole["metrics"]["mAP@16"]["value"] == pytest.approx(mean)
    assert report["single"]["text_to_audio"]["queries"] == 36
    assert report["single"]["audio_to_text"]["queries"] == 12
    lines = format_report(report)
    assert any(line.startswith("  2-3 relevant") for line in lines)
    assert any(f"{whole['metrics']['mAP@16']['value']:.4f} [" in line for line in lines)


def test_the_difference_of_two_systems_is_paired():
    better, worse = (
        planted_similarities(noise=0.3, name="better"),
        planted_similarities(noise=0.9, name="worse"),
    )
    report = evaluate_similarities(better, against=worse, resamples=300)
    single = report["single"]["text_to_audio"]
    gain = query_values(better)["mAP@16"].mean() - query_values(worse)["mAP@16"].mean()
    assert single["difference"]["mAP@16"]["value"] == pytest.approx(gain)
    assert single["difference"]["mAP@16"]["low"] > 0
    same = evaluate_similarities(better, against=better, resamples=50)
    assert same["single"]["text_to_audio"]["difference"]["R@1"] == {"value": 0, "low": 0, "high": 0}
    lines = format_report(report)
    table = lines[lines.index("difference from worse, paired by query") + 2 :]
    # Two blanks at least between columns, though a signed difference is wider than a figure.
    assert [len(re.split(r" {2,}", line.strip())) for line in table] == [6, 7, 7]


def test_systems_of_other_clips_are_not_compared():
    with pytest.raises(SimilarityError, match="planted has 12 clips, planted has 11"):
        evaluate_similarities(planted_similarities(), against=planted_similarities(clips=11))


def test_relevance_by_value_is_every_clip_of_the_class():
    assert relevance_by_value(["a", "b"], ["b", "a", "b"]) == {0: [1], 1: [0, 2]}


def test_no_query_is_refused():
    with pytest.raises(ValueError, match="names no query"):
        query_values(planted_similarities(), {})


@pytest.mark.skipif(SHARED is None, reason="AURICLE_DATA_DIR names no directory with DCASE's annotations")
def test_dcase_annotations_on_the_clotho_captions(tmp_path):
    """The whole evaluation split, 1,045 clips and 5,225 captions, random similarities with planted hits."""
    names, captions, own = [], [], []
    import csv

    with open(Path(SHARED) / "clotho" / "clotho_captions_evaluation.csv", encoding="utf-8-sig") as file:
        for record in csv.DictReader(file):
            for number in range(1, 6):
                captions.append(record[f"caption_{number}"])
                own.append(len(names))
            names.append(record["file_name"])
    generator = np.random.default_rng(7)
    scores = generator.standard_normal((5225, 1045)).astype(np.float32)
    scores[np.arange(5225), own] += 2
    similarities = Similarities(
        scores=scores,
        query_ids=[f"clotho/test/{names[clip]}#{number % 5}" for number, clip in enumerate(own)],
        queries=captions,
        clip_ids=[f"clotho/test/{name}" for name in names],
        clip_of_query=np.asarray(own),
        source="clotho",
        split="test",
        name="random",
    )
    annotations = read_relevance(Path(SHARED) / "dcase2025_relevance.csv")
    relevant = match_relevance(annotations, captions, similarities.clip_ids)
    assert len(relevant) == 1037
    started = time.process_time()
    report = evaluate_similarities(similarities, relevant=relevant)
    assert time.process_time() - started < 10
    counts = {name: part["queries"] for name, part in report["multi_by_relevant"].items()}
    assert counts["1"] == 250 and sum(counts.values()) == 1037
    for cutoff in (10, 16):
        brute = np.mean(
            [average_precision(scores[query], clips, cutoff) for query, clips in relevant.items()]
        )
        found = report["multi"]["text_to_audio"]["metrics"][f"mAP@{cutoff}"]["value"]
        assert abs(found - brute) <= 1e-12
    write_submission(tmp_path / "s.csv", similarities, queries=sorted(relevant))
    assert len((tmp_path / "s.csv").read_text().splitlines()) == 1038
    assert load_clotho(Path(SHARED) / "clotho", split="test", missing="skip")["source"][0] == "clotho"
