"""Pooled vectors of captions by a frozen text tower, kept so that each caption passes it once a run."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet

from ...encoders import AudioTextEncoder
from ...encoders.auricle_embedding import distinct_in_order
from ...files.replacing import replace_path
from ..losses.gradient_gather import world

logger = logging.getLogger(__name__)


class PooledCaptions:
    """
    A directory of pooled caption vectors, one file for each text tower (an encoder's ``text_fingerprint``).

    Stages that freeze the text tower share it with one another, with the banks that they write as teachers and with
    the evaluation: only the projections after it differ.

    Args:
        directory: made when something is first kept.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        self.directory = Path(directory)

    def holds(self, encoder: AudioTextEncoder) -> bool:
        """Whether anything of this encoder's text tower is kept."""
        return self._path(encoder).is_file()

    def pooled(
        self,
        encoder: AudioTextEncoder,
        captions: Sequence[str],
        *,
        batch_size: int = 64,
        progress: bool = False,
    ) -> np.ndarray:
        """
        The text tower's vectors from before the projection; what is not kept yet is computed, and then kept.

        Args:
            encoder: its text tower should not be trained further: another state of it gets its own file.
            captions: sentences, none empty.
            batch_size: sentences at a time.
            progress: show a progress bar.

        Returns:
            float32 ``(captions, pooled_text_dim)``.
        """
        path = self._path(encoder)
        kept, vectors = _read(path, encoder.pooled_text_dim)
        place = {caption: row for row, caption in enumerate(kept)}
        missing = [caption for caption in distinct_in_order(captions) if caption not in place]
        if missing:
            fresh = encoder.pool_texts(missing, batch_size=batch_size, progress=progress)
            kept, vectors = kept + missing, np.concatenate([vectors, fresh])
            place.update({caption: row for row, caption in enumerate(missing, start=len(place))})
            if world()[0] == 0:
                _write(path, kept, vectors)
        return vectors[[place[caption] for caption in captions]]

    def projected(self, encoder: AudioTextEncoder, captions: Sequence[str], **options: Any) -> np.ndarray:
        """Unit vectors of captions, float32 ``(captions, embedding_dim)``; takes what `pooled` takes."""
        return encoder.project_texts(self.pooled(encoder, captions, **options))

    def _path(self, encoder: AudioTextEncoder) -> Path:
        return self.directory / f"{encoder.text_fingerprint}.parquet"


def _read(path: Path, width: int) -> tuple[list[str], np.ndarray]:
    nothing: tuple[list[str], np.ndarray] = ([], np.empty((0, width), dtype=np.float32))
    if not path.is_file():
        return nothing
    try:
        table = parquet.read_table(path)
        vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, width)
        return table["caption"].to_pylist(), vectors
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        logger.warning("%s is damaged and is computed again (%s)", path, error)
        return nothing


def _write(path: Path, captions: list[str], vectors: np.ndarray) -> None:
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.partial")
    parquet.write_table(pa.table({"caption": captions, "vector": column}), fresh)
    replace_path(fresh, path)


__all__ = ["PooledCaptions"]
