"""The results of a chain next to the report's metrics, as Markdown and as JSON."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...evaluation.protocol import TEXT_TO_AUDIO
from ...files.json_files import read_json, write_json
from ...files.replacing import replace_path
from .chain_recipe import Chain
from .plan import Step

# As the report's tables have them: multiple annotations, then the single one.
COLUMNS = ("multi mAP@16", "multi mAP@10", "mAP@10", "R@1", "R@5", "R@10")


def write_results(chain: Chain, evaluated: Sequence[tuple[Step, bool]], out: Path) -> list[str]:
    """
    Writes ``results.md`` and ``results.json`` with all results so far; returns the table's lines.

    Values are in percent, with 95 % bootstrap intervals over queries. Values of the report are marked: they
    were not measured here.

    Args:
        chain: the recipe of recipes.
        evaluated: evaluation steps, and whether each is current.
        out: the output directory.
    """
    rows = results_rows(chain, evaluated, out)
    lines = format_results(chain, rows)
    write_json(out / "results.json", {"chain": chain.section.name, "unit": "percent", "rows": rows})
    path = out / "results.md"
    temporary = path.with_name(".results.md")
    temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    replace_path(temporary, path)
    return lines


def results_rows(chain: Chain, evaluated: Sequence[tuple[Step, bool]], out: Path) -> list[dict[str, Any]]:
    """
    For every evaluated run and ensemble: ``name``, whether its evaluation is ``current``, ``measured`` by
    column ``[mean, low, high]`` in percent, ``paper`` by column the report's metric, and the numbers of queries.
    """
    rows = []
    for step, current in evaluated:
        name = step.name.removeprefix("evaluate ")
        report = read_json(out / "evaluation" / f"{name}.json")
        if report is None:
            continue
        measured = {}
        for column in COLUMNS:
            kind, metric = (
                ("multi", column.removeprefix("multi ")) if "multi" in column else ("single", column)
            )
            part = report.get(kind, {}).get(TEXT_TO_AUDIO)
            if part is not None:
                value = part["metrics"][metric]
                measured[column] = [round(100 * value[key], 4) for key in ("value", "low", "high")]
        rows.append(
            {
                "name": name,
                "current": current,
                "queries": {
                    kind: report[kind][TEXT_TO_AUDIO]["queries"]
                    for kind in ("single", "multi")
                    if kind in report
                },
                "measured": measured,
                "paper": chain.section.paper.get(name, {}),
            }
        )
    return rows


def format_results(chain: Chain, rows: Sequence[dict[str, Any]]) -> list[str]:
    """The table as lines of Markdown: for each system the measured values, then the report's row if it has one."""
    lines = [
        f"# {chain.section.name}: text-to-audio retrieval on the test split",
        "",
        "In percent, with 95 % bootstrap intervals over queries. Rows marked *paper* are the report's own metrics; "
        "they were not measured here.",
        "",
        f"| system | {' | '.join(COLUMNS)} |",
        f"|---|{'---|' * len(COLUMNS)}",
    ]
    for row in rows:
        cells = [_cell(row["measured"].get(column)) for column in COLUMNS]
        name = row["name"] if row["current"] else f"{row['name']} (outdated)"
        lines.append(f"| {name} | {' | '.join(cells)} |")
        if row["paper"]:
            cells = [f"*{row['paper'][column]:.2f}*" if column in row["paper"] else "" for column in COLUMNS]
            lines.append(f"| *{row['name']}, paper* | {' | '.join(cells)} |")
    if not rows:
        lines.append("| nothing has been evaluated yet |" + " |" * len(COLUMNS))
    return lines


def _cell(value: list[float] | None) -> str:
    return "" if value is None else f"{value[0]:.2f} [{value[1]:.2f}, {value[2]:.2f}]"


__all__ = ["COLUMNS", "format_results", "results_rows", "write_results"]
