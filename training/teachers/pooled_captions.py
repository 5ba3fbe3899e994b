"""Pooled vectors of captions by a frozen text tower, kept so that each caption passes it once a run."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import torch

from ...encoders.auricle_embedding import distinct_in_order, embed_captions
from ...encoders.model_fingerprint import text_fingerprint
from ...modeling import AuricleModel
from ...processing import AuricleProcessor
from ..losses.gradient_gather import world

logger = logging.getLogger(__name__)


class PooledCaptions:
    """
    A directory of pooled caption vectors, one file for each text tower, told apart by [`text_fingerprint`].

    Stages that freeze the text tower share it with one another, with the banks that they write as teachers and with
    the evaluation: only the projections after it differ.

    Args:
        directory: made when something is first kept.
    """

    def __init__(self, directory: str | os.PathLike[str]):
        self.directory = Path(directory)

    def holds(self, model: AuricleModel, processor: AuricleProcessor) -> bool:
        """Whether anything of this model's text tower is kept."""
        return self._path(model, processor).is_file()

    def pooled(
        self,
        model: AuricleModel,
        processor: AuricleProcessor,
        captions: Sequence[str],
        *,
        batch_size: int = 64,
        progress: bool = False,
    ) -> np.ndarray:
        """
        The text tower's vectors from before the projection; what is not kept yet is computed, and then kept.

        Args:
            model: its text tower should not be trained further: another state of it gets a file of its own.
            processor: the model's own.
            captions: sentences, none empty.
            batch_size: sentences at a time.
            progress: show a progress bar.

        Returns:
            float32 ``(captions, text hidden_size)``.
        """
        path = self._path(model, processor)
        kept, vectors = _read(path, model.config.text_config.hidden_size)
        place = {caption: row for row, caption in enumerate(kept)}
        missing = [caption for caption in distinct_in_order(captions) if caption not in place]
        if missing:
            fresh = embed_captions(
                model, processor, missing, batch_size=batch_size, progress=progress, pooled=True
            )
            kept, vectors = kept + missing, np.concatenate([vectors, fresh])
            place.update({caption: row for row, caption in enumerate(missing, start=len(place))})
            if world()[0] == 0:
                _write(path, kept, vectors)
        return vectors[[place[caption] for caption in captions]]

    def projected(
        self, model: AuricleModel, processor: AuricleProcessor, captions: Sequence[str], **options
    ) -> np.ndarray:
        """Unit-length embeddings of captions, float32 ``(captions, projection_dim)``; takes what `pooled` takes."""
        pooled = torch.from_numpy(self.pooled(model, processor, captions, **options))
        with torch.no_grad():
            return model.project_text(pooled.to(model.device, model.dtype)).float().cpu().numpy()

    def _path(self, model: AuricleModel, processor: AuricleProcessor) -> Path:
        return self.directory / f"{text_fingerprint(model, processor)}.parquet"


def _read(path: Path, width: int) -> tuple[list[str], np.ndarray]:
    nothing: tuple[list[str], np.ndarray] = ([], np.empty((0, width), dtype=np.float32))
    if not path.is_file():
        return nothing
    try:
        table = parquet.read_table(path)
        vectors = table["vector"].combine_chunks().flatten().to_numpy().reshape(-1, width)
        return table["caption"].to_pylist(), vectors
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        logger.warning("%s is damaged and is made anew (%s)", path, error)
        return nothing


def _write(path: Path, captions: list[str], vectors: np.ndarray) -> None:
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}.partial")
    parquet.write_table(pa.table({"caption": captions, "vector": column}), fresh)
    fresh.replace(path)


__all__ = ["PooledCaptions"]
