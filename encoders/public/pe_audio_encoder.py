"""Perception Encoder models of audio and text with the encoder interface: PE-AV and PE-A-Frame."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from ..auricle_embedding import evaluation_mode
from ..checkpoint_faults import named_fault
from ..interface import EncoderError, unit_rows
from ..model_source import license_of
from .transformers_encoder import (
    TransformersEncoder,
    checked_precision,
    chosen_device,
    load_parts,
    real_samples,
    unit_vectors,
)

FRAME_MODEL = "PeAudioFrameLevelModel"
MODEL_TYPES = ("pe_audio", "pe_audio_video")
# The codec's first layers keep many channels of every sample: its memory grows with the sound it hears at a time.
SECONDS_AT_A_TIME = 40.0


class PeAudioEncoder(TransformersEncoder):
    """
    Meta's PE-AV, of which only the audio and text part is loaded, and PE-A-Frame.

    Vyas et al., 2025, arXiv:2512.19687. Both take the waveform. PE-A-Frame gives a vector every 40 ms
    ([`embed_frames`]) and none of a whole sound: the mean of its frames' unit vectors stands for a window here,
    which is not a use its authors report on.

    The models define no window length; positions allow for 400 s. A window is 10 s by default: long
    enough for most events, and for moments short enough. ``window_seconds=30`` hears every clip of Clotho as one.

    Windows of different lengths are computed separately, as the library computes a single clip: in a padded batch the
    codec's convolutions would see the padding.
    """

    kind = "PE-AV audio model"
    # The authors compute in bfloat16; the norms over a whole sound leave the range of float16.
    precisions = ("float32", "bfloat16")
    # The length that the authors' own preprocessing cuts to (facebookresearch/perception_models,
    # core/audio_visual_encoder/transforms.py).
    text_limit = 512

    @classmethod
    def recognizes(cls, directory: Path, model_type: str | None) -> bool:
        """Whether the model type in a directory's ``config.json`` is PE-AV or its audio part."""
        return model_type in MODEL_TYPES

    @classmethod
    def load(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        device: Any = None,
        precision: str = "float32",
        window_seconds: float | None = None,
    ) -> Self:
        """Loads a directory or a Hub id; arguments and errors as of [`load_encoder`]."""
        import transformers
        from transformers import PeAudioConfig

        name = os.fspath(name)
        dtype = checked_precision(name, precision, cls.precisions)
        try:
            with named_fault(name, "config.json"):
                values, _ = transformers.PreTrainedConfig.get_config_dict(name, revision=revision)
                # Of PE-AV's three parts, the one for sound and text; the others need more packages and memory.
                holder = values.get("audio_video_config", values)
                config = PeAudioConfig(
                    text_config=values.get("text_config"), audio_config=holder["audio_config"]
                )
            frames = FRAME_MODEL in (values.get("architectures") or [])
            model_class = getattr(transformers, FRAME_MODEL if frames else "PeAudioModel")
            model, tokenizer, extractor = load_parts(
                name, model_class, revision=revision, dtype=dtype, config=config
            )
        except ValueError as error:
            raise EncoderError(str(error)) from error
        hop = model.config.audio_config.dac_config.hop_length
        if extractor.hop_length != hop:
            raise EncoderError(
                f"{name}: its feature extractor pads to {extractor.hop_length} samples, and its codec makes a "
                f"frame of {hop} (dac_config of config.json)."
            )
        encoder = cls(
            model,
            tokenizer,
            extractor,
            window_seconds=window_seconds,
            name=name,
            revision=revision,
            license=license_of(name, revision),
        )
        return encoder.to(chosen_device(device))

    def __init__(self, model: Any, tokenizer: Any, extractor: Any, **options: Any):
        super().__init__(model, tokenizer, extractor, **options)
        self.has_frames = type(model).__name__ == FRAME_MODEL
        if self.has_frames:
            self.frame_seconds = extractor.hop_length / extractor.sampling_rate

    @property
    def longest_window_seconds(self) -> float:
        """Maximum number of positions; one of them is for the whole clip."""
        frames = self.model.config.audio_config.max_position_embeddings - 1
        return frames * self.extractor.hop_length / self.extractor.sampling_rate

    @property
    def default_window_seconds(self) -> float:
        """10 s, or less if the model takes less."""
        return min(10.0, self.longest_window_seconds)

    @property
    def embedding_dim(self) -> int:
        """The text model's ``hidden_size``, which the audio head projects to."""
        return self.model.config.text_config.hidden_size

    @property
    def logit_scale(self) -> float:
        """The scale that the model was trained with, before a sigmoid."""
        return float(self.model.text_audio_logit_scale.detach())

    @property
    def logit_bias(self) -> float:
        """Bias that is added to a scaled cosine before a sigmoid."""
        return float(self.model.text_audio_logit_bias.detach())

    def _settings(self) -> dict[str, Any]:
        return {**super()._settings(), "frames": self.has_frames}

    def _text_rows(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        # The class's own get_text_audio_embeds asks for hidden states that the text model only gives on request.
        outputs = self.model.text_model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], output_hidden_states=True
        )
        return self.model.text_audio_head(outputs.hidden_states[-1][:, 0])

    def pool_windows(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """Unit vectors; of PE-A-Frame the mean of its frames' unit vectors."""
        rows = np.zeros((len(lengths), self.embedding_dim), dtype=np.float32)
        for places, found in self._embed_alike(waveforms, lengths):
            if self.has_frames:
                found = np.stack([unit_vectors(frames).mean(axis=0) for frames in found])
                rows[places] = unit_rows(found)
            else:
                rows[places] = unit_vectors(found)
        return rows

    def embed_frames(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """See [`AudioTextEncoder.embed_frames`]; the last frame of a window may be of less than 40 ms."""
        if not self.has_frames:
            return super().embed_frames(waveforms, lengths)
        hop = self.extractor.hop_length
        longest = max((-(-length // hop) for length in lengths), default=0)
        rows = np.zeros((len(lengths), longest, self.embedding_dim), dtype=np.float32)
        for places, found in self._embed_alike(waveforms, lengths):
            for place, frames in zip(places, found, strict=True):
                rows[place, : len(frames)] = unit_vectors(frames)
        return rows

    @torch.no_grad()
    def _embed_alike(
        self, waveforms: np.ndarray, lengths: Sequence[int]
    ) -> list[tuple[list[int], torch.Tensor]]:
        """(places, the class's own vectors) of windows that have equally many frames, so many at a time."""
        hop = self.extractor.hop_length
        by_frames: dict[int, list[int]] = {}
        for place, length in enumerate(lengths):
            by_frames.setdefault(-(-length // hop), []).append(place)
        windows = real_samples(waveforms, lengths)
        found = []
        for frames, places in by_frames.items():
            size = max(1, int(SECONDS_AT_A_TIME * self.sampling_rate / (frames * hop)))
            for start in range(0, len(places), size):
                part = places[start : start + size]
                inputs = self.extractor(
                    [windows[place] for place in part], sampling_rate=self.sampling_rate, return_tensors="pt"
                ).to(self.model.device)
                with evaluation_mode(self.model):
                    rows = self.model.get_audio_embeds(
                        inputs["input_values"].to(self.model.dtype), padding_mask=inputs["padding_mask"]
                    )
                found.append((part, rows))
        return found


__all__ = ["PeAudioEncoder"]
