"""Evaluates search over an index on a labelled split: similarities from the index's stored vectors."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as compute
from datasets import Dataset
from tqdm.auto import tqdm

from ..data.schema import unique_clips
from ..encoders.caption_lengths import caption_lengths
from ..evaluation.metrics.inner_products import InnerProducts, Scores
from ..evaluation.similarities import Similarities
from .errors import SearchError
from .query.answers import DEFAULT_RANKING, RANKINGS
from .query.query_text import phrase_query
from .sound_index import SoundIndex
from .store.entries import FileEntry

CANDIDATES = ("split", "index")
# No metric uses more than 16 ranks, so the best files outside the split are enough for each query.
OTHERS_KEPT = 100
FILES_AT_A_TIME = 256
# Two durations that differ by less count as equal, seconds.
SAME_LENGTH_SECONDS = 0.05


@dataclass(frozen=True, eq=False)
class IndexedSplit:
    """
    The sounds of a split that are in an index.

    Attributes:
        table: rows of the split; rows of missing clips are skipped.
        paths: paths of the index's file for each distinct clip of the table.
        missing: (clip id, reason) of the clips that the index does not have.
        clips: distinct clips of the split, missing ones included.
    """

    table: Dataset
    paths: list[str]
    missing: tuple[tuple[str, str], ...]
    clips: int


def find_split(index: SoundIndex, table: Dataset, *, progress: bool = False) -> IndexedSplit:
    """
    Finds a split's sounds in an index by path, or by content if they have other paths there.

    Args:
        index: any index.
        table: one split of the schema.
        progress: show a progress bar of files that are read to compare contents.

    Raises:
        SearchError: if the split is empty or none of its sounds is in the index.
    """
    if not len(table):
        raise SearchError("the split has no rows to evaluate.")
    clips = unique_clips(table)
    known = index.store.files()
    by_content = {row["digest"]: path for path, row in sorted(known.items(), reverse=True)}
    durations = dict(zip(*index.store.file_rows(["path", "duration"]).to_pydict().values(), strict=True))
    found: dict[str, str] = {}
    missing: list[tuple[str, str]] = []
    pairs = zip(clips["clip_id"], clips["audio"], strict=True)
    for clip, audio in tqdm(pairs, desc="finding sounds", total=len(clips), disable=not progress):
        path, reason = _find_file(audio["path"], known, by_content)
        if path is not None and not _is_whole(audio, durations[path]):
            path, reason = None, "it is a part of its file; the index has vectors of whole files"
        if path is None:
            missing.append((clip, reason))
        else:
            found[clip] = path
    if not found:
        raise SearchError(
            f"{index.directory}: contains none of the {len(clips)} sounds of the split; for example, {missing[0][0]}: "
            f"{missing[0][1]}."
        )
    if missing:
        table = table.select([row for row, clip in enumerate(table["clip_id"]) if clip in found])
    paths = [found[clip] for clip in unique_clips(table)["clip_id"]]
    return IndexedSplit(table, paths, tuple(missing), len(clips))


def _find_file(path: str, known: dict[str, dict[str, Any]], by_content: dict[str, str]) -> tuple:
    """(path in the index, "") or (None, why it is not there)."""
    try:
        status = os.stat(path)
        row = known.get(path)
        if row and (row["size"], row["mtime_ns"]) == (status.st_size, status.st_mtime_ns):
            return path, ""
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        # A library that is not mounted can still be searched.
        return (path, "") if path in known else (None, f"the file cannot be read ({error.strerror})")
    if row and row["digest"] == digest:
        return path, ""
    if digest in by_content:
        return by_content[digest], ""
    return None, "the file has changed since it was indexed" if row else "it is not in the index"


def _is_whole(audio: dict[str, Any], seconds: float) -> bool:
    part = audio["duration"]
    return audio["offset"] == 0 and (part is None or part >= seconds - SAME_LENGTH_SECONDS)


def index_similarities(
    index: SoundIndex,
    split: IndexedSplit,
    *,
    rank: str = DEFAULT_RANKING,
    candidates: str = "split",
    progress: bool = False,
) -> Similarities:
    """
    The scores that a search of the index compares, computed from the stored vectors.

    Every vector is compared. If the index is so large that search is approximate, the scores equal those of
    ``search(..., exact=True)``.

    Args:
        index: contains the split's sounds.
        split: see [`find_split`].
        rank: "window" scores a file by its best window, "clip" by the vector of the whole file.
        candidates: "split" ranks only the sounds of the split. "index" ranks all files of the index, and files outside
            the split count as wrong; the last columns are then the scores of the best other files for each query.
        progress: show a progress bar.

    Raises:
        SearchError: for an unknown ranking or candidates, or if the model cannot be loaded.
    """
    if rank not in RANKINGS:
        raise SearchError(f"rank {rank!r}: must be one of {', '.join(RANKINGS)}.")
    if candidates not in CANDIDATES:
        raise SearchError(f"candidates={candidates!r}: must be one of {', '.join(CANDIDATES)}.")
    table, record = split.table, index_record(index)
    captions, clip_ids = list(table["caption"]), list(unique_clips(table)["clip_id"])
    place = {clip: number for number, clip in enumerate(clip_ids)}
    text = index.embed_texts([phrase_query(caption, index.template) for caption in captions])
    own = _files(index, split.paths, "reading vectors", progress)
    scores: Scores
    if rank == "clip" and candidates == "split":
        scores = InnerProducts(text, np.stack([entry.vector for entry in own]))
    else:
        scores = np.stack([_scores(entry, text, rank) for entry in own], axis=1)
    others = sorted(set(index.store.files()) - set(split.paths))
    if candidates == "index" and others:
        best = _best_others(_files(index, others, "reading other files", progress), text, rank)
        scores = np.concatenate([np.asarray(scores), best], axis=1)
        clip_ids = clip_ids + [f"other file {number}" for number in range(1, 1 + best.shape[1])]
    origin: dict[str, Any] = {
        "model": record["model"],
        "ranking": rank,
        "candidates": candidates,
        "index": {
            **record,
            "other_files": len(others),
            "clips": split.clips,
            "missing": len(split.missing),
            "missing_clips": [{"clip_id": clip, "reason": reason} for clip, reason in split.missing],
        },
    }
    if lengths := caption_lengths(index._encoder.encoder, captions):
        origin["caption_lengths"] = lengths.as_record()
    return Similarities(
        scores=scores,
        query_ids=list(table["row_id"]),
        queries=captions,
        clip_ids=clip_ids,
        clip_of_query=np.asarray([place[clip] for clip in table["clip_id"]], dtype=np.int64),
        source=table["source"][0],
        split=table["split"][0],
        name=f"{index.directory} ranked by {rank}",
        origin=origin,
    )


def index_record(index: SoundIndex) -> dict[str, Any]:
    """
    Identifies an index in a report.

    Returns:
        ``directory``; ``model``, its ``fingerprint``, window, hop, width and the settings as in ``index.json``;
        ``generation``, the version of the table, which every commit to it raises, and ``waiting_files``, the number of
        files that are not in the table yet; numbers of ``files`` and ``windows``; ``contents``, a SHA-256 of the
        files' digests, which does not depend on paths; ``approximate``, whether search over it is approximate.
    """
    store = index.store
    names = ("model", "fingerprint", "window_seconds", "hop_seconds", "width", "settings")
    digests = sorted(row["digest"] for row in store.files().values())
    waiting = store.waiting()
    return {
        "directory": str(index.directory),
        **{name: store.record[name] for name in names},
        "generation": store.table.version,
        "waiting_files": 0 if waiting is None else len(compute.unique(waiting.column("path"))),
        "files": len(digests),
        # Every file has one row of its own.
        "windows": len(store.rows(["path", "window"])) - len(digests),
        "contents": hashlib.sha256("\n".join(digests).encode()).hexdigest(),
        "approximate": store.approximate,
    }


def _files(index: SoundIndex, paths: Sequence[str], what: str, progress: bool) -> Iterator[FileEntry]:
    with tqdm(desc=what, total=len(paths), unit="file", disable=not progress) as bar:
        for start in range(0, len(paths), FILES_AT_A_TIME):
            chunk = paths[start : start + FILES_AT_A_TIME]
            entries = index.store.entries(list(dict.fromkeys(chunk)))
            for path in chunk:
                if path not in entries:
                    raise SearchError(f"{path}: was removed from the index during the evaluation; try again.")
                yield entries[path]
            bar.update(len(chunk))


def _scores(entry: FileEntry, text: np.ndarray, rank: str) -> np.ndarray:
    """Of one file for every query, ``(queries,)``."""
    return text @ entry.vector if rank == "clip" else (text @ entry.vectors.T).max(axis=1)


def _best_others(files: Iterator[FileEntry], text: np.ndarray, rank: str) -> np.ndarray:
    """The highest scores of each query over files, ``(queries, at most OTHERS_KEPT)``, the best first."""
    best = np.empty((len(text), 0), dtype=np.float32)
    waiting: list[np.ndarray] = []
    for entry in files:
        waiting.append(_scores(entry, text, rank))
        if len(waiting) == OTHERS_KEPT:
            best, waiting = _merged(best, waiting), []
    return _merged(best, waiting) if waiting else best


def _merged(best: np.ndarray, more: list[np.ndarray]) -> np.ndarray:
    return -np.sort(-np.concatenate([best, np.stack(more, axis=1)], axis=1), axis=1)[:, :OTHERS_KEPT]


__all__ = ["CANDIDATES", "IndexedSplit", "find_split", "index_record", "index_similarities"]
