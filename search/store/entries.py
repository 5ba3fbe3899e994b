"""The rows of a file in an index: one for the whole file, and one per window."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute

WHOLE_FILE = -1


@dataclass(frozen=True)
class FileEntry:
    """
    The entry of one file.

    Attributes:
        path, root: absolute.
        size, mtime_ns, digest: bytes, time of change and SHA-256 of the content.
        duration: seconds.
        tags: names of the folders between root and file, and tags from the metadata.
        starts, ends: of the windows, seconds, ``(windows,)``.
        vectors: unit length, ``(windows, width)``.
        vector: vector of the whole file, unit length, ``(width,)``.
        license: from the metadata, or None.
        metadata: values by name, from the file itself and from a metadata file next to it.
        described: version of the field reader and hash of the entry in the metadata file. Older indexes store only the
            hash.
    """

    path: str
    root: str
    size: int
    mtime_ns: int
    digest: str
    duration: float
    tags: tuple[str, ...]
    starts: np.ndarray
    ends: np.ndarray
    vectors: np.ndarray
    vector: np.ndarray
    license: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    described: str = ""


def schema(width: int) -> arrow.Schema:
    """The table's schema for vectors of a given width."""
    return arrow.schema(
        [
            ("path", arrow.string()),
            ("root", arrow.string()),
            ("window", arrow.int32()),
            ("start", arrow.float64()),
            ("end", arrow.float64()),
            ("duration", arrow.float64()),
            ("size", arrow.int64()),
            ("mtime_ns", arrow.int64()),
            ("digest", arrow.string()),
            ("tags", arrow.list_(arrow.string())),
            ("license", arrow.string()),
            ("metadata", arrow.string()),
            ("described", arrow.string()),
            ("vector", arrow.list_(arrow.float16(), width)),
        ]
    )


def to_rows(entries: Sequence[FileEntry], width: int) -> arrow.Table:
    """Rows of files: for each file its own row (window -1), then the rows of its windows."""
    columns: dict[str, list] = {name: [] for name in schema(width).names if name != "vector"}
    vectors = []
    for entry in entries:
        shared = {
            "path": entry.path,
            "root": entry.root,
            "duration": float(entry.duration),
            "size": entry.size,
            "mtime_ns": entry.mtime_ns,
            "digest": entry.digest,
            "tags": list(entry.tags),
            "license": entry.license,
            "metadata": metadata_text(entry.metadata),
            "described": entry.described,
        }
        starts, ends = [0.0, *entry.starts], [entry.duration, *entry.ends]
        for name, value in shared.items():
            columns[name] += [value] * len(starts)
        columns["window"] += range(WHOLE_FILE, len(starts) + WHOLE_FILE)
        columns["start"] += map(float, starts)
        columns["end"] += map(float, ends)
        vectors += [entry.vector[None], entry.vectors]
    values = arrow.array(np.concatenate(vectors).astype(np.float16).reshape(-1))
    columns["vector"] = arrow.FixedSizeListArray.from_arrays(values, width)
    return arrow.table(columns, schema=schema(width))


def from_rows(table: arrow.Table) -> dict[str, FileEntry]:
    """The files of a table's rows, by path."""
    if not len(table):
        return {}
    table = table.combine_chunks().sort_by([("path", "ascending"), ("window", "ascending")])
    paths = table.column("path").to_pylist()
    firsts = [row for row, path in enumerate(paths) if row == 0 or paths[row - 1] != path]
    entries = {}
    for first, behind in zip(firsts, [*firsts[1:], len(paths)], strict=True):
        rows = table.slice(first, behind - first)
        vectors, head = matrix(rows), rows.drop(["vector"]).slice(0, 1).to_pylist()[0]
        for name in ("window", "start", "end"):
            del head[name]
        entries[head["path"]] = FileEntry(
            **{**head, "tags": tuple(head["tags"]), "metadata": json.loads(head["metadata"])},
            starts=rows.column("start").to_numpy()[1:],
            ends=rows.column("end").to_numpy()[1:],
            vectors=vectors[1:],
            vector=vectors[0],
        )
    return entries


def metadata_text(metadata: Mapping[str, str]) -> str:
    """
    As JSON, in which ``"name": "value"`` occurs exactly if the metadata have that pair.

    Quotation marks within names and values are escaped, so a search for the pair finds nothing else.
    """
    return json.dumps(dict(sorted(metadata.items())), ensure_ascii=False)


def metadata_pairs_as_text(name: str, value: str) -> tuple[str, str]:
    """The pair as it occurs in [`metadata_text`]: at the start, and after another pair."""
    pair = metadata_text({name: value})[1:-1]
    return "{" + pair, ", " + pair


def matrix(table: arrow.Table) -> np.ndarray:
    """The column ``vector`` as float32 ``(rows, width)``."""
    return half_matrix(table).astype(np.float32)


def half_matrix(table: arrow.Table) -> np.ndarray:
    """The column ``vector`` as stored, float16 ``(rows, width)``."""
    column = table.column("vector").combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, column.type.list_size)


def paths_among(table: arrow.Table, others: arrow.Table) -> arrow.Array:
    """Which rows of a table are of files that others are of, too."""
    return compute.is_in(table.column("path"), value_set=others.column("path").combine_chunks())


def whole_files(table: arrow.Table) -> arrow.Table:
    """The rows of whole files."""
    return table.filter(compute.equal(table.column("window"), WHOLE_FILE))


__all__ = [
    "WHOLE_FILE",
    "FileEntry",
    "from_rows",
    "half_matrix",
    "matrix",
    "metadata_pairs_as_text",
    "metadata_text",
    "paths_among",
    "schema",
    "to_rows",
    "whole_files",
]
