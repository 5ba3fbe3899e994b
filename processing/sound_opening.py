"""Chooses the decoder of a file: libsndfile, or FFmpeg's libraries by frames or by container."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from .container_decoding import ContainerDecoder
from .file_extents import file_extents
from .frame_decoding import FrameDecoder, ffmpeg_version
from .frame_scanning import behind_tags, find_stream
from .header_repair import (
    MPEG_WAV_TAGS,
    SNDFILE_WAV_TAGS,
    TrueHeader,
    rebuilt_aiff,
    rebuilt_au,
    rebuilt_caf,
    rebuilt_w64,
    wav_layout,
)
from .joined_decoding import JoinedDecoder
from .ogg_links import ends_ogg_stream, ogg_end, ogg_links
from .sndfile_decoding import SndfileDecoder, parts_at
from .sndfile_part import OpenLength, SndfilePart, UnknownToSndfile, sndfile_version
from .sound_formats import SoundFormat, identify
from .sound_source import AudioReadError, SoundSource, notes_of_rest

# Raise this when files are read that were unreadable before, or are read differently.
READER_VERSION = 3
# Fewer missing samples than half a frame are ignored.
_SMALL_LOSS = 16
_REPAIRED = "its header leaves the length of the sound open: read to the end of the file"
_REBUILDERS = {"AIFF": rebuilt_aiff, "CAF": rebuilt_caf, "AU": rebuilt_au, "W64": rebuilt_w64}
# These formats may lack some bytes without loss of sound: the decoder reports whether too much is lost.
_LENIENT = frozenset({"mov", "ape", "dsf"})


class SoundDecoder(Protocol):
    """
    An open sound.

    Attributes:
        rate: Hz.
        channels: number of channels of the first frame; later frames are converted to as many.
        frames: samples a channel; None if it is unknown before the end.
        notes: remarks on the file for the user.
    """

    rate: int
    channels: int
    frames: int | None
    notes: list[str]

    def count_samples(self) -> int:
        """Samples a channel; may decode the whole file."""

    def reaches(self, start: int) -> bool:
        """Whether there may be a sample at ``start``."""

    def blocks(self, start: int, count: int | None, block: int) -> Iterator[np.ndarray]:
        """Float32 ``(samples, channels)`` from ``start`` on, about ``block`` samples at a time."""

    def close(self) -> None:
        """Closes the decoder; the source stays open."""


def open_sound(source: SoundSource) -> SoundDecoder:
    """
    A decoder for a file, chosen by its content.

    WAV, FLAC, AIFF, CAF, W64, RF64, AU and Ogg go to libsndfile, which is fast and seeks exactly. MPEG audio, ADTS
    and AC-3 are streams of frames, whose headers determine their length. All other files are read by container.

    Args:
        source: the file; must stay open as long as the decoder.

    Raises:
        AudioReadError: for a file that is not sound, is damaged, truncated, encrypted or contains no samples.
        ImportError: the package that decodes such a file is not installed.
    """
    start = behind_tags(source) if source.read_at(0, 3) == b"ID3" else 0
    form = identify(source, start)
    try:
        if form.container == "WAV":
            return _open_wav(source, start, form)
        if form.container == "OGG":
            return _open_ogg(source, start)
        if form.container is not None:
            return _open_files(source, start, form)
        return _open_frames(source, start)
    except UnknownToSndfile:
        raise _no_sound(source) from None


def _open_files(source: SoundSource, start: int, form: SoundFormat) -> SoundDecoder:
    """The file that begins at ``start``, and what of its kind was joined to it."""
    extents = file_extents(source, start, form.container)
    begin, end = extents.files[0]
    if extents.missing > _SMALL_LOSS and form.container not in _LENIENT:
        begin, end = extents.files[-1]
        raise AudioReadError(
            f"{source.name}: the file is truncated: it declares {end - begin + extents.missing} bytes, of which "
            f"{end - begin} are present"
        )
    if len(extents.files) > 1:
        decoder: SoundDecoder = _joined(source, list(extents.files), form)
    elif end < source.size:
        decoder = _open_container(source.stretch(begin, end), 0, form)
    else:
        decoder = _open_container(source, start, form)
    if extents.missing > _SMALL_LOSS:
        decoder.notes.append(f"the last {extents.missing} bytes that it declares are missing")
    decoder.notes += notes_of_rest(extents.rest)
    return decoder


def _joined(source: SoundSource, files: list[tuple[int, int]], form: SoundFormat) -> JoinedDecoder:
    return JoinedDecoder(
        source,
        [
            lambda begin=begin, end=end: _open_container(source.stretch(begin, end), 0, form)
            for begin, end in files
        ],
    )


def _open_container(source: SoundSource, start: int, form: SoundFormat) -> SoundDecoder:
    """Opens a single file, with no other file joined to it."""
    if form.container == "WAV":
        return _open_wav(source, start, form)
    if form.by_sndfile:
        return _open_with_sndfile(source, start, form)
    return ContainerDecoder(source, form.demuxer)


def _open_wav(source: SoundSource, start: int, form: SoundFormat) -> SoundDecoder:
    layout = wav_layout(source, start)
    if layout is None:
        return _open_with_sndfile(source, start, form)
    present = source.size - layout.data_start
    if layout.declared is not None and layout.declared - present > max(layout.block, _SMALL_LOSS):
        raise _truncated(source, layout.declared, present)
    known = layout.tag in SNDFILE_WAV_TAGS
    if layout.following is not None:
        begins = _joined_wavs(source, start, layout.following)
        if known:
            return SndfileDecoder(source, parts_at(source, begins))
        return _joined(source, list(zip(begins, [*begins[1:], source.size], strict=True)), form)
    if layout.tag in MPEG_WAV_TAGS:
        end = layout.data_start + layout.data_size
        stream = find_stream(source, layout.data_start, end)
        if stream is None:
            raise AudioReadError(f"{source.name}: the file is damaged: it contains no frames of MPEG audio")
        decoder: SoundDecoder = FrameDecoder(source, stream)
    elif known:
        rebuilt = layout.true_header() if layout.rebuilt and layout.data_size >= layout.block else None
        decoder = _open_with_sndfile(source, start, form, rebuilt)
        if rebuilt is not None and layout.declared is None:
            decoder.notes.append(_REPAIRED)
    else:
        decoder = ContainerDecoder(source, "wav")
    decoder.notes += notes_of_rest(layout.behind)
    return decoder


def _joined_wavs(source: SoundSource, start: int, following: int | None) -> list[int]:
    """Where the files begin that a WAV file was joined of."""
    begins = [start]
    while following is not None and len(begins) < 10_000:
        begins.append(following)
        layout = wav_layout(source, following)
        following = layout.following if layout is not None else None
    return begins


def _open_ogg(source: SoundSource, start: int) -> SoundDecoder:
    links, simple = ogg_links(source)
    if start or not simple:
        return ContainerDecoder(source, "ogg")
    if not ends_ogg_stream(source):
        raise AudioReadError(f"{source.name}: the file is truncated: its Ogg stream has no end")
    end = ogg_end(source)
    rest = source.size - source.behind_zeros(end)
    decoder = _open_links(source, links, end)
    decoder.notes += notes_of_rest(rest)
    return decoder


def _open_links(source: SoundSource, links: list[int], end: int) -> SoundDecoder:
    try:
        if len(links) > 1:
            return SndfileDecoder(source, parts_at(source, links))
        return SndfileDecoder(source, [SndfilePart(source)])
    except AudioReadError as error:
        # libsndfile does not read FLAC in Ogg by every writer.
        flac = b"\x7fFLAC" in source.read_at(0, 64)
        if not flac and not isinstance(error, UnknownToSndfile):
            raise
        if len(links) > 1:
            files = list(zip(links, [*links[1:], end], strict=True))
            return _joined(source, files, SoundFormat("ogg", "ogg", False))
        return ContainerDecoder(source if end == source.size else source.stretch(0, end), "ogg")


def _open_with_sndfile(
    source: SoundSource, start: int, form: SoundFormat, rebuilt: TrueHeader | None = None
) -> SoundDecoder:
    repaired = rebuilt is None and form.container in _REBUILDERS
    if repaired:
        rebuilt = _REBUILDERS[form.container](source, start)
    try:
        if rebuilt is not None:
            part = SndfilePart(source, rebuilt.start, rebuilt.size, rebuilt.head)
            decoder = SndfileDecoder(source, [part])
            # The header of a W64 file is right, and what follows its samples is not sound.
            decoder.notes += [_REPAIRED] if repaired and form.container != "W64" else []
            return decoder
        return SndfileDecoder(source, [SndfilePart(source, start)])
    except (UnknownToSndfile, OpenLength):
        if form.demuxer is None:
            raise
        return ContainerDecoder(source, form.demuxer)


def _open_frames(source: SoundSource, start: int) -> SoundDecoder:
    stream = find_stream(source, start)
    if stream is not None:
        return FrameDecoder(source, stream)
    if start or source.read_at(0, 1) == b"\xff":
        raise _no_sound(source)  # libsndfile would take it for MPEG audio on less evidence
    return SndfileDecoder(source, [SndfilePart(source)])


def _truncated(source: SoundSource, declared: int, present: int) -> AudioReadError:
    return AudioReadError(
        f"{source.name}: the file is truncated: its header declares {declared} bytes of sound, {present} are present"
    )


def _no_sound(source: SoundSource) -> AudioReadError:
    return AudioReadError(
        f"{source.name}: this is not an audio file, or one in a format that neither libsndfile nor FFmpeg can read"
    )


def decoder_versions() -> str:
    """Versions of all decoders; an unreadable file may become readable when one changes."""
    return f"reader {READER_VERSION}, libsndfile {sndfile_version()}, FFmpeg {ffmpeg_version()}"


__all__ = ["READER_VERSION", "SoundDecoder", "decoder_versions", "open_sound"]
