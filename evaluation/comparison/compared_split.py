"""The split for a comparison: its rows, its digest, and its unreadable clips."""

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from datasets import Dataset
from tqdm.auto import tqdm

from ...data.audio_check import check_audio
from ...data.schema import unique_clips
from ..metrics.inner_products import InnerProducts
from ..similarities import Similarities, SimilarityError


@dataclass(frozen=True, eq=False)
class ComparedSplit:
    """
    A split; every system's similarities must belong to its rows.

    Attributes:
        table: its rows; clips that cannot be read are skipped.
        digest: digest of ids, captions and the bytes of all sound files, 64 hexadecimal digits; not of paths.
        unreadable: (clip id, reason) of the clips that were skipped.
        relevant: multiple annotations by place of a query, or None.
    """

    table: Dataset
    digest: str
    unreadable: tuple[tuple[str, str], ...] = ()
    relevant: Mapping[int, Sequence[int]] | None = None

    @property
    def source(self) -> str:
        """The dataset's name."""
        return self.table["source"][0]

    @property
    def split(self) -> str:
        """The split's name."""
        return self.table["split"][0]

    @property
    def queries(self) -> list[str]:
        """The captions; each is a query."""
        return list(self.table["caption"])

    @property
    def clips(self) -> Dataset:
        """The first row of each clip."""
        return unique_clips(self.table)

    @property
    def relevance_digest(self) -> str:
        """Digest of the multiple annotations, 64 hexadecimal digits."""
        relevant = None
        if self.relevant is not None:
            relevant = [[query, list(map(int, self.relevant[query]))] for query in sorted(self.relevant)]
        return hashlib.sha256(json.dumps(relevant).encode()).hexdigest()

    def check_pairs(self, similarities: Similarities) -> None:
        """
        Raises:
            SimilarityError: if similarities belong to other queries or clips, or have another order.
        """
        clip_ids = list(self.clips["clip_id"])
        place = {clip: number for number, clip in enumerate(clip_ids)}
        expected = Similarities(
            scores=InnerProducts(np.zeros((len(self.table), 1)), np.zeros((len(clip_ids), 1))),
            query_ids=list(self.table["row_id"]),
            queries=self.queries,
            clip_ids=clip_ids,
            clip_of_query=np.asarray([place[clip] for clip in self.table["clip_id"]], dtype=np.int64),
            source=self.source,
            split=self.split,
            name=f"{self.source} {self.split}",
        )
        expected.check_same_pairs(similarities)
        if not np.array_equal(expected.clip_of_query, similarities.clip_of_query):
            query = int(np.flatnonzero(expected.clip_of_query != similarities.clip_of_query)[0])
            raise SimilarityError(
                f"{similarities.name}: query {expected.query_ids[query]!r} belongs to another clip there than in "
                f"{expected.name}."
            )

    def with_relevance(self, relevant: Mapping[int, Sequence[int]] | None) -> "ComparedSplit":
        """The same split with multiple annotations."""
        return replace(self, relevant=relevant)


def digest_of_split(table: Dataset, *, progress: bool = False) -> str:
    """
    Identifies a split in any directory: ids, captions, offsets within files, and the files' contents.

    For an unreadable file the reason is part of the digest.

    Args:
        table: table of the schema.
        progress: show a progress bar of the files.

    Returns:
        64 hexadecimal digits (SHA-256).
    """
    columns = table.select_columns(["row_id", "clip_id", "source", "split", "caption", "audio"]).with_format(
        None
    )
    rows = columns[:]
    contents: dict[str, str] = {}
    paths = dict.fromkeys(audio["path"] for audio in rows["audio"])
    for path in tqdm(paths, desc="reading files", unit="file", disable=not progress):
        contents[path] = _content(path)
    digest = hashlib.sha256()
    for row in zip(*(rows[name] for name in rows), strict=True):
        values: dict[str, Any] = dict(zip(rows, row, strict=True))
        audio = values.pop("audio")
        values["audio"] = [contents[audio["path"]], audio["offset"], audio["duration"]]
        digest.update(json.dumps(values, sort_keys=True).encode() + b"\n")
    return digest.hexdigest()


def find_unreadable(table: Dataset, *, progress: bool = False) -> list[tuple[str, str]]:
    """
    Decodes every clip of a split once.

    Returns:
        (clip id, reason) of each clip that cannot be read, in the table's order.

    Raises:
        DataError: if no clip can be read; the message lists all of them.
    """
    readable, report = check_audio(table, max_bad_share=1.0, allow_silent=True, progress=progress)
    kept = set(readable["clip_id"])
    bad = [clip for clip in unique_clips(table)["clip_id"] if clip not in kept]
    return [(clip, reason) for clip, (_, reason) in zip(bad, report.bad, strict=True)]


def without_clips(table: Dataset, clip_ids: Collection[str]) -> Dataset:
    """The table without the rows of some clips."""
    if not clip_ids:
        return table
    return table.select([row for row, clip in enumerate(table["clip_id"]) if clip not in clip_ids])


def _content(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return f"unreadable: {error.strerror}"


__all__ = ["ComparedSplit", "digest_of_split", "find_unreadable", "without_clips"]
