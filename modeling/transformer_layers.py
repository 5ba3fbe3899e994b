"""Layers that the audio towers share: patch embedding, attention with one fused projection, MLP."""

from collections.abc import Callable

import torch
from torch import nn
from transformers.activations import ACT2FN
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS


def eager_attention_forward(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    position_bias: torch.Tensor | None = None,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Softmax attention written out; used where the attention weights themselves are wanted.

    Args:
        module: the calling attention module; only its training flag is read.
        query, key, value: ``(batch, heads, length, head_dim)``.
        attention_mask: added to the scores, broadcastable to ``(batch, heads, length, length)``, or None.
        scaling: factor on the scores.
        dropout: share of attention weights dropped in training.
        position_bias: added to the scores as well; the same shapes as the mask.

    Returns:
        The attended values ``(batch, length, heads, head_dim)`` and the weights
        ``(batch, heads, length, length)``.
    """
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if position_bias is not None:
        scores = scores + position_bias
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


def additive_key_mask(real: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """
    A mask to add to attention scores, so that no query looks at padding.

    The lowest finite number stands for minus infinity: a row without any real key then gives finite values.

    Args:
        real: bool ``(batch, length)``, True for real tokens.
        dtype: floating-point type of the scores.

    Returns:
        ``(batch, 1, 1, length)``.
    """
    mask = torch.zeros(real.shape, dtype=dtype, device=real.device)
    return mask.masked_fill(~real, torch.finfo(dtype).min)[:, None, None, :]


def mean_of_real(tokens: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
    """Mean of ``(segments, length, width)`` over the tokens where ``real`` is True (or over all)."""
    if real is None:
        return tokens.mean(dim=1)
    total = tokens.masked_fill(~real.unsqueeze(-1), 0.0).sum(dim=1)
    return total / real.sum(dim=1, keepdim=True).clamp(min=1).to(tokens.dtype)


def check_segments(
    input_features: torch.Tensor, *, model: str, num_mel_bins: int, shortest: int, longest: int | None
) -> None:
    """
    Raises ValueError unless the input is ``(segments, frames, num_mel_bins)``.

    Args:
        input_features: what the tower was given.
        model: what the message calls the tower.
        num_mel_bins: mel bins a frame.
        shortest, longest: bounds of the number of frames; None means that there is no upper one.
    """
    if input_features.dim() != 3 or input_features.shape[2] != num_mel_bins:
        raise ValueError(
            f"input_features has shape {tuple(input_features.shape)}; {model} takes "
            f"(segments, frames, {num_mel_bins} mel bins)."
        )
    frames = input_features.shape[1]
    if frames < shortest or (longest is not None and frames > longest):
        bounds = f"at least {shortest}" if longest is None else f"{shortest} to {longest}"
        raise ValueError(
            f"input_features has {frames} frames a segment; this {model} takes {bounds}. "
            "The feature extractor cuts and fills segments to fit."
        )


class PatchConvolution(nn.Conv2d):
    """A convolution that cuts a spectrogram into square patches and projects each of them."""

    def __init__(self, patch_size: int, stride: tuple[int, int], width: int, bias: bool = True):
        super().__init__(1, width, kernel_size=patch_size, stride=stride, bias=bias)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """
        Args:
            spectrogram: ``(segments, rows, columns)``.

        Returns:
            ``(segments, width, row patches, column patches)``.
        """
        return super().forward(spectrogram.unsqueeze(1).to(self.weight.dtype))


class PatchEmbedding(nn.Module):
    """Cuts a spectrogram into square patches and projects each to ``hidden_size`` by one convolution."""

    def __init__(self, patch_size: int, stride: tuple[int, int], hidden_size: int):
        super().__init__()
        self.proj = PatchConvolution(patch_size, stride, hidden_size)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """``(segments, rows, columns)`` to ``(segments, hidden_size, row patches, column patches)``."""
        return self.proj(spectrogram)


class FusedSelfAttention(nn.Module):
    """Multi-head self-attention whose query, key and value come from one linear layer, in that order."""

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        # Without this attribute the SDPA path takes a missing mask for permission to run causally.
        self.is_causal = False
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        Args:
            hidden_states: ``(batch, length, hidden_size)``.
            attention_mask: additive, broadcastable to ``(batch, heads, length, length)``, or None.

        Returns:
            ``(batch, length, hidden_size)`` and, from the eager path only, the attention weights.
        """
        batch, length, _ = hidden_states.shape
        qkv = self.qkv(hidden_states).view(batch, length, 3, self.num_heads, self.head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        attend: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        attended, weights = attend(
            self,
            query,
            key,
            value,
            attention_mask,
            dropout=self.config.attention_probs_dropout_prob if self.training else 0.0,
            scaling=self.scaling,
            **kwargs,
        )
        return self.proj(attended.reshape(batch, length, -1)), weights


class Mlp(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """``(..., hidden_size)`` to ``(..., hidden_size)``."""
        return self.fc2(self.activation(self.fc1(hidden_states)))


class TransformerBlock(GradientCheckpointingLayer):
    """Attention and MLP with one normalisation each; subclasses define its position."""

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attn = FusedSelfAttention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = Mlp(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)


class PreNormBlock(TransformerBlock):
    """Transformer block that normalises before attention and before the MLP (the ViT layout)."""

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> torch.Tensor:
        """``(batch, length, hidden_size)`` to the same shape."""
        attended, _ = self.attn(self.norm1(hidden_states), attention_mask, **kwargs)
        hidden_states = hidden_states + self.dropout(attended)
        return hidden_states + self.dropout(self.mlp(self.norm2(hidden_states)))


class PostNormBlock(TransformerBlock):
    """Transformer block that normalises after each residual sum (the original layout)."""

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> torch.Tensor:
        """``(batch, length, hidden_size)`` to the same shape."""
        attended, _ = self.attn(hidden_states, attention_mask, **kwargs)
        hidden_states = self.norm1(hidden_states + self.dropout(attended))
        return self.norm2(hidden_states + self.dropout(self.mlp(hidden_states)))
