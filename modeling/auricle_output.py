"""Output of the dual encoder."""

from dataclasses import dataclass

import torch
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils.generic import ModelOutput


@dataclass
class AuricleOutput(ModelOutput):
    """
    Output of [`AuricleModel`]; a field is None if its modality was not given.

    Attributes:
        loss: contrastive loss, a scalar; only with ``return_loss=True``.
        logits_per_audio: cosine similarities divided by the temperature, ``(clips, captions)``.
        logits_per_text: the transpose, ``(captions, clips)``.
        audio_embeds: ``(clips, projection_dim)``, unit length.
        text_embeds: ``(captions, projection_dim)``, unit length.
        logit_scale: ``1 / temperature``, a scalar tensor.
        audio_cluster_logits: ``(clips, num_clusters)``; only with ``return_cluster_logits=True``.
        text_cluster_logits: ``(captions, num_clusters)``; only with ``return_cluster_logits=True``.
        audio_model_output: output of the audio tower; ``pooler_output`` is a vector a segment before the projection.
        text_model_output: output of the text tower; ``pooler_output`` is the pooled vector before the projection.
    """

    loss: torch.Tensor | None = None
    logits_per_audio: torch.Tensor | None = None
    logits_per_text: torch.Tensor | None = None
    audio_embeds: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    logit_scale: torch.Tensor | None = None
    audio_cluster_logits: torch.Tensor | None = None
    text_cluster_logits: torch.Tensor | None = None
    audio_model_output: BaseModelOutputWithPooling | None = None
    text_model_output: BaseModelOutputWithPooling | None = None

    def to_tuple(self) -> tuple:
        """The fields that are not None, in order; the towers' outputs become tuples."""
        return tuple(value.to_tuple() if isinstance(value, ModelOutput) else value for value in self.values())


__all__ = ["AuricleOutput"]
