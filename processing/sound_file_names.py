"""Telling the name of a sound file from a sentence."""

import os

# Of sound files of any kind, those that no decoder here reads among them: a name is a name.
SOUND_ENDINGS = (
    *(".wav", ".wave", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".aifc"),
    *(".caf", ".wma", ".w64", ".rf64", ".au", ".snd", ".amr", ".webm", ".mp4", ".mka", ".wv", ".ape"),
)


def looks_like_sound_file(sentence: str) -> bool:
    """
    Whether a sentence ends as the names of sound files do, or is the path of an existing file.

    Args:
        sentence: any text; white space around it does not count.
    """
    name = sentence.strip()
    # Every sentence is checked: the file system is asked only where there is something of a path in it.
    is_path = "." in name[1:] or os.sep in name
    return name.lower().endswith(SOUND_ENDINGS) or (is_path and len(name) < 4096 and _is_file(name))


def _is_file(name: str) -> bool:
    return "\0" not in name and os.path.isfile(name)


__all__ = ["SOUND_ENDINGS", "looks_like_sound_file"]
