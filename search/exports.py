"""Exports an index or results to files for other programs."""

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..files.spreadsheet_cells import harmless_cell
from .errors import SearchError
from .moments.moment_files import MOMENT_FILES, audacity_labels, path_line, reaper_regions
from .query.hits import Hit, hits_as_json
from .refine.detections import Detections
from .store.columns import read_columns
from .store.index_store import Store
from .update.walking import LINKS_MARK

LONGEST_NAME = 255
WINDOWS_NEEDS_PRIVILEGE = 1314  # ERROR_PRIVILEGE_NOT_HELD


def export_hits(out: Path, hits: Sequence[Hit], title: str = "") -> None:
    """
    Writes results as ``.csv``, ``.json``, ``.m3u``, ``.cue``, ``.txt`` (labels of Audacity), ``.reaper.csv``
    (regions of Reaper), or, without an extension, as a folder of links in their order.

    Args:
        out: the file or folder.
        hits: results, best first.
        title: the query, for the names of moments.

    Raises:
        SearchError: for another extension, a folder that is not empty, one for a file that does not exist, or results
            that the format cannot represent.
    """
    kind = out.suffix.lower()
    if kind and not out.parent.is_dir():
        raise SearchError(f"{out}: the folder {out.parent} does not exist.")
    moments = next(
        (write for ending, write in MOMENT_FILES.items() if out.name.lower().endswith(ending)), None
    )
    if moments is not None:
        try:
            text = moments(hits, title)
        except SearchError as error:
            raise SearchError(f"{out}: {error}") from error
        # Names that are not UTF-8 keep their bytes.
        out.write_text(text, encoding="utf-8", errors="surrogateescape")
    elif kind == ".csv":
        write_answer_table(out, [asdict(hit) for hit in hits])
    elif kind == ".json":
        out.write_text(f"{hits_as_json(hits)}\n", encoding="utf-8")
    elif kind == "":
        _write_links(out, [hit.path for hit in hits])
    else:
        raise SearchError(
            f"{out}: the extension must be .csv, .json, .m3u, .cue, .txt (labels of Audacity), .reaper.csv or none (a "
            "folder of links) for results."
        )


def export_detections(out: Path, found: Detections) -> None:
    """
    Writes detections in the format of the file's ending: ``.csv`` as `Detections.write_csv` does, ``.m3u``, ``.cue``,
    ``.txt`` (labels of Audacity) or ``.reaper.csv`` (regions of Reaper), named after the search.

    Raises:
        SearchError: for another ending, a folder that does not exist, or detections that the format cannot hold, such
            as labels for several recordings.
        OSError: if the file cannot be written.
    """
    writer = next(
        (write for ending, write in MOMENT_FILES.items() if out.name.lower().endswith(ending)), None
    )
    if writer is None and out.suffix.lower() == ".csv":
        found.write_csv(out)
        return
    if writer is None:
        raise SearchError(f"{out}: the extension must be .csv, {', '.join(sorted(MOMENT_FILES))}.")
    if not out.parent.is_dir():
        raise SearchError(f"{out}: the folder {out.parent} does not exist.")
    if found.files > 1 and writer in (audacity_labels, reaper_regions):
        raise SearchError(
            f"{out}: labels and regions belong to one recording, but the detections are in {found.files:,} files; "
            "choose one with --path, or export to .csv, .m3u or .cue."
        )
    try:
        text = writer(found.hits(), found.learned.search.name)
    except SearchError as error:
        raise SearchError(f"{out}: {error}") from error
    out.write_text(text, encoding="utf-8", errors="surrogateescape")


def write_answer_table(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes fields of results as CSV; their metadata become columns, and tags one text."""
    flat = [{**row, "tags": ";".join(row["tags"])} for row in rows]
    _write_csv(out, [_flat(row, row.pop("metadata")) for row in flat])


def export_index(out: Path, store: Store) -> None:
    """
    Writes an index as ``.parquet`` (all rows), ``.npz`` (windows), ``.csv``, ``.m3u`` or a folder of links
    (files).

    An ``.npz`` contains ``path`` (files), and for windows ``path_index`` (index into the paths), ``start``, ``end``
    and ``vector``. In a ``.csv``, texts that a spreadsheet would take for formulas begin with an apostrophe.

    Raises:
        SearchError: for another extension, or a folder that is not empty.
    """
    kind = out.suffix.lower()
    if kind == ".parquet":
        import pyarrow.parquet as parquet

        parquet.write_table(store.rows(), out)
    elif kind == ".npz":
        columns = read_columns(store.rows())
        windows, paths = columns["windows"], columns["files"]["path"]
        kept = {name: windows[name] for name in ("start", "end", "vector")}
        with open(out, "wb") as file:
            # A path a window would be many times the vectors' size.
            np.savez_compressed(file, path=paths.astype(str), path_index=windows["file"], **kept)
    elif kind == ".csv":
        columns = ["path", "duration", "tags", "license", "metadata"]
        rows = [
            {**row, "tags": ";".join(row["tags"]), "license": row["license"] or ""}
            for row in store.file_rows(columns).sort_by("path").to_pylist()
        ]
        _write_csv(out, [_flat(row, json.loads(row.pop("metadata"))) for row in rows])
    elif kind in (".m3u", ""):
        paths = store.file_rows(["path"]).sort_by("path").column("path").to_pylist()
        (_write_playlist if kind else _write_links)(out, paths)
    else:
        raise SearchError(
            f"{out}: the extension must be .parquet, .npz, .csv, .m3u or none (a folder of links) for an index."
        )


def _harmless(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        harmless_cell(name): harmless_cell(value) if isinstance(value, str) else value
        for name, value in row.items()
    }


def _flat(row: dict[str, Any], metadata: Mapping[str, str]) -> dict[str, Any]:
    """Metadata as separate columns; names that conflict with the export's own columns get a prefix."""
    return row | {
        (name if name not in row else f"metadata.{name}"): value for name, value in metadata.items()
    }


def _write_csv(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    # Names that are not UTF-8 keep their bytes.
    with open(out, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        harmless = [_harmless(row) for row in rows]
        names = list(dict.fromkeys(name for row in harmless for name in row)) or ["path"]
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(harmless)


def _write_playlist(out: Path, paths: Iterable[str]) -> None:
    lines = [path_line(path) for path in paths]
    out.write_text(
        "#EXTM3U\n" + "".join(f"{line}\n" for line in lines), encoding="utf-8", errors="surrogateescape"
    )


def _write_links(out: Path, paths: Sequence[str]) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise SearchError(f"{out}: already exists; name a new or empty folder for the links.")
    out.mkdir(parents=True, exist_ok=True)
    (out / LINKS_MARK).touch()
    digits = len(str(len(paths)))
    for place, path in enumerate(paths, start=1):
        # Numbered: the order stays, and files of one name do not meet.
        link = out / f"{place:0{digits}} {_short_name(Path(path), digits + 1)}"
        try:
            link.symlink_to(path)
        except OSError as error:
            if getattr(error, "winerror", None) != WINDOWS_NEEDS_PRIVILEGE:
                raise
            raise SearchError(
                f"{out}: Windows does not allow links here. Switch on its developer mode, or export to .m3u or .csv."
            ) from error


def _short_name(path: Path, taken: int) -> str:
    """A file's name, its stem cut so that it and so many more bytes are a name that disks take."""
    room = LONGEST_NAME - taken - len(os.fsencode(path.suffix))
    stem = os.fsencode(path.stem)
    # An incomplete character at the cut is dropped.
    return (path.stem if len(stem) <= room else stem[:room].decode("utf-8", "ignore")) + path.suffix


__all__ = ["export_detections", "export_hits", "export_index", "hits_as_json", "write_answer_table"]
