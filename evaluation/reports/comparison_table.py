"""A comparison of systems as text and as Markdown: one table of everything, then intervals and differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .report_table import COLUMNS

_NONE = "-"
_LONGEST_NAME = 60


@dataclass(frozen=True)
class Table:
    """
    A table of texts.

    Attributes:
        title: one line; "" for none.
        header: titles of the columns; the first column contains names.
        rows: as many cells as the header.
        best: (row, column) of cells to be set off.
    """

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    best: frozenset[tuple[int, int]] = frozenset()


def comparison_tables(report: Mapping[str, Any], *, by_relevant: bool = True) -> list[Table]:
    """
    The tables of a comparison; the first contains all figures and facts, without intervals.

    Args:
        report: as [`compare_systems`] returns it.
        by_relevant: with the tables by number of relevant clips.
    """
    finished = [system for system in report["systems"] if system["error"] is None]
    tables = [_summary(report)]
    for title, kind, part in _parts(finished):
        if kind == "multi_by_relevant" and not by_relevant:
            continue
        named = [(system["name"], system[kind][part]) for system in finished]
        queries = f"{named[0][1]['queries']:,} queries"
        tables.append(_figures(f"{title}, {queries}", named, "metrics"))
        others = [(name, entry) for name, entry in named if "difference" in entry]
        if others:
            against = report["reference"]["name"]
            tables.append(_figures(f"{title}: difference from {against}", others, "difference", sign="+"))
    return tables


def format_comparison(report: Mapping[str, Any]) -> list[str]:
    """A comparison as lines of text, without the tables by number of relevant clips."""
    lines = [*_heading(report), ""]
    for table in comparison_tables(report, by_relevant=False):
        widths = [max(map(len, column)) for column in zip(table.header, *table.rows, strict=True)]
        lines += [table.title] if table.title else []
        for row in (table.header, *table.rows):
            cells = [f"{row[0]:<{widths[0]}}"]
            cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
            lines.append("  ".join(cells).rstrip())
        lines.append("")
    if any(system.get("multi_by_relevant") for system in report["systems"]):
        lines += ["Metrics by number of relevant clips: see --markdown or --json.", ""]
    return "\n".join([*lines, *_notes(report)]).rstrip().split("\n")


def comparison_markdown(report: Mapping[str, Any]) -> str:
    """A comparison as a Markdown document; the best figure of each column is bold."""
    heading = _heading(report)
    lines = [f"# Retrieval on {_escaped(report['source'])}, {_escaped(report['split'])}", ""]
    lines += [*map(_escaped, heading), ""]
    for table in comparison_tables(report):
        if table.title:
            lines += [f"## {_escaped(table.title)}", ""]
        lines.append("| " + " | ".join(map(_escaped, table.header)) + " |")
        lines.append("| --- |" + " ---: |" * (len(table.header) - 1))
        for number, row in enumerate(table.rows):
            cells = [
                f"**{_escaped(cell)}**" if (number, column) in table.best else _escaped(cell)
                for column, cell in enumerate(row)
            ]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    lines += [line if line.startswith("- ") else _escaped(line) for line in _notes(report, bullet="- ")]
    return "\n".join(lines).rstrip() + "\n"


def _heading(report: Mapping[str, Any]) -> list[str]:
    return [
        f"{report['source']} {report['split']}: {report['clips']:,} clips, {report['queries']:,} captions; 95 % "
        f"bootstrap intervals over queries, {report['resamples']:,} resamples.",
    ]


def _notes(report: Mapping[str, Any], bullet: str = "  ") -> list[str]:
    lines = []
    machine = report["machine"]
    if report["speed_clips"]:
        hardware = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} of {machine['cores']} cores"
        lines += [
            f"Speed: measured in this run on {hardware}; wall-clock time; {report['speed_clips']} clips from file to "
            "vector, and the median of single sentences.",
            "",
        ]
    name, choice = report["reference"]["name"], report["reference"]["choice"]
    if name is None:
        lines += [f"No differences: the reference ({choice}) could not be evaluated.", ""]
    elif any(
        "difference" in system.get("single", {}).get("text_to_audio", {}) for system in report["systems"]
    ):
        lines += [
            "Differences are paired by query; * marks those whose 95 % interval does not contain 0.",
            "",
        ]
    failed = [system for system in report["systems"] if system["error"] is not None]
    if failed:
        lines.append(f"{len(failed)} of {len(report['systems'])} systems could not be evaluated:")
        # Most messages begin with the model's name themselves.
        faults = [
            one["error"] if one["error"].startswith(f"{one['name']}: ") else f"{one['name']}: {one['error']}"
            for one in failed
        ]
        lines += ["", *_items(bullet, faults), ""]
    if report["unreadable"]:
        clips = [f"{clip['clip_id']}: {clip['reason']}" for clip in report["unreadable"]]
        lines.append(f"{len(clips)} unreadable clips were skipped for all systems:")
        lines += ["", *_items(bullet, clips), ""]
    return lines


def _items(bullet: str, texts: Sequence[str]) -> list[str]:
    clean = [" ".join(text.split()) for text in texts]
    return [f"{bullet}{_escaped(text) if bullet.strip() else text}" for text in clean]


def _summary(report: Mapping[str, Any]) -> Table:
    finished = [system for system in report["systems"] if system["error"] is None]
    figures = []
    if any("multi" in system for system in finished):
        figures += [(f"multi {metric}", "multi", "text_to_audio", metric) for metric in COLUMNS]
    if any("audio_to_text" in system.get("multi", {}) for system in finished):
        figures += [(f"multi A2T {metric}", "multi", "audio_to_text", metric) for metric in COLUMNS]
    figures += [(f"T2A {metric}", "single", "text_to_audio", metric) for metric in COLUMNS]
    figures += [(f"A2T {metric}", "single", "audio_to_text", metric) for metric in COLUMNS]
    header = ["system", *(title for title, *_ in figures)]
    header += ["parameters", "licence", "precision", "window", "width", "clips/s", "query ms"]
    rows, values = [], []
    for system in report["systems"]:
        if system["error"] is None:
            numbers = [system[kind][part]["metrics"][metric]["value"] for _, kind, part, metric in figures]
        else:
            numbers = [None] * len(figures)
        values.append(numbers)
        cells = [_NONE if number is None else f"{number:.4f}" for number in numbers]
        name = _short(system["name"]) + (" (failed)" if system["error"] is not None else "")
        rows.append([name, *cells, *_facts(system)])
    best = set()
    for place in range(len(figures)):
        found = [numbers[place] for numbers in values if numbers[place] is not None]
        if len(found) > 1:
            best |= {(row, place + 1) for row, numbers in enumerate(values) if numbers[place] == max(found)}
    return Table("", header, rows, frozenset(best))


def _facts(system: Mapping[str, Any]) -> list[str]:
    windows = [system["window_seconds"]]
    if system["members"]:
        windows = list(dict.fromkeys(member["window_seconds"] for member in system["members"]))
    known = [f"{window:g} s" for window in windows if window is not None]
    count, rate, query = (
        system[name] for name in ("num_parameters", "clips_per_second", "query_milliseconds")
    )
    width = system["embedding_dim"]
    return [
        _NONE if count is None else _count(count),
        system["license"] or ("not stated" if system["embedding_dim"] is not None else _NONE),
        system["precision"] or _NONE,
        " / ".join(known) or _NONE,
        _NONE if width is None else str(width),
        _NONE if rate is None else f"{rate:.3g}",
        _NONE if query is None else f"{query:.3g}",
    ]


def _count(count: int) -> str:
    for unit, size in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return str(count)


def _figures(title: str, named: Sequence[tuple[str, Mapping[str, Any]]], key: str, sign: str = "") -> Table:
    rows = []
    for name, part in named:
        cells = []
        for column in COLUMNS:
            entry = part[key][column]
            text = f"{entry['value']:{sign}.4f} [{entry['low']:{sign}.4f}, {entry['high']:{sign}.4f}]"
            apart = sign and not entry["low"] <= 0 <= entry["high"]
            cells.append(f"{text}{' *' if apart else '  ' if sign else ''}")
        rows.append([_short(name), *cells])
    return Table(title, ["system", *COLUMNS], rows)


def _parts(finished: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Title, kind and name of every part that the systems have; all have the same."""
    if not finished:
        return []
    parts = []
    if "multi" in finished[0]:
        parts.append(("Multiple annotations, text to audio", "multi", "text_to_audio"))
        parts += [
            (f"Multiple annotations, {name} relevant", "multi_by_relevant", name)
            for name in finished[0].get("multi_by_relevant", {})
        ]
        if "audio_to_text" in finished[0]["multi"]:
            parts.append(("Multiple annotations, audio to text", "multi", "audio_to_text"))
    parts.append(("Single annotation, text to audio", "single", "text_to_audio"))
    parts.append(("Audio to text, own captions", "single", "audio_to_text"))
    return parts


def _short(name: str) -> str:
    """A name of at most 60 characters: of long paths the end is kept."""
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"


def _escaped(text: str) -> str:
    # Names come from users and datasets: they shall neither end a cell nor become markup.
    for markup in ("\\", "|", "*", "_", "<", "`", "]("):
        text = text.replace(markup, f"\\{markup}")
    return " ".join(text.split())


__all__ = ["Table", "comparison_markdown", "comparison_tables", "format_comparison"]
