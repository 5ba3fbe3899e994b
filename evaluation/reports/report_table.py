"""An evaluation report as lines of text."""

from collections.abc import Mapping
from typing import Any

from ...encoders.caption_lengths import describe

COLUMNS = ("mAP@16", "mAP@10", "R@1", "R@5", "R@10")


def format_report(report: Mapping[str, Any]) -> list[str]:
    """
    The figures of a report with their intervals, one line a set of queries.

    Args:
        report: as [`evaluate_similarities`] returns it.
    """
    lines = [
        f"{report['name']} on {report['source']} {report['split']}: {report['clips']} clips; 95 % bootstrap "
        "intervals "
        f"over queries, {report['resamples']} resamples"
    ]
    lines += _index_lines(report.get("origin", {}))
    lines += _caption_lines(report.get("origin", {}))
    parts = _parts(report)
    lines += ["", *_table(parts, "metrics")]
    if "against" in report:
        lines += ["", f"difference from {report['against']}, paired by query", ""]
        lines += _table(parts, "difference", sign="+")
    return lines


def _index_lines(origin: Mapping[str, Any]) -> list[str]:
    """Which index was searched, by which ranking, and what of the split it lacks."""
    if "index" not in origin:
        return []
    index = origin["index"]
    how = {"window": "the best window of each file", "clip": "the vector of the whole file"}
    lines = [
        f"search over {index['directory']} (generation {index['generation']}, {index['files']:,} files, "
        f"{index['windows']:,} windows, model {index['model']}), ranked by {how[origin['ranking']]}"
    ]
    if index["other_files"]:
        done = "also ranked, as wrong results" if origin["candidates"] == "index" else "left out"
        lines.append(f"{index['other_files']:,} files of the index are not of the split: {done}")
    if index["missing"]:
        lines.append(
            f"{index['missing']:,} of {index['clips']:,} clips of the split are not in the index: skipped"
        )
    if index["approximate"]:
        lines.append("search over this index is approximate; these figures are for exact search (--exact)")
    return lines


def _caption_lines(origin: Mapping[str, Any]) -> list[str]:
    """What the model, or each of an ensemble's, does not read of the captions; older records do not know it."""
    if "caption_lengths" in origin:
        return [describe(origin["caption_lengths"])] if origin["caption_lengths"]["cut"] else []
    members = origin.get("caption_lengths_of_members", {})
    return [f"{name}: {describe(record)}" for name, record in members.items() if record["cut"]]


def _parts(report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    parts = []
    if "multi" in report:
        parts.append(("multiple annotations", report["multi"]["text_to_audio"]))
        parts += [(f"  {name} relevant", part) for name, part in report["multi_by_relevant"].items()]
        if "audio_to_text" in report["multi"]:
            parts.append(("audio to text, multiple annotations", report["multi"]["audio_to_text"]))
    parts.append(("single annotation", report["single"]["text_to_audio"]))
    parts.append(("audio to text, own captions", report["single"]["audio_to_text"]))
    return parts


def _table(parts: list[tuple[str, Mapping[str, Any]]], key: str, sign: str = "") -> list[str]:
    rows = [["", "queries", *COLUMNS]]
    for name, part in parts:
        cells = []
        for column in COLUMNS:
            entry = part[key][column]
            cells.append(f"{entry['value']:{sign}.4f} [{entry['low']:{sign}.4f}, {entry['high']:{sign}.4f}]")
        rows.append([name, f"{part['queries']}", *cells])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                f"{row[0]:<{widths[0]}}",
                *(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]


__all__ = ["format_report"]
