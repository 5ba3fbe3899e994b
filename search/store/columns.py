"""The rows of an index as arrays in memory."""

import numpy as np
import pyarrow as arrow

from .entries import WHOLE_FILE, half_matrix

# What a file says of itself, and where it is: what filters look at.
FACTS = ("path", "root", "duration", "tags", "license", "metadata", "digest")


def read_facts(files: arrow.Table) -> dict[str, np.ndarray]:
    """
    Columns of files as arrays ``(files,)``, sorted by path: numbers and objects, tags as tuples.

    Args:
        files: one row a file, with the columns `FACTS`.
    """
    files = files.sort_by("path")
    found = {name: _objects(files.column(name).to_pylist()) for name in FACTS if name != "duration"}
    tags = _objects([tuple(tags) for tags in found["tags"]])
    return {**found, "tags": tags, "duration": files.column("duration").to_numpy()}


def read_columns(table: arrow.Table) -> dict[str, dict[str, np.ndarray]]:
    """
    An index's table as arrays, ``windows`` and ``files`` separately, sorted by path and window.

    Each dictionary has ``file`` (number of the row's file in the order of paths), ``path``, ``root``, ``start``,
    ``end``, ``duration``, ``tags``, ``license``, ``metadata`` (JSON), ``digest`` and ``vector`` ``(rows, width)``
    float32. Columns that the table lacks are omitted; ``path``, ``window`` and ``vector`` are required.
    """
    window, vectors = table.column("window").to_numpy(), half_matrix(table)
    encoded = table.column("path").combine_chunks().dictionary_encode()
    paths = np.array(encoded.dictionary.to_pylist(), dtype=object)
    sorted_paths = np.argsort(paths, kind="stable")
    place_of = np.empty(len(paths), dtype=np.int64)
    place_of[sorted_paths] = np.arange(len(paths))
    place, paths = place_of[encoded.indices.to_numpy()], paths[sorted_paths]
    # Each row repeats the values of its file: read them once per file.
    _, first = np.unique(place, return_index=True)
    of_files = {
        name: _objects(table.column(name).take(first).to_pylist())
        for name in ("root", "tags", "license", "metadata", "digest")
        if name in table.column_names
    }
    if "tags" in of_files:
        of_files["tags"] = _objects([tuple(tags) for tags in of_files["tags"]])
    numbers = {
        name: table.column(name).to_numpy()
        for name in ("start", "end", "duration")
        if name in table.column_names
    }
    parts = {}
    for kind, rows in (("windows", window != WHOLE_FILE), ("files", window == WHOLE_FILE)):
        order = np.flatnonzero(rows)
        order = order[np.lexsort((window[order], place[order]))]
        parts[kind] = (
            {name: values[order] for name, values in numbers.items()}
            | {name: values[place[order]] for name, values in of_files.items()}
            | {"file": place[order], "path": paths[place[order]], "vector": vectors[order].astype(np.float32)}
        )
    return parts


def _objects(values: list) -> np.ndarray:
    # Tuples of one length would become a second dimension.
    array = np.empty(len(values), dtype=object)
    for row, value in enumerate(values):
        array[row] = value
    return array


__all__ = ["FACTS", "read_columns", "read_facts"]
