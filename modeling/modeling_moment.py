"""The moment head: a small transformer over frozen frame vectors and a query that predicts spans of time."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel
from transformers.utils.generic import ModelOutput, can_return_tuple

from .configuration_moment import AuricleMomentConfig
from .moment_spans import best_spans, parts_of

# Candidates that suppression of repeats looks at, of a part of a recording.
MOST_CANDIDATES = 300


@dataclass
class MomentOutput(ModelOutput):
    """
    Output of [`AuricleForMomentRetrieval`].

    Attributes:
        spans: ``(pairs, candidates, 2)`` start and end in seconds from the first frame's start. Of a dense head
            one candidate a frame, else one a learned query.
        logits: ``(pairs, candidates)``, of a candidate being right.
        quality_logits: ``(pairs, candidates)``, of the IoU of its span with the true moment.
        saliency_logits: ``(pairs, frames)``, of a frame being in a moment. For a dense head the same as ``logits``.
        scores: ``(pairs, candidates)`` in [0, 1], by which candidates are ranked; 0 for padding.
    """

    spans: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    quality_logits: torch.Tensor | None = None
    saliency_logits: torch.Tensor | None = None
    scores: torch.Tensor | None = None


class MomentAttention(nn.Module):
    """Multi-head attention over frames or queries, without dropout of its weights."""

    def __init__(self, config: AuricleMomentConfig):
        super().__init__()
        self.heads = config.num_attention_heads
        self.query = nn.Linear(config.hidden_size, config.hidden_size)
        self.key_value = nn.Linear(config.hidden_size, 2 * config.hidden_size)
        self.output = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(
        self,
        hidden: torch.Tensor,
        memory: torch.Tensor,
        real: torch.Tensor | None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """
        Args:
            hidden: ``(batch, length, hidden_size)``, source of the attention queries.
            memory: ``(batch, memory, hidden_size)``, source of keys and values.
            real: bool ``(batch, memory)``, False for padding; None without padding.
            positions: ``(memory, hidden_size)``, added to the input of keys, not of values.
        """
        query = self.query(hidden)
        key, value = self.key_value(memory).chunk(2, dim=-1)
        if positions is not None:
            key = key + positions
        split = [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in (query, key, value)]
        mask = None if real is None else real[:, None, None, :]
        attended = nn.functional.scaled_dot_product_attention(*split, attn_mask=mask)
        return self.output(attended.transpose(1, 2).flatten(2))


class MomentLayer(nn.Module):
    """Depth-wise convolution over time, self-attention and an MLP, each added to its normalised input."""

    def __init__(self, config: AuricleMomentConfig):
        super().__init__()
        width = config.hidden_size
        self.conv_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.conv = nn.Conv1d(width, width, config.kernel_size, padding=config.kernel_size // 2, groups=width)
        self.conv_mix = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.attention = MomentAttention(config)
        self.mlp_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.mlp = _mlp(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: torch.Tensor, real: torch.Tensor | None) -> torch.Tensor:
        """``(batch, frames, hidden_size)`` to the same shape; padding has no effect on real frames."""
        inner = self.conv_norm(hidden)
        if real is not None:
            inner = inner * real[..., None]
        inner = self.conv_mix(nn.functional.gelu(self.conv(inner.transpose(1, 2)).transpose(1, 2)))
        hidden = hidden + self.dropout(inner)
        inner = self.attention_norm(hidden)
        hidden = hidden + self.dropout(self.attention(inner, inner, real))
        return hidden + self.dropout(self.mlp(self.mlp_norm(hidden)))


class MomentDecoderLayer(nn.Module):
    """Learned queries attend to each other and to the frames."""

    def __init__(self, config: AuricleMomentConfig):
        super().__init__()
        width = config.hidden_size
        self.self_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.self_attention = MomentAttention(config)
        self.cross_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.cross_attention = MomentAttention(config)
        self.mlp_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.mlp = _mlp(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        queries: torch.Tensor,
        frames: torch.Tensor,
        real: torch.Tensor | None,
        positions: torch.Tensor,
    ) -> torch.Tensor:
        """``(batch, queries, hidden_size)`` to the same shape."""
        inner = self.self_norm(queries)
        queries = queries + self.dropout(self.self_attention(inner, inner, None))
        inner = self.cross_norm(queries)
        queries = queries + self.dropout(self.cross_attention(inner, frames, real, positions))
        return queries + self.dropout(self.mlp(self.mlp_norm(queries)))


class MomentPreTrainedModel(PreTrainedModel):
    """Loading, saving and initialisation of the moment head."""

    config: AuricleMomentConfig
    config_class = AuricleMomentConfig
    base_model_prefix = "moment"
    main_input_name = "frames"

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Outputs as large as inputs at any width: with the library's 0.02 a small head hardly learns lengths."""
        super()._init_weights(module)
        if isinstance(module, nn.Linear | nn.Conv1d):
            init.normal_(module.weight, std=module.weight[0].numel() ** -0.5)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight)


class AuricleForMomentRetrieval(MomentPreTrainedModel):
    """
    Finds when, in a recording, a query's sound is heard.

    It sees the frame vectors of a frozen encoder, one every ``frame_seconds``, and the query's vector of the same
    encoder. Frames, the query and their product are joined at each frame and pass a transformer. A dense head
    then predicts at each frame whether it is in a moment, how far that moment's ends are, and how good this
    span is (after Zhang et al., ActionFormer, ECCV 2022, and Li et al., Generalized Focal Loss, NeurIPS 2020). A
    head with learned queries predicts a set of spans (after Moon et al., QD-DETR, CVPR 2023).
    """

    _auto_class = "AutoModel"

    def __init__(self, config: AuricleMomentConfig) -> None:
        super().__init__(config)
        width = config.hidden_size
        count = config.vectors_per_frame
        self.frame_projection = nn.Linear(count * config.frame_dim, width)
        self.question_projection = nn.Linear(config.frame_dim, width)
        self.fusion = nn.Linear(3 * width + count * (2 if config.contrast else 1), width)
        if config.contrast:
            # Training begins with the mean of its queries; zeros give the cosine itself.
            self.common_query = nn.Parameter(torch.zeros(config.frame_dim))
        self.layers = nn.ModuleList(MomentLayer(config) for _ in range(config.num_hidden_layers))
        self.final_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.saliency = nn.Linear(width, 1)
        if config.decoder == "dense":
            self.distances = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))
            self.quality = nn.Linear(width, 1)
        else:
            self.queries = nn.Embedding(config.num_queries, width)
            self.decoder_layers = nn.ModuleList(
                MomentDecoderLayer(config) for _ in range(config.num_decoder_layers)
            )
            self.decoder_norm = nn.LayerNorm(width, eps=config.layer_norm_eps)
            self.span = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 2))
            self.right = nn.Linear(width, 1)
            self.quality = nn.Linear(width, 1)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        frames: torch.Tensor,
        questions: torch.Tensor,
        frame_mask: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> MomentOutput:
        """
        Predicts spans of pairs of a recording and a query.

        Args:
            frames: unit vectors ``(pairs, frames, frame_dim)``, one each ``frame_seconds``; with
                ``frame_source="both"`` two of them one behind the other, ``(pairs, frames, 2 * frame_dim)``.
            questions: unit vectors ``(pairs, frame_dim)``.
            frame_mask: 1 for real frames, 0 for padding after them, ``(pairs, frames)``; None means all real.
            kwargs: ``return_dict``.

        Raises:
            ValueError: if shapes do not fit.
        """
        width = self.config.vectors_per_frame * self.config.frame_dim
        if frames.dim() != 3 or frames.shape[2] != width or not frames.shape[1]:
            raise ValueError(
                f"frames has shape {tuple(frames.shape)}; this head takes (pairs, frames, {width})."
            )
        if questions.shape != (len(frames), self.config.frame_dim):
            raise ValueError(
                f"questions has shape {tuple(questions.shape)}; with these frames it must be "
                f"({len(frames)}, {self.config.frame_dim})."
            )
        real = None
        if frame_mask is not None:
            if frame_mask.shape != frames.shape[:2]:
                raise ValueError(
                    f"frame_mask has shape {tuple(frame_mask.shape)}; with these frames it must be "
                    f"{tuple(frames.shape[:2])}."
                )
            real = frame_mask.bool()
        hidden = self._encoded(frames, questions, real)
        saliency = self.saliency(hidden).squeeze(-1)
        if self.config.decoder == "dense":
            logits, quality, spans = saliency, self.quality(hidden).squeeze(-1), self._spans_at(hidden)
        else:
            logits, quality, spans = self._decoded(hidden, real)
        scores = (logits.float().sigmoid() * quality.float().sigmoid()).sqrt()
        if real is not None and self.config.decoder == "dense":
            scores = scores * real
        return MomentOutput(
            spans=spans, logits=logits, quality_logits=quality, saliency_logits=saliency, scores=scores
        )

    @torch.no_grad()
    def find_moments(
        self, frames: torch.Tensor, question: torch.Tensor, *, duration: float | None = None, top: int = 10
    ) -> list[tuple[float, float, float]]:
        """
        Finds the moments of a query in one recording of any length, in bounded memory.

        Args:
            frames: of the whole recording, ``(frames, frame_dim)`` or twice as wide, as of [`forward`].
            question: unit vector ``(frame_dim,)``.
            duration: duration of the recording in seconds, the limit of spans. Default: the duration of the frames.
            top: spans at most.

        Returns:
            ``(start, end, score)`` in seconds, the best first; scores are in [0, 1].

        Raises:
            ValueError: if shapes do not fit or there is no frame.
        """
        if frames.dim() != 2 or not len(frames):
            width = self.config.vectors_per_frame * self.config.frame_dim
            raise ValueError(f"frames has shape {tuple(frames.shape)}; give (frames, {width}).")
        step = float(self.config.frame_seconds)
        duration = len(frames) * step if duration is None else float(duration)
        found_spans, found_scores = [], []
        was_training = self.training
        self.eval()
        try:
            for first, end, own_first, own_end in parts_of(len(frames), self.config.max_frames):
                part = frames[first:end].to(self.device, self.dtype)
                output = self(part[None], question[None].to(self.device, self.dtype))
                spans = (output.spans[0].float() + first * step).clamp(0.0, duration)
                middles = spans.mean(dim=-1)
                inside = (middles >= own_first * step) & (spans[:, 1] - spans[:, 0] > 1e-3)
                if own_end < len(frames):
                    inside &= middles < own_end * step
                scores = output.scores[0].float()
                best = torch.argsort(scores * inside, descending=True, stable=True)[:MOST_CANDIDATES]
                best = best[inside[best]]
                kept = best_spans(
                    spans[best],
                    scores[best],
                    top=top,
                    same_span_iou=self.config.same_span_iou,
                    vote_iou=self.config.vote_iou,
                )
                found_spans.append(kept[0])
                found_scores.append(kept[1])
        finally:
            self.train(was_training)
        spans, scores = best_spans(
            torch.cat(found_spans),
            torch.cat(found_scores),
            top=top,
            same_span_iou=self.config.same_span_iou,
            vote_iou=1.0,
        )
        # Means of spans that end with the recording may end a rounding error behind it.
        return [
            (start, min(end, duration), score)
            for (start, end), score in zip(spans.tolist(), scores.tolist(), strict=True)
        ]

    def _encoded(
        self, frames: torch.Tensor, questions: torch.Tensor, real: torch.Tensor | None
    ) -> torch.Tensor:
        # Coordinates of unit vectors are about 1 / sqrt(dim); layers work best with values of about 1.
        scale = math.sqrt(self.config.frame_dim)
        vectors = frames.unflatten(-1, (self.config.vectors_per_frame, -1))
        cosines = (vectors * questions[:, None, None]).sum(dim=-1)
        if self.config.contrast:
            cosines = torch.cat([cosines, cosines - vectors @ self.common_query], dim=-1)
        sound = self.frame_projection(frames * scale)
        question = self.question_projection(questions * scale)[:, None].expand_as(sound)
        hidden = self.fusion(torch.cat([sound, question, sound * question, 10 * cosines], dim=-1))
        for layer in self.layers:
            hidden = layer(hidden, real)
        return self.final_norm(hidden)

    def _spans_at(self, hidden: torch.Tensor) -> torch.Tensor:
        """Start and end at each frame: its middle less and plus a predicted distance, in seconds."""
        step = float(self.config.frame_seconds)
        middles = (torch.arange(hidden.shape[1], device=hidden.device) + 0.5) * step
        # Distances are predicted on a log scale around two seconds: errors are then relative to the length.
        longest = float(self.config.longest_seconds)
        distances = 2.0 * self.distances(hidden).float().clamp(-5.0, math.log(longest / 2.0)).exp()
        distances = distances * (longest / distances.sum(dim=-1, keepdim=True)).clamp(max=1.0)
        before, after = distances.unbind(dim=-1)
        return torch.stack([middles - before, middles + after], dim=-1)

    def _decoded(
        self, hidden: torch.Tensor, real: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        positions = _positions(hidden.shape[1], hidden.shape[2], hidden.device).to(hidden.dtype)
        queries = self.queries.weight[None].expand(len(hidden), -1, -1)
        for layer in self.decoder_layers:
            queries = layer(queries, hidden, real, positions)
        queries = self.decoder_norm(queries)
        middle, length = self.span(queries).float().sigmoid().unbind(dim=-1)
        frames = hidden.shape[1] if real is None else real.sum(dim=1, keepdim=True)
        seconds = frames * float(self.config.frame_seconds)
        middle, length = middle * seconds, length * float(self.config.longest_seconds)
        spans = torch.stack([middle - length / 2, middle + length / 2], dim=-1)
        return self.right(queries).squeeze(-1), self.quality(queries).squeeze(-1), spans


def _mlp(config: AuricleMomentConfig) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(config.hidden_size, config.intermediate_size),
        nn.GELU(),
        nn.Linear(config.intermediate_size, config.hidden_size),
    )


def _positions(length: int, width: int, device: torch.device) -> torch.Tensor:
    """Sines and cosines of falling frequency ``(length, width)``."""
    places = torch.arange(length, device=device, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, device=device) * (-math.log(10_000.0) / width))
    return torch.cat([torch.sin(places * rates), torch.cos(places * rates)], dim=-1)


__all__ = ["AuricleForMomentRetrieval", "MomentOutput", "MomentPreTrainedModel"]
