"""Files of queries and predictions: both published layouts, remarks, bad lines, and what an evaluation reports."""

import json

import numpy as np
import pytest

from auricle.evaluation.metrics.bootstrap import bootstrap_group_means, bootstrap_means
from auricle.evaluation.moments.moment_evaluation import evaluate_moments, format_moment_report
from auricle.evaluation.moments.moment_predictions import read_moment_predictions, write_moment_predictions
from auricle.evaluation.moments.moment_queries import MomentFileError, read_moment_queries

QUERY = {
    "qid": "a_1",
    "query": "a dog barks",
    "duration": 60,
    "vid": "a",
    "relevant_windows": [[2, 5], [9, 12]],
}


def lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def predicted(*spans, qid="a_1", **more):
    return {"qid": qid, "pred_relevant_windows": [list(span) for span in spans], **more}


def test_both_layouts_give_the_same_queries(tmp_path):
    second = {**QUERY, "qid": "a_2", "query": "rain", "relevant_windows": [[0, 60]]}
    flat = read_moment_queries(lines(tmp_path / "test.jsonl", QUERY, second))
    nested = tmp_path / "test.json"
    moments = [
        {"local_caption": "a dog barks", "timestamps": [[2, 5], [9, 12]]},
        {"local_caption": "rain", "timestamps": [[0, 60]]},
    ]
    nested.write_text(json.dumps([{"yid": "a", "global_caption": "x", "duration": 60, "moments": moments}]))
    assert read_moment_queries(nested).queries == flat.queries
    assert flat.queries[0].moments == ((2.0, 5.0), (9.0, 12.0)) and flat.remarks == ()


def test_moments_that_are_rounded_behind_the_end_or_listed_twice_are_kept_and_reported(tmp_path):
    windows = [[58, 61], [1, 2], [1, 2]]
    read = read_moment_queries(lines(tmp_path / "q.jsonl", {**QUERY, "relevant_windows": windows}))
    assert read.queries[0].moments == ((58.0, 61.0), (1.0, 2.0), (1.0, 2.0))
    assert [remark.split(": ")[1].split(";")[0] for remark in read.remarks] == [
        "1 true moments end up to one second after their recording (rounding).",
        "1 true moments are listed twice",
    ]


def test_moments_that_overlap_are_kept_and_counted(tmp_path):
    windows = [[12, 13], [0, 10], [1, 2], [3, 4], [10, 11]]
    read = read_moment_queries(lines(tmp_path / "q.jsonl", {**QUERY, "relevant_windows": windows}))
    assert len(read.queries[0].moments) == 5
    assert [remark.split(": ")[1].split(";")[0] for remark in read.remarks] == [
        "2 true moments overlap an earlier one of their query"
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"relevant_windows": []}, "line 1: query 'a_1' has no true moment"),
        ({"relevant_windows": [[5, 2]]}, r"line 1: the moment \[5, 2\] ends before it starts"),
        ({"relevant_windows": [[5, 5]]}, r"the moment \[5, 5\] has length zero"),
        ({"relevant_windows": [[58, 62]]}, r"\[58, 62\] is outside the recording of 60 s"),
        ({"relevant_windows": [[-1, 2]]}, "is outside"),
        ({"relevant_windows": [[0, float("nan")]]}, "is not finite"),
        ({"relevant_windows": [["0", 2]]}, "must be"),
        ({"relevant_windows": {"a": 1}}, "must be a list"),
        ({"duration": 0}, "duration 0 must be"),
        ({"duration": True}, "duration True must be"),
        ({"query": " "}, "query ' ' must be text"),
    ],
)
def test_bad_queries_are_named(tmp_path, change, message):
    with pytest.raises(MomentFileError, match=message):
        read_moment_queries(lines(tmp_path / "q.jsonl", {**QUERY, **change}))


def test_files_that_are_none_are_named(tmp_path):
    with pytest.raises(MomentFileError, match="cannot be read"):
        read_moment_queries(tmp_path / "missing.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(MomentFileError, match="contains no queries"):
        read_moment_queries(tmp_path / "empty.jsonl")
    (tmp_path / "broken.jsonl").write_text(json.dumps(QUERY) + "\n{")
    with pytest.raises(MomentFileError, match="line 2: is not valid JSON"):
        read_moment_queries(tmp_path / "broken.jsonl")
    with pytest.raises(MomentFileError, match="line 2: qid 'a_1' occurs a second time"):
        read_moment_queries(lines(tmp_path / "twice.jsonl", QUERY, QUERY))


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (predicted((0, 1, 0.5), qid="b"), "line 1: qid 'b' is not among the 1 queries"),
        (predicted((0, 1, 0.5), vid="b"), "predicts recording 'b', but query 'a_1' is about 'a'"),
        (predicted((3, 1, 0.5)), "ends before it starts"),
        (predicted((1, 1, 0.5)), "has length zero"),
        (predicted((0, 99, 0.5)), "is outside"),
        (predicted((0, 1, float("nan"))), "needs a finite score"),
        (predicted((0, 1)), "needs a finite score"),
        (predicted((0, 1, 0.1), (1, 2, 0.5)), "scores must fall, but 0.5 follows"),
        ({"qid": "a_1"}, "must be a list of"),
    ],
)
def test_bad_predictions_are_named(tmp_path, record, message):
    queries = read_moment_queries(lines(tmp_path / "q.jsonl", QUERY)).queries
    with pytest.raises(MomentFileError, match=message):
        read_moment_predictions(lines(tmp_path / "p.jsonl", record), queries)


def test_a_missing_query_is_an_error_and_an_empty_one_is_not(tmp_path):
    queries = read_moment_queries(lines(tmp_path / "q.jsonl", QUERY, {**QUERY, "qid": "a_2"})).queries
    with pytest.raises(MomentFileError, match="1 of 2 queries are missing, first 'a_2'"):
        read_moment_predictions(lines(tmp_path / "p.jsonl", predicted((2, 5, 0.9))), queries)
    both = lines(tmp_path / "p.jsonl", predicted((2, 5, 0.9)), predicted(qid="a_2"))
    report = evaluate_moments(queries, read_moment_predictions(both, queries).spans, resamples=50)
    assert report["without_prediction"] == 1
    assert report["metrics"]["R1@0.7"]["value"] == 0.5
    assert report["metrics"]["mAP"]["value"] == 0.25


def test_what_is_written_is_read_again(tmp_path):
    queries = read_moment_queries(lines(tmp_path / "q.jsonl", QUERY)).queries
    spans = {"a_1": [(place + 0.125, place + 2.5, 1 - place / 20) for place in range(12)]}
    write_moment_predictions(tmp_path / "out.jsonl", queries, spans)
    read = read_moment_predictions(tmp_path / "out.jsonl", queries)
    assert list(read.spans["a_1"]) == spans["a_1"][:10] and read.remarks == ()
    record = json.loads((tmp_path / "out.jsonl").read_text())
    assert list(record) == ["qid", "query", "vid", "pred_relevant_windows"]
    with pytest.raises(MomentFileError, match="no predictions of query 'a_1'"):
        write_moment_predictions(tmp_path / "out.jsonl", queries, {})
    assert json.loads((tmp_path / "out.jsonl").read_text()) == record


def test_intervals_over_recordings_are_wider_where_their_queries_agree(tmp_path):
    generator = np.random.default_rng(0)
    truth = [
        {**QUERY, "qid": f"{vid}_{place}", "vid": str(vid), "relevant_windows": [[0, 4 + 6 * place]]}
        for vid in range(40)
        for place in range(5)
    ]
    queries = read_moment_queries(lines(tmp_path / "q.jsonl", *truth)).queries
    right = generator.random(40) < 0.5
    spans = {
        query.qid: [(*query.moments[0], 1.0)] if right[int(query.vid)] else [(50.0, 51.0, 1.0)]
        for query in queries
    }
    report = evaluate_moments(queries, spans)
    narrow, wide = report["metrics"]["R1@0.5"], report["over_recordings"]["R1@0.5"]
    assert narrow["value"] == wide["value"] == right.mean()
    assert 1.8 < (wide["high"] - wide["low"]) / (narrow["high"] - narrow["low"]) < 2.7
    assert [part["queries"] for part in report["by_length"].values()] == [40, 40, 120]
    shown = "\n".join(format_moment_report(report))
    assert "200 queries on 40 recordings, 200 true moments" in shown and "over recordings" in shown


def test_groups_of_one_query_are_intervals_over_queries():
    values = {"m": np.random.default_rng(1).uniform(size=60)}
    alone = bootstrap_group_means(values, [str(place) for place in range(60)], seed=3)["m"]
    assert alone == pytest.approx(bootstrap_means(values, seed=3)["m"], abs=0.02)
    with pytest.raises(ValueError, match="59 groups for 60 queries"):
        bootstrap_group_means(values, ["a"] * 59)


@pytest.mark.parametrize("qid", [["a_1"], {"a": 1}, None, 1.0])
def test_a_prediction_of_a_qid_that_is_no_text_is_refused_in_one_line(tmp_path, qid):
    queries = read_moment_queries(lines(tmp_path / "q.jsonl", QUERY)).queries
    file = lines(tmp_path / "p.jsonl", predicted((1, 2, 0.5), qid=qid))
    with pytest.raises(MomentFileError, match=r"line 1: qid .* is not among the 1 queries"):
        read_moment_predictions(file, queries)


def test_whole_numbers_too_large_for_a_float_are_refused_in_one_line(tmp_path):
    huge = 10**400
    for change, message in (
        ({"duration": huge}, "must be a number of seconds above 0"),
        ({"relevant_windows": [[0, huge]]}, r"\[0, inf\] is not finite"),
    ):
        with pytest.raises(MomentFileError, match=message) as caught:
            read_moment_queries(lines(tmp_path / "q.jsonl", {**QUERY, **change}))
        assert len(str(caught.value)) < 300 + len(str(tmp_path))
    queries = read_moment_queries(lines(tmp_path / "q.jsonl", QUERY)).queries
    for span in ((0, huge, 0.5), (0, 1, huge)):
        with pytest.raises(MomentFileError, match="line 1: .*finite"):
            read_moment_predictions(lines(tmp_path / "p.jsonl", predicted(span)), queries)


def test_a_line_nested_too_deeply_is_refused_in_one_line(tmp_path):
    file = tmp_path / "deep.jsonl"
    file.write_text("[" * 100_000)
    with pytest.raises(MomentFileError, match="line 1: is nested too deeply"):
        read_moment_queries(file)


def test_what_is_found_in_the_last_part_of_a_second_can_be_written_and_read_again(tmp_path):
    """A recording of 60.9 s that its queries round to 60 s."""
    queries = read_moment_queries(lines(tmp_path / "q.jsonl", QUERY)).queries
    spans = {"a_1": [(60.1, 60.9, 0.5)]}
    path = tmp_path / "new folder" / "submission.jsonl"
    write_moment_predictions(path, queries, spans)
    assert read_moment_predictions(path, queries).spans["a_1"] == ((60.1, 60.9, 0.5),)
    with pytest.raises(MomentFileError, match=r"\[61, 61.5\] is outside the recording of 60 s"):
        write_moment_predictions(path, queries, {"a_1": [(61.0, 61.5, 0.5)]})
