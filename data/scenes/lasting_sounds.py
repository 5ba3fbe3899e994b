"""Continuous sounds: weather, machines, signals, animals and people.

Every function takes (rng, seconds, rate, pitch) and returns `seconds` of it, float64 (samples,), of arbitrary
level. `pitch` multiplies the frequencies where the kind has a pitch.
"""

import numpy as np

from .signals import (
    Signal,
    band_noise,
    fade,
    glide,
    harmonics,
    irregular_times,
    place,
    regular_times,
    ring,
    strike,
    time_axis,
    wander,
)


def tone(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A pure, unmoving sine."""
    time = time_axis(seconds, rate)
    return fade(np.sin(2 * np.pi * 620 * pitch * rng.uniform(0.96, 1.04) * time), rate, 0.03, 0.03)


def rising_sweep(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A sine that climbs about three octaves."""
    return _sweep(rng, seconds, rate, 250, 2200)


def falling_sweep(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A sine that falls about three octaves."""
    return _sweep(rng, seconds, rate, 2200, 250)


def _sweep(rng: np.random.Generator, seconds: float, rate: int, start: float, stop: float) -> Signal:
    length = min(seconds, rng.uniform(1.3, 1.7))
    progress = time_axis(length, rate) / length
    frequencies = start * (stop / start) ** progress * rng.uniform(0.93, 1.07)
    return fade(glide(frequencies, rate) + 0.15 * glide(2 * frequencies, rate), rate, 0.03, 0.05)


def engine(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """An idling motor: firing pulses at a low, slightly unsteady rate, and their rumble."""
    speed = rng.uniform(27, 33) * (1 + 0.06 * (wander(rng, seconds, rate, 2) - 0.5))
    motor = harmonics(speed, [0.5, 1.0, 0.8, 0.9, 0.6, 0.5, 0.4, 0.35, 0.3, 0.2, 0.2, 0.15], rate)
    puff = (0.5 + 0.5 * np.sin(2 * np.pi * np.cumsum(speed) / rate)) ** 3
    return fade(motor + 0.9 * puff * band_noise(rng, seconds, rate, 60, 700, -0.5), rate, 0.1, 0.1)


def helicopter(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """Rotor blades: noise chopped some eleven times a second, over a thin turbine whine."""
    time = time_axis(seconds, rate)
    chop = np.exp(-((time * rng.uniform(10, 12)) % 1) * 5)
    whine = 0.12 * np.sin(2 * np.pi * 1900 * time)
    return fade(chop * band_noise(rng, seconds, rate, 60, 1500, -0.4) + whine, rate, 0.1, 0.1)


def rain(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """Rain: a high hiss of innumerable drops, with some nearer ones standing out."""
    canvas = 0.5 * band_noise(rng, seconds, rate, 2500, 7500)
    for start in irregular_times(rng, seconds, 60):
        length = rng.uniform(0.004, 0.009)
        drop = rng.standard_normal(round(length * rate)) * np.hanning(round(length * rate))
        place(canvas, drop, start, rate, rng.uniform(0.5, 2.2))
    return fade(canvas, rate, 0.1, 0.1)


def wind(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """Wind: low noise that swells, with a whistling band that wanders along."""
    gusts = 0.15 + 0.85 * wander(rng, seconds, rate, 1.6)
    low = band_noise(rng, seconds, rate, 80, 420, -0.7)
    howl = glide(420 + 380 * gusts, rate) * band_noise(rng, seconds, rate, 1, 30)
    return fade(gusts * low + 0.6 * gusts**2 * howl, rate, 0.2, 0.2)


def thunder(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A crack and a long, uneven, very low roll."""
    length = min(seconds, 2.4)
    envelope = strike(length, rate, 0.03, 0.7) * (0.35 + 0.65 * wander(rng, length, rate, 7))
    crack = band_noise(rng, length, rate, 150, 2500, -0.8) * strike(length, rate, 0.01, 0.12)
    return fade(3 * envelope * band_noise(rng, length, rate, 25, 130, -0.5) + crack, rate, 0.01, 0.2)


def bird(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """Birdsong: short groups of quick whistled glides between 2.5 and 6 kHz."""
    canvas = np.zeros(len(time_axis(seconds, rate)))
    start = 0.02
    while start < seconds:
        shape = rng.uniform(-1, 1)
        for _ in range(int(rng.integers(2, 6))):
            progress = time_axis(rng.uniform(0.05, 0.09), rate)
            progress = progress / progress[-1]
            chirp = glide(4000 + 1300 * shape * (2 * progress - 1) + 500 * np.sin(np.pi * progress), rate)
            place(canvas, chirp * np.hanning(len(chirp)), start, rate)
            start += rng.uniform(0.09, 0.13)
        start += rng.uniform(0.15, 0.35)
    return canvas


def crickets(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """Crickets: pulses of one very high tone in steady triplets, from several animals."""
    time = time_axis(seconds, rate)
    canvas = np.zeros_like(time)
    for _ in range(3):
        carrier = np.sin(2 * np.pi * rng.uniform(4700, 5300) * time)
        pulses = np.maximum(np.sin(2 * np.pi * rng.uniform(28, 33) * time), 0)
        groups = (time * rng.uniform(2.6, 3.2) + rng.uniform()) % 1 < 0.45
        canvas += rng.uniform(0.5, 1.0) * carrier * pulses * groups
    return fade(canvas, rate, 0.05, 0.05)


def siren(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """An emergency siren: a rich tone that wails up and down."""
    time = time_axis(seconds, rate)
    sway = np.sin(2 * np.pi * rng.uniform(0.75, 1.0) * time + rng.uniform(0, 2 * np.pi))
    return fade(harmonics(950 * 1.5**sway, [1, 0.5, 0.35, 0.2], rate), rate, 0.05, 0.05)


def alarm(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """An alarm: two piercing tones that alternate several times a second."""
    time = time_axis(seconds, rate)
    upper = (time * rng.uniform(3.6, 4.4)) % 1 < 0.5
    base = rng.uniform(0.96, 1.04)
    return fade(harmonics(np.where(upper, 2700, 2050) * base, [1, 0.3, 0.4], rate), rate, 0.01, 0.01)


def telephone(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A mechanical telephone: two small bells beaten 22 times a second, in rings of 0.7 s."""
    canvas = np.zeros(len(time_axis(seconds, rate)))
    base = rng.uniform(0.95, 1.05)
    for ring_start in np.arange(0.0, seconds, 1.05):
        for blow, start in enumerate(np.arange(0.0, 0.7, 1 / 22)):
            frequency = (1180 if blow % 2 else 1420) * base
            modes = [(frequency, 1.0, 0.12), (2.4 * frequency, 0.6, 0.08), (4.1 * frequency, 0.3, 0.05)]
            place(canvas, ring(rng, 0.25, rate, modes), ring_start + start, rate)
    return fade(canvas, rate, 0.005, 0.05)


def buzz(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """An electric buzz: every harmonic of a mains-like frequency, with a nasal resonance."""
    frequency = rng.uniform(165, 190) * (1 + 0.03 * (wander(rng, seconds, rate, 6) - 0.5))
    weights = [0.35 + np.exp(-(((number * 175 - 1400) / 700) ** 2)) for number in range(1, 19)]
    return fade(harmonics(frequency, weights, rate), rate, 0.03, 0.03)


def clock(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A clock: dry high clicks, tick and tock, at an exact rate."""
    canvas = np.zeros(len(time_axis(seconds, rate)))
    for number, start in enumerate(regular_times(rng, seconds, rng.uniform(0.23, 0.27))):
        frequency = 3300 if number % 2 else 2500
        modes = [(frequency, 1.0, 0.006), (2.1 * frequency, 0.7, 0.004), (0.4 * frequency, 0.3, 0.008)]
        place(canvas, ring(rng, 0.06, rate, modes), start, rate)
    return canvas


def heartbeat(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A heart: pairs of very low thumps."""
    canvas = np.zeros(len(time_axis(seconds, rate)))
    for start in regular_times(rng, seconds, rng.uniform(0.72, 0.85), 0.02):
        for delay, frequency, gain in ((0.0, 52, 1.0), (0.2, 66, 0.7)):
            thump = ring(rng, 0.18, rate, [(frequency, 1.0, 0.045), (1.9 * frequency, 0.3, 0.02)])
            place(canvas, thump, start + delay, rate, gain)
    return canvas


def footsteps(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """Steps on gravel: a soft thud, then a scrape of grains."""
    canvas = np.zeros(len(time_axis(seconds, rate)))
    for start in regular_times(rng, seconds, rng.uniform(0.48, 0.56), 0.05):
        place(canvas, ring(rng, 0.12, rate, [(110, 1.0, 0.03), (230, 0.5, 0.02)]), start, rate)
        grains = rng.uniform(0, 1, round(0.17 * rate)) ** 8
        crunch = band_noise(rng, 0.17, rate, 900, 4500) * np.hanning(len(grains)) * (0.2 + 2 * grains)
        place(canvas, crunch, start + 0.03, rate, 0.7)
    return canvas


def bubbles(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """Bubbles: many short rising blips of all sizes."""
    canvas = np.zeros(len(time_axis(seconds, rate)))
    for start in irregular_times(rng, seconds, 22):
        length = rng.uniform(0.04, 0.08)
        time = time_axis(length, rate)
        blip = glide(rng.uniform(280, 900) * (1 + 0.6 * time / length), rate) * np.hanning(len(time))
        place(canvas, blip, start, rate, rng.uniform(0.4, 1.0))
    return canvas


def applause(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """Applause: a crowd of single claps, each a few milliseconds around 1.2 kHz."""
    canvas = np.zeros(len(time_axis(seconds, rate)))
    claps = [
        band_noise(rng, 0.03, rate, 800 * spread, 1800 * spread) * strike(0.03, rate, 0.001, 0.006)
        for spread in rng.uniform(0.75, 1.3, 24)
    ]
    for start in irregular_times(rng, seconds, 75):
        place(canvas, claps[int(rng.integers(len(claps)))], start, rate, rng.uniform(0.3, 1.0))
    return fade(canvas, rate, 0.15, 0.2)


def saw(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A hand saw: strokes of rasping noise, brighter forward than back."""
    time = time_axis(seconds, rate)
    stroke = time * rng.uniform(1.5, 1.8)
    force = np.abs(np.sin(np.pi * stroke)) ** 0.7
    forward = np.floor(stroke) % 2 == 0
    teeth = 0.4 + 0.6 * (0.5 + 0.5 * np.sin(2 * np.pi * 95 * np.cumsum(force) / rate)) ** 2
    bright = band_noise(rng, seconds, rate, 1600, 5000)
    dull = band_noise(rng, seconds, rate, 700, 2200)
    return fade(force * teeth * np.where(forward, bright, 0.8 * dull), rate, 0.05, 0.05)


def creak(rng: np.random.Generator, seconds: float, rate: int, pitch: float) -> Signal:
    """A hinge: stick and slip, pulses of changing rate that excite a wooden resonance."""
    length = min(seconds, rng.uniform(1.2, 1.6))
    time = time_axis(length, rate)
    slips = 45 + 130 * wander(rng, length, rate, 3)
    pulse = (np.cumsum(slips) / rate) % 1
    canvas = np.exp(-12 * pulse) * (
        np.sin(2 * np.pi * 830 * time)
        + 0.8 * np.sin(2 * np.pi * 1370 * time)
        + 0.5 * np.sin(2 * np.pi * 2450 * time)
    )
    return fade(canvas * (0.4 + 0.6 * wander(rng, length, rate, 4)), rate, 0.08, 0.1)
