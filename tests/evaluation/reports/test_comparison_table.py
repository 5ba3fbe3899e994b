"""A comparison as text and Markdown: every figure in its cell, and names that could break a table."""

import re

import numpy as np
import pytest
from planted import planted_similarities

from auricle.evaluation.comparison.system_facts import SystemFacts, facts_of_ensemble, spread
from auricle.evaluation.protocol import split_values, summarize_values
from auricle.evaluation.reports.comparison_table import (
    comparison_markdown,
    comparison_tables,
    format_comparison,
)
from auricle.evaluation.reports.report_table import COLUMNS

PUBLIC = SystemFacts("f", None, 153_492_890, "apache-2.0", "float32", 10.0, 512, 12.345, 7.0)
OWN = SystemFacts("g", None, 1_030_000_000, None, "bfloat16", 5.0, 1024, 0.5, 31.25)


@pytest.fixture
def report():
    """Two planted systems, an ensemble, saved similarities, and one that failed."""
    relevant = {0: [0], 1: [0, 3], 2: [0, 1, 2, 3]}
    values = [split_values(planted_similarities(noise=noise), relevant) for noise in (0.3, 0.9, 0.5, 0.7)]
    facts = [PUBLIC, OWN, facts_of_ensemble([PUBLIC, OWN]), SystemFacts()]
    systems = []
    for number, name in enumerate(["first", "a|b_*c*", "both", "runs/" + "x" * 80 + "/saved"]):
        against = values[0] if number else None
        members = [{"window_seconds": 10.0}, {"window_seconds": 5.0}] if name == "both" else []
        record = {"name": name, "error": None, "members": members, **facts[number].as_record()}
        systems.append(record | summarize_values(values[number], against, resamples=50))
    failed = {
        "name": "broken",
        "error": "broken: no such\nmodel|x",
        "members": [],
        **SystemFacts().as_record(),
    }
    return {
        "source": "clotho",
        "split": "test",
        "clips": 12,
        "queries": 36,
        "resamples": 50,
        "reference": {"choice": "first", "name": "first"},
        "machine": {"cpu": "Some CPU", "threads": 1, "cores": 2, "gpu": None},
        "speed_clips": 8,
        "unreadable": [{"clip_id": "clotho/test/a.wav", "reason": "is empty"}],
        "systems": [*systems, failed],
    }


def test_the_first_table_holds_every_figure_and_fact(report):
    table = comparison_tables(report)[0]
    rows = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    metrics = ("mAP@16", "mAP@10", "R@1", "R@5", "R@10")
    wanted = {
        "multi": ("multi", "text_to_audio"),
        "T2A": ("single", "text_to_audio"),
        "A2T": ("single", "audio_to_text"),
    }
    for row, system in zip(rows, report["systems"][:4], strict=False):
        for title, (kind, part) in wanted.items():
            for metric in metrics:
                value = system[kind][part]["metrics"][metric]["value"]
                assert row[f"{title} {metric}"] == f"{value:.4f}"
    facts = ("parameters", "licence", "precision", "window", "width", "clips/s", "query ms")
    assert [rows[0][name] for name in facts] == ["153 M", "apache-2.0", "float32", "10 s", "512", "12.3", "7"]
    assert [rows[1][name] for name in facts] == [
        "1.03 B",
        "not stated",
        "bfloat16",
        "5 s",
        "1024",
        "0.5",
        "31.2",
    ]
    assert rows[2]["window"] == "10 s / 5 s" and rows[2]["parameters"] == "1.18 B"
    assert {rows[3][name] for name in facts} == {"-"}
    assert rows[4]["system"] == "broken (failed)" and set(list(rows[4].values())[1:]) == {"-"}
    assert rows[3]["system"].startswith("...") and rows[3]["system"].endswith("/saved")


def test_intervals_differences_and_marks(report):
    tables = {table.title: table for table in comparison_tables(report)}
    figures = tables["Single annotation, text to audio, 36 queries"]
    entry = report["systems"][1]["single"]["text_to_audio"]
    mean = entry["metrics"]["mAP@16"]
    assert figures.rows[1][1] == f"{mean['value']:.4f} [{mean['low']:.4f}, {mean['high']:.4f}]"
    differences = tables["Single annotation, text to audio: difference from first"]
    assert [row[0][:7] for row in differences.rows] == ["a|b_*c*", "both", "...xxxx"]
    for row, system in zip(differences.rows, report["systems"][1:4], strict=True):
        for cell, metric in zip(row[1:], COLUMNS, strict=True):
            entry = system["single"]["text_to_audio"]["difference"][metric]
            assert cell.startswith(f"{entry['value']:+.4f} ")
            assert cell.endswith("*") == (entry["high"] < 0 or entry["low"] > 0), cell
    assert any(cell.endswith("*") for cell in differences.rows[0])
    assert "Multiple annotations, 2-3 relevant, 1 queries" in tables


def test_text_is_aligned_and_says_what_was_measured_where(report):
    lines = format_comparison(report)
    assert lines[0].startswith("clotho test: 12 clips, 36 captions")
    first = lines[2:8]
    assert len({line.find("A2T mAP@16") for line in first[:1]}) == 1
    ends = [match.end() for match in re.finditer(r"\S+(?: \S+)*", first[0])]
    assert all(line[end - 1] != " " for line in first[1:3] for end in ends[1:])
    text = "\n".join(lines)
    assert "measured in this run on Some CPU, 1 of 2 cores; wall-clock time; 8 clips" in text
    assert "  broken: no such model|x" in text and "broken: broken" not in text
    assert "1 unreadable clips were skipped for all systems:\n\n  clotho/test/a.wav: is empty" in text
    report["speed_clips"] = 0
    assert "Speed" not in "\n".join(format_comparison(report))


def test_markdown_keeps_its_columns_whatever_the_names_are(report):
    text = comparison_markdown(report)
    header = next(line for line in text.splitlines() if line.startswith("| system | multi"))
    cells = re.split(r"(?<!\\)\|", header)
    for line in text.splitlines()[text.splitlines().index(header) :][:7]:
        assert len(re.split(r"(?<!\\)\|", line)) == len(cells), line
    assert r"a\|b\_\*c\*" in text and "a|b_" not in text
    best = max(
        system["single"]["text_to_audio"]["metrics"]["mAP@16"]["value"] for system in report["systems"][:4]
    )
    assert f"**{best:.4f}**" in text
    assert "- broken: no such model\\|x" in text
    bold = re.findall(r"\*\*([^*]+)\*\*", text)
    assert bold and all(re.fullmatch(r"[\d.]+", cell) for cell in bold)


def test_one_system_alone_has_no_best_and_no_differences(report):
    del report["systems"][1:]
    text = comparison_markdown(report)
    assert "**" not in text and "difference" not in text.lower()


def test_facts_of_an_ensemble_and_a_spread():
    both = facts_of_ensemble([PUBLIC, PUBLIC])
    assert both.license == "apache-2.0" and both.window_seconds == 10 and both.num_parameters == 306_985_780
    assert both.clips_per_second == pytest.approx(12.345 / 2) and both.query_milliseconds == 14
    mixed = facts_of_ensemble([PUBLIC, OWN])
    assert (mixed.license, mixed.window_seconds, mixed.precision) == (None, None, "float32, bfloat16")
    assert facts_of_ensemble([PUBLIC, SystemFacts()]) == SystemFacts()
    assert spread(range(10), 4) == [0, 2, 5, 7] and spread(range(3), 9) == [0, 1, 2] and spread([], 4) == []
    assert np.all(np.diff(spread(range(1045), 16)) > 60)
