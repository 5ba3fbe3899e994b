"""Interactive pictures in one HTML file that needs no network."""

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from ...files.replacing import replace_path

_STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 1200px; padding: 1rem; font: 15px/1.45 system-ui, sans-serif; color: #1f2933; }
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin: 2rem 0 0.3rem; }
p { margin: 0.3rem 0 0.6rem; color: #52606d; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; } th, td { padding: 0.25rem 0.8rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } tr { border-bottom: 1px solid #d9e2ec; }
audio { width: 100%; }
"""


@dataclass(frozen=True)
class Part:
    """
    A section of a page.

    Attributes:
        heading: its heading; empty for none.
        text: plain, below the heading.
        figure: plotly figure, or None.
        rows: rows of a table, the head first, or none.
        html: markup that is inserted unchanged at the end.
        name: the figure's id in the page, for scripts.
    """

    heading: str
    text: str = ""
    figure: Any = None
    rows: Sequence[Sequence[str]] = ()
    html: str = ""
    name: str | None = None


def check_plotly() -> None:
    """
    Raises:
        ImportError: if plotly is not installed, with the command that does it.
    """
    try:
        import plotly  # noqa: F401
    except ImportError as error:
        raise ImportError("pictures need plotly: pip install 'auricle[pictures]'.") from error


def check_page_path(out: Path) -> None:
    """
    Raises:
        ValueError: for a name that does not end in .html, or in a folder that does not exist.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{out}: the page is HTML; name a file that ends in .html.")
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise ValueError(f"{out}: name a file in a folder that exists.")


def write_picture_page(out: Path, title: str, parts: Sequence[Part], *, script: str = "") -> None:
    """
    Writes a page, atomically; it includes plotly's program (4.5 MB).

    Args:
        out: path that ends in ``.html``.
        title: plain text.
        parts: its sections, in their order.
        script: JavaScript that runs once all pictures are drawn.

    Raises:
        ImportError: if plotly is not installed.
        ValueError: for another ending.
        OSError: if it cannot be written.
    """
    check_plotly()
    check_page_path(out)
    from plotly.offline import get_plotlyjs

    body = "\n".join(_section(part) for part in parts)
    text = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n<script>{get_plotlyjs()}</script>\n</head>\n"
        f"<body>\n<h1>{escape(title)}</h1>\n{body}\n<script>{script}</script>\n</body>\n</html>\n"
    )
    handle, fresh = tempfile.mkstemp(dir=out.absolute().parent, prefix=".", suffix=".html")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # What mkstemp makes only its owner may read; a page is a file like others.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(fresh, 0o666 & ~mask)
        replace_path(Path(fresh), out)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise


def as_text(value: str) -> str:
    """For labels of plotly, which reads some markup: what is shown is what is written."""
    return escape(value, quote=False)


def _section(part: Part) -> str:
    lines = [f"<h2>{escape(part.heading)}</h2>"] if part.heading else []
    if part.text:
        lines.append(f"<p>{escape(part.text)}</p>")
    if part.figure is not None:
        options: Mapping[str, Any] = {"displaylogo": False, "responsive": True}
        lines.append(
            part.figure.to_html(full_html=False, include_plotlyjs=False, config=options, div_id=part.name)
        )
    if part.rows:
        head, *rest = part.rows
        cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
        lines.append(f'<div class="wide"><table><tr>{cells}</tr>')
        lines += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rest]
        lines.append("</table></div>")
    return "\n".join([*lines, part.html])


__all__ = ["Part", "as_text", "check_page_path", "check_plotly", "write_picture_page"]
