"""Mixes of two or more sounds, described by a small file and rendered when it is read."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

SUFFIX = ".mix"
FORMAT = "auricle mix"
VERSION = 1


class MixError(ValueError):
    """A mix file that cannot be read; the message names the file and the field."""


def is_mix(path: str | os.PathLike[str]) -> bool:
    """Whether a path names a mix file."""
    return os.fspath(path).lower().endswith(SUFFIX)


def read_mix(path: str | os.PathLike[str]) -> dict[str, Any]:
    """
    The description in a mix file.

    Returns:
        ``sampling_rate`` in Hz, ``seconds``, and ``parts``: for each its ``path``, ``offset`` and ``duration``
        (seconds or None) of the part that is used, ``start`` in seconds within the mix, and ``gain``, a factor.

    Raises:
        MixError: if the file is not a mix, has another version, or a field is missing or out of range.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise MixError(f"{path}: not a readable mix file ({error})") from error
    if not isinstance(value, dict) or value.get("format") != FORMAT or value.get("version") != VERSION:
        raise MixError(f"{path}: not a mix file of version {VERSION}")
    parts = value.get("parts")
    if not isinstance(parts, list) or not parts:
        raise MixError(f"{path}: 'parts' must be a list of sounds")
    _check_number(path, value, "sampling_rate", 8000, 192_000)
    _check_number(path, value, "seconds", 1e-3, 86_400)
    for part in parts:
        if not isinstance(part, dict) or not isinstance(part.get("path"), str):
            raise MixError(f"{path}: a part has no 'path': {part!r}")
        _check_number(path, part, "start", 0, 86_400)
        _check_number(path, part, "gain", 0, 1e4)
    return value


def render_mix(
    path: str | os.PathLike[str], load: Callable[..., np.ndarray], *, offset: float, duration: float | None
) -> tuple[np.ndarray, int]:
    """
    Renders the sound of a mix file, or a part of it.

    Args:
        path: the mix file; paths in it may be relative to its directory.
        load: reads a sound: ``(path, sampling_rate=..., offset=..., duration=...)``.
        offset: where to start, seconds.
        duration: how much, seconds; None to the end.

    Returns:
        float32 ``(samples,)`` and the rate in Hz. Gains were chosen so that nothing clips.

    Raises:
        MixError: as in [`read_mix`], or if the mix ends before ``offset``.
    """
    mix = read_mix(path)
    rate, seconds = int(mix["sampling_rate"]), float(mix["seconds"])
    whole = np.zeros(max(round(seconds * rate), 1), dtype=np.float32)
    for part in mix["parts"]:
        source = os.path.join(os.path.dirname(os.path.abspath(path)), part["path"])
        sound = load(
            source, sampling_rate=rate, offset=part.get("offset") or 0.0, duration=part.get("duration")
        )
        first = round(part["start"] * rate)
        sound = sound[: max(len(whole) - first, 0)]
        whole[first : first + len(sound)] += np.float32(part["gain"]) * sound
    first = round(offset * rate)
    if first >= len(whole):
        raise MixError(f"{path}: offset is {offset} s, but the mix ends at {seconds:g} s")
    last = len(whole) if duration is None else first + max(round(duration * rate), 1)
    return whole[first:last], rate


def _check_number(path: Any, values: Mapping[str, Any], name: str, least: float, most: float) -> None:
    value = values.get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not least <= value <= most:
        raise MixError(f"{path}: {name!r} is {value!r}, but must be a number from {least:g} to {most:g}")
