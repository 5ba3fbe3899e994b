"""The few signal-processing steps from which the sound events are built. Pure functions of their arguments.

Signals are float64 (samples,); `rate` is in Hz, times in seconds; nothing here is normalised.
"""

import numpy as np

Signal = np.ndarray


def time_axis(seconds: float, rate: int) -> Signal:
    """Time of every sample, at least one: (round(seconds * rate),)."""
    return np.arange(max(round(seconds * rate), 1)) / rate


def glide(frequencies: Signal, rate: int, phase: float = 0.0) -> Signal:
    """A sine whose instantaneous frequency, in Hz, is given for every sample."""
    return np.sin(phase + 2 * np.pi * np.cumsum(frequencies) / rate)


def harmonics(fundamentals: Signal, weights: list[float], rate: int, phase: float = 0.0) -> Signal:
    """Sum of the multiples 1, 2, ... of a (moving) fundamental, without those above half the rate."""
    angle = phase + 2 * np.pi * np.cumsum(fundamentals) / rate
    highest = float(fundamentals.max())
    total = np.zeros_like(angle)
    for number, weight in enumerate(weights, start=1):
        if number * highest < 0.48 * rate:
            total += weight * np.sin(number * angle)
    return total


def ring(
    rng: np.random.Generator,
    seconds: float,
    rate: int,
    modes: list[tuple[float, float, float]],
) -> Signal:
    """Decaying sines of random phase: what a struck body does.

    A mode is (frequency in Hz, weight, seconds to fall to 1/e).
    """
    time = time_axis(seconds, rate)
    total = np.zeros_like(time)
    for frequency, weight, decay in modes:
        phase = rng.uniform(0, 2 * np.pi)
        if frequency < 0.48 * rate:
            total += weight * np.exp(-time / decay) * np.sin(2 * np.pi * frequency * time + phase)
    return fade(total, rate, 0.001, 0.02)


def band_noise(
    rng: np.random.Generator, seconds: float, rate: int, low: float, high: float, tilt: float = 0.0
) -> Signal:
    """Gaussian noise between two frequencies with edges a third of an octave wide, of unit RMS.

    `tilt` is the slope of its amplitude spectrum as a power of frequency: -1 falls by 6 dB an octave.
    """
    samples = len(time_axis(seconds, rate))
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    frequencies = np.fft.rfftfreq(samples, 1 / rate)
    octaves = np.log2(np.maximum(frequencies, 1.0))
    lower = 1 / (1 + np.exp(-12 * (octaves - np.log2(max(low, 1.0)))))
    upper = 1 / (1 + np.exp(12 * (octaves - np.log2(high))))
    noise = np.fft.irfft(spectrum * lower * upper * np.maximum(frequencies, 1.0) ** tilt, samples)
    return noise / max(float(np.sqrt(np.mean(noise**2))), 1e-12)


def wander(rng: np.random.Generator, seconds: float, rate: int, per_second: float) -> Signal:
    """A smooth random curve between 0 and 1 with about `per_second` turns a second."""
    time = time_axis(seconds, rate)
    knots = max(int(np.ceil(seconds * per_second)) + 2, 3)
    values = rng.uniform(0, 1, knots)
    position = time * per_second
    left = np.minimum(position.astype(int), knots - 2)
    blend = 0.5 - 0.5 * np.cos(np.pi * np.clip(position - left, 0, 1))
    return values[left] * (1 - blend) + values[left + 1] * blend


def fade(signal: Signal, rate: int, attack: float, release: float) -> Signal:
    """Raised-cosine fade in and out, each at most half of the signal."""
    faded = signal.copy()
    for length, part in ((attack, slice(None)), (release, slice(None, None, -1))):
        samples = min(round(length * rate), len(signal) // 2)
        if samples:
            faded[part][:samples] *= 0.5 - 0.5 * np.cos(np.pi * np.arange(samples) / samples)
    return faded


def strike(seconds: float, rate: int, attack: float, decay: float) -> Signal:
    """Envelope that rises linearly over `attack` and then falls exponentially, to 1/e after `decay`."""
    time = time_axis(seconds, rate)
    return np.minimum(time / max(attack, 1 / rate), 1.0) * np.exp(-np.maximum(time - attack, 0) / decay)


def place(canvas: Signal, signal: Signal, start: float, rate: int, gain: float = 1.0) -> None:
    """Add a signal into a longer one, in place, from `start` seconds on; what reaches beyond is cut."""
    begin = round(start * rate)
    if begin < len(canvas):
        end = min(begin + len(signal), len(canvas))
        canvas[begin:end] += gain * signal[: end - begin]


def irregular_times(rng: np.random.Generator, seconds: float, per_second: float) -> Signal:
    """Moments of a Poisson process, in order."""
    return np.sort(rng.uniform(0, seconds, rng.poisson(per_second * seconds)))


def regular_times(rng: np.random.Generator, seconds: float, interval: float, jitter: float = 0.0) -> Signal:
    """Moments `interval` apart, each moved by at most `jitter` intervals, from close to 0 on."""
    times = np.arange(0.01, seconds, interval)
    return np.maximum(times + rng.uniform(-jitter, jitter, len(times)) * interval, 0.0)
