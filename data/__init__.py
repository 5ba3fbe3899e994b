"""Captioned sound as one table: the schema, where tables come from, and a check of their audio."""

from .audio_check import AudioCheckReport, check_audio
from .scenes import SceneSettings, load_scenes
from .schema import CaptionedClip, DataError, build_table, unique_clips, validate_table
from .sources import (
    SOURCES,
    ClipListing,
    Source,
    is_clotho,
    list_clotho_splits,
    list_folder_splits,
    load_audiocaps,
    load_captioned_folder,
    load_captioned_splits,
    load_clotho,
    load_wavcaps,
    source_named,
    source_of,
)

__all__ = [
    "SOURCES",
    "AudioCheckReport",
    "CaptionedClip",
    "ClipListing",
    "DataError",
    "SceneSettings",
    "Source",
    "build_table",
    "check_audio",
    "is_clotho",
    "list_clotho_splits",
    "list_folder_splits",
    "load_audiocaps",
    "load_captioned_folder",
    "load_captioned_splits",
    "load_clotho",
    "load_scenes",
    "load_wavcaps",
    "source_named",
    "source_of",
    "unique_clips",
    "validate_table",
]
