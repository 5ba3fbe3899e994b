"""Configuration of the EAT audio tower."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig

from .config_checks import FieldNameChecks, refuse_misspelt_fields
from .square_patches import SquarePatchGeometry


@strict
class EatConfig(FieldNameChecks, SquarePatchGeometry, PreTrainedConfig):
    r"""
    Settings of [`EatModel`], the Efficient Audio Transformer (Chen et al., IJCAI 2024).

    The defaults are the published ``EAT-base_epoch30``.

    Args:
        sampling_rate: rate in Hz of the sound the input was computed from. Kept here only so that it can be
            compared with the feature extractor's.
        num_mel_bins: mel bins a frame.
        num_frames: frames a full segment, the length the model was trained on.
        patch_size: side of a square patch, in mel bins and in frames.
        max_time_patches: columns of the fixed position table; longer input is refused.
        pooling: ``"cls"`` uses the first token, as the authors recommend for whole clips; ``"mean"`` the mean
            over the patches.
        patchout_frequency, patchout_time, patchout_unstructured: rows, columns and single patches dropped from
            every training batch; off by default.
    """

    model_type = "auricle_eat"
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
    sampling_rate: int = 16000
    num_mel_bins: int = 128
    num_frames: int = 1024
    patch_size: int = 16
    max_time_patches: int = 768
    pooling: Literal["cls", "mean"] = "cls"
    patchout_frequency: int = 0
    patchout_time: int = 0
    patchout_unstructured: int = 0

    def __post_init__(self, **kwargs):
        refuse_misspelt_fields(self, kwargs)
        self.check_geometry()
        if self.hidden_size % 4:
            raise ValueError(
                f"hidden_size={self.hidden_size} must be a multiple of 4: the position table has a sine and "
                "a cosine for each of two axes."
            )
        if self.max_time_patches < self.num_time_patches:
            raise ValueError(
                f"max_time_patches={self.max_time_patches} must be enough for a full segment's "
                f"{self.num_time_patches} columns of patches."
            )
        super().__post_init__(**kwargs)


__all__ = ["EatConfig"]
