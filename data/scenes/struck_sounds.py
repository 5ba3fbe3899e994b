"""Sounds with a beginning and a decay: things that are struck, plucked, dropped or fired.

Every function takes (rng, seconds, rate, pitch) and returns one event of at most `seconds`, float64
(samples,), of arbitrary level. `pitch` multiplies the frequencies where the kind has a pitch.
"""

import numpy as np

from .signals import Signal, band_noise, fade, glide, harmonics, ring, strike, time_axis


def beep(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A short square-like tone that starts and stops at once."""
    length = min(seconds, rng.uniform(0.13, 0.18))
    tone = harmonics(np.full(len(time_axis(length, rate)), 1050 * pitch), [1, 0, 0.33, 0, 0.2], rate)
    return fade(tone, rate, 0.004, 0.004)


def knock(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """Knuckles on wood: a very short, dull thud with a little attack noise."""
    base = rng.uniform(0.9, 1.1)
    modes = [(190 * base, 1.0, 0.03), (410 * base, 0.7, 0.02), (720 * base, 0.35, 0.012)]
    length = min(seconds, 0.2)
    attack = band_noise(rng, length, rate, 300, 1800) * strike(length, rate, 0.001, 0.006)
    return ring(rng, length, rate, modes) + 0.25 * attack


def pluck(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A plucked string: harmonics whose decay quickens with their number (stiffness and damping)."""
    base = 220 * pitch * rng.uniform(0.97, 1.03)
    point = rng.uniform(0.18, 0.3)
    modes = []
    for number in range(1, 16):
        frequency = number * base * np.sqrt(1 + 0.0004 * number**2)
        modes.append((frequency, abs(np.sin(np.pi * number * point)) / number, 0.5 / (0.5 + 0.5 * number)))
    return ring(rng, min(seconds, 0.9), rate, modes)


def bell(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A church bell: hum, prime, minor third, quint and nominal, which ring for long."""
    base = 520 * pitch * rng.uniform(0.96, 1.04)
    ratios = [
        (0.5, 0.5, 1.4),
        (1.0, 0.9, 1.0),
        (1.2, 0.8, 0.8),
        (1.5, 0.4, 0.7),
        (2.0, 1.0, 0.6),
        (3.01, 0.5, 0.3),
    ]
    modes = [(base * ratio, weight, decay) for ratio, weight, decay in ratios]
    return ring(rng, min(seconds, 2.2), rate, [*modes, (base * 4.17, 0.3, 0.15)])


def drum(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A skin: a low sine that falls as it dies, with a slap of noise."""
    length = min(seconds, 0.45)
    time = time_axis(length, rate)
    tuning = rng.uniform(0.9, 1.1)
    body = glide((75 + 75 * np.exp(-time / 0.05)) * tuning, rate) * strike(length, rate, 0.002, 0.13)
    slap = band_noise(rng, length, rate, 200, 5000, -0.5) * strike(length, rate, 0.001, 0.018)
    return body + 0.18 * slap


def hammer(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """Metal on metal: bright, inharmonic partials after a click."""
    base = rng.uniform(0.95, 1.05)
    modes = [(1740, 0.7, 0.1), (2610, 1.0, 0.12), (3870, 0.9, 0.09), (5230, 0.7, 0.06), (6800, 0.5, 0.04)]
    length = min(seconds, 0.45)
    click = band_noise(rng, length, rate, 1500, 7500) * strike(length, rate, 0.0005, 0.005)
    return ring(rng, length, rate, [(f * base, w, d) for f, w, d in modes]) + 0.6 * click


def water_drop(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A drop: the bubble it leaves rings with a rising frequency."""
    length = min(seconds, 0.16)
    time = time_axis(length, rate)
    base = rng.uniform(620, 780)
    return glide(base * (1 + 1.4 * time / 0.1), rate) * strike(length, rate, 0.004, 0.03)


def laser(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A toy ray gun: a fast exponential fall over four octaves."""
    length = min(seconds, rng.uniform(0.26, 0.34))
    time = time_axis(length, rate)
    top = rng.uniform(4200, 5200)
    return fade(harmonics(180 + top * np.exp(-time / 0.07), [1, 0.4, 0.2], rate), rate, 0.003, 0.06)


def sonar(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A sonar ping: a pure tone with a long reverberant tail and fainter echoes."""
    length = min(seconds, 1.4)
    time = time_axis(length, rate)
    frequency = rng.uniform(1480, 1620)
    envelope = strike(length, rate, 0.01, 0.09)
    for delay, gain in ((0.28, 0.35), (0.56, 0.18)):
        late = round(delay * rate)
        if late < len(envelope):
            envelope[late:] += gain * strike(length, rate, 0.01, 0.09)[: len(envelope) - late]
    shimmer = 1 + 0.25 * np.sin(2 * np.pi * 7 * time)
    return np.sin(2 * np.pi * frequency * time) * envelope * shimmer


def static_burst(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A burst of white noise with hard edges."""
    length = min(seconds, rng.uniform(0.28, 0.36))
    return fade(band_noise(rng, length, rate, 100, 0.45 * rate), rate, 0.004, 0.004)


def horn(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A car horn: two rich, slightly rough tones a third apart."""
    length = min(seconds, rng.uniform(0.34, 0.42))
    samples = len(time_axis(length, rate))
    base = 400 * pitch * rng.uniform(0.97, 1.03)
    weights = [0.6, 0.9, 1.0, 0.8, 0.6, 0.5, 0.3, 0.2]
    chord = harmonics(np.full(samples, base), weights, rate)
    chord += harmonics(np.full(samples, 1.26 * base), weights, rate, phase=1.0)
    return fade(chord, rate, 0.02, 0.03)


def dog_bark(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A bark: a rough voice whose fundamental rises and falls, through two formants."""
    length = min(seconds, rng.uniform(0.2, 0.26))
    time = time_axis(length, rate)
    contour = 330 + 190 * np.sin(np.pi * np.minimum(time / length, 1)) ** 0.7
    weights = []
    for number in range(1, 16):
        frequency = number * 430
        weights.append(
            np.exp(-(((frequency - 900) / 450) ** 2)) + 0.5 * np.exp(-(((frequency - 1900) / 500) ** 2))
        )
    voice = harmonics(contour * rng.uniform(0.92, 1.08), weights, rate)
    breath = band_noise(rng, length, rate, 500, 2600)
    return fade((voice + 0.35 * breath) * strike(length, rate, 0.02, 0.1), rate, 0.005, 0.04)


def frog_croak(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A croak: a slow train of pulses that ring at a low formant."""
    length = min(seconds, rng.uniform(0.36, 0.44))
    time = time_axis(length, rate)
    pulses = (0.5 + 0.5 * np.cos(2 * np.pi * np.cumsum(34 + 14 * time / length) / rate)) ** 6
    formant = np.sin(2 * np.pi * 560 * rng.uniform(0.93, 1.07) * time) + 0.5 * np.sin(2 * np.pi * 1180 * time)
    return fade(pulses * formant, rate, 0.03, 0.05)
