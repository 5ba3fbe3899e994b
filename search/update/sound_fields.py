"""Reads the metadata within a sound file (chunks and tags), and its name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ...processing.frame_scanning import behind_tags
from ...processing.sound_formats import identify
from ...processing.sound_source import AudioReadError, SoundSource
from .container_tags import add_tags
from .field_text import FieldReader
from .ucs_names import parse_ucs_name
from .wave_fields import add_flac, add_w64, add_wave

# Raise this when more fields are read than before: indexes then read the fields of their files again, once.
FIELDS_VERSION = 3
# Read only by libsndfile, without tags.
_TAGLESS = frozenset({"VOC", "SVX"})


@dataclass(frozen=True)
class SoundFields:
    """
    Attributes:
        fields: by name: title, description, scene and others.
        tags: categories.
        faults: unreadable parts, one line each.
    """

    fields: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def read_fields(path: str) -> SoundFields:
    """
    The fields and tags of a sound file.

    WAV, RF64, BW64 and W64 files: ``bext``, iXML, INFO and ID3 chunks, also where a FLAC file keeps them. MP3, AAC,
    FLAC, Ogg, MP4, WMA, WavPack, Matroska, AIFF, CAF and others: their tags. Of all: categories of the Universal
    Category System in the name. What is damaged is skipped and listed in ``faults``; no content raises an error.

    Args:
        path: of the file; whether its sound can be read is not asked.
    """
    found = FieldReader()
    try:
        with SoundSource(path) as source:
            _add_content(source, found)
    except ImportError as error:
        found.fault(f"its tags are not read: {error}")
    except AudioReadError:
        # The reader of the samples reports such a file.
        pass
    name = parse_ucs_name(Path(path).stem)
    if name is not None:
        for tag in (name.catid, name.category, name.subcategory, name.user_category):
            found.tag(tag)
        for what in ("catid", "creator_id", "source_id"):
            found.add(what, getattr(name, what))
    found.end()
    return SoundFields(found.fields, tuple(found.tags), tuple(found.faults))


def _add_content(source: SoundSource, found: FieldReader) -> None:
    tagged = source.read_at(0, 3) == b"ID3"
    start = behind_tags(source) if tagged else 0
    form = identify(source, start)
    if form.container == "WAV":
        add_wave(source, start, found)
    elif form.demuxer is not None:
        if form.container == "W64":
            add_w64(source, start, found)
        elif form.container == "FLAC":
            add_flac(source, start, found)
        if form.container not in _TAGLESS:
            add_tags(source, form.demuxer, found)
    elif tagged or _has_tags_behind(source):
        add_tags(source, "aac" if _is_adts(source.read_at(start, 2)) else "mp3", found)


def _is_adts(head: bytes) -> bool:
    """Whether a frame of ADTS begins here (ISO/IEC 13818-7, section 6.2): in MPEG audio the layer is not 0."""
    return len(head) == 2 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0


def _has_tags_behind(source: SoundSource) -> bool:
    """Whether a file ends with an ID3v1 or APE tag."""
    if source.size < 160:
        return False
    tail = source.read_at(source.size - 160, 160)
    return tail[-128:-125] == b"TAG" or b"APETAGEX" in (tail[-32:-24], tail[:8])


__all__ = ["FIELDS_VERSION", "SoundFields", "read_fields"]
