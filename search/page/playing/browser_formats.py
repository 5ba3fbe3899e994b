"""Detects from their content which audio files a browser plays without conversion."""

import numpy as np

from ....processing.container_opening import open_container
from ....processing.frame_scanning import behind_tags, find_stream
from ....processing.frame_tables import frame_table, read_info_frame
from ....processing.header_repair import wav_layout
from ....processing.ogg_links import ogg_links
from ....processing.sound_formats import identify
from ....processing.sound_opening import open_sound
from ....processing.sound_source import SoundSource, kept_while_unchanged

# Rates and channel counts that every sound card plays as they are.
LOWEST_RATE, HIGHEST_RATE = 8_000, 48_000
MOST_CHANNELS = 2

_WAV_PCM, _WAV_FLOAT, _WAV_ALAW, _WAV_ULAW = 0x0001, 0x0003, 0x0006, 0x0007
# FFmpeg's AV_DISPOSITION_ATTACHED_PIC: a cover.
_COVER = 0x400


def browser_media_type(source: SoundSource) -> str | None:
    """
    The media type of a file that browsers play without conversion; None for one that must be converted.

    Tried in Chromium. Played are WAV (PCM, float32, A-law, mu-law), MP3, FLAC, Vorbis and Opus in Ogg and WebM, and
    AAC in MP4; the extension is ignored. Files that browsers play badly are also converted: unusual rates and
    channel counts, samples above full scale (which are clipped), files without a true length (a
    browser then misses the start time), joined files (all but the first are skipped), and videos (a
    browser would load all of their video).

    Args:
        source: the file.

    Raises:
        AudioReadError: if it is not sound, or a damaged one.
        ImportError: PyAV is not installed.
    """
    start = behind_tags(source) if source.read_at(0, 3) == b"ID3" else 0
    form = identify(source, start)
    if form.container is None and form.demuxer is None:
        return "audio/mpeg" if _plain_mp3(source, start) else None
    if start:
        return None
    if form.container == "WAV":
        return "audio/wav" if _plain_wav(source) else None
    if form.container == "FLAC":
        return "audio/flac" if _plain_flac(source.read_at(0, 26)) else None
    if form.container == "OGG":
        return "audio/ogg" if _plain_ogg(source) else None
    if form.container == "mov":
        return "audio/mp4" if _holds_only(source, "mov", {"aac"}) else None
    if form.container == "matroska" and b"webm" in source.read_at(0, 64):
        return "audio/webm" if _holds_only(source, "matroska", {"opus", "vorbis"}) else None
    return None


def _usual(rate: int, channels: int) -> bool:
    return LOWEST_RATE <= rate <= HIGHEST_RATE and 1 <= channels <= MOST_CHANNELS


def _plain_wav(source: SoundSource) -> bool:
    layout = wav_layout(source)
    if layout is None or layout.rebuilt or layout.declared is None or layout.following is not None:
        return False
    number = {"channels": layout.form[2:4], "rate": layout.form[4:8], "bits": layout.form[14:16]}
    channels, rate, bits = (int.from_bytes(number[name], "little") for name in ("channels", "rate", "bits"))
    if source.read_at(0, 4) != b"RIFF" or not _usual(rate, channels):
        return False
    if layout.tag == _WAV_FLOAT and bits == 32:
        return _peak(source) <= 1.0
    whole_numbers = layout.tag == _WAV_PCM and bits in (8, 16, 24, 32)
    return whole_numbers or (layout.tag in (_WAV_ALAW, _WAV_ULAW) and bits == 8)


@kept_while_unchanged(files=1024)
def _peak(source: SoundSource) -> float:
    """Largest magnitude of a sample; infinite if one is NaN."""
    decoder = open_sound(source)
    try:
        peaks = [float(np.abs(block).max(initial=0.0)) for block in decoder.blocks(0, None, 1 << 20)]
    finally:
        decoder.close()
    return max((peak if np.isfinite(peak) else np.inf for peak in peaks), default=0.0)


def _plain_flac(head: bytes) -> bool:
    # RFC 9639, section 8.2: STREAMINFO comes first; 20 bits of rate, 3 of channels, 5 of sample size, 36 of length.
    packed = int.from_bytes(head[18:26], "big")
    rate, channels, bits = packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1
    length = packed & (1 << 36) - 1
    return head[4] & 0x7F == 0 and length > 0 and bits <= 24 and _usual(rate, channels)


def _plain_ogg(source: SoundSource) -> bool:
    links, simple = ogg_links(source)
    if len(links) > 1 or not simple:
        return False
    packet = source.read_at(27 + source.read_at(26, 1)[0], 16)
    if packet.startswith(b"\x01vorbis"):
        return _usual(int.from_bytes(packet[12:16], "little"), packet[11])
    return packet.startswith(b"OpusHead") and _usual(HIGHEST_RATE, packet[9])


def _holds_only(source: SoundSource, demuxer: str, codecs: set[str]) -> bool:
    """Whether a container has one sound track, with one of these codecs, and no video."""
    container, stream, _ = open_container(source, demuxer)
    try:
        context = stream.codec_context
        pictures = [video for video in container.streams.video if not int(video.disposition) & _COVER]
        single = len(container.streams.audio) == 1 and not pictures
        return single and context.name in codecs and _usual(context.sample_rate, context.channels)
    finally:
        container.close()


def _plain_mp3(source: SoundSource, start: int) -> bool:
    stream = find_stream(source, start)
    if stream is None or stream.header.kind[0] != "mp3float":
        return False
    # By what a browser finds the moment: one Info frame of the whole file, or frames of one size.
    table = frame_table(source, stream)
    info = read_info_frame(source.read_at(stream.first, 256))
    told = info is not None and info.frames is not None
    return len(table.links) == 1 and (told or _even(table.positions)) and _usual(stream.header.rate, 1)


def _even(positions: np.ndarray | None) -> bool:
    """Whether frames follow each other at one distance, to a byte of padding."""
    if positions is None or len(positions) < 3:
        return True
    steps = np.diff(positions.astype(np.int64))
    return int(steps.max() - steps.min()) <= 1


__all__ = ["HIGHEST_RATE", "LOWEST_RATE", "MOST_CHANNELS", "browser_media_type"]
