"""Writing a waveform cache so that a kill at any moment costs at most the clip in work."""

import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ..files.reading_ahead import read_ahead
from ..processing.audio_reading import (
    AudioReadError,
    audio_seconds,
    load_channels,
    load_waveform,
    opened_sound,
)
from ..processing.sound_mix import is_mix
from .schema import DataError

SAMPLES_FILE = "samples.int16"
UNREADABLE = -1
_LENGTHS_FILE = "lengths.int64"
_REASONS_FILE = "unreadable.jsonl"
_HEADERS_READ = 500
# Decoders and resamplers run outside the interpreter's lock; more threads than this wait for the disk.
_MOST_THREADS = 8
_BYTES_BETWEEN_SYNCS = 1 << 28


@dataclass(frozen=True)
class WaveformForm:
    """
    The record of a clip.

    Attributes:
        sampling_rate: Hz.
        downmix: ``"mean"`` keeps one channel, another rule all of them.
        resampler: as of `resample`.
    """

    sampling_rate: int
    downmix: str = "mean"
    resampler: str = "soxr"


def estimated_bytes(clips: Sequence[dict[str, Any]], form: WaveformForm) -> int:
    """
    Disk space of the decoded clips: exact for up to 500 clips, otherwise estimated from 500 random ones.

    Args:
        clips: audio references with ``path``, ``offset`` and ``duration``; files that cannot be read count 0.
        form: what is kept of them.
    """
    chosen = clips
    if len(clips) > _HEADERS_READ:
        drawn = np.random.default_rng(0).choice(len(clips), _HEADERS_READ, replace=False)
        chosen = [clips[place] for place in drawn]
    seconds = sum(_seconds(clip, form.downmix == "mean") for clip in chosen)
    return round(2 * form.sampling_rate * seconds * len(clips) / len(chosen)) if chosen else 0


def write_waveforms(
    clips: Sequence[dict[str, Any]], form: WaveformForm, directory: Path, progress: bool
) -> dict[str, Any]:
    """
    Decodes the clips into ``directory``, continuing where a killed call stopped.

    A clip counts as finished once its length is noted, and its length is noted after its samples are written:
    what follows the last recorded clip is cut off and decoded again. Whether or not it was killed, the file
    has the same bytes.

    Args:
        clips: audio references with ``path``, ``offset`` and ``duration``; the same ones in every call.
        form: what is kept of them.
        directory: made if missing.
        progress: show a progress bar.

    Returns:
        ``lengths`` (values a clip, of all of its channels; -1 for an unreadable clip), ``channels`` (of each)
        and ``unreadable``, ``{place: reason}``.

    Raises:
        DataError: if the disk has not enough room; before anything is decoded if the clips' headers give their lengths.
    """
    directory.mkdir(parents=True, exist_ok=True)
    lengths, channels = _finished(directory, len(clips))
    rest = clips[len(lengths) :]
    _check_room(directory, len(rest), estimated_bytes(rest, form))
    with (
        open(directory / SAMPLES_FILE, "ab", buffering=0) as samples,
        open(directory / _LENGTHS_FILE, "ab", buffering=0) as journal,
        open(directory / _REASONS_FILE, "ab", buffering=0) as reasons,
        tqdm(
            total=len(clips), initial=len(lengths), desc="decoding", unit="clip", disable=not progress
        ) as bar,
    ):
        unsynced = 0
        for decoded in _decoded_in_order(rest, form):
            if isinstance(decoded, str):
                _append(reasons, json.dumps([len(lengths), decoded]).encode() + b"\n")
                lengths.append(UNREADABLE)
                channels.append(1)
            else:
                _append(samples, decoded.tobytes())
                lengths.append(decoded.size)
                channels.append(1 if decoded.ndim == 1 else decoded.shape[1])
                unsynced += decoded.nbytes
            if unsynced > _BYTES_BETWEEN_SYNCS:
                os.fsync(samples.fileno())
                unsynced = 0
            _append(journal, np.asarray([lengths[-1], channels[-1]], dtype="<i8").tobytes())
            bar.update()
        os.fsync(samples.fileno())
    lines = (directory / _REASONS_FILE).read_text(encoding="utf-8").splitlines()
    noted = dict(json.loads(line) for line in lines)
    return {
        "lengths": lengths,
        "channels": channels,
        "unreadable": {place: noted[place] for place, length in enumerate(lengths) if length == UNREADABLE},
    }


def _finished(directory: Path, clips: int) -> tuple[list[int], list[int]]:
    """Lengths and channels of the clips that an earlier call finished; files are cut back to just these."""
    journal, samples = directory / _LENGTHS_FILE, directory / SAMPLES_FILE
    noted = journal.read_bytes() if journal.is_file() else b""
    pairs = np.frombuffer(noted[: len(noted) // 16 * 16], dtype="<i8").reshape(-1, 2)[:clips]
    lengths = pairs[:, 0].tolist()
    present = samples.stat().st_size if samples.is_file() else 0
    # After a power cut a journal can have reached the disk before the samples.
    while lengths and 2 * sum(max(length, 0) for length in lengths) > present:
        lengths.pop()
    if journal.is_file():
        os.truncate(journal, 16 * len(lengths))
    if samples.is_file():
        os.truncate(samples, 2 * sum(max(length, 0) for length in lengths))
    reasons = directory / _REASONS_FILE
    if reasons.is_file():
        whole = [line for line in reasons.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        reasons.write_bytes(b"".join(line for line in whole if json.loads(line)[0] < len(lengths)))
    return lengths, pairs[: len(lengths), 1].tolist()


def _decoded_in_order(clips: Sequence[dict[str, Any]], form: WaveformForm) -> Iterator[np.ndarray | str]:
    """The clips' 16-bit samples, or why one cannot be read; a few are decoded ahead."""
    threads = min(_MOST_THREADS, os.cpu_count() or 1)
    return read_ahead(lambda clip: _decoded(clip, form), clips, threads, ahead=2 * threads)


def _decoded(clip: dict[str, Any], form: WaveformForm) -> np.ndarray | str:
    options = {"sampling_rate": form.sampling_rate, "resampler": form.resampler}
    options |= {"offset": clip.get("offset") or 0.0, "duration": clip.get("duration")}
    try:
        if form.downmix == "mean":
            waveform = load_waveform(clip["path"], downmix="mean", **options)
        else:
            waveform = load_channels(clip["path"], **options)
    except AudioReadError as error:
        return str(error)
    return np.clip(np.rint(waveform * 32768.0), -32768, 32767).astype("<i2")


def _seconds(clip: dict[str, Any], one_channel: bool) -> float:
    """Seconds of a clip, of all channels that are kept together."""
    path, seconds = clip["path"], clip.get("duration")
    if is_mix(path) or (one_channel and seconds is not None):
        return float(seconds) if seconds is not None else _seconds_of_file(clip)
    try:
        with opened_sound(path) as (decoder, _):
            if seconds is None:
                seconds = max(0.0, decoder.count_samples() / decoder.rate - (clip.get("offset") or 0.0))
            return float(seconds) * (1 if one_channel else decoder.channels)
    except AudioReadError:
        return 0.0


def _seconds_of_file(clip: dict[str, Any]) -> float:
    try:
        return max(0.0, audio_seconds(clip["path"]) - (clip.get("offset") or 0.0))
    except AudioReadError:
        return 0.0


def _check_room(directory: Path, clips: int, needed: int) -> None:
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise DataError(
            f"{clips} decoded clips need about {needed / 1e9:.1f} GB, but {directory} has {free / 1e9:.1f} GB "
            f"free. Choose another disk with data.cache_dir or $AURICLE_CACHE, or set data.cache_waveforms to "
            f"false; each epoch then decodes the files again."
        )


def _append(file: Any, content: bytes) -> None:
    """Hands all of it to the operating system, which keeps it if this process is killed."""
    rest = memoryview(content)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DataError(
            f"the disk is full: {file.name}. The clips decoded so far are kept. Free disk space and restart, or "
            f"choose another disk with data.cache_dir or $AURICLE_CACHE."
        ) from error


__all__ = ["SAMPLES_FILE", "UNREADABLE", "WaveformForm", "estimated_bytes", "write_waveforms"]
