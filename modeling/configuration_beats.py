"""Configuration of the BEATs audio tower."""

from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig

from .config_checks import FieldNameChecks, refuse_misspelt_fields, refuse_numbers_below_one
from .square_patches import SquarePatchGeometry


@strict
class BeatsConfig(FieldNameChecks, SquarePatchGeometry, PreTrainedConfig):
    r"""
    Settings of [`BeatsModel`], audio pre-training with acoustic tokenizers (Chen et al., ICML 2023).

    The defaults are the published ``BEATs_iter3_plus_AS2M``.

    Args:
        sampling_rate: rate in Hz of the sound the input was computed from. Kept here only so that it can be
            compared with the feature extractor's.
        num_mel_bins: mel bins a frame.
        num_frames: frames a full segment. The network itself has no longest input: its positions are relative.
        patch_size: side of a square patch, in mel bins and in frames.
        patch_embed_dim: width of the patch embedding; projected to ``hidden_size`` if they differ.
        num_conv_pos_embeddings: kernel of the convolution that encodes positions, in tokens.
        num_conv_pos_embedding_groups: groups of that convolution.
        num_buckets: rows of the relative position table, half of them for either direction.
        max_bucket_distance: all distances from this one on, in tokens, share the last bucket.
        deep_norm: weigh the residual by ``(2 * num_hidden_layers) ** 0.25`` before each normalisation.
        hidden_dropout_prob, attention_probs_dropout_prob, activation_dropout, input_dropout: in training.
        padding_mask: ``"exact"`` counts a column of patches as real only if all its frames are, so that a
            segment's vector does not depend on how far it was padded; ``"reference"`` folds the frame mask
            into tokens as the published code does, which is only approximate.
        patchout_frequency, patchout_time, patchout_unstructured: rows, columns and single patches dropped from
            every training batch; off by default, since BEATs was trained without it.
    """

    model_type = "auricle_beats"
    _auto_class = "AutoConfig"
    base_config_key = "audio_config"

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float | int = 0.0
    attention_probs_dropout_prob: float | int = 0.0
    activation_dropout: float | int = 0.0
    input_dropout: float | int = 0.0
    layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02
    sampling_rate: int = 16000
    num_mel_bins: int = 128
    num_frames: int = 998
    patch_size: int = 16
    patch_embed_dim: int = 512
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    num_buckets: int = 320
    max_bucket_distance: int = 800
    deep_norm: bool = True
    padding_mask: Literal["exact", "reference"] = "exact"
    patchout_frequency: int = 0
    patchout_time: int = 0
    patchout_unstructured: int = 0

    def __post_init__(self, **kwargs):
        refuse_misspelt_fields(self, kwargs)
        self.check_geometry()
        refuse_numbers_below_one(
            self, ("patch_embed_dim", "num_conv_pos_embeddings", "num_conv_pos_embedding_groups")
        )
        if self.hidden_size % self.num_conv_pos_embedding_groups:
            raise ValueError(
                f"hidden_size={self.hidden_size} cannot be split over num_conv_pos_embedding_groups="
                f"{self.num_conv_pos_embedding_groups}; it must be a multiple of it."
            )
        if self.num_buckets < 4 or self.num_buckets % 4:
            raise ValueError(f"num_buckets={self.num_buckets} must be a positive multiple of 4.")
        if self.max_bucket_distance <= self.num_buckets // 4:
            raise ValueError(
                f"max_bucket_distance={self.max_bucket_distance} must be above num_buckets / 4 = "
                f"{self.num_buckets // 4}, where the exact buckets end."
            )
        super().__post_init__(**kwargs)


__all__ = ["BeatsConfig"]
