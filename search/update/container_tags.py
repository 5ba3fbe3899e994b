"""Reads tags of sound files with FFmpeg's libraries: ID3, Vorbis comments, MP4, ASF, APE, Matroska, AIFF, CAF."""

import io
import re
from collections.abc import Mapping
from typing import Any

from ...processing.container_opening import DEMUXERS, reason_of
from ...processing.frame_decoding import require_av
from ...processing.sound_source import SoundSource
from .field_text import FieldReader

# What FFmpeg and the formats call a field, in lower case, and what it is called here; as libsndfile, where it can.
_NAMES = {
    "author": "artist",
    "encoder": "software",
    "track": "tracknumber",
    "tyer": "date",
    "year": "date",
}
# About the file and not about the sound.
_TECHNICAL = frozenset(
    (
        "bps", "compatible_brands", "coverart", "coverartmime", "deviceconformancetemplate", "duration",
        "gapless_playback", "handler_name", "iscfbr", "isvbr", "language", "major_brand", "media_type",
        "metadata_block_picture", "minor_version", "number_of_bytes", "number_of_frames", "vendor_id",
        "waveformatextensible_channel_mask", "wmfsdkneeded", "wmfsdkversion",
    )
)  # fmt: skip
_TECHNICAL_STARTS = ("_statistics", "accuraterip", "id3v2_priv", "itun", "replaygain_", "wm/")
# Two frames of silence: MPEG-1 layer III, 32 kbit/s, 44,100 Hz, one channel. FFmpeg reads no tag without a sound.
_SILENCE = 2 * (b"\xff\xfb\x10\xc0" + bytes(100))


def add_tags(source: SoundSource, demuxer: str, found: FieldReader) -> None:
    """
    Adds the tags of a file.

    Args:
        source: the file.
        demuxer: FFmpeg's demuxer: ``mp3``, or one of [`DEMUXERS`].
        found: receives fields and faults.

    Raises:
        ImportError: PyAV is not installed.
    """
    source.file.seek(0)
    _add(_OnlyReading(source.file), DEMUXERS.get(demuxer, demuxer), "its tags", found)


def add_id3(content: bytes, found: FieldReader) -> None:
    """Adds the fields of an ID3v2 tag within a chunk of another file."""
    if content[:3] != b"ID3":
        found.fault("its ID3 chunk is damaged: it contains no ID3 tag")
        return
    _add(io.BytesIO(content + _SILENCE), "mp3", "its ID3 chunk", found)


def _add(file: Any, demuxer: str, what: str, found: FieldReader) -> None:
    library = require_av()
    # No other file is opened, and nothing is decoded, pictures neither.
    options = {"protocol_whitelist": "none", "format_whitelist": demuxer, "codec_whitelist": "none"}
    try:
        with library.open(
            file,
            format=demuxer.split(",")[0],
            options=options,
            metadata_errors="surrogateescape",
            buffer_size=1 << 16,
        ) as container:
            sounds = [stream.metadata for stream in container.streams if stream.type == "audio"]
            for tags in (container.metadata, *sounds[:1]):
                _add_each(tags, found)
    except (library.FFmpegError, ValueError, OSError, OverflowError) as error:
        found.fault(f"{what} cannot be read (FFmpeg: {reason_of(error)})")


def _add_each(tags: Mapping[str, str], found: FieldReader) -> None:
    for name, text in tags.items():
        # A language code after a name, as in `comment-eng`.
        name = re.sub(r"-[a-z]{3}$", "", name.strip().lower().replace(" ", "_"))
        text = _relettered(text)
        if name in _TECHNICAL or name.startswith(_TECHNICAL_STARTS):
            continue
        if name == "encoder" and text.startswith(("Lavf", "Lavc", "libsndfile")):
            continue
        found.add(_NAMES.get(name, name), text)


def _relettered(text: str) -> str:
    """Text whose bytes were no UTF-8, as Windows-1252."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogateescape").decode("cp1252", "replace")
    return text


class _OnlyReading:
    """What FFmpeg may do with a file; it has no name that could be taken for an address."""

    def __init__(self, file: Any):
        self.name = "sound"
        self._file, self.read, self.tell = file, file.read, file.tell

    def seek(self, offset: int, whence: int = 0) -> int:
        """The new place; -1 for one before the beginning, where a damaged file may point to."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):
            return -1


__all__ = ["add_id3", "add_tags"]
