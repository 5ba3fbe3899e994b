"""Auricle: language-based audio retrieval. Write a sentence, get the sounds it describes.

Nothing heavy is imported here; import the room you need, for example ``auricle.modeling``.
"""

__version__ = "0.1.0"
