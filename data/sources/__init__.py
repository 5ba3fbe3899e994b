"""Sources of captioned audio: published datasets by name, and captioned folders."""

from .audiocaps import is_audiocaps, list_audiocaps_clips, list_audiocaps_splits, load_audiocaps
from .clip_listing import ID_COLUMNS, ClipListing
from .clotho import is_clotho, list_clotho_clips, list_clotho_splits, load_clotho
from .folder import list_folder_clips, list_folder_splits, load_captioned_folder, load_captioned_splits
from .hub import load_hub_dataset
from .registry import SOURCES, Source, source_named, source_of
from .split_zip import unpack_archive
from .wavcaps import is_wavcaps, list_wavcaps_clips, list_wavcaps_collections, load_wavcaps

__all__ = [
    "ID_COLUMNS",
    "SOURCES",
    "ClipListing",
    "Source",
    "is_audiocaps",
    "is_clotho",
    "is_wavcaps",
    "list_audiocaps_clips",
    "list_audiocaps_splits",
    "list_clotho_clips",
    "list_clotho_splits",
    "list_folder_clips",
    "list_folder_splits",
    "list_wavcaps_clips",
    "list_wavcaps_collections",
    "load_audiocaps",
    "load_captioned_folder",
    "load_captioned_splits",
    "load_clotho",
    "load_hub_dataset",
    "load_wavcaps",
    "source_named",
    "source_of",
    "unpack_archive",
]
