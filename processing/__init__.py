"""
Turns sounds and sentences into model inputs; saved with every checkpoint.

Names are imported when they are first used: a query with an exported text tower needs one small module of
this room, and importing torch and transformers would take longer than the query. The first use of a class
that transformers can load registers our classes with its Auto classes.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ..auto_classes import register_auto_classes

if TYPE_CHECKING:
    from .audio_inputs import as_clip_list, to_waveform
    from .audio_reading import (
        AudioReadError,
        audio_seconds,
        is_silent,
        load_channels,
        load_waveform,
        read_audio,
        read_channels,
        resample,
        supported_audio_extensions,
        to_channels,
        to_mono,
    )
    from .audio_streaming import measure_sound, stream_channels, stream_waveform
    from .caption_form import CAPTION_NORMALIZATIONS, normalize_caption
    from .channel_mixing import DOWNMIXES, mix_channels
    from .feature_extraction_auricle import AuricleFeatureExtractor
    from .file_remarks import FileRemarks, add_remark
    from .front_ends import FRONT_ENDS, beats_log_mel, eat_log_mel
    from .log_mel import kaldi_mel_bank, passt_log_mel
    from .processing_auricle import AuricleProcessor
    from .resampling import RESAMPLERS
    from .segment_blocks import SegmentBlock
    from .sound_opening import READER_VERSION, decoder_versions

_MODULES = {
    "audio_inputs": ("as_clip_list", "to_waveform"),
    "audio_reading": (
        "AudioReadError",
        "audio_seconds",
        "is_silent",
        "load_channels",
        "load_waveform",
        "read_audio",
        "read_channels",
        "resample",
        "supported_audio_extensions",
        "to_channels",
        "to_mono",
    ),
    "audio_streaming": ("measure_sound", "stream_channels", "stream_waveform"),
    "channel_mixing": ("DOWNMIXES", "mix_channels"),
    "caption_form": ("CAPTION_NORMALIZATIONS", "normalize_caption"),
    "feature_extraction_auricle": ("AuricleFeatureExtractor",),
    "file_remarks": ("FileRemarks", "add_remark"),
    "front_ends": ("FRONT_ENDS", "beats_log_mel", "eat_log_mel"),
    # kaldi_fbank has the name of its module, which is what the package would show: import it from there.
    "log_mel": ("kaldi_mel_bank", "passt_log_mel"),
    "resampling": ("RESAMPLERS",),
    "processing_auricle": ("AuricleProcessor",),
    "sound_opening": ("READER_VERSION", "decoder_versions"),
    "segment_blocks": ("SegmentBlock",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
_AUTO_CLASSES = ("AuricleFeatureExtractor", "AuricleProcessor")

__all__ = [
    "CAPTION_NORMALIZATIONS",
    "DOWNMIXES",
    "FRONT_ENDS",
    "READER_VERSION",
    "RESAMPLERS",
    "AudioReadError",
    "AuricleFeatureExtractor",
    "AuricleProcessor",
    "FileRemarks",
    "SegmentBlock",
    "add_remark",
    "as_clip_list",
    "audio_seconds",
    "beats_log_mel",
    "decoder_versions",
    "eat_log_mel",
    "is_silent",
    "kaldi_mel_bank",
    "load_channels",
    "load_waveform",
    "measure_sound",
    "mix_channels",
    "normalize_caption",
    "passt_log_mel",
    "read_audio",
    "read_channels",
    "resample",
    "stream_channels",
    "stream_waveform",
    "supported_audio_extensions",
    "to_channels",
    "to_mono",
    "to_waveform",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)
    if name in _AUTO_CLASSES:
        # Kept first: registering looks the name up again.
        globals()[name] = value
        register_auto_classes()
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
