"""
What turns sounds and sentences into model inputs; travels with every checkpoint.

Names are looked up when they are first used: asking an index by the exported text tower needs one small module of
these, and importing torch and transformers for it would take longer than the answer.
"""

import importlib
from typing import Any

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
    "caption_form": ("normalize_caption",),
    "feature_extraction_auricle": ("AuricleFeatureExtractor",),
    "front_ends": ("FRONT_ENDS", "beats_log_mel", "eat_log_mel"),
    # kaldi_fbank has the name of its module, which is what the package would show: import it from there.
    "log_mel": ("kaldi_mel_bank", "passt_log_mel"),
    "resampling": ("RESAMPLERS",),
    "processing_auricle": ("AuricleProcessor",),
    "sound_opening": ("READER_VERSION", "decoder_versions"),
    "segment_blocks": ("SegmentBlock",),
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}

__all__ = list(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULE_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
