"""Distinguishes the name of a sound file from a sentence."""

import os

from .sound_formats import endings_of

_SNDFILE_FORMATS = {
    *(
        "WAV",
        "WAVEX",
        "AIFF",
        "AU",
        "CAF",
        "FLAC",
        "OGG",
        "W64",
        "RF64",
        "AVR",
        "HTK",
        "IRCAM",
        "MAT4",
        "MAT5",
    ),
    *("MPC2K", "NIST", "PAF", "PVF", "SD2", "SDS", "SVX", "WVE", "XI"),
}
# A full stop may glue two sentences together: endings that are words or names of their own say nothing.
WORD_ENDINGS = frozenset((".ape", ".au", ".iff", ".ra", ".rm", ".tak", ".voc", ".xi"))
# Extensions of all sound formats, independent of the installed readers.
SOUND_ENDINGS = tuple(sorted(endings_of(_SNDFILE_FORMATS, has_ffmpeg=True) - WORD_ENDINGS))


def looks_like_sound_file(sentence: str) -> bool:
    """
    Whether a sentence ends like the name of a sound file, or is the path of an existing file.

    Args:
        sentence: any text; white space around it is ignored.
    """
    name = sentence.strip()
    # Every sentence is checked: the file system is asked only where there is something of a path in it.
    is_path = "." in name[1:] or os.sep in name
    return name.lower().endswith(SOUND_ENDINGS) or (is_path and len(name) < 4096 and _is_file(name))


def _is_file(name: str) -> bool:
    return "\0" not in name and os.path.isfile(name)


__all__ = ["SOUND_ENDINGS", "WORD_ENDINGS", "looks_like_sound_file"]
