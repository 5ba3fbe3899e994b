"""BEATs: audio pre-training with acoustic tokenizers, as a Hugging Face audio encoder."""

from collections.abc import Callable

import torch
from torch import nn
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, PreTrainedModel
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .beats_padding import as_real_frames, check_padding, fold_padding_mask, real_tokens
from .beats_positions import WeightNormalisedConv, relative_position_bucket
from .call_arguments import EXTRACTOR_OUTPUTS, checked_keywords
from .configuration_beats import BeatsConfig
from .structured_patchout import PatchSelection, kept_positions, select_patches
from .transformer_layers import (
    PatchConvolution,
    additive_key_mask,
    check_segments,
    eager_attention_forward,
    mean_of_real,
)

# Sums of projections per head that make the two gates: two groups of four.
GATES = (2, 4)


class BeatsAttention(nn.Module):
    """Multi-head self-attention with a relative position bias, scaled by each query."""

    def __init__(self, config: BeatsConfig, owns_positions: bool):
        super().__init__()
        self.config = config
        self.num_heads = config.num_attention_heads
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        # Without this attribute the SDPA path takes a missing mask for permission to run causally.
        self.is_causal = False
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            setattr(self, name, nn.Linear(config.hidden_size, config.hidden_size))
        self.grep_linear = nn.Linear(self.head_dim, GATES[0] * GATES[1])
        self.grep_a = nn.Parameter(torch.ones(1, config.num_attention_heads, 1, 1))
        # One table serves all layers; as in the published code it lives in the first.
        self.relative_attention_bias = (
            nn.Embedding(config.num_buckets, config.num_attention_heads) if owns_positions else None
        )

    def position_bias(self, positions: torch.Tensor) -> torch.Tensor:
        """
        The bias before gating; only the first layer can compute it.

        Args:
            positions: int64 ``(length,)``, the tokens' indices in the whole flattened grid.

        Returns:
            ``(heads, length, length)``, queries before keys.
        """
        distance = positions[None, :] - positions[:, None]
        config = self.config
        buckets = relative_position_bucket(distance, config.num_buckets, config.max_bucket_distance)
        return self.relative_attention_bias(buckets).permute(2, 0, 1).contiguous()

    def position_gate(self, query: torch.Tensor) -> torch.Tensor:
        """
        The weight of the position bias for each query.

        Args:
            query: projected but not scaled, ``(segments, heads, length, head_dim)``.

        Returns:
            ``(segments, heads, length, 1)``.
        """
        first, second = self.grep_linear(query).unflatten(-1, GATES).sum(dim=-1).sigmoid().chunk(2, dim=-1)
        return first * (second * self.grep_a - 1.0) + 2.0

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_bias: torch.Tensor,
        **kwargs,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        Args:
            hidden_states: ``(segments, length, hidden_size)``.
            attention_mask: additive ``(segments, 1, 1, length)`` or None.
            position_bias: ``(heads, length, length)`` before gating.

        Returns:
            ``(segments, length, hidden_size)`` and, from the eager path only, the attention weights.
        """
        segments, length, _ = hidden_states.shape
        query, key, value = (
            projection(hidden_states).view(segments, length, self.num_heads, self.head_dim).transpose(1, 2)
            for projection in (self.q_proj, self.k_proj, self.v_proj)
        )
        gated = (self.position_gate(query) * position_bias).to(query.dtype)
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
            position_bias=gated,
            **kwargs,
        )
        return self.out_proj(attended.reshape(segments, length, -1)), weights


class BeatsLayer(GradientCheckpointingLayer):
    """Post-norm block whose residual is scaled up before each normalisation (DeepNet, arXiv 2203.00555)."""

    def __init__(self, config: BeatsConfig, owns_positions: bool):
        super().__init__()
        self.residual_scale = (2.0 * config.num_hidden_layers) ** 0.25 if config.deep_norm else 1.0
        self.self_attn = BeatsAttention(config, owns_positions)
        self.self_attn_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.activation_dropout = nn.Dropout(config.activation_dropout)

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        position_bias: torch.Tensor,
        **kwargs,
    ) -> torch.Tensor:
        """``(segments, length, hidden_size)`` to the same shape; arguments as of [`BeatsAttention`]."""
        attended, _ = self.self_attn(hidden_states, attention_mask, position_bias, **kwargs)
        hidden_states = self.self_attn_layer_norm(
            self.residual_scale * hidden_states + self.dropout(attended)
        )
        inner = self.activation_dropout(self.activation(self.fc1(hidden_states)))
        return self.final_layer_norm(self.residual_scale * hidden_states + self.dropout(self.fc2(inner)))


class BeatsEncoder(nn.Module):
    """Convolutional positions, one normalisation, then the layers."""

    def __init__(self, config: BeatsConfig):
        super().__init__()
        self.pos_conv = nn.Sequential(
            WeightNormalisedConv(
                config.hidden_size, config.num_conv_pos_embeddings, config.num_conv_pos_embedding_groups
            ),
            nn.GELU(),
        )
        self.layer_norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layers = nn.ModuleList(
            [BeatsLayer(config, owns_positions=index == 0) for index in range(config.num_hidden_layers)]
        )

    def forward(
        self, tokens: torch.Tensor, real: torch.Tensor | None, kept: torch.Tensor | None, **kwargs
    ) -> torch.Tensor:
        """
        Args:
            tokens: ``(segments, tokens, hidden_size)``, column after column of the grid.
            real: bool ``(segments, tokens)``, False for padding; None means all real.
            kept: sorted int64 indices of the tokens that the layers process; None means all.

        Returns:
            ``(segments, kept tokens, hidden_size)``.
        """
        if real is not None:
            tokens = tokens.masked_fill(~real.unsqueeze(-1), 0.0)
        hidden_states = self.dropout(self.layer_norm(tokens + self.pos_conv(tokens)))
        positions = torch.arange(tokens.shape[1], device=tokens.device) if kept is None else kept
        if kept is not None:
            hidden_states = hidden_states.index_select(1, kept)
            real = None if real is None else real.index_select(1, kept)
        mask = None if real is None else additive_key_mask(real, hidden_states.dtype)
        position_bias = self.layers[0].self_attn.position_bias(positions)
        for layer in self.layers:
            hidden_states = layer(hidden_states, mask, position_bias, **kwargs)
        return hidden_states


class BeatsPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by models that consist of a BEATs encoder."""

    config_class = BeatsConfig
    base_model_prefix = "beats"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _no_split_modules = ("BeatsLayer",)
    _supports_sdpa = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": BeatsLayer, "attentions": BeatsAttention}  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, WeightNormalisedConv):
            kernel_size, width = module.weight_v.shape[2], module.weight_v.shape[0]
            init.normal_(module.weight_v, std=(4.0 / (kernel_size * width)) ** 0.5)
            norm = torch.linalg.vector_norm(module.weight_v.float(), dim=(0, 1), keepdim=True)
            init.copy_(module.weight_g, norm.to(module.weight_g.dtype))
            init.zeros_(module.bias)
        elif isinstance(module, BeatsAttention):
            init.ones_(module.grep_a)
        elif isinstance(module, BeatsLayer):
            attention = module.self_attn
            # DeepNet's rule for encoders: what enters the residual sum starts small.
            gain = (8.0 * self.config.num_hidden_layers) ** -0.25 if self.config.deep_norm else 1.0
            for linear in (attention.v_proj, attention.out_proj, module.fc1, module.fc2):
                init.xavier_normal_(linear.weight, gain=gain)
            for linear in (attention.q_proj, attention.k_proj):
                init.xavier_normal_(linear.weight)


class BeatsModel(BeatsPreTrainedModel):
    """
    BEATs encoder: Kaldi log-mel segments in, one vector a segment out (Chen et al., ICML 2023).

    Parameters carry the names of the published checkpoints. Patches are flattened column after column. A
    segment's vector is the mean over its real tokens, since the self-supervised model has no segment token.
    """

    _auto_class = "AutoModel"

    def __init__(self, config: BeatsConfig):
        super().__init__(config)
        patch = config.patch_size
        self.patch_embedding = PatchConvolution(patch, (patch, patch), config.patch_embed_dim, bias=False)
        self.layer_norm = nn.LayerNorm(config.patch_embed_dim, eps=config.layer_norm_eps)
        self.post_extract_proj = (
            nn.Linear(config.patch_embed_dim, config.hidden_size)
            if config.patch_embed_dim != config.hidden_size
            else None
        )
        self.input_dropout = nn.Dropout(config.input_dropout)
        self.encoder = BeatsEncoder(config)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The patch embedding, BEATs' only input layer."""
        return self.patch_embedding

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_features: torch.Tensor,
        audio_attention_mask: torch.Tensor | None = None,
        patch_selection: PatchSelection | None = None,
        generator: torch.Generator | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        """
        Encodes segments independently: a segment's vector does not depend on other segments or on padding.

        Args:
            input_features: normalised log-mel ``(segments, frames, num_mel_bins)`` of at least one patch's
                frames. Frames after the last whole patch are ignored.
            audio_attention_mask: 1 for real frames, 0 for padding, ``(segments, frames)``; None means that
                all are real.
            patch_selection: patches to keep instead of a fresh draw; works in evaluation mode too.
            generator: CPU generator that the training draw takes its numbers from; None takes torch's own.

        Returns:
            ``last_hidden_state`` ``(segments, patches, hidden_size)``, patches column after column up to the
            longest real segment, with no meaning where a segment is padded; ``pooler_output``
            ``(segments, hidden_size)``, the mean over the real patches that were kept.

        Raises:
            ValueError: if a shape is not the one above, or a segment has less than one patch of real frames.
        """
        kwargs = checked_keywords("BeatsModel", kwargs, ignored=EXTRACTOR_OUTPUTS)
        config = self.config
        check_segments(
            input_features,
            model="BEATs",
            num_mel_bins=config.num_mel_bins,
            shortest=config.patch_size,
            longest=None,
        )
        exact = config.padding_mask == "exact"
        real_frames = None
        if audio_attention_mask is not None:
            real_frames = as_real_frames(audio_attention_mask, input_features)
            if exact and not torch.compiler.is_compiling():
                check_padding(real_frames, config.patch_size)
                if patch_selection is None:
                    input_features, real_frames = _without_common_padding(input_features, real_frames)

        grid = self.patch_embedding(input_features)
        columns, rows = grid.shape[2:]
        tokens = self.layer_norm(grid.flatten(2).transpose(1, 2))
        if self.post_extract_proj is not None:
            tokens = self.post_extract_proj(tokens)
        real = None
        if real_frames is not None:
            real = (
                real_tokens(real_frames, rows, columns, config.patch_size)
                if exact
                else fold_padding_mask(real_frames, rows * columns)
            )
        kept = self._kept(rows, columns, real, patch_selection, generator, tokens.device)
        hidden_states = self.encoder(self.input_dropout(tokens), real, kept, **kwargs)
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden_states,
            pooler_output=mean_of_real(
                hidden_states, real if kept is None or real is None else real[:, kept]
            ),
        )

    def token_columns(self, last_hidden_state: torch.Tensor) -> torch.Tensor:
        """
        A vector for each column of patches, the mean over frequency: the tower's own resolution in time.

        Args:
            last_hidden_state: as [`forward`] returns it when no patch is dropped.

        Returns:
            ``(segments, columns, hidden_size)`` up to the longest real segment, without a meaning where a segment
            is padded; column c begins at frame ``c * patch_size``.
        """
        return last_hidden_state.unflatten(1, (-1, self.config.num_frequency_patches)).mean(dim=2)

    def _kept(
        self,
        rows: int,
        columns: int,
        real: torch.Tensor | None,
        patch_selection: PatchSelection | None,
        generator: torch.Generator | None,
        device: torch.device,
    ) -> torch.Tensor | None:
        """Numbers of the tokens that stay, or None for all; a padded segment never loses all of its own."""
        if patch_selection is None and self.training:
            patch_selection = select_patches(self.config, rows, columns, generator)
        kept = kept_positions(rows, columns, patch_selection, device)
        if kept is not None and real is not None and not bool(real[:, kept].any(dim=1).all()):
            # Only the first column is real in every segment.
            kept = torch.cat([torch.arange(rows, device=device), kept]).unique()
        return kept


def _without_common_padding(
    input_features: torch.Tensor, real_frames: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Cuts off frames after the last real frame of the batch; without remaining padding the mask becomes None."""
    last = int(real_frames.any(dim=0).nonzero()[-1]) + 1
    input_features, real_frames = input_features[:, :last], real_frames[:, :last]
    return input_features, None if bool(real_frames.all()) else real_frames


__all__ = ["BeatsModel", "BeatsPreTrainedModel"]
