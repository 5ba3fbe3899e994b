"""Predicted moments of queries with known recordings, for an evaluation or a submission."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from tqdm.auto import tqdm

from ...encoders import AudioTextEncoder
from ...encoders.recordings.moment_head import MomentHead
from ...encoders.recordings.recording_frames import RecordingFrames
from ...encoders.recordings.recording_windows import WindowVectors, embed_recording
from ...encoders.recordings.short_windows import HOP_SECONDS, ShortWindows, embed_short_windows
from ...evaluation.metrics.moment_metrics import MOST_PREDICTIONS, RECALL_THRESHOLDS, ceiling_ious
from ...evaluation.moments.moment_predictions import Span
from ...evaluation.moments.moment_queries import ROUNDING_SECONDS, MomentQuery
from ...evaluation.moments.recording_files import find_recording_files
from ...processing import AudioReadError
from ..errors import SearchError
from ..query.hits import Hit
from ..query.ranking import BACKGROUND_QUERIES, SHORTEST_SPAN
from .dense_spans import rank_dense_spans
from .finding import EDGES, Edges
from .score_curve import SHORTEST_SECONDS as SHORTEST_DENSE_SECONDS
from .span_edges import LONGEST_SECONDS, SHORTEST_SECONDS
from .spans import DEFAULT_THRESHOLD, rank_framed_spans, rank_spans


class MomentAnswers(NamedTuple):
    """
    Attributes:
        spans: by ``qid`` the predictions ``(start, end, score)``, the best first.
        ceiling: what an oracle would reach among the spans that this way can give: ``R1@0.5``, ``R1@0.7``, ``mIoU``.
        edges: how spans were found; "head" for a moment head.
        hop_seconds: between windows, or short windows, or the frames of a head.
    """

    spans: dict[str, list[Span]]
    ceiling: dict[str, float]
    edges: Edges | Literal["head"]
    hop_seconds: float


def answer_moment_queries(
    encoder: AudioTextEncoder,
    queries: Sequence[MomentQuery],
    audio: str | os.PathLike[str],
    *,
    edges: Edges | None = None,
    head: MomentHead | None = None,
    hop_seconds: float | None = None,
    top: int = MOST_PREDICTIONS,
    progress: bool = False,
) -> MomentAnswers:
    """
    Finds the moments of every query in its recording; each recording is embedded once.

    Args:
        encoder: whose windows and frames they are.
        queries: sentences and the recordings to search with them.
        audio: directory with the recordings; a file belongs to the ``vid`` that its name without ending equals.
        edges: how spans are found: "dense", by short windows each second; "windows"; or "frames" where the model
            has them. None is "dense" where the model embeds short windows cheaply, and else "windows". Nothing is left
            out as no better than chance: measures look at all of the first ten.
        head: a moment head on this encoder, which finds the spans in place of windows and frames.
        hop_seconds: between windows; half a window, or a second for "dense", if not given.
        top: spans a query.
        progress: show a progress bar.

    Raises:
        SearchError: if a recording is missing, is there twice, cannot be read, is shorter or longer than its queries
            say by more than a second, or the model has no frames.
    """
    if edges not in (None, *EDGES):
        raise SearchError(f"edges={edges!r} is not one of {', '.join(map(repr, EDGES))}.")
    edges = edges or ("dense" if encoder.embeds_short_windows else "windows")
    if edges == "frames" and encoder.frame_seconds is None:
        raise SearchError(f"{encoder.name or encoder.kind}: has no frame vectors; use edges='windows'.")
    if head is not None:
        return _answers_of_head(head, queries, Path(audio), top=top, progress=progress)
    if hop_seconds is None:
        hop_seconds = (
            min(HOP_SECONDS, encoder.window_seconds) if edges == "dense" else encoder.window_seconds / 2
        )
    files = _recordings(Path(audio), {query.vid for query in queries})
    sentences = sorted({query.query for query in queries})
    vectors = dict(zip(sentences, encoder.embed_texts(sentences), strict=True))
    # Windows are not compared with common queries, and their percentiles are not asked for here.
    background = np.zeros((0, encoder.embedding_dim), dtype=np.float32)
    if edges == "dense":
        background = encoder.embed_texts(list(BACKGROUND_QUERIES))
    spans: dict[str, list[Span]] = {}
    best: list[float] = []
    for vid, own in tqdm(_by_recording(queries), desc="recordings", disable=not progress, total=len(files)):
        path = str(files[vid])
        try:
            recording = _embedded(encoder, path, edges, hop_seconds)
            duration = recording.embedded.duration
            for query in own:
                _check_duration(path, duration, query)
                hits = _ranked(recording, path, vectors[query.query], background, top)
                spans[query.qid] = [(hit.start, hit.end, hit.score) for hit in hits]
                best.append(float(_ceiling(recording, query).max()))
        except (AudioReadError, OSError) as error:
            raise SearchError(str(error)) from error
    return MomentAnswers(spans, _reached(np.array(best)), edges, hop_seconds)


def _answers_of_head(
    head: MomentHead, queries: Sequence[MomentQuery], audio: Path, *, top: int, progress: bool
) -> MomentAnswers:
    files = _recordings(audio, {query.vid for query in queries})
    sentences = sorted({query.query for query in queries})
    vectors = dict(zip(sentences, head.encoder.embed_texts(sentences), strict=True))
    spans: dict[str, list[Span]] = {}
    reached: list[float] = []
    for vid, own in tqdm(_by_recording(queries), desc="recordings", disable=not progress, total=len(files)):
        try:
            grid = head.frames(files[vid])
        except (AudioReadError, OSError) as error:
            raise SearchError(str(error)) from error
        for query in own:
            _check_duration(files[vid], grid.duration, query)
            spans[query.qid] = head.find(grid, vectors[query.query], top=top)
            # Its edges are real numbers: only the longest span that it can give limits it.
            longest = float(head.model.config.longest_seconds)
            lengths = [min(end, grid.duration) - start for start, end in query.moments]
            reached.append(max(min(1.0, longest / length) if length > 0 else 0.0 for length in lengths))
    return MomentAnswers(spans, _reached(np.array(reached)), "head", float(head.model.config.frame_seconds))


def _reached(ious: np.ndarray) -> dict[str, float]:
    ceiling = {f"R1@{limit:g}": float((ious >= limit).mean()) for limit in RECALL_THRESHOLDS}
    return {**ceiling, "mIoU": float(ious.mean())}


def _check_duration(path: str | os.PathLike[str], duration: float, query: MomentQuery) -> None:
    if abs(duration - query.duration) > ROUNDING_SECONDS + 1e-6:
        raise SearchError(
            f"{path}: lasts {duration:.3f} s, but query {query.qid!r} gives {query.duration:g} s."
        )


class _Recording(NamedTuple):
    embedded: WindowVectors | ShortWindows
    frames: RecordingFrames | None


def _embedded(encoder: AudioTextEncoder, path: str, edges: Edges, hop_seconds: float) -> _Recording:
    if edges == "dense":
        return _Recording(embed_short_windows(encoder, path, hop_seconds=hop_seconds), None)
    windows = embed_recording(encoder, path, hop_seconds=hop_seconds)
    return _Recording(
        windows, RecordingFrames(encoder, path, windows.duration) if edges == "frames" else None
    )


def _ranked(
    recording: _Recording, path: str, query: np.ndarray, background: np.ndarray, top: int
) -> list[Hit]:
    embedded, frames = recording
    if isinstance(embedded, ShortWindows):
        return rank_dense_spans(embedded, path, query, background, top=top)
    if frames is None:
        return rank_spans(embedded, path, query, background, top=top, threshold=DEFAULT_THRESHOLD)
    return rank_framed_spans(embedded, frames, path, query, background, top=top)


def _ceiling(recording: _Recording, query: MomentQuery) -> np.ndarray:
    windows, frames = recording
    if isinstance(windows, ShortWindows):
        # Edges are anywhere, so that the best span is the moment itself, or the shortest one around it.
        shortest, longest = min(SHORTEST_DENSE_SECONDS, windows.duration), windows.duration
        true = np.clip(np.array(query.moments), 0.0, windows.duration)
        around = np.clip(true.mean(axis=1) - shortest / 2, 0.0, windows.duration - shortest)
        starts, ends = np.append(true[:, 0], around), np.append(true[:, 1], around + shortest)
        return ceiling_ious(starts, ends, query.moments, shortest=shortest, longest=longest)
    if frames is None:
        length = float(windows.ends[0] - windows.starts[0])
        shortest = min(SHORTEST_SPAN * length, windows.duration)
        return ceiling_ious(
            windows.starts, windows.ends, query.moments, shortest=shortest, longest=windows.duration
        )
    step = frames.encoder.frame_seconds
    starts = np.arange(0, windows.duration, step)
    ends = np.minimum(starts + step, windows.duration)
    return ceiling_ious(starts, ends, query.moments, shortest=SHORTEST_SECONDS, longest=LONGEST_SECONDS)


def _by_recording(queries: Sequence[MomentQuery]) -> Iterator[tuple[str, list[MomentQuery]]]:
    grouped: dict[str, list[MomentQuery]] = {}
    for query in queries:
        grouped.setdefault(query.vid, []).append(query)
    yield from grouped.items()


def _recordings(folder: Path, wanted: set[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise SearchError(f"{folder}: not a directory of recordings.")
    found = find_recording_files(folder, wanted).found
    missing = sorted(wanted - found.keys())
    if missing:
        raise SearchError(
            f"{folder}: {len(missing)} of {len(wanted)} recordings are missing, first {missing[0]!r}; a file belongs "
            "to the vid that its name without ending equals."
        )
    twice = next((paths for paths in found.values() if len(paths) > 1), None)
    if twice:
        raise SearchError(f"{twice[0]} and {twice[1]}: both are recording {twice[0].stem!r}.")
    return {vid: paths[0] for vid, paths in found.items()}


__all__ = ["MomentAnswers", "answer_moment_queries"]
