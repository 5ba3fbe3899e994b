"""A trained moment head, applied to the encoder that it belongs to."""

import os
from pathlib import Path
from typing import Self

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from ...files.json_files import read_json
from ...modeling.configuration_moment import AuricleMomentConfig
from ...modeling.modeling_moment import AuricleForMomentRetrieval
from ..checkpoint_faults import quiet_loading
from ..interface import AudioTextEncoder, EncoderError
from .frame_grid import FrameGrid
from .head_frames import check_head_frames, embed_head_frames


class MomentHead:
    """
    Finds moments with a trained head.

    Args:
        model: the head.
        encoder: that it was trained on.
        name: where it was loaded from.

    Raises:
        EncoderError: if the head was trained on another encoder, or the encoder has no such frames.
    """

    def __init__(self, model: AuricleForMomentRetrieval, encoder: AudioTextEncoder, name: str = ""):
        config, told = model.config, name or "the moment head"
        fingerprint = encoder.fingerprint
        if config.encoder_fingerprint != fingerprint:
            raise EncoderError(
                f"{told}: was trained on the frames of {config.encoder_name!r} (fingerprint "
                f"{config.encoder_fingerprint[:12]}), but the model is {encoder.name!r} in {encoder.precision} "
                f"(fingerprint {fingerprint[:12]}). Use that model, or train a head on this one."
            )
        if config.frame_dim != encoder.embedding_dim:
            raise EncoderError(
                f"{told}: takes vectors of {config.frame_dim} numbers, but those of {encoder.name!r} have "
                f"{encoder.embedding_dim}."
            )
        check_head_frames(encoder, config.frame_source, config.frame_seconds)
        self.model, self.encoder, self.name = model.eval(), encoder, name

    @classmethod
    def load(cls, name: str | os.PathLike[str], encoder: AudioTextEncoder) -> Self:
        """
        Loads a head from a directory or the Hub, onto the device of torch's choice.

        Raises:
            EncoderError: if there is no head, or as the class.
        """
        name = os.fspath(name)
        if Path(name).exists():
            try:
                record = read_json(Path(name) / "config.json")
            except ValueError as error:
                raise EncoderError(str(error)) from error
            kind = record.get("model_type") if isinstance(record, dict) else None
            if kind != AuricleMomentConfig.model_type:
                raise EncoderError(
                    f"{name}: not a moment head: config.json has model_type {kind!r}, not "
                    f"{AuricleMomentConfig.model_type!r}."
                )
        try:
            with quiet_loading():
                model, loading = AuricleForMomentRetrieval.from_pretrained(name, output_loading_info=True)
        except (OSError, ValueError, RuntimeError, TypeError, StrictDataclassError, SafetensorError) as error:
            raise EncoderError(
                f"{name}: cannot be loaded as a moment head: {' '.join(str(error).split())}"
            ) from error
        _check_weights(name, model, loading)
        return cls(model.to("cuda" if torch.cuda.is_available() else "cpu"), encoder, name)

    def frames(self, path: str | os.PathLike[str], *, batch_size: int = 16) -> FrameGrid:
        """The frames of a recording as the head takes them; arguments and errors as of [`embed_head_frames`]."""
        config = self.model.config
        return embed_head_frames(
            self.encoder,
            path,
            source=config.frame_source,
            frame_seconds=float(config.frame_seconds),
            batch_size=batch_size,
        )

    def find(self, frames: FrameGrid, question: np.ndarray, *, top: int) -> list[tuple[float, float, float]]:
        """
        Moments that a query means.

        Args:
            frames: of a recording.
            question: unit vector ``(embedding_dim,)`` of the encoder.
            top: spans at most.

        Returns:
            ``(start, end, score)`` in seconds, the best first; scores are in [0, 1] and are not cosines.
        """
        return self.model.find_moments(
            torch.from_numpy(frames.vectors),
            torch.from_numpy(np.ascontiguousarray(question)),
            duration=frames.duration,
            top=top,
        )


def _check_weights(name: str, model: AuricleForMomentRetrieval, loading: dict) -> None:
    """What a file lacks would be drawn at random, and numbers that are not finite find nothing."""
    for what, told in (("missing_keys", "lacks"), ("unexpected_keys", "has, against its config,")):
        names = sorted(loading[what])
        if names:
            raise EncoderError(f"{name}: the weights' file {told} {len(names)} tensors, first {names[0]!r}.")
    bad = next((key for key, value in model.state_dict().items() if not torch.isfinite(value).all()), None)
    if bad:
        raise EncoderError(f"{name}: weight {bad!r} holds NaN or infinite numbers.")


__all__ = ["MomentHead"]
