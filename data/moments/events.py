"""Events of a generated recording: their durations, their positions, and their sound."""

import numpy as np

# CASTELLA's test moments have a median of 4 s, and 61 % of them last at most 5 s: a log-normal of this spread.
MEDIAN_SECONDS = 4.0
SPREAD = 0.8
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 30.0
CROSS_FADE_SECONDS = 0.05
EDGE_FADE_SECONDS = 0.01
# At a clip's ends, sound this far below its loudest 20 ms counts as silence.
SILENCE_DB = -45.0
LEVEL_SECONDS = 0.02


def draw_duration(generator: np.random.Generator) -> float:
    """Seconds of an event: log-normal with median 4 s, kept within 1 and 30 s by drawing again."""
    while True:
        seconds = MEDIAN_SECONDS * float(np.exp(SPREAD * generator.standard_normal()))
        if SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            return seconds


def place_events(
    durations: list[float], recording_seconds: float, *, gap: float, generator: np.random.Generator
) -> list[float] | None:
    """
    Starts of events in their drawn order of time, with at least ``gap`` seconds between any two.

    Args:
        durations: durations of the events, in seconds; they keep their order.
        recording_seconds: length of the recording.
        gap: minimum silence between two events; not required at the ends.
        generator: random generator for the distribution of the free time.

    Returns:
        The starts, or None if the events do not fit.
    """
    free = recording_seconds - sum(durations) - gap * (len(durations) - 1)
    if free < 0:
        return None
    shares = np.sort(generator.uniform(0, free, size=len(durations)))
    starts, used = [], 0.0
    for share, duration in zip(shares, durations, strict=True):
        starts.append(float(share) + used)
        used += duration + gap
    return starts


def without_silent_ends(samples: np.ndarray, rate: int) -> np.ndarray:
    """
    Removes silence at the ends of a sound.

    Args:
        samples: mono ``(samples,)``.
        rate: in Hz.

    Returns:
        A part of it: from the first to the last 20 ms that are less than 45 dB below the loudest ones.
        Empty for digital silence.
    """
    length = max(1, round(LEVEL_SECONDS * rate))
    blocks = -(-len(samples) // length)
    padded = np.zeros(blocks * length)
    padded[: len(samples)] = samples
    levels = np.sqrt((padded.reshape(blocks, length) ** 2).mean(axis=1))
    if not blocks or not levels.max():
        return samples[:0]
    loud = np.flatnonzero(levels > levels.max() * 10 ** (SILENCE_DB / 20))
    return samples[loud[0] * length : (loud[-1] + 1) * length]


def event_sound(samples: np.ndarray, rate: int, seconds: float, generator: np.random.Generator) -> np.ndarray:
    """
    A sound of exactly the given length: a part of a longer clip, or a shorter one looped with a cross-fade.

    Args:
        samples: mono, without silent ends, ``(samples,)``.
        rate: in Hz.
        seconds: wanted length.
        generator: draws where a part begins.

    Returns:
        ``(round(seconds * rate),)`` of RMS 1, with short fades at its ends.

    Raises:
        ValueError: if there is no sound in ``samples``.
    """
    if not len(samples) or not np.any(samples):
        raise ValueError("the clip is silent: an event needs a sound.")
    wanted = round(seconds * rate)
    fade = min(round(CROSS_FADE_SECONDS * rate), len(samples) // 4)
    if len(samples) >= wanted:
        start = int(generator.integers(0, len(samples) - wanted + 1))
        sound = samples[start : start + wanted].astype(np.float64)
    else:
        sound = samples.astype(np.float64)
        rise = np.linspace(0.0, 1.0, fade, endpoint=False)
        while len(sound) < wanted:
            joined = sound[len(sound) - fade :] * (1 - rise) + samples[:fade] * rise
            sound = np.concatenate([sound[: len(sound) - fade], joined, samples[fade:]])
        sound = sound[:wanted]
    edge = min(round(EDGE_FADE_SECONDS * rate), wanted // 4)
    if edge:
        ramp = np.linspace(0.0, 1.0, edge)
        sound = sound.copy()
        sound[:edge] *= ramp
        sound[-edge:] *= ramp[::-1]
    level = float(np.sqrt(np.mean(sound**2)))
    return sound / level if level else sound


__all__ = ["draw_duration", "event_sound", "place_events", "without_silent_ends"]
