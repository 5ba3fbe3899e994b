"""Parts that the audio towers share: patch embedding, attention with one fused projection, MLP."""

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

    Returns:
        The attended values ``(batch, length, heads, head_dim)`` and the weights
        ``(batch, heads, length, length)``.
    """
    scores = torch.matmul(query, key.transpose(2, 3)) * scaling
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = nn.functional.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


class PatchEmbedding(nn.Module):
    """Cuts a spectrogram into square patches and projects each to ``hidden_size`` by one convolution."""

    def __init__(self, patch_size: int, stride: tuple[int, int], hidden_size: int):
        super().__init__()
        self.proj = nn.Conv2d(1, hidden_size, kernel_size=patch_size, stride=stride)

    def forward(self, spectrogram: torch.Tensor) -> torch.Tensor:
        """
        Args:
            spectrogram: ``(segments, rows, columns)``.

        Returns:
            ``(segments, hidden_size, row patches, column patches)``.
        """
        return self.proj(spectrogram.unsqueeze(1).to(self.proj.weight.dtype))


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


class PreNormBlock(GradientCheckpointingLayer):
    """Transformer block that normalises before attention and before the MLP (the ViT layout)."""

    def __init__(self, config: PreTrainedConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attn = FusedSelfAttention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = Mlp(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, hidden_states: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs
    ) -> torch.Tensor:
        """``(batch, length, hidden_size)`` to the same shape."""
        attended, _ = self.attn(self.norm1(hidden_states), attention_mask, **kwargs)
        hidden_states = hidden_states + self.dropout(attended)
        return hidden_states + self.dropout(self.mlp(self.norm2(hidden_states)))
