"""LLM mix: two sounds at once under one caption that a language model merges (AISTAT report, arXiv 2509.16649)."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from datasets import Dataset
from tqdm.auto import tqdm

from ...files.replacing import replace_path
from ...processing.audio_reading import AudioReadError, load_waveform
from ...processing.sound_mix import FORMAT, SUFFIX, VERSION
from ..schema import DataError
from .answer_checks import MAX_WORDS, find_fault
from .job import Asker, JobSummary, run_job
from .journal import Journal
from .prompts_files import Prompt
from .requests import TextBackend, TextRequest

METADATA = "metadata.jsonl"
_SILENCE_DB = -60.0


@dataclass(frozen=True)
class Mix:
    """A mix of two rows of a table, by number, with their ``gain_db`` and ``place``."""

    name: str
    first: int
    second: int
    gain_db: float
    place: float


@dataclass(frozen=True)
class _Level:
    seconds: float
    loudness_db: float
    peak: float


def choose_mixes(table: Dataset, count: int, *, gain_db: float = 5.0, seed: int = 0) -> list[Mix]:
    """
    Draws pairs of rows of different clips.

    Args:
        table: rows of the project's schema, of at least two clips.
        count: number of pairs; no two pairs have the same rows.
        gain_db: the second sound is louder or softer than the first by at most this level, drawn uniformly.
        seed: seed of everything drawn.

    Raises:
        DataError: if there are fewer pairs, or a number is out of range.
    """
    clips = list(table["clip_id"])
    sizes = np.unique(clips, return_counts=True)[1].astype(np.int64)
    pairs = (len(clips) ** 2 - int((sizes**2).sum())) // 2
    if not 1 <= count <= pairs:
        raise DataError(
            f"cannot draw {count} mixes: the dataset has only {pairs} pairs of rows with different clips."
        )
    if not 0 <= gain_db <= 60:
        raise DataError(f"gain_db={gain_db} must be from 0 to 60.")
    generator = np.random.default_rng(seed)
    seen: set[tuple[int, int]] = set()
    mixes: list[Mix] = []
    while len(mixes) < count:
        first, second = (int(row) for row in generator.integers(len(clips), size=2))
        gain, place = float(generator.uniform(-gain_db, gain_db)), float(generator.random())
        key = (min(first, second), max(first, second))
        if clips[first] == clips[second] or key in seen:
            continue
        seen.add(key)
        mixes.append(Mix(f"{len(mixes):06d}", first, second, round(gain, 3), round(place, 6)))
    return mixes


def mix_request(first: str, second: str, prompt: Prompt, backend: TextBackend, max_words: int) -> TextRequest:
    """The request for one pair of captions."""
    return TextRequest(
        task="mix",
        texts=(first, second),
        prompt=prompt.fill(first=first, second=second, words=str(max_words)),
        prompt_version=prompt.version,
        settings=backend.settings,
    )


def write_mixes(
    table: Dataset,
    mixes: Sequence[Mix],
    out: str | os.PathLike[str],
    backend: TextBackend,
    prompt: Prompt,
    *,
    max_words: int = 40,
    sampling_rate: int = 32_000,
    render: bool = False,
    attempts: int = 3,
    progress: bool = True,
) -> JobSummary:
    """
    Writes a captioned folder of mixed sounds, which any recipe can use together with other datasets.

    The sounds are small files that describe a mix, which is rendered when it is read; ``render``
    stores them as FLAC instead. The shorter sound starts at a random position within the longer one. Levels
    are measured on the parts with sound, and gains keep the sum of the peaks below full scale.

    Args:
        table: rows of the project's schema.
        mixes: see [`choose_mixes`].
        out: a directory; ``metadata.jsonl`` and the sounds are written at the end, ``answers.sqlite`` as answers
            come in.
        backend: backend that merges captions.
        prompt: for chat models.
        max_words: longest caption.
        sampling_rate: sampling rate of the mixes, Hz.
        render: store the sounds.
        attempts: maximum number of requests for one pair if its answers are rejected.
        progress: show progress bars.

    Returns:
        Counts of kept and rejected pairs; pairs with an unreadable clip are rejected.

    Raises:
        DataError: if nothing is kept or the directory cannot be written.
        JobError: if the backend refuses requests or cannot be reached.
    """
    out, captions = Path(out), list(table["caption"])
    most = min(max_words, MAX_WORDS)
    summary = JobSummary(items=len(mixes))
    with Journal(out / "answers.sqlite") as journal:
        asker = Asker(backend, journal, summary, attempts)

        async def work(mix: Mix) -> tuple[str | None, str]:
            texts = [captions[mix.first], captions[mix.second]]
            request = mix_request(*texts, prompt, backend, most)
            return await asker.ask(request, lambda text: find_fault(text, texts, max_words=most))

        results = run_job(
            mixes, work, concurrency=backend.concurrency, description="merging captions", progress=progress
        )
    summary.faults.update(fault for text, fault in results if text is None)
    merged = [(mix, text) for mix, (text, _) in zip(mixes, results, strict=True) if text is not None]
    _write_folder(table, merged, out, backend, prompt, sampling_rate, render, summary, progress)
    return summary


def _write_folder(
    table: Dataset,
    merged: Sequence[tuple[Mix, str]],
    out: Path,
    backend: TextBackend,
    prompt: Prompt,
    sampling_rate: int,
    render: bool,
    summary: JobSummary,
    progress: bool,
) -> None:
    columns = {name: list(table[name]) for name in ("row_id", "audio", "license", "caption")}
    levels: dict[tuple[Any, ...], _Level | None] = {}
    lines = []
    for mix, caption in tqdm(merged, desc="mixing", unit="mix", disable=not progress):
        sounds = [columns["audio"][row] for row in (mix.first, mix.second)]
        measured = [_level(sound, sampling_rate, levels, summary) for sound in sounds]
        if None in measured:
            summary.faults["a sound cannot be read"] += 1
            continue
        description = describe_mix(mix, sounds, measured, sampling_rate)
        name = f"mixes/{mix.name[:3]}/{mix.name}{'.flac' if render else SUFFIX}"
        _write_sound(out / name, description, render)
        lines.append(
            {
                "file_name": name,
                "caption": caption,
                "license": " + ".join(
                    dict.fromkeys(columns["license"][row] for row in (mix.first, mix.second))
                ),
                "mixed_from": [columns["row_id"][row] for row in (mix.first, mix.second)],
                "source_captions": [columns["caption"][row] for row in (mix.first, mix.second)],
                "gain_db": mix.gain_db,
                "starts": [part["start"] for part in description["parts"]],
                "gains": [part["gain"] for part in description["parts"]],
                "rule_based": backend.is_rule_based,
                "prompt_version": prompt.version,
                "model": str(backend.settings.get("model") or backend.settings["backend"]),
            }
        )
    summary.kept = len(lines)
    if not lines:
        raise DataError(f"{out}: no mixes remain, so nothing was written. " + " ".join(summary.lines()))
    fresh = out / f".{METADATA}.{os.getpid()}.partial"
    fresh.write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), encoding="utf-8")
    replace_path(fresh, out / METADATA)


def describe_mix(
    mix: Mix, sounds: Sequence[dict[str, Any]], levels: Sequence[_Level], sampling_rate: int
) -> dict[str, Any]:
    """
    Contents of a mix file.

    Args:
        mix: the pair.
        sounds: ``path``, ``offset``, ``duration`` of both.
        levels: levels of both.
        sampling_rate: sampling rate of the mix, Hz.
    """
    relative = levels[0].loudness_db - levels[1].loudness_db + mix.gain_db
    gains = [1.0, 10 ** (relative / 20)]
    # The sum of the peaks stays below full scale, wherever they fall together.
    loudest = sum(gain * level.peak for gain, level in zip(gains, levels, strict=True))
    scale = min(1.0 / max(gains), 0.99 / max(loudest, 1e-9))
    seconds = max(level.seconds for level in levels)
    return {
        "format": FORMAT,
        "version": VERSION,
        "sampling_rate": sampling_rate,
        "seconds": seconds,
        "parts": [
            {
                "path": os.path.abspath(sound["path"]),
                "offset": sound["offset"] or 0.0,
                "duration": sound["duration"],
                "start": round(mix.place * (seconds - level.seconds), 6),
                "gain": gain * scale,
            }
            for sound, level, gain in zip(sounds, levels, gains, strict=True)
        ],
    }


def _level(
    sound: dict[str, Any],
    sampling_rate: int,
    known: dict[tuple[Any, ...], _Level | None],
    summary: JobSummary,
) -> _Level | None:
    key = (sound["path"], sound["offset"], sound["duration"])
    if key not in known:
        try:
            waveform = load_waveform(
                sound["path"],
                sampling_rate=sampling_rate,
                offset=sound["offset"] or 0.0,
                duration=sound["duration"],
                downmix="mean",
            )
            known[key] = measure_level(waveform, sampling_rate)
        except AudioReadError as error:
            known[key] = None
            if len(summary.errors) < 3:
                summary.errors.append(str(error))
    return known[key]


def measure_level(waveform: np.ndarray, sampling_rate: int) -> _Level:
    """
    Length, peak and loudness, which is the mean power of all tenths of a second within 60 dB of full scale.

    Args:
        waveform: float32 ``(samples,)``.
        sampling_rate: Hz.
    """
    block = max(sampling_rate // 10, 1)
    padded = np.pad(waveform.astype(np.float64), (0, -len(waveform) % block)).reshape(-1, block)
    power = (padded**2).mean(axis=1)
    sounding = power[power > 10 ** (_SILENCE_DB / 10)]
    mean = float(sounding.mean()) if len(sounding) else 10 ** (_SILENCE_DB / 10)
    return _Level(len(waveform) / sampling_rate, 10 * float(np.log10(mean)), float(np.abs(waveform).max()))


def _write_sound(path: Path, description: dict[str, Any], render: bool) -> None:
    from ...processing.sound_mix import render_mix

    fresh = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps(description) + "\n", encoding="utf-8")
        if render:
            waveform, rate = render_mix(
                fresh, partial(load_waveform, downmix="mean"), offset=0.0, duration=None
            )
            soundfile.write(fresh, waveform, rate, format="FLAC")
        replace_path(fresh, path)
    except OSError as error:
        raise DataError(f"{path}: cannot write the file ({error.strerror}).") from error
    finally:
        fresh.unlink(missing_ok=True)


__all__ = ["Mix", "choose_mixes", "describe_mix", "measure_level", "mix_request", "write_mixes"]
