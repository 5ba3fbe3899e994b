"""Captioned sound as one table: the schema, where tables come from, and a check of their audio."""

from .audio_check import AudioCheckReport, check_audio
from .clotho import is_clotho, list_clotho_splits, load_clotho
from .folder import list_folder_splits, load_captioned_folder
from .scenes import SceneSettings, load_scenes
from .schema import CaptionedClip, DataError, build_table, unique_clips, validate_table

__all__ = [
    "AudioCheckReport",
    "CaptionedClip",
    "DataError",
    "SceneSettings",
    "build_table",
    "check_audio",
    "is_clotho",
    "list_clotho_splits",
    "list_folder_splits",
    "load_captioned_folder",
    "load_clotho",
    "load_scenes",
    "unique_clips",
    "validate_table",
]
