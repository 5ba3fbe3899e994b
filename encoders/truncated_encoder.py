"""The first dimensions of an encoder's vectors, brought to unit length again."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, Self

import numpy as np

from .interface import AudioTextEncoder, EncoderError, unit_rows


class TruncatedEncoder(AudioTextEncoder):
    """
    An encoder that keeps the first ``truncate_dim`` dimensions of another one's vectors, as unit vectors.

    Models trained by Matryoshka representation learning (Kusupati et al., 2022, arXiv:2205.13147) name the widths
    that fit. Sentences, windows, clips and frames are cut alike. A recording's vector is cut from the recording's
    whole vector, not made of its windows' cut ones.

    Args:
        encoder: encoder with vectors of full width.
        truncate_dim: how many dimensions are kept, below the encoder's ``embedding_dim``.
    """

    def __init__(self, encoder: AudioTextEncoder, truncate_dim: int):
        self.encoder, self.truncate_dim = encoder, truncate_dim
        self.name, self.revision, self.license = encoder.name, encoder.revision, encoder.license
        self.runs_remote_code = encoder.runs_remote_code
        self.max_text_tokens, self.num_parameters = encoder.max_text_tokens, encoder.num_parameters
        self.logit_scale, self.logit_bias = encoder.logit_scale, encoder.logit_bias
        self.query_prompt, self.document_prompt = encoder.query_prompt, encoder.document_prompt
        self.frame_seconds = encoder.frame_seconds
        self.embeds_short_windows = encoder.embeds_short_windows
        self.kind, self.engine = encoder.kind, encoder.engine
        self.workers, self.windows_at_a_time = encoder.workers, encoder.windows_at_a_time
        self.batches_have_one_shape = encoder.batches_have_one_shape

    @property
    def fingerprint(self) -> str:
        """Of the encoder and the width."""
        return _truncated(self.encoder.fingerprint, self.truncate_dim)

    def use_rounding_of(self, fingerprint: str) -> None:
        """The encoder's, if that gives the fingerprint with this width."""
        for known in self.encoder.earlier_fingerprints:
            if fingerprint == _truncated(known, self.truncate_dim):
                self.encoder.use_rounding_of(known)

    @property
    def text_fingerprint(self) -> str:
        """The encoder's: pooled rows are not cut."""
        return self.encoder.text_fingerprint

    @property
    def precision(self) -> str:
        """The encoder's."""
        return self.encoder.precision

    @property
    def sampling_rate(self) -> int:
        """The encoder's."""
        return self.encoder.sampling_rate

    @property
    def window_seconds(self) -> float:
        """The encoder's."""
        return self.encoder.window_seconds

    @property
    def window_samples(self) -> int:
        """The encoder's."""
        return self.encoder.window_samples

    @property
    def min_tail_samples(self) -> int:
        """The encoder's."""
        return self.encoder.min_tail_samples

    @property
    def min_tail_seconds(self) -> float:
        """The encoder's."""
        return self.encoder.min_tail_seconds

    @property
    def embedding_dim(self) -> int:
        """``truncate_dim``."""
        return self.truncate_dim

    @property
    def matryoshka_dims(self) -> tuple[int, ...]:
        """The encoder's, up to ``truncate_dim``."""
        return tuple(width for width in self.encoder.matryoshka_dims if width <= self.truncate_dim)

    @property
    def pooled_text_dim(self) -> int:
        """The encoder's."""
        return self.encoder.pooled_text_dim

    def to(self, device: Any) -> Self:
        """Moves the encoder's weights."""
        self.encoder.to(device)
        return self

    def prepare_texts(self, sentences: Sequence[str]) -> list[str]:
        """The encoder's."""
        return self.encoder.prepare_texts(sentences)

    def count_tokens(self, sentences: Sequence[str]) -> list[int] | None:
        """The encoder's."""
        return self.encoder.count_tokens(sentences)

    def embed_texts(self, sentences: Sequence[str], **options: Any) -> np.ndarray:
        """Cut; see [`AudioTextEncoder.embed_texts`]."""
        return self._cut(self.encoder.embed_texts(sentences, **options))

    def pool_texts(self, sentences: Sequence[str], **options: Any) -> np.ndarray:
        """The encoder's, whole."""
        return self.encoder.pool_texts(sentences, **options)

    def project_texts(self, pooled: np.ndarray) -> np.ndarray:
        """Cut."""
        return self._cut(self.encoder.project_texts(pooled))

    def pieces(self, path: Any, **options: Any) -> Iterator[np.ndarray]:
        """The encoder's."""
        return self.encoder.pieces(path, **options)

    def mix(self, samples: np.ndarray, *, name: str | None = None) -> np.ndarray:
        """The encoder's."""
        return self.encoder.mix(samples, name=name)

    def pool_windows(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """The encoder's, whole."""
        return self.encoder.pool_windows(waveforms, lengths)

    def project_windows(self, pooled: np.ndarray) -> np.ndarray:
        """Cut."""
        return self._cut(self.encoder.project_windows(pooled))

    def embed_clips(self, clips: Sequence[Any], **options: Any) -> tuple[np.ndarray, list[tuple[int, str]]]:
        """Cut; a clip that could not be read stays at zeros."""
        vectors, failures = self.encoder.embed_clips(clips, **options)
        return self._cut(vectors), failures

    def embed_short_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Cut."""
        return self._cut(self.encoder.embed_short_windows(waveforms))

    def embed_frames(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """Truncated; the padding stays zero."""
        frames = self.encoder.embed_frames(waveforms, lengths)
        cut = self._cut(frames.reshape(-1, frames.shape[-1]))
        return cut.reshape(*frames.shape[:-1], self.truncate_dim)

    def _cut(self, rows: np.ndarray) -> np.ndarray:
        return unit_rows(rows[:, : self.truncate_dim])


def truncated(encoder: AudioTextEncoder, truncate_dim: int) -> AudioTextEncoder:
    """
    An encoder whose vectors are cut to a width that its model names; itself for the width that it has.

    Raises:
        EncoderError: for a width that the model does not name; the message lists the widths that it names.
    """
    if truncate_dim == encoder.embedding_dim:
        return encoder
    named = [width for width in encoder.matryoshka_dims if width < encoder.embedding_dim]
    if truncate_dim in named:
        return TruncatedEncoder(encoder, truncate_dim)
    if not named:
        raise EncoderError(
            f"{encoder.name}: its vectors cannot be cut to {truncate_dim} dimensions: the model names no Matryoshka "
            f"dimensions, so only its own {encoder.embedding_dim} are accepted."
        )
    accepted = ", ".join(map(str, (encoder.embedding_dim, *named)))
    raise EncoderError(
        f"{encoder.name}: its vectors cannot be cut to {truncate_dim} dimensions; accepted are {accepted}."
    )


def _truncated(fingerprint: str, width: int) -> str:
    return hashlib.sha256(f"{fingerprint} truncate_dim {width}".encode()).hexdigest()


__all__ = ["TruncatedEncoder", "truncated"]
