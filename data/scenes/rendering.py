"""From the description of a scene to its sound."""

import numpy as np

from .descriptions import Part, SceneDescription
from .kinds import KINDS
from .signals import Signal, band_noise, place

PEAK = 0.9
_LEVEL = 0.13  # of a middling event: the strongest 50 ms, as RMS where full scale is 1
_LOUDNESS_GAIN = {None: 1.0, "loud": 2.4, "faint": 0.25}
_PITCH_FACTOR = {None: 1.0, "high": 1.9, "low": 0.52}
_BACKGROUND_GAIN = 0.55


def render_scene(
    description: SceneDescription, rng: np.random.Generator, seconds: float, rate: int
) -> np.ndarray:
    """The scene as 16-bit PCM, int16 (round(seconds * rate),), with a peak of at most 0.9 of full scale.

    Onsets, spacing, levels, timbre and a weak background noise vary with `rng`; everything that the
    description states is true of the sound.
    """
    canvas = np.zeros(round(seconds * rate))
    parts = description.parts
    if description.relation == "alone":
        start = rng.uniform(0.02, 0.1) * seconds
        _perform(canvas, parts[0], rng, start, rng.uniform(0.7, 0.97) * seconds, rate)
    elif description.relation == "then":
        middle = rng.uniform(0.49, 0.55) * seconds
        _perform(canvas, parts[0], rng, rng.uniform(0.01, 0.06) * seconds, middle - 0.04 * seconds, rate)
        _perform(canvas, parts[1], rng, middle, rng.uniform(0.93, 0.99) * seconds, rate)
    else:
        around = (rng.uniform(0.0, 0.06) * seconds, rng.uniform(0.94, 1.0) * seconds)
        _perform(canvas, parts[1], rng, *around, rate, gain=_BACKGROUND_GAIN)
        within = (rng.uniform(0.12, 0.3) * seconds, rng.uniform(0.75, 0.9) * seconds)
        _perform(canvas, parts[0], rng, *within, rate)
    hiss = band_noise(rng, seconds, rate, 50, 0.45 * rate, -0.5)
    canvas += 10 ** rng.uniform(-3.3, -2.6) * hiss[: len(canvas)]
    canvas *= min(1.0, PEAK / float(np.abs(canvas).max()))
    return np.rint(canvas * 32767).astype(np.int16)


def _perform(
    canvas: Signal,
    part: Part,
    rng: np.random.Generator,
    start: float,
    stop: float,
    rate: int,
    gain: float = 1.0,
) -> None:
    """Add one part between two moments, in seconds."""
    kind = KINDS[part.kind]
    pitch = _PITCH_FACTOR[part.pitch] if kind.pitched else 1.0
    gain *= _LEVEL * _LOUDNESS_GAIN[part.loudness] * 10 ** rng.uniform(-0.06, 0.06)
    spacing = min(rng.uniform(0.5, 0.75), (stop - start) / part.count) if kind.countable else 0.0
    # Every stroke of a count has the same level: a fainter one might be missed.
    for number in range(part.count):
        onset = start + number * spacing * (1 + (rng.uniform(-0.05, 0.05) if number else 0.0))
        event = kind.make(rng, stop - onset, rate, pitch)
        place(canvas, event, onset, rate, gain / _level(event, rate))


def _level(signal: Signal, rate: int) -> float:
    """RMS of the strongest 50 ms, or a quarter of the peak where the signal is mostly clicks."""
    window = max(round(0.05 * rate), 1)
    energy = np.concatenate([[0.0], np.cumsum(signal**2)])
    if len(signal) > window:
        strongest = float((energy[window:] - energy[:-window]).max()) / window
    else:
        strongest = float(energy[-1]) / window
    return max(np.sqrt(max(strongest, 0.0)), float(np.abs(signal).max()) / 4, 1e-9)
