"""Writes the vectors of all sounds of a folder to one Parquet file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet

from ..files.replacing import replace_path


def write_vectors(
    path: Path,
    files: Sequence[str],
    vectors: np.ndarray,
    *,
    fingerprint: str,
    model: str,
    encoder: Mapping[str, Any] | None = None,
) -> None:
    """
    Writes ``path`` (relative to the folder) and ``embedding`` (float32, unit length), sorted by path.

    Args:
        path: path of the Parquet file; appears only when it is complete.
        files: paths of the sounds.
        vectors: ``(sounds, width)``.
        fingerprint: fingerprint of the model; kept in the file's metadata, so that vectors of two models are not
            mixed.
        model: its name, likewise.
        encoder: how it was loaded, likewise; see [`AudioTextEncoder.described`].
    """
    order = sorted(range(len(files)), key=files.__getitem__)
    rows = vectors[order].astype(np.float32)
    values = arrow.FixedSizeListArray.from_arrays(arrow.array(rows.reshape(-1)), rows.shape[1])
    made = {"model": model, "fingerprint": fingerprint, "encoder": dict(encoder or {})}
    note = json.dumps({"format": "auricle vectors", "version": 1, **made})
    table = arrow.table({"path": [files[place] for place in order], "embedding": values})
    fresh = path.with_name(f".{path.name}.partial")
    try:
        parquet.write_table(table.replace_schema_metadata({"auricle": note}), fresh)
        replace_path(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


__all__ = ["write_vectors"]
