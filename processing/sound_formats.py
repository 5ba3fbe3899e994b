"""Identifies a file's format by its first bytes; its name is ignored."""

from dataclasses import dataclass

from .sound_source import AudioReadError, SoundSource


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_APPLE_DOUBLE = (b"\x00\x05\x16\x07", b"\x00\x05\x16\x00")
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
_MXF = bytes.fromhex("060e2b34020501010d010201")
_MOV_ATOMS = (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp", b"moof")
_DTS = (b"\x7f\xfe\x80\x01", b"\xfe\x7f\x01\x80", b"\x1f\xff\xe8\x00", b"\xff\x1f\x00\xe8")

# By first bytes: the demuxer of FFmpeg that reads such a file.
_FFMPEG_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x1aE\xdf\xa3", "matroska"),
    (_ASF, "asf"),
    (b"wvpk", "wv"),
    (b"MAC ", "ape"),
    (b"TTA1", "tta"),
    (b"MPCK", "mpc8"),
    (b"MP+", "mpc"),
    (b"tBaK", "tak"),
    (b"#!AMR", "amr"),
    (b"FLV\x01", "flv"),
    (b"\x00\x00\x01\xba", "mpeg"),
    (b".RMF", "rm"),
    (b".ra\xfd", "rm"),
    (b"DSD ", "dsf"),
    (b"FRM8", "iff"),
    (b"ADIF", "aac"),
    (b"qoaf", "qoa"),
    # libsndfile takes the headers between the blocks of a VOC file for samples.
    (b"Creative Voice File", "voc"),
    (b"ajkg", "shn"),
    (b"DTSHDHDR", "dtshd"),
    (_MXF, "mxf"),
    *((sync, "dts") for sync in _DTS),
)
# By first bytes and the bytes from the eighth on: container, and FFmpeg's demuxer where libsndfile lacks the codec.
_SNDFILE_STARTS: tuple[tuple[bytes, bytes, str, str | None], ...] = (
    (b"RIFF", b"WAVE", "WAV", "wav"),
    (b"RIFX", b"WAVE", "WAV", "wav"),
    (b"RF64", b"WAVE", "WAV", "wav"),
    (b"BW64", b"WAVE", "WAV", "wav"),
    (b"riff\x2e\x91\xcf\x11", b"", "W64", "w64"),
    (b"FORM", b"AIFF", "AIFF", "aiff"),
    (b"FORM", b"AIFC", "AIFF", "aiff"),
    (b"FORM", b"8SVX", "SVX", "iff"),
    (b"FORM", b"16SV", "SVX", None),
    (b"caff", b"", "CAF", "caf"),
    (b".snd", b"", "AU", "au"),
    (b"dns.", b"", "AU", None),
    (b"NIST_1A\n", b"", "NIST", None),
    (b"fLaC", b"", "FLAC", "flac"),
    (b"OggS", b"", "OGG", "ogg"),
)
_PLAYLISTS = (b"#EXTM3U", b"[playlist]", b"ffconcat", b"<asx", b"<?xml", b"<!DOCTYPE", b"<html", b"<smil")

# Extensions that a search of folders looks for, by reader; the content decides how a file is read.
_MPEG_ENDINGS = _words("mp3 mp2 mp1 mpga mpa m2a")
_FFMPEG_ENDINGS = {
    "aac": "aac adts",
    "ac3": "ac3",
    "amr": "amr awb",
    "ape": "ape",
    "asf": "wma wmv asf",
    "avi": "avi divx",
    "dsf": "dsf",
    "dts": "dts",
    "dtshd": "dtshd",
    "eac3": "eac3 ec3",
    "flv": "flv",
    "iff": "dff",
    "matroska": "webm weba mkv mka mk3d",
    "mov": "m4a m4b m4p m4r mp4 m4v mov qt 3gp 3g2 3gpp 3gp2 3ga f4v f4a",
    "mpc": "mpc mpp",
    "mpc8": "mpc mpp",
    "mpeg": "mpg mpeg vob",
    "mpegts": "ts m2t m2ts mts",
    "mxf": "mxf",
    "ogg": "ogv ogx ogm mogg spx",
    "qoa": "qoa",
    "rm": "ra rm rmvb",
    "shn": "shn",
    "tak": "tak",
    "tta": "tta",
    "voc": "voc",
    "wv": "wv",
    "xwma": "xwma",
}
# libsndfile's extensions are its names of formats, and these.
_SNDFILE_ALIASES = {
    "aiff": {"aif", "aifc"},
    "ogg": {"oga", "opus"},
    "au": {"snd"},
    "wav": {"wave", "bwf"},
    "rf64": {"bw64"},
    "svx": {"8svx", "16svx", "iff"},
    "ircam": {"sf"},
    "nist": {"sph"},
}


@dataclass(frozen=True)
class SoundFormat:
    """
    Attributes:
        container: libsndfile's name in capitals, or FFmpeg's; None if only a search for frames can find the format.
        demuxer: FFmpeg's demuxer, or None.
        by_sndfile: whether libsndfile reads the container.
    """

    container: str | None
    demuxer: str | None
    by_sndfile: bool


def identify(source: SoundSource, start: int = 0) -> SoundFormat:
    """
    The format of a file, identified by its bytes from ``start`` on.

    Raises:
        AudioReadError: for files without sound: AppleDouble files, playlists, text.
    """
    head = source.read_at(start, 512)
    if head[:4] in _APPLE_DOUBLE:
        raise AudioReadError(
            f"{source.name}: is an AppleDouble file, which macOS writes next to a file of the same name without "
            "'._'; it contains no audio"
        )
    for first, eighth, container, demuxer in _SNDFILE_STARTS:
        if head.startswith(first) and head[8 : 8 + len(eighth)] == eighth:
            return SoundFormat(container, demuxer, True)
    if head.startswith(b"RIFF") and head[8:12] == b"AVI ":
        return SoundFormat("avi", "avi", False)
    if head.startswith(b"RIFF") and head[8:12] == b"XWMA":
        return SoundFormat("xwma", "xwma", False)
    for first, demuxer in _FFMPEG_STARTS:
        if head.startswith(first):
            return SoundFormat(demuxer, demuxer, False)
    if head[4:8] in _MOV_ATOMS:
        return SoundFormat("mov", "mov", False)
    if _is_transport_stream(source, start):
        return SoundFormat("mpegts", "mpegts", False)
    if head[:2] == b"\x0b\x77" and len(head) > 5 and head[5] >> 3 > 10:
        return SoundFormat("eac3", "eac3", False)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if any(text.startswith(start.lower()) for start in _PLAYLISTS):
        raise AudioReadError(
            f"{source.name}: this is not an audio file, but a text, perhaps a playlist; what it names is not opened"
        )
    return SoundFormat(None, None, False)


def _is_transport_stream(source: SoundSource, start: int) -> bool:
    """Whether packets of 188 bytes, or of 192 with a time code before each, follow each other."""
    data = source.read_at(start, 192 * 5)
    return any(
        len(data) > first + 4 * step and all(data[first + number * step] == 0x47 for number in range(5))
        for first, step in ((0, 188), (4, 192))
    )


def endings_of(sndfile_formats: set[str], has_ffmpeg: bool) -> frozenset[str]:
    """
    Extensions of readable sound files, lower case, with the dot.

    Args:
        sndfile_formats: libsndfile's names of formats; empty without libsndfile.
        has_ffmpeg: whether PyAV is installed.
    """
    # Headerless formats are omitted, since such a file does not state its rate.
    names = {name.lower() for name in sndfile_formats} - {"raw"} - _MPEG_ENDINGS
    for name, others in _SNDFILE_ALIASES.items():
        if name in names:
            names |= others
    if has_ffmpeg:
        names |= _MPEG_ENDINGS | _words(" ".join(_FFMPEG_ENDINGS.values()))
    return frozenset(f".{name}" for name in names)


__all__ = ["SoundFormat", "endings_of", "identify"]
