"""What turns sounds and sentences into model inputs; travels with every checkpoint."""

from .audio_inputs import as_clip_list, to_waveform
from .audio_reading import (
    AudioReadError,
    audio_seconds,
    is_silent,
    load_waveform,
    read_audio,
    resample,
    supported_audio_extensions,
    to_mono,
)
from .audio_streaming import stream_waveform
from .feature_extraction_auricle import AuricleFeatureExtractor
from .front_ends import FRONT_ENDS, beats_log_mel, eat_log_mel
from .kaldi_fbank import kaldi_fbank
from .log_mel import kaldi_mel_bank, passt_log_mel
from .processing_auricle import AuricleProcessor, normalize_caption
from .segment_blocks import SegmentBlock

__all__ = [
    "FRONT_ENDS",
    "AudioReadError",
    "AuricleFeatureExtractor",
    "AuricleProcessor",
    "SegmentBlock",
    "as_clip_list",
    "audio_seconds",
    "beats_log_mel",
    "eat_log_mel",
    "is_silent",
    "kaldi_fbank",
    "kaldi_mel_bank",
    "load_waveform",
    "normalize_caption",
    "passt_log_mel",
    "read_audio",
    "resample",
    "stream_waveform",
    "supported_audio_extensions",
    "to_mono",
    "to_waveform",
]
