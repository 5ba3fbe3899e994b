"""Configuration of the moment head, which predicts spans of time from frames and a query."""

import math
from typing import Any, Literal

from huggingface_hub.dataclasses import strict
from transformers.configuration_utils import PreTrainedConfig

from .config_checks import FieldNameChecks, refuse_misspelt_fields

# What transformers and its Trainer write into a config beside its fields, in this and older versions.
LIBRARY_FIELDS = {
    "attn_implementation",
    "auto_map",
    "custom_pipelines",
    "model_type",
    "output_attentions",
    "quantization_config",
    "tie_word_embeddings",
    "torch_dtype",
    "torchscript",
    "use_bfloat16",
    "use_cache",
}


@strict
class AuricleMomentConfig(FieldNameChecks, PreTrainedConfig):
    r"""
    Settings of [`AuricleForMomentRetrieval`].

    Args:
        frame_dim: width of the query vectors and of each frame vector: the encoder's ``embedding_dim``.
        frame_source: what a frame is. ``"patches"``: the tower's patches, which have seen their whole window.
            ``"short_windows"``: a clip of its own of 1.28 s. ``"both"``: the two vectors, one behind the other.
        contrast: also give each frame's cosine less that of a learned common query, as the finder without training
            does with the mean of common questions.
        frame_seconds: step of the frames in seconds. Finer frames of an encoder are averaged to it.
        decoder: ``"dense"`` predicts a span at every frame; ``"queries"`` predicts a fixed number of spans with
            learned queries, as QD-DETR does (Moon et al., CVPR 2023).
        hidden_size, num_hidden_layers, num_attention_heads, intermediate_size: of the transformer over frames.
        kernel_size: frames that a layer's depth-wise convolution covers, odd; it gives layers the order of time.
        num_queries, num_decoder_layers: of the decoder with learned queries.
        longest_seconds: spans are at most this long.
        max_frames: frames processed at once; longer recordings are read in parts that overlap by half.
        same_span_iou: of two spans with at least this intersection over union the better one is kept.
        vote_iou: a kept span's edges are the score-weighted mean over spans of the same part with at least this
            intersection over union; 1 leaves them unchanged.
        hidden_dropout_prob: in training.
        encoder_name, encoder_fingerprint: the encoder of the frames and queries. A head cannot be used with
            vectors of another encoder.
    """

    model_type = "auricle_moment"
    _auto_class = "AutoConfig"

    frame_dim: int = 1024
    frame_source: Literal["patches", "short_windows", "both"] = "patches"
    contrast: bool = False
    frame_seconds: float | int = 0.5
    decoder: Literal["dense", "queries"] = "dense"
    hidden_size: int = 384
    num_hidden_layers: int = 4
    num_attention_heads: int = 6
    intermediate_size: int = 1536
    kernel_size: int = 7
    num_queries: int = 10
    num_decoder_layers: int = 2
    longest_seconds: float | int = 60.0
    max_frames: int = 600
    same_span_iou: float | int = 0.5
    vote_iou: float | int = 0.7
    hidden_dropout_prob: float | int = 0.1
    layer_norm_eps: float = 1e-5
    encoder_name: str = ""
    encoder_fingerprint: str = ""

    def __post_init__(self, **kwargs):
        refuse_misspelt_fields(self, kwargs)
        for name in (
            "frame_dim",
            "hidden_size",
            "num_hidden_layers",
            "num_attention_heads",
            "intermediate_size",
            "num_queries",
            "num_decoder_layers",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1.")
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} must be a multiple of "
                f"num_attention_heads={self.num_attention_heads}."
            )
        if self.hidden_size % 2:
            raise ValueError(f"hidden_size={self.hidden_size} must be even: positions are sines and cosines.")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size={self.kernel_size} must be odd and at least 1.")
        if self.max_frames < 4:
            raise ValueError(f"max_frames={self.max_frames} must be at least 4.")
        for name in ("frame_seconds", "longest_seconds"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise ValueError(f"{name}={value} must be a number of seconds above 0.")
        for name in ("same_span_iou", "vote_iou"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must lie above 0 and be at most 1.")
        if not 0 <= self.hidden_dropout_prob < 1:
            raise ValueError(f"hidden_dropout_prob={self.hidden_dropout_prob} must be from 0 to below 1.")
        super().__post_init__(**kwargs)

    @property
    def vectors_per_frame(self) -> int:
        """How many vectors of ``frame_dim`` numbers make up a frame."""
        return 2 if self.frame_source == "both" else 1

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs) -> Any:
        """
        As in the library, but a field that this version does not know is refused.

        A later version's field changes what a head computes: without it the head would answer wrongly.

        Raises:
            ValueError: names the fields.
        """
        known = {*cls.__dataclass_fields__, *cls.attribute_map, *LIBRARY_FIELDS}
        unknown = sorted(name for name in config_dict if name not in known and not name.startswith("_"))
        if unknown:
            raise ValueError(
                f"config.json has fields that this version of the moment head does not know: {', '.join(unknown)}. "
                "Correct their names, or use the version that wrote it."
            )
        return super().from_dict(config_dict, **kwargs)


__all__ = ["AuricleMomentConfig"]
