"""What turns sounds and sentences into model inputs; travels with every checkpoint."""

from .audio_inputs import as_clip_list, to_waveform
from .audio_reading import (
    AudioReadError,
    is_silent,
    load_waveform,
    read_audio,
    resample,
    supported_audio_extensions,
    to_mono,
)
from .feature_extraction_auricle import AuricleFeatureExtractor
from .log_mel import kaldi_mel_bank, passt_log_mel
from .processing_auricle import AuricleProcessor, normalize_caption

__all__ = [
    "AudioReadError",
    "AuricleFeatureExtractor",
    "AuricleProcessor",
    "as_clip_list",
    "is_silent",
    "kaldi_mel_bank",
    "load_waveform",
    "normalize_caption",
    "passt_log_mel",
    "read_audio",
    "resample",
    "supported_audio_extensions",
    "to_mono",
    "to_waveform",
]
