"""EAT: the Efficient Audio Transformer as a Hugging Face audio encoder."""

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import PreTrainedModel
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .call_arguments import EXTRACTOR_OUTPUTS, checked_keywords
from .configuration_eat import EatConfig
from .sincos_positions import sincos_positions
from .structured_patchout import PatchSelection, kept_positions, select_patches
from .transformer_layers import (
    FusedSelfAttention,
    PatchEmbedding,
    PostNormBlock,
    additive_key_mask,
    check_segments,
    mean_of_real,
)


class FixedPositions(nn.Module):
    """
    The position table, which is not trained.

    A saved buffer: pre-training rounded the published table to half precision, so it differs from a table
    that is computed again.
    """

    def __init__(self, config: EatConfig):
        super().__init__()
        self.shape = (config.max_time_patches, config.num_frequency_patches, config.hidden_size)
        self.register_buffer("positions", sincos_positions(*self.shape))


class EatPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by models that consist of an EAT encoder."""

    config_class = EatConfig
    base_model_prefix = "eat"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _no_split_modules = ("PostNormBlock",)
    _supports_sdpa = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": PostNormBlock, "attentions": FusedSelfAttention}  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, EatModel):
            init.trunc_normal_(module.extra_tokens, std=self.config.initializer_range)
        elif isinstance(module, FixedPositions):
            init.copy_(module.positions, sincos_positions(*module.shape))


class EatModel(EatPreTrainedModel):
    """
    EAT encoder: Kaldi log-mel segments in, one vector a segment out (Chen et al., IJCAI 2024).

    Patches are flattened column after column and get fixed positions; one further token, without a position,
    comes first. A normalisation comes before the post-norm blocks and none after them.
    """

    _auto_class = "AutoModel"

    def __init__(self, config: EatConfig):
        super().__init__(config)
        width, patch = config.hidden_size, config.patch_size
        self.local_encoder = PatchEmbedding(patch, (patch, patch), width)
        self.extra_tokens = nn.Parameter(torch.zeros(1, 1, width))
        self.fixed_positional_encoder = FixedPositions(config)
        self.pre_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.blocks = nn.ModuleList([PostNormBlock(config) for _ in range(config.num_hidden_layers)])
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The patch embedding, EAT's only input layer."""
        return self.local_encoder

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_features: torch.Tensor,
        patch_attention_mask: torch.Tensor | None = None,
        patch_selection: PatchSelection | None = None,
        generator: torch.Generator | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        """
        Encodes segments independently: a segment's vector does not depend on other segments.

        Args:
            input_features: normalised log-mel ``(segments, frames, num_mel_bins)``; frames from one patch up
                to ``max_time_patches`` of them. Frames after the last whole patch are ignored. Short sound is
                padded to ``num_frames`` and seen with its padding, as in pre-training.
            patch_attention_mask: 1 for patches to attend to, 0 for others, ``(segments, patches)``, column
                after column; the published feature extraction uses none.
            patch_selection: patches to keep instead of a fresh draw; works in evaluation mode too.
            generator: CPU generator that the training draw takes its numbers from; None takes torch's own.

        Returns:
            ``last_hidden_state`` ``(segments, 1 + patches, hidden_size)``, the extra token first, and
            ``pooler_output`` ``(segments, hidden_size)``: the extra token, or the mean over the patches that
            are attended to with ``pooling="mean"``.

        Raises:
            ValueError: if a shape is not the one above.
        """
        kwargs = checked_keywords("EatModel", kwargs, ignored=EXTRACTOR_OUTPUTS)
        config = self.config
        check_segments(
            input_features,
            model="EAT",
            num_mel_bins=config.num_mel_bins,
            shortest=config.patch_size,
            longest=(config.max_time_patches + 1) * config.patch_size - 1,
        )
        grid = self.local_encoder(input_features)
        columns, rows = grid.shape[2:]
        patches = grid.flatten(2).transpose(1, 2)
        patches = patches + self.fixed_positional_encoder.positions[:, : columns * rows].to(patches.dtype)
        real = self._real_patches(patch_attention_mask, patches)
        if patch_selection is None and self.training:
            patch_selection = select_patches(config, rows, columns, generator)
        kept = kept_positions(rows, columns, patch_selection, grid.device)
        if kept is not None:
            patches = patches.index_select(1, kept)
            real = None if real is None else real.index_select(1, kept)

        hidden_states = torch.cat([self.extra_tokens.expand(patches.shape[0], -1, -1), patches], dim=1)
        hidden_states = self.pre_norm(hidden_states)
        mask = None
        if real is not None:
            mask = additive_key_mask(nn.functional.pad(real, (1, 0), value=True), hidden_states.dtype)
        for block in self.blocks:
            hidden_states = block(hidden_states, mask, **kwargs)
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden_states,
            pooler_output=(
                hidden_states[:, 0] if config.pooling == "cls" else mean_of_real(hidden_states[:, 1:], real)
            ),
        )

    def token_columns(self, last_hidden_state: torch.Tensor) -> torch.Tensor:
        """
        A vector for each column of patches, the mean over frequency: the tower's own resolution in time.

        Args:
            last_hidden_state: as [`forward`] returns it when no patch is dropped.

        Returns:
            ``(segments, columns, hidden_size)``; column c begins at frame ``c * patch_size``.
        """
        return last_hidden_state[:, 1:].unflatten(1, (-1, self.config.num_frequency_patches)).mean(dim=2)

    def _real_patches(self, mask: torch.Tensor | None, patches: torch.Tensor) -> torch.Tensor | None:
        if mask is None:
            return None
        if mask.shape != patches.shape[:2]:
            raise ValueError(
                f"patch_attention_mask has shape {tuple(mask.shape)}; there are {tuple(patches.shape[:2])} "
                "(segments, patches)."
            )
        return mask.to(device=patches.device, dtype=torch.bool)


__all__ = ["EatModel", "EatPreTrainedModel"]
