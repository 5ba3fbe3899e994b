"""PaSST: the Patchout faSt Spectrogram Transformer as a Hugging Face audio encoder."""

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import PreTrainedModel
from transformers.utils.generic import merge_with_config_defaults
from transformers.utils.output_capturing import capture_outputs

from .call_arguments import EXTRACTOR_OUTPUTS, checked_keywords
from .configuration_passt import PasstConfig
from .structured_patchout import PatchSelection, draw_patch_selection, keep_patches
from .transformer_layers import FusedSelfAttention, PatchEmbedding, PreNormBlock


class PasstPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation shared by models that consist of a PaSST encoder."""

    config_class = PasstConfig
    base_model_prefix = "passt"
    main_input_name = "input_features"
    input_modalities = ("audio",)
    supports_gradient_checkpointing = True
    _no_split_modules = ("PreNormBlock",)
    _supports_sdpa = True
    _supports_attention_backend = True
    _can_record_outputs = {"hidden_states": PreNormBlock, "attentions": FusedSelfAttention}  # noqa: RUF012

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, PasstModel):
            for name in (
                "cls_token",
                "dist_token",
                "new_pos_embed",
                "freq_new_pos_embed",
                "time_new_pos_embed",
            ):
                init.trunc_normal_(getattr(module, name), std=self.config.initializer_range)


class PasstModel(PasstPreTrainedModel):
    """
    PaSST encoder: log-mel segments in, one vector a segment out (Koutini et al., Interspeech 2022).

    Parameters carry the names of the published checkpoints, so that those load key by key. Time and
    frequency have separate position tables; two special tokens, ``cls`` and ``dist``, are averaged after the
    final normalisation into the segment's vector. In training mode whole rows and columns of patches are
    dropped (structured patchout); in evaluation mode nothing is dropped.
    """

    _auto_class = "AutoModel"

    def __init__(self, config: PasstConfig):
        super().__init__(config)
        width = config.hidden_size
        self.patch_embed = PatchEmbedding(
            config.patch_size, (config.frequency_stride, config.time_stride), width
        )
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, width))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, 2, width))
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, width, config.num_frequency_patches, 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, width, 1, config.num_time_patches))
        self.blocks = nn.ModuleList([PreNormBlock(config) for _ in range(config.num_hidden_layers)])
        self.norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The patch embedding, PaSST's only input layer."""
        return self.patch_embed

    def _check_input(self, input_features: torch.Tensor) -> None:
        config = self.config
        if input_features.dim() != 3 or input_features.shape[2] != config.num_mel_bins:
            raise ValueError(
                f"input_features has shape {tuple(input_features.shape)}; PaSST takes "
                f"(segments, frames, {config.num_mel_bins} mel bins)."
            )
        frames = input_features.shape[1]
        longest = config.patch_size + config.num_time_patches * config.time_stride - 1
        if not config.patch_size <= frames <= longest:
            raise ValueError(
                f"input_features has {frames} frames a segment; this PaSST takes {config.patch_size} to "
                f"{longest}. Cut longer sound into segments first (the feature extractor does)."
            )

    def _draw(self, rows: int, columns: int, generator: torch.Generator | None) -> PatchSelection | None:
        if not self.training:
            return None
        config = self.config
        return draw_patch_selection(
            rows,
            columns,
            drop_time=config.patchout_time,
            drop_frequency=config.patchout_frequency,
            drop_unstructured=config.patchout_unstructured,
            spare_time_positions=config.num_time_patches - columns if config.random_time_offset else 0,
            generator=generator,
        )

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self,
        input_features: torch.Tensor,
        patch_selection: PatchSelection | None = None,
        generator: torch.Generator | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        """
        Encodes segments independently: a segment's vector does not depend on other segments.

        Args:
            input_features: normalised log-mel ``(segments, frames, num_mel_bins)``; frames from one patch up
                to ``num_frames``. Frames after the last whole patch are ignored.
            patch_selection: patches to keep instead of a fresh draw; works in evaluation mode too.
            generator: CPU generator that the training draw takes its numbers from; None takes torch's own.

        Returns:
            ``last_hidden_state`` ``(segments, 2 + patches, hidden_size)`` after the final norm, tokens in the
            order cls, dist, patches (frequency-major), and ``pooler_output`` ``(segments, hidden_size)``, the
            mean of cls and dist.

        Raises:
            ValueError: if the shape is not the one above.
        """
        kwargs = checked_keywords("PasstModel", kwargs, ignored=EXTRACTOR_OUTPUTS)
        self._check_input(input_features)
        grid = self.patch_embed(input_features.transpose(1, 2))
        rows, columns = grid.shape[2:]
        if patch_selection is None:
            patch_selection = self._draw(rows, columns, generator)
        offset = 0 if patch_selection is None else patch_selection.time_offset
        grid = grid + self.time_new_pos_embed[..., offset : offset + columns] + self.freq_new_pos_embed
        patches = keep_patches(grid, patch_selection)

        special = torch.cat([self.cls_token, self.dist_token], dim=1) + self.new_pos_embed
        hidden_states = torch.cat([special.expand(patches.shape[0], -1, -1), patches], dim=1)
        for block in self.blocks:
            hidden_states = block(hidden_states, None, **kwargs)
        hidden_states = self.norm(hidden_states)
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden_states,
            pooler_output=(hidden_states[:, 0] + hidden_states[:, 1]) / 2,
        )

    def token_columns(self, last_hidden_state: torch.Tensor) -> torch.Tensor:
        """
        A vector for each column of patches, the mean over frequency: the tower's own resolution in time.

        Args:
            last_hidden_state: as [`forward`] returns it when no patch is dropped.

        Returns:
            ``(segments, columns, hidden_size)``; column c begins at frame ``c * time_stride``.
        """
        return last_hidden_state[:, 2:].unflatten(1, (self.config.num_frequency_patches, -1)).mean(dim=1)


__all__ = ["PasstModel", "PasstPreTrainedModel"]
