"""Vectors of a recording's windows and of the whole of it."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import replace

import numpy as np

from ...processing import AudioReadError, FileRemarks
from ..interface import AudioTextEncoder
from .decoding import decode_ahead
from .embedding_workers import embed_in_threads
from .file_batches import embed_in_batches
from .pooled_recording import ClipVector, PooledRecording, WindowVectors
from .silent_windows import SilentWindows
from .window_cutting import Cut


def embed_files(
    encoder: AudioTextEncoder,
    paths: Iterable[str],
    *,
    hop_seconds: float,
    clip_vector: ClipVector = "model",
    heard: Callable[[str, float], None] | None = None,
    workers: int | None = None,
    windows_at_a_time: int | None = None,
) -> Iterator[tuple[str, WindowVectors | Exception]]:
    """
    Embeds files one after another and skips unreadable files. The next files are decoded meanwhile.

    On a CPU each file is embedded separately: its vectors do not depend on other files. On a GPU, windows of several
    files share batches of one size; see [`embed_in_batches`]. Remarks on a file are returned with its vectors and not
    logged. Full windows of digital silence share one vector.

    Args:
        encoder, hop_seconds, clip_vector: as in [`embed_recording`].
        paths: paths of sound files.
        heard: called with path and seconds of audio each time a part of a file was read for embedding.
        workers: files that are embedded at a time, each by one thread; None is the encoder's ``workers``. Without
            either, one at a time with all of torch's threads. With batches of several files: threads that decode.
        windows_at_a_time: windows of several files in one batch; None is the encoder's.

    Yields:
        (path, its vectors, or the `AudioReadError` or `OSError` with the reason).

    Raises:
        ValueError: as `embed_recording`.
    """
    how = {"hop_seconds": hop_seconds, "clip_vector": clip_vector, "silent": SilentWindows(encoder)}
    telling = threading.Lock()

    def embed(
        path: str, pieces: Iterable[np.ndarray], check: Callable[[], None]
    ) -> WindowVectors | Exception:
        pieces = _told(path, pieces, encoder.sampling_rate, heard, check, telling)
        try:
            vectors = embed_pieces(encoder, pieces, name=path, **how)
            return replace(vectors, remarks=remarks.of(path))
        except (AudioReadError, OSError) as error:
            return error

    def recording(
        path: str, pieces: Iterable[np.ndarray]
    ) -> tuple[PooledRecording, str, Iterable[np.ndarray]]:
        told = _told(path, pieces, encoder.sampling_rate, heard, lambda: None, telling)
        shape = {"hop_seconds": hop_seconds, "clip_vector": clip_vector}
        return PooledRecording(encoder, name=path, **shape), path, told

    with FileRemarks() as remarks:
        workers = workers or encoder.workers
        windows_at_a_time = windows_at_a_time or encoder.windows_at_a_time
        if windows_at_a_time is not None:
            with closing(decode_ahead(paths, encoder.pieces, threads=workers)) as decoded:
                files = (recording(*file) for file in decoded)
                with closing(embed_in_batches(files, how["silent"], windows_at_a_time)) as found:
                    for path, vectors in found:
                        if isinstance(vectors, WindowVectors):
                            vectors = replace(vectors, remarks=remarks.of(path))
                        yield path, vectors
            return
        if workers is not None:
            found = embed_in_threads(
                paths, lambda path, check: embed(path, encoder.pieces(path), check), workers
            )
            with closing(found):
                yield from found
            return
        with closing(decode_ahead(paths, encoder.pieces)) as decoded:
            for path, pieces in decoded:
                yield path, embed(path, pieces, lambda: None)


def embed_recording(
    encoder: AudioTextEncoder,
    path: str | os.PathLike[str],
    *,
    hop_seconds: float,
    clip_vector: ClipVector = "model",
    offset: float = 0.0,
    duration: float | None = None,
    batch_size: int = 16,
) -> WindowVectors:
    """
    Embeds a recording window by window, in memory that does not grow with its length.

    With windows that do not overlap, ``clip_vector="model"`` cuts the recording as the model cuts a clip: the last
    window is what is left over, filled up with silence. With windows that overlap, the last one reaches back so
    that it is full, and the clip's own last segment is embedded besides.

    Args:
        encoder: the encoder of the windows.
        path: path of a sound file.
        hop_seconds: from one window's start to the next one's, at most a window.
        clip_vector: how the vector of the whole recording is computed: "model" by the model's own segments, as in
            ``embed_clips``; or "windows", the mean over all windows, of which the last one reaches back
            (indexes made before version 3 of the format).
        offset: where to begin, seconds.
        duration: how much, seconds; None is all.
        batch_size: windows at a time.

    Raises:
        AudioReadError: for a file that cannot be read.
        ValueError: for a hop that is not above 0 and at most a window.
    """
    return embed_pieces(
        encoder,
        encoder.pieces(path, offset=offset, duration=duration),
        hop_seconds=hop_seconds,
        clip_vector=clip_vector,
        offset=offset,
        batch_size=batch_size,
        name=os.fspath(path),
    )


def embed_pieces(
    encoder: AudioTextEncoder,
    pieces: Iterable[np.ndarray],
    *,
    hop_seconds: float,
    clip_vector: ClipVector = "model",
    offset: float = 0.0,
    batch_size: int = 16,
    name: str | None = None,
    silent: SilentWindows | None = None,
) -> WindowVectors:
    """
    [`embed_recording`] of samples that come piece by piece.

    Args:
        pieces: as the encoder's ``pieces`` gives them; channels are mixed window by window.
        offset: where in the recording the first one begins, seconds.
        name: name of the recording, for a warning that its channels cancel.
        silent: shared by recordings whose windows of silence share a vector; None is this recording's own.

    Raises:
        AudioReadError: if there are no vectors for such samples; and what the pieces raise.
    """
    recording = PooledRecording(
        encoder, hop_seconds=hop_seconds, clip_vector=clip_vector, offset=offset, name=name
    )
    silent = silent or SilentWindows(encoder)
    for batch in _batches(recording.cuts(pieces), batch_size):
        waveforms = np.stack([recording.waveform(cut) for cut in batch])
        recording.add(batch, silent.pool_windows(waveforms, [len(cut.samples) for cut in batch]))
    return recording.finish()


def _told(
    path: str,
    pieces: Iterable[np.ndarray],
    rate: int,
    heard: Callable[[str, float], None] | None,
    check: Callable[[], None],
    telling: threading.Lock,
) -> Iterator[np.ndarray]:
    for piece in pieces:
        check()
        yield piece
        if heard is not None:
            with telling:
                heard(path, len(piece) / rate)


def _batches(cuts: Iterator[Cut], size: int) -> Iterator[list[Cut]]:
    batch: list[Cut] = []
    for cut in cuts:
        batch.append(cut)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


__all__ = ["ClipVector", "WindowVectors", "embed_files", "embed_pieces", "embed_recording"]
