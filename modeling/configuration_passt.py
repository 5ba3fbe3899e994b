"""Configuration of the PaSST audio tower."""

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig

from .config_checks import FieldNameChecks, refuse_misspelt_fields, refuse_numbers_below_one
from .square_patches import SquarePatchGeometry


@strict
class PasstConfig(FieldNameChecks, SquarePatchGeometry, PreTrainedConfig):
    r"""
    Settings of [`PasstModel`], the Patchout faSt Spectrogram Transformer (Koutini et al., Interspeech 2022).

    The defaults are the published no-overlap geometry ``passt_s_p16_s16_128_ap468``; ``frequency_stride=10``
    and ``time_stride=10`` give the published overlapping one, ``passt_s_swa_p16_128_ap476``.

    Args:
        sampling_rate: rate in Hz of the sound the log-mel input was computed from. Kept here only so that it
            can be compared with the feature extractor's.
        num_mel_bins: mel bins a frame.
        num_frames: frames a full segment; with the strides it sets the number of time positions.
        patch_size: side of a square patch, in mel bins and in frames.
        frequency_stride: distance in mel bins between the lower edges of neighbouring patches.
        time_stride: distance in frames between the first frames of neighbouring patches.
        patchout_frequency: rows of patches dropped from every training batch (structured patchout).
        patchout_time: columns of patches dropped from every training batch (structured patchout).
        patchout_unstructured: single patches dropped from every training batch, after the structured drop.
        random_time_offset: in training, let segments shorter than ``num_frames`` use a random contiguous
            slice of the time positions, as the original training code does, instead of the first ones.
    """

    model_type = "auricle_passt"
    _auto_class = "AutoConfig"
    base_config_key = "audio_config"

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.0
    attention_probs_dropout_prob: float | int = 0.0
    layer_norm_eps: float = 1e-6
    initializer_range: float = 0.02
    sampling_rate: int = 32000
    num_mel_bins: int = 128
    num_frames: int = 1000
    patch_size: int = 16
    frequency_stride: int = 16
    time_stride: int = 16
    patchout_frequency: int = 2
    patchout_time: int = 15
    patchout_unstructured: int = 0
    random_time_offset: bool = False

    def __post_init__(self, **kwargs):
        refuse_misspelt_fields(self, kwargs)
        refuse_numbers_below_one(self, ("frequency_stride", "time_stride"))
        self.check_geometry()
        super().__post_init__(**kwargs)


__all__ = ["PasstConfig"]
