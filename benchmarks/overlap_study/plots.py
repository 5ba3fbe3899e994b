"""
The study's plots, drawn from its finished rows as SVG files.

    python benchmarks/overlap_study/plots.py [--out docs/experiments]

`overlap_differences.svg`: each row's difference from the control, with its 95 % interval. `overlap_targets.svg`: that
difference against how far the row's targets are from the truth. Rows of fewer than three seeds are left out.
"""

import argparse
from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
from study_rows import ROWS
from table import FIGURE, ROWS_DIR, bounds_of, paired_differences, read_rows

WIDTH, LINE, LEFT, RIGHT, TOP = 760, 22, 190, 150, 44
_INK, _WEAK, _MARK = "#24292f", "#8c959f", "#0969da"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows-dir", type=Path, default=ROWS_DIR, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=ROWS_DIR.parent, help="default: %(default)s")
    arguments = parser.parse_args()
    rows = read_rows(arguments.rows_dir)
    figures = {
        name: {seed: row["figures"]["test"][FIGURE] for seed, row in by_seed.items()}
        for name, by_seed in rows.items()
    }
    found = {}
    for name in (name for name in ROWS if name in figures):
        control = control_of(name)
        differences = paired_differences(figures, name, control) if control in figures else []
        if name != control and len(differences) > 2:
            found[name] = differences
    if not found:
        parser.error(
            f"--rows-dir: {arguments.rows_dir} has no row with a control on three seeds; make them with run.py."
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    stem = "overlap" if arguments.rows_dir.name == "rows" else arguments.rows_dir.name.removeprefix("rows_")
    (arguments.out / f"{stem}_differences.svg").write_text(forest(found), encoding="utf-8")
    distances = {
        name: np.mean([row["targets"]["text_to_audio_variation"] for row in rows[name].values()])
        for name in found
    }
    (arguments.out / f"{stem}_targets.svg").write_text(
        scatter({name: (float(distances[name]), float(np.mean(found[name]))) for name in found}),
        encoding="utf-8",
    )


def control_of(name: str) -> str:
    """The row without a teacher that a row is compared with: that of the same share of unlabelled pairs."""
    share = name.rsplit("_", 1)[-1]
    return f"control_{share}" if share.startswith("u") and share[1:].isdigit() else "control"


def forest(differences: dict[str, Sequence[float]]) -> str:
    """One line a row: mean, 95 % interval, number of seeds."""
    bounds = {name: bounds_of(values) for name, values in differences.items()}
    low, high = min(0.0, *(one[0] for one in bounds.values())), max(0.0, *(one[1] for one in bounds.values()))
    place = _scale(low, high, LEFT + 10, WIDTH - RIGHT)
    height = TOP + LINE * len(differences) + 40
    parts = [_text(LEFT, 20, "mAP@16 minus that of the control, 95 % intervals", weight="bold")]
    parts += _axis(low, high, place, height)
    parts.append(_line(place(0), TOP - 10, place(0), height - 34, _INK))
    for number, (name, values) in enumerate(differences.items()):
        y, (first, last) = TOP + LINE * number + 6, bounds[name]
        parts.append(_text(LEFT - 10, y + 4, name, anchor="end"))
        parts.append(_line(place(first), y, place(last), y, _MARK, 2))
        parts.append(f'<circle cx="{place(np.mean(values)):.1f}" cy="{y}" r="4" fill="{_MARK}"/>')
        parts.append(_text(WIDTH - RIGHT + 14, y + 4, f"{np.mean(values):+.3f}, {len(values)} seeds", _WEAK))
    return _svg(height, parts)


def scatter(points: dict[str, tuple[float, float]]) -> str:
    """Distance of the targets from the truth (x) and difference from the control (y)."""
    height = 380
    xs, ys = zip(*points.values(), strict=True)
    pad_x, pad_y = 0.05 * (max(xs) - min(xs) + 1e-6), 0.08 * (max(*ys, 0) - min(*ys, 0) + 1e-6)
    across = _scale(min(xs) - pad_x, max(xs) + pad_x, 70, WIDTH - 150)
    down = _scale(max(*ys, 0.0) + pad_y, min(*ys, 0.0) - pad_y, TOP, height - 50)
    parts = [
        _text(
            70, 20, "mAP@16 minus that of the control, by the distance of a caption's targets", weight="bold"
        )
    ]
    parts += _axis(min(xs) - pad_x, max(xs) + pad_x, across, height)
    parts.append(
        _text(
            70, height - 4, "total variation between the targets and the truth, captions among clips", _WEAK
        )
    )
    parts.append(_line(70, down(0), WIDTH - 150, down(0), _INK))
    for value in sorted({0.0, *(_round(y) for y in (min(ys), max(ys)))}):
        parts.append(_text(64, down(value) + 4, f"{value:+.3f}", _WEAK, anchor="end"))
    for name, (x, y) in points.items():
        parts.append(f'<circle cx="{across(x):.1f}" cy="{down(y):.1f}" r="4" fill="{_MARK}"/>')
        # Rows with and without the labels share their targets, and often lie near each other.
        parts.append(_text(across(x) + 7, down(y) + (14 if name.endswith("_alone") else 2), name, size=11))
    return _svg(height, parts)


def _scale(low: float, high: float, start: float, end: float):
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _round(value: float) -> float:
    return round(float(value), 3)


def _axis(low: float, high: float, place, height: float) -> list[str]:
    step = 10 ** np.floor(np.log10(high - low))
    step *= min((1, 0.5, 0.2), key=lambda part: abs((high - low) / (step * part) - 7))
    ticks = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return [
        part
        for tick in ticks
        for part in (
            _line(place(tick), TOP - 10, place(tick), height - 34, "#d0d7de"),
            _text(place(tick), height - 20, f"{tick:.2f}", _WEAK, anchor="middle"),
        )
    ]


def _line(x: float, y: float, to_x: float, to_y: float, colour: str, width: float = 1) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    colour: str = _INK,
    *,
    anchor: str = "start",
    weight: str = "normal",
    size: int = 12,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" text-anchor="{anchor}" font-weight="{weight}" '
        f'font-size="{size}">{escape(text)}</text>'
    )


def _svg(height: float, parts: Sequence[str]) -> str:
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


if __name__ == "__main__":
    main()
