"""Opens a container with FFmpeg's libraries: one file, one named demuxer, audio decoders only."""

import struct
from functools import lru_cache
from typing import Any

try:
    import av
except (ImportError, OSError):  # OSError: the package is installed but its libraries cannot be loaded
    av = None

from .frame_decoding import ffmpeg_version, require_av
from .sound_source import AudioReadError, SoundSource

# The demuxers that may be used: none that opens other files or addresses (playlists, concatenations, streams).
DEMUXERS = {
    "aac": "aac",
    "ac3": "ac3",
    "aiff": "aiff",
    "amr": "amr",
    "ape": "ape",
    "asf": "asf",
    "au": "au",
    "avi": "avi",
    "caf": "caf",
    "dsf": "dsf",
    "dts": "dts",
    "dtshd": "dtshd",
    "eac3": "eac3",
    "flac": "flac",
    "flv": "flv",
    "iff": "iff",
    "matroska": "matroska,webm",
    "mov": "mov,mp4,m4a,3gp,3g2,mj2",
    "mpc": "mpc",
    "mpc8": "mpc8",
    "mpeg": "mpeg",
    "mpegts": "mpegts",
    "mxf": "mxf",
    "ogg": "ogg",
    "qoa": "qoa",
    "rm": "rm",
    "shn": "shn",
    "tak": "tak",
    "tta": "tta",
    "voc": "voc",
    "w64": "w64",
    "wav": "wav",
    "wv": "wv",
    "xwma": "xwma",
}
_SKIP_MANUAL = 1 << 29  # AV_CODEC_FLAG2_SKIP_MANUAL
_ENCRYPTED_TAGS = frozenset({"drms", "drmi", "enca", "encv", "aavd"})
# Content encryption objects of ASF (Advanced Systems Format specification, sections 3.12 to 3.13).
_ASF_ENCRYPTION = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
)


def open_container(source: SoundSource, demuxer: str) -> tuple[Any, Any, list[str]]:
    """
    Opens a file and chooses its first sound track.

    Only the file itself is opened: FFmpeg gets its bytes without its name, one demuxer that reads no
    other files, no protocol, and no decoder of pictures.

    Args:
        source: the file.
        demuxer: one of [`DEMUXERS`].

    Returns:
        PyAV's container and stream, and notes on the file for the user.

    Raises:
        AudioReadError: if the file contains no sound, is encrypted, truncated, damaged, or in an unknown codec.
        ImportError: PyAV is not installed.
    """
    library = require_av()
    if demuxer == "asf" and any(mark in source.read_at(0, 1 << 16) for mark in _ASF_ENCRYPTION):
        raise AudioReadError(f"{source.name}: the sound is encrypted (DRM) and cannot be decoded")
    stated = stated_bytes(source, demuxer)
    if stated is not None and stated > source.size:
        raise AudioReadError(
            f"{source.name}: the file is truncated: its header declares {stated} bytes, {source.size} are present"
        )
    options = {
        "protocol_whitelist": "none",
        "format_whitelist": DEMUXERS[demuxer],
        "codec_whitelist": _audio_decoders(),
    }
    source.file.seek(0)
    try:
        container = library.open(
            _OnlyReading(source),
            format=demuxer,
            options=options,
            metadata_errors="replace",
            buffer_size=1 << 16,
        )
    except (library.FFmpegError, ValueError, OSError, OverflowError) as error:
        raise AudioReadError(
            f"{source.name}: the file is damaged or truncated and cannot be decoded (FFmpeg: {reason_of(error)})"
        ) from error
    try:
        stream, notes = _first_track(source, container)
    except AudioReadError:
        container.close()
        raise
    return container, stream, notes


def _first_track(source: SoundSource, container: Any) -> tuple[Any, list[str]]:
    tracks, notes = list(container.streams.audio), []
    if not tracks:
        kinds = sorted({stream.type for stream in container.streams if stream.type})
        if not kinds:
            raise AudioReadError(f"{source.name}: the file is damaged or truncated: no track is found in it")
        raise AudioReadError(f"{source.name}: the file contains no audio, only {' and '.join(kinds)}")
    if len(tracks) > 1:
        notes.append(f"contains {len(tracks)} sound tracks, of which the first is read")
    track = tracks[0]
    context = track.codec_context
    tag = _codec_tag(context)
    if tag in _ENCRYPTED_TAGS:
        raise AudioReadError(f"{source.name}: the sound is encrypted (DRM, '{tag}') and cannot be decoded")
    if context is None or not getattr(context, "name", None):
        raise AudioReadError(
            f"{source.name}: its sound is coded in a way ({tag!r}) that FFmpeg {ffmpeg_version()} cannot decode"
        )
    for stream in container.streams:
        if stream is not track:
            stream.discard = av.stream.Discard.all
    context.thread_count = 1
    if context.name == "alac" and container.format.name == "caf":
        # Its last packet contains no padding that could be taken off, as FFmpeg would do by the packet table.
        context.flags2 |= _SKIP_MANUAL
    return track, notes


def _codec_tag(context: Any) -> str:
    try:
        return str(context.codec_tag)
    except (AttributeError, UnicodeDecodeError):  # no codec, or a number that is not four letters
        return ""


class _OnlyReading:
    """What PyAV may do with a file: read, seek and tell. It has no name that looks like an address."""

    def __init__(self, source: SoundSource):
        self._file = source.file
        self.name = "sound"

    def read(self, count: int) -> bytes:
        return self._file.read(count)

    def seek(self, offset: int, whence: int = 0) -> int:
        try:
            return self._file.seek(offset, whence)
        except (OSError, ValueError):  # before the beginning, where a damaged file may point to
            return -1

    def tell(self) -> int:
        return self._file.tell()


def stated_bytes(source: SoundSource, demuxer: str, start: int = 0) -> int | None:
    """The end (exclusive) of a file that starts at ``start``, by its own header; None if it does not say."""
    if demuxer == "matroska":
        return _matroska_bytes(source, start)
    if demuxer == "asf":
        return _asf_bytes(source)
    if demuxer == "avi":
        # A file longer than one RIFF list states the length of its first one.
        return int.from_bytes(source.read_at(4, 4), "little") + 8
    return None


def _matroska_bytes(source: SoundSource, start: int) -> int | None:
    """The end of the segment (RFC 8794, section 4, and RFC 9559, section 5)."""
    head = source.read_at(start, 64)
    header = _ebml_size(head, 4)
    if header is None or header[0] is None:
        return None
    place = start + header[1] + header[0]
    segment = source.read_at(place, 12)
    if segment[:4] != b"\x18\x53\x80\x67":
        return None
    size = _ebml_size(segment, 4)
    return None if size is None or size[0] is None else place + size[1] + size[0]


def _ebml_size(data: bytes, place: int) -> tuple[int | None, int] | None:
    """(value, next position) of a variable-size integer; the value is None if it is marked as unknown."""
    if len(data) <= place or not data[place]:
        return None
    length = 9 - data[place].bit_length()
    value = int.from_bytes(data[place : place + length], "big") & ((1 << 7 * length) - 1)
    return (None if value == (1 << 7 * length) - 1 else value), place + length


def _asf_bytes(source: SoundSource) -> int | None:
    """The size in the file properties object, unless it is a broadcast (ASF specification, section 3.2)."""
    head = source.read_at(0, 1 << 16)
    place = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))
    if place < 0 or len(head) < place + 96:
        return None
    size, flags = struct.unpack_from("<Q", head, place + 40)[0], struct.unpack_from("<I", head, place + 88)[0]
    return None if flags & 1 or not size else size


@lru_cache(maxsize=1)
def _audio_decoders() -> str:
    """Names of FFmpeg's audio decoders, for its list of allowed decoders."""
    names = []
    for name in sorted(av.codecs_available):
        try:
            codec = av.Codec(name, "r")
        except ValueError:  # an encoder only
            continue
        if codec.type == "audio":
            names.append(codec.name)
    return ",".join(dict.fromkeys(names))


def reason_of(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).split("; last error log")[0]


__all__ = ["DEMUXERS", "open_container", "reason_of", "stated_bytes"]
