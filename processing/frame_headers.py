"""Headers of self-synchronising frames: MPEG audio (layers I to III), AAC in ADTS, and AC-3."""

from dataclasses import dataclass


@dataclass(frozen=True)
class FrameHeader:
    """
    Attributes:
        size: bytes of the whole frame.
        samples: samples a channel that it decodes to, before any doubling by SBR.
        rate: Hz.
        kind: properties that all frames of a stream share: codec, layer, version and rate. Channels may change.
        main_data: bytes of coded sound in the frame; in MPEG audio they may belong to later frames.
    """

    size: int
    samples: int
    rate: int
    kind: tuple[str, int]
    main_data: int


# ISO/IEC 11172-3, section 2.4.2.3, and ISO/IEC 13818-3, section 2.4.2.3: kbit/s by layer.
_MPEG1_BITRATES = {
    1: (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    2: (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    3: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
}
_MPEG2_BITRATES = {
    1: (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    3: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_MPEG_RATES = (44_100, 48_000, 32_000)
# ISO/IEC 14496-3, section 1.6.3.4.
_AAC_RATES = (
    96_000,
    88_200,
    64_000,
    48_000,
    44_100,
    32_000,
    24_000,
    22_050,
    16_000,
    12_000,
    11_025,
    8_000,
    7_350,
)
# ETSI TS 102 366, table 4.13: kbit/s by half of the frame size code.
_AC3_BITRATES = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640)
_AC3_RATES = (48_000, 44_100, 32_000)

HEADER_BYTES = 8


def mpeg_header(data: bytes, place: int = 0) -> FrameHeader | None:
    """The MPEG audio header at ``place``; None if there is none or it is of free format."""
    if len(data) < place + 4 or data[place] != 0xFF or data[place + 1] & 0xE0 != 0xE0:
        return None
    second, third, fourth = data[place + 1], data[place + 2], data[place + 3]
    version, layer = second >> 3 & 3, 4 - (second >> 1 & 3)
    bitrate_code, rate_code = third >> 4, third >> 2 & 3
    if version == 1 or layer == 4 or not 0 < bitrate_code < 15 or rate_code == 3 or fourth & 3 == 2:
        return None
    first_version = version == 3
    bitrate = (_MPEG1_BITRATES if first_version else _MPEG2_BITRATES)[layer][bitrate_code - 1] * 1000
    rate = _MPEG_RATES[rate_code] >> (0 if first_version else 1 if version == 2 else 2)
    padding = third >> 1 & 1
    samples = 384 if layer == 1 else 1152 if layer == 2 or first_version else 576
    size = (12 * bitrate // rate + padding) * 4 if layer == 1 else samples // 8 * bitrate // rate + padding
    mono = fourth >> 6 == 3
    side = (17 if mono else 32) if first_version else (9 if mono else 17)
    overhead = 4 + (0 if second & 1 else 2) + (side if layer == 3 else 0)
    return FrameHeader(size, samples, rate, (f"mp{layer}float", rate), max(size - overhead, 0))


def side_info_bytes(data: bytes, place: int) -> int:
    """Bytes from the start of a layer III frame to its main data, where a Xing header is (without the checksum)."""
    mono, first_version = data[place + 3] >> 6 == 3, data[place + 1] >> 3 & 3 == 3
    return 4 + ((17 if mono else 32) if first_version else (9 if mono else 17))


def adts_header(data: bytes, place: int = 0) -> FrameHeader | None:
    """The ADTS header at ``place``, or None."""
    if len(data) < place + 7 or data[place] != 0xFF or data[place + 1] & 0xF6 != 0xF0:
        return None
    rate_code = data[place + 2] >> 2 & 15
    size = (data[place + 3] & 3) << 11 | data[place + 4] << 3 | data[place + 5] >> 5
    if rate_code >= len(_AAC_RATES) or size < 8:
        return None
    rate = _AAC_RATES[rate_code]
    return FrameHeader(size, 1024 * ((data[place + 6] & 3) + 1), rate, ("aac", rate), 0)


def ac3_header(data: bytes, place: int = 0) -> FrameHeader | None:
    """The AC-3 header at ``place``, or None; E-AC-3 is not accepted."""
    if len(data) < place + 6 or data[place] != 0x0B or data[place + 1] != 0x77:
        return None
    rate_code, size_code, version = data[place + 4] >> 6, data[place + 4] & 63, data[place + 5] >> 3
    if rate_code == 3 or size_code >= 2 * len(_AC3_BITRATES) or version > 8:
        return None
    rate, bitrate = _AC3_RATES[rate_code], _AC3_BITRATES[size_code // 2]
    words = {48_000: 2 * bitrate, 44_100: 320 * bitrate // 147 + size_code % 2, 32_000: 3 * bitrate}[rate]
    return FrameHeader(2 * words, 1536, rate, ("ac3", rate), 0)


__all__ = ["HEADER_BYTES", "FrameHeader", "ac3_header", "adts_header", "mpeg_header", "side_info_bytes"]
