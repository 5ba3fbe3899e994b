"""An index, or answers, as files of other programs."""

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .hits import Hit, SearchError
from .store import Store


def export_hits(out: Path, hits: Sequence[Hit]) -> None:
    """
    Writes answers as ``.csv``, ``.json`` or ``.m3u``.

    Raises:
        SearchError: for another ending.
    """
    kind = out.suffix.lower()
    if kind == ".csv":
        _write_csv(out, [{**asdict(hit), "tags": " ".join(hit.tags)} for hit in hits])
    elif kind == ".json":
        text = json.dumps([asdict(hit) for hit in hits], indent=2, ensure_ascii=False)
        out.write_text(f"{text}\n", encoding="utf-8")
    elif kind == ".m3u":
        _write_playlist(out, [hit.path for hit in hits])
    else:
        raise SearchError(f"{out}: the ending has to be .csv, .json or .m3u for answers.")


def export_index(out: Path, store: Store, columns: Mapping[str, Mapping[str, Any]]) -> None:
    """
    Writes an index as ``.parquet`` (all rows), ``.npz`` (windows), ``.csv`` or ``.m3u`` (files).

    Raises:
        SearchError: for another ending.
    """
    kind, windows, files = out.suffix.lower(), columns["windows"], columns["files"]
    if kind == ".parquet":
        import pyarrow.parquet as parquet

        parquet.write_table(store.rows(), out)
    elif kind == ".npz":
        kept = {name: windows[name] for name in ("start", "end", "vector")}
        np.savez_compressed(out, path=windows["path"].astype(str), **kept)
    elif kind == ".csv":
        rows = zip(files["path"], files["duration"], files["tags"], strict=True)
        _write_csv(
            out,
            [
                {"path": path, "duration": float(seconds), "tags": " ".join(tags)}
                for path, seconds, tags in rows
            ],
        )
    elif kind == ".m3u":
        _write_playlist(out, files["path"].tolist())
    else:
        raise SearchError(f"{out}: the ending has to be .parquet, .npz, .csv or .m3u for an index.")


def _write_csv(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    with open(out, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["path"])
        writer.writeheader()
        writer.writerows(rows)


def _write_playlist(out: Path, paths: Iterable[str]) -> None:
    out.write_text("#EXTM3U\n" + "".join(f"{path}\n" for path in paths), encoding="utf-8")


__all__ = ["export_hits", "export_index"]
