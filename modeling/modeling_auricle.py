"""The dual encoder: sounds and sentences in one space."""

import copy
import inspect
import math
import operator
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from transformers import AutoModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_MAPPING
from transformers.utils.generic import can_return_tuple

from .auricle_output import AuricleOutput
from .call_arguments import COMMON_KEYWORDS, checked_keywords, named_arguments
from .cluster_heads import ClusterHead, ClusterHeadLayer
from .config_checks import refuse_impossible_cluster_count
from .configuration_auricle import AuricleConfig
from .contrastive_loss import contrastive_loss
from .modeling_beats import BeatsModel
from .modeling_eat import EatModel
from .modeling_passt import PasstModel
from .segment_pooling import mean_over_segments, pool_tokens

AUDIO_MODELS = {"auricle_passt": PasstModel, "auricle_beats": BeatsModel, "auricle_eat": EatModel}
# One batch of both modalities can be given to the method of either.
_AUDIO_INPUTS = ("input_features", "segment_counts", "audio_attention_mask")
_TEXT_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


class AuriclePreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation of the dual encoder."""

    config: AuricleConfig
    config_class = AuricleConfig
    base_model_prefix = "auricle"
    main_input_name = "input_features"
    input_modalities = ("audio", "text")
    supports_gradient_checkpointing = True
    # So that num_clusters=0 loads a checkpoint without its heads, in silence.
    _keys_to_ignore_on_load_unexpected = (r"^(audio|text)_cluster_head\.",)
    _supports_sdpa = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        # transformers calls this for modules with own parameters only, so a whole head would be skipped.
        if isinstance(module, ClusterHeadLayer):
            module.draw_weights()
        elif isinstance(module, AuricleModel) and module.logit_scale is not None:
            init.constant_(module.logit_scale, -math.log(self.config.temperature))


class AuricleModel(AuriclePreTrainedModel):
    """
    Dual encoder for language-based audio retrieval (the AISTAT system of DCASE 2025 Task 6).

    Each tower is followed by one linear projection into the shared space and by L2 normalisation; retrieval
    ranks by the dot product. A clip's vector is the mean of its segments' vectors before the projection, so
    it does not depend on other clips in the batch.
    """

    _auto_class = "AutoModel"

    def __init__(self, config: AuricleConfig) -> None:
        super().__init__(config)
        audio_class = AUDIO_MODELS[config.audio_config.model_type]
        self.audio_model = audio_class(config.audio_config)
        self.text_model = AutoModel.from_config(config.text_config, **_no_pooler(config.text_config))
        self.audio_projection = nn.Linear(config.audio_config.hidden_size, config.projection_dim)
        self.text_projection = nn.Linear(config.text_config.hidden_size, config.projection_dim)
        self.logit_scale = nn.Parameter(torch.zeros(())) if config.learn_temperature else None
        self.local_projection = None
        if config.local_projection:
            self.local_projection = nn.Linear(config.audio_config.hidden_size, config.projection_dim)
        self.audio_cluster_head = self.text_cluster_head = None
        if config.num_clusters:
            self.audio_cluster_head = ClusterHead(config.audio_config.hidden_size, config.num_clusters)
            self.text_cluster_head = ClusterHead(config.text_config.hidden_size, config.num_clusters)
        self._audio_arguments = named_arguments(self.audio_model.forward)
        self._text_arguments = named_arguments(self.text_model.forward)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The text tower's token embeddings."""
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replaces the text tower's token embeddings."""
        self.text_model.set_input_embeddings(value)

    def current_logit_scale(self, device: torch.device | str | None = None) -> torch.Tensor:
        """
        ``1 / temperature`` as a float32 scalar, at most 100; has a gradient if it is learned.

        Args:
            device: for a fixed temperature, which has no weight. Default: the device of the audio projection.
        """
        if self.logit_scale is None:
            device = self.audio_projection.weight.device if device is None else device
            return torch.tensor(1.0 / self.config.temperature, device=device)
        # A learned temperature that runs towards zero ends in overflow; CLIP stops it at the same 100.
        return self.logit_scale.float().clamp(max=math.log(100.0)).exp()

    def set_num_clusters(self, num_clusters: int, generator: torch.Generator | None = None) -> None:
        """
        Adds new cluster heads, replaces existing ones, or removes them.

        Args:
            num_clusters: classes of both heads, at least 2; 0 leaves the model without heads.
            generator: CPU generator of the new weights, the audio head's first; None draws from torch's own.

        Raises:
            ValueError: for another number of clusters; the model stays unchanged.
        """
        num_clusters = operator.index(num_clusters)
        refuse_impossible_cluster_count(num_clusters)
        self.config.num_clusters = num_clusters
        for tower in ("audio", "text"):
            projection = getattr(self, f"{tower}_projection")
            head = None
            if num_clusters:
                # Without memory at first, so that torch's own random numbers are not used up for weights that go.
                with torch.device("meta"):
                    head = ClusterHead(projection.in_features, num_clusters)
                head = head.to_empty(device="cpu")
                head.draw_weights(generator)
                head.to(projection.weight).train(self.training)
            setattr(self, f"{tower}_cluster_head", head)

    def set_local_projection(self, wanted: bool) -> None:
        """Adds a separate projection of frames, initially a copy of the projection of clips, or removes it."""
        if wanted and self.local_projection is None:
            self.local_projection = copy.deepcopy(self.audio_projection)
        elif not wanted:
            self.local_projection = None
        self.config.local_projection = wanted

    @can_return_tuple
    def get_audio_features(
        self,
        input_features: torch.Tensor,
        segment_counts: torch.Tensor | None = None,
        audio_attention_mask: torch.Tensor | None = None,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """
        Embeds clips.

        Args:
            input_features: log-mel segments of all clips, clip after clip, ``(segments, frames, mel bins)``.
            segment_counts: int64 ``(clips,)``, number of consecutive segments of each clip; None means one.
            audio_attention_mask: 1 for real frames, 0 for padding, ``(segments, frames)``; passed on to towers
                that take it (BEATs), ignored for others.
            generator: CPU generator for the audio tower's training-time token drop.
            kwargs: options such as ``output_hidden_states``; further arguments of the audio tower; and inputs of
                sentences, which are ignored.

        Returns:
            ``pooler_output`` ``(clips, projection_dim)``, unit length; ``last_hidden_state``, the tower's
            token outputs ``(segments, tokens, hidden_size)``.

        Raises:
            ValueError: if the counts do not add up to the segments given, or one is below 1.
            TypeError: for an unknown keyword.
        """
        kwargs = checked_keywords("get_audio_features", kwargs, self._audio_arguments, ignored=_TEXT_INPUTS)
        outputs = self._run_audio_model(input_features, audio_attention_mask, generator=generator, **kwargs)
        outputs.pooler_output = self.project_audio(outputs.pooler_output, segment_counts)
        return outputs

    def pool_audio(
        self, input_features: torch.Tensor, audio_attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The audio tower's segment vectors before the projection, ``(segments, audio hidden_size)``."""
        return self._run_audio_model(input_features, audio_attention_mask).pooler_output

    def pool_audio_columns(
        self, input_features: torch.Tensor, audio_attention_mask: torch.Tensor | None = None
    ) -> torch.Tensor:
        """
        Frame features before the projection, ``(segments, columns, audio hidden_size)``; those of padding are
        meaningless.

        Cosines of projected frames are on another scale than those of segments: never rank the two in one list.
        """
        outputs = self._run_audio_model(input_features, audio_attention_mask)
        return self.audio_model.token_columns(outputs.last_hidden_state)

    def project_frames(self, columns: torch.Tensor) -> torch.Tensor:
        """
        Projects rows of [`pool_audio_columns`], or means of them, to unit vectors ``(..., projection_dim)``.

        Uses the local projection if the model has one, which was trained on frames; else the projection of clips.
        """
        projection = self.audio_projection if self.local_projection is None else self.local_projection
        return _unit_length(projection(columns))

    def project_audio(
        self, segments: torch.Tensor, segment_counts: torch.Tensor | None = None
    ) -> torch.Tensor:
        """
        Projects the audio tower's segment vectors ``(segments, audio hidden_size)`` to unit ``(clips,
        projection_dim)``.

        With it, the tower can process a long clip in pieces; errors as in [`get_audio_features`].
        """
        return _unit_length(self.audio_projection(mean_over_segments(segments, segment_counts)))

    @torch.no_grad()
    def embed_recording(self, blocks: Iterable[Mapping[str, torch.Tensor]]) -> torch.Tensor:
        """
        Embeds one recording of any length in blocks.

        Args:
            blocks: model inputs of consecutive segments, each with ``input_features`` and, if the tower uses
                it, ``audio_attention_mask``, from the feature extractor's ``iter_segments``.

        Returns:
            ``(1, projection_dim)``, unit length, equal to [`get_audio_features`] for all segments at once.

        Raises:
            ValueError: if there is no block.
        """
        total, count = None, 0
        for block in blocks:
            mask = block.get("audio_attention_mask")
            mask = None if mask is None else mask.to(self.device)
            pooled = self.pool_audio(block["input_features"].to(self.device), mask)
            part = pooled.double().sum(dim=0, keepdim=True)
            total, count = part if total is None else total + part, count + len(pooled)
        if total is None:
            raise ValueError("no blocks: a recording has at least one segment.")
        return self.project_audio((total / count).to(pooled.dtype))

    @can_return_tuple
    def get_text_features(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPooling:
        """
        Embeds sentences.

        Args:
            input_ids: int64 ``(captions, tokens)``.
            attention_mask: 1 for real tokens, 0 for padding, ``(captions, tokens)``; None means all real.
            token_type_ids: passed on to text towers that take them, ignored for others.
            kwargs: options such as ``output_hidden_states``; further arguments of the text tower; and inputs of
                sounds, which are ignored.

        Returns:
            ``pooler_output`` ``(captions, projection_dim)``, unit length; ``last_hidden_state``
            ``(captions, tokens, hidden_size)``.

        Raises:
            TypeError: for an unknown keyword.
        """
        kwargs = checked_keywords("get_text_features", kwargs, self._text_arguments, ignored=_AUDIO_INPUTS)
        outputs = self._run_text_model(input_ids, attention_mask, token_type_ids, **kwargs)
        outputs.pooler_output = self.project_text(outputs.pooler_output)
        return outputs

    def pool_text(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The text tower's pooled vectors before the projection, ``(captions, text hidden_size)``."""
        return self._run_text_model(input_ids, attention_mask, token_type_ids).pooler_output

    def project_text(self, pooled: torch.Tensor) -> torch.Tensor:
        """Projects pooled text vectors ``(captions, text hidden_size)`` to unit ``(captions, projection_dim)``."""
        return _unit_length(self.text_projection(pooled))

    def _run_audio_model(self, input_features, audio_attention_mask, **kwargs):
        if audio_attention_mask is not None and "audio_attention_mask" in self._audio_arguments:
            kwargs["audio_attention_mask"] = audio_attention_mask
        return self.audio_model(input_features=input_features, **kwargs)

    def _run_text_model(self, input_ids, attention_mask, token_type_ids, **kwargs):
        if token_type_ids is not None and "token_type_ids" in self._text_arguments:
            kwargs["token_type_ids"] = token_type_ids
        outputs = self.text_model(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        return BaseModelOutputWithPooling(
            last_hidden_state=outputs.last_hidden_state,
            pooler_output=pool_tokens(outputs.last_hidden_state, attention_mask, self.config.text_pooling),
            hidden_states=outputs.get("hidden_states"),
            attentions=outputs.get("attentions"),
        )

    @can_return_tuple
    def forward(
        self,
        input_features: torch.Tensor | None = None,
        segment_counts: torch.Tensor | None = None,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        token_type_ids: torch.Tensor | None = None,
        audio_attention_mask: torch.Tensor | None = None,
        pooled_text: torch.Tensor | None = None,
        positive_mask: torch.Tensor | None = None,
        return_loss: bool | None = None,
        return_cluster_logits: bool | None = None,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> AuricleOutput:
        """
        Embeds clips, sentences or both, and compares them.

        Args:
            input_features: ``(segments, frames, mel bins)``, see [`get_audio_features`].
            segment_counts: int64 ``(clips,)``, see [`get_audio_features`].
            audio_attention_mask: ``(segments, frames)``, see [`get_audio_features`].
            input_ids, attention_mask, token_type_ids: ``(captions, tokens)``, see [`get_text_features`].
            pooled_text: ``(captions, text hidden_size)`` from [`pool_text`], instead of ``input_ids``: a
                frozen text tower need not run in every step.
            positive_mask: bool ``(clips, captions)``, True where a caption describes a clip; None pairs clip i
                with caption i.
            return_loss: also return the contrastive loss.
            return_cluster_logits: also run the cluster heads, each on its tower's pooled output before the
                projection; a clip's is the mean over its segments.
            generator: CPU generator for the audio tower's training-time token drop.
            kwargs: options such as ``output_hidden_states``, whose results are in ``audio_model_output`` and
                ``text_model_output``; and further arguments of either tower.

        Raises:
            ValueError: if neither modality is given, both forms of text are given, the loss is requested without both
                modalities, or cluster logits are requested from a model without heads.
            TypeError: for an unknown keyword.
        """
        kwargs = checked_keywords("AuricleModel", kwargs, self._audio_arguments | self._text_arguments)
        if input_ids is not None and pooled_text is not None:
            raise ValueError("give input_ids or pooled_text, not both.")
        if return_cluster_logits and self.audio_cluster_head is None:
            raise ValueError("the model has no cluster heads (num_clusters=0); set_num_clusters makes them.")
        pooled_audio = audio_embeds = text_embeds = audio_outputs = text_outputs = None
        if input_features is not None:
            options = _only(kwargs, self._audio_arguments)
            audio_outputs = self._run_audio_model(
                input_features, audio_attention_mask, generator=generator, **options
            )
            pooled_audio = mean_over_segments(audio_outputs.pooler_output, segment_counts)
            audio_embeds = self.project_audio(pooled_audio)
        if input_ids is not None:
            options = _only(kwargs, self._text_arguments)
            text_outputs = self._run_text_model(input_ids, attention_mask, token_type_ids, **options)
            pooled_text = text_outputs.pooler_output
        if pooled_text is not None:
            text_embeds = self.project_text(pooled_text)
        embeds = text_embeds if audio_embeds is None else audio_embeds
        if embeds is None:
            raise ValueError("nothing to embed: give input_features, input_ids, or both.")

        # Where the towers are on different devices, all that is compared comes to the sounds'; where weights are
        # loaded for each step, an inactive module has no usable device.
        scale = self.current_logit_scale(embeds.device).to(embeds.device)
        output = AuricleOutput(
            audio_embeds=audio_embeds,
            text_embeds=text_embeds,
            logit_scale=scale,
            audio_model_output=audio_outputs,
            text_model_output=text_outputs,
        )
        if audio_embeds is not None and text_embeds is not None:
            output.logits_per_audio = scale * audio_embeds @ text_embeds.to(embeds.device).T
            output.logits_per_text = output.logits_per_audio.T
        if return_cluster_logits:
            if pooled_audio is not None:
                output.audio_cluster_logits = self.audio_cluster_head(pooled_audio)
            if pooled_text is not None:
                output.text_cluster_logits = self.text_cluster_head(pooled_text)
        if return_loss:
            if output.logits_per_audio is None:
                raise ValueError("return_loss=True needs both sounds and sentences.")
            if positive_mask is not None:
                positive_mask = positive_mask.to(embeds.device)
            output.loss = contrastive_loss(output.logits_per_audio, positive_mask)
        return output


def _only(keywords: Mapping[str, Any], arguments: frozenset[str]) -> dict[str, Any]:
    """Keywords of a call that belong to one tower."""
    return {name: value for name, value in keywords.items() if name in COMMON_KEYWORDS | arguments}


def _unit_length(vectors: torch.Tensor) -> torch.Tensor:
    return nn.functional.normalize(vectors.float(), dim=-1)


def _no_pooler(text_config) -> dict[str, bool]:
    """Omits the text model's own pooler where its class can do without; we pool ourselves."""
    model_class = MODEL_MAPPING.get(type(text_config), None)
    if model_class is not None and "add_pooling_layer" in inspect.signature(model_class.__init__).parameters:
        return {"add_pooling_layer": False}
    return {}


__all__ = ["AUDIO_MODELS", "AuricleModel", "AuriclePreTrainedModel"]
