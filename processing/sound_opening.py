"""The one place that decides who decodes a file: libsndfile, or FFmpeg's libraries frame by frame or by container."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from .container_decoding import ContainerDecoder
from .frame_decoding import FrameDecoder
from .frame_scanning import behind_tags, find_stream
from .header_repair import (
    MPEG_WAV_TAGS,
    SNDFILE_WAV_TAGS,
    rebuilt_aiff,
    rebuilt_au,
    rebuilt_caf,
    wav_layout,
)
from .ogg_links import ends_ogg_stream, ogg_links
from .sndfile_decoding import OpenLength, SndfileDecoder, UnknownToSndfile
from .sound_formats import SoundFormat, identify
from .sound_source import AudioReadError, HeadedFile, SoundSource

_SMALL_REST = 4096
_REBUILDERS = {"AIFF": rebuilt_aiff, "CAF": rebuilt_caf, "AU": rebuilt_au}


class SoundDecoder(Protocol):
    """
    An open sound.

    Attributes:
        rate: Hz.
        channels: of the first frame; later ones are brought to as many.
        frames: samples a channel; None if no one knows before the end.
        notes: what a user should know about the file.
    """

    rate: int
    channels: int
    frames: int | None
    notes: list[str]

    def count_samples(self) -> int:
        """Samples a channel, at whatever cost."""

    def reaches(self, start: int) -> bool:
        """Whether there may be a sample at ``start``."""

    def blocks(self, start: int, count: int | None, block: int) -> Iterator[np.ndarray]:
        """Float32 ``(samples, channels)`` from ``start`` on, about ``block`` samples at a time."""

    def close(self) -> None:
        """Gives back what the decoder holds; the source stays open."""


def open_sound(source: SoundSource) -> SoundDecoder:
    """
    A decoder for a file, chosen by its content.

    WAV, FLAC, AIFF, CAF, W64, RF64, AU and Ogg go to libsndfile, which is fast and seeks exactly. MPEG audio, ADTS
    and AC-3 are streams of frames: their headers alone tell their length. All else goes by its container.

    Args:
        source: the file; must stay open as long as the decoder.

    Raises:
        AudioReadError: for a file that is no sound, is damaged, truncated, encrypted or holds no samples.
        ImportError: the package that decodes such a file is not installed.
    """
    start = behind_tags(source) if source.read_at(0, 3) == b"ID3" else 0
    form = identify(source, start)
    if form.container == "WAV":
        decoder = _open_wav(source, start, form)
    elif form.container == "OGG":
        decoder = _open_ogg(source, start)
    elif form.by_sndfile:
        decoder = _open_with_sndfile(source, start, form)
    elif form.demuxer is not None:
        decoder = ContainerDecoder(source, form.demuxer)
    else:
        decoder = _open_frames(source, start)
    return decoder


def _open_wav(source: SoundSource, start: int, form: SoundFormat) -> SoundDecoder:
    layout = wav_layout(source, start)
    if layout is None:
        return _open_with_sndfile(source, start, form)
    if layout.tag in MPEG_WAV_TAGS:
        if layout.declared is not None and layout.declared > source.size - layout.data_start:
            raise _truncated(source, layout.declared, source.size - layout.data_start)
        end = layout.data_start + layout.data_size
        stream = find_stream(source, layout.data_start, end)
        if stream is None:
            raise AudioReadError(f"{source.name}: the file is damaged: it holds no frames of MPEG audio")
        return FrameDecoder(source, stream)
    if layout.tag not in SNDFILE_WAV_TAGS:
        return ContainerDecoder(source, "wav")
    parts = _joined_wavs(source, start, layout.following)
    if parts is not None:
        return SndfileDecoder(source, parts)
    opened = layout.opened(source) if layout.rebuilt and layout.data_size >= layout.block else None
    decoder = _open_with_sndfile(source, start, form, opened)
    if layout.behind > _SMALL_REST:
        decoder.notes.append(
            f"{layout.behind} bytes behind the end of its sound are neither sound nor a known chunk"
        )
    return decoder


def _joined_wavs(source: SoundSource, start: int, following: int | None) -> list[tuple[int, int]] | None:
    """(first byte, bytes) of the files that a WAV file was joined of; None if it is one."""
    if following is None:
        return None
    begins = [start]
    while following is not None and len(begins) < 10_000:
        begins.append(following)
        layout = wav_layout(source, following)
        following = layout.following if layout is not None else None
    ends = [*begins[1:], source.size]
    return [(begin, end - begin) for begin, end in zip(begins, ends, strict=True)]


def _open_ogg(source: SoundSource, start: int) -> SoundDecoder:
    links, simple = ogg_links(source)
    if start or not simple:
        return ContainerDecoder(source, "ogg")
    if not ends_ogg_stream(source):
        raise AudioReadError(f"{source.name}: the file is truncated: its Ogg stream has no end")
    try:
        return SndfileDecoder(source, links if len(links) > 1 else None)
    except UnknownToSndfile:
        return ContainerDecoder(source, "ogg")


def _open_with_sndfile(
    source: SoundSource, start: int, form: SoundFormat, opened: HeadedFile | None = None
) -> SoundDecoder:
    if opened is None and form.container in _REBUILDERS:
        opened = _REBUILDERS[form.container](source, start)
    if opened is None and start:
        opened = HeadedFile(source, start, source.size - start)
    try:
        return SndfileDecoder(source, opened=opened)
    except (UnknownToSndfile, OpenLength):
        if form.demuxer is None:
            raise _no_sound(source) from None
        return ContainerDecoder(source, form.demuxer)


def _open_frames(source: SoundSource, start: int) -> SoundDecoder:
    stream = find_stream(source, start)
    if stream is not None:
        return FrameDecoder(source, stream)
    try:
        return SndfileDecoder(source)
    except UnknownToSndfile:
        raise _no_sound(source) from None


def _truncated(source: SoundSource, declared: int, present: int) -> AudioReadError:
    return AudioReadError(
        f"{source.name}: the file is truncated: its header declares {declared} bytes of sound, {present} are there"
    )


def _no_sound(source: SoundSource) -> AudioReadError:
    return AudioReadError(
        f"{source.name}: this is not an audio file, or one in a format that neither libsndfile nor FFmpeg can read"
    )


__all__ = ["SoundDecoder", "open_sound"]
