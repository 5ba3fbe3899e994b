"""The one interface to models that embed sounds and sentences into one space."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np


class EncoderError(ValueError):
    """A model cannot be loaded, or lacks something that was requested. The message names the model."""


class AudioTextEncoder(ABC):
    """
    A model that embeds recordings and sentences into one space, where their cosine is their similarity.

    Search, evaluation, teacher banks, clusters, ensembles and the commands use models only through this interface. A
    class for another kind of model implements the abstract members, is listed in ``loading.ENCODER_CLASSES``, and
    is tested by adding a case to ``tests/encoder_cases.py``.

    Every implementation guarantees:

    * Vectors are float32 NumPy arrays of unit length, finite, on the CPU. No method returns tensors.
    * The same input gives the same bits, in any process of one machine. Alone and in a batch, a
      vector differs by at most 2e-6 in any coordinate in float32; in half precision and int8 by their rounding.
    * The model is in evaluation mode while it embeds, and no gradient is kept.
    * A recording is embedded in windows of ``window_seconds``. A window's vector is
      ``project_windows(pool_windows(...))``, and a recording's is ``project_windows`` of the mean of its windows'
      pooled rows. If a model has no projection, pooled rows are the unit vectors, and a recording's
      vector is their normalised mean.
    * The encoder cuts text at ``max_text_tokens``; no input is too long for it.
    * An empty list gives an array without rows.

    Attributes:
        name: the directory or Hub id that it was loaded from, without a revision; "" for a model made in memory.
        revision: commit of the Hub repository, or None for a directory.
        license: license of the weights, as the model's card names it; None if unknown.
        precision: precision of the weights: "float32", "bfloat16", "float16" or "int8".
        sampling_rate: Hz of the waveforms that it takes.
        window_seconds: length of a window; no waveform may be longer.
        min_tail_seconds: shortest remainder at a recording's end that becomes a window.
        embedding_dim: width of the vectors.
        max_text_tokens: tokens of a sentence that are used; None without a limit.
        num_parameters: number of weights that vectors depend on; None if the class does not count them.

    Optional parts. Classes that support one set or override it; the default means "none":

    Attributes:
        logit_scale, logit_bias: factor of cosines, and offset added to them, before a softmax or
            sigmoid.
        query_prompt, document_prompt: prefixes of a query and of a description. [`prepare_texts`] and
            [`embed_texts`] add ``query_prompt`` themselves.
        matryoshka_dims: widths to which vectors may be cut and normalised again, the largest first.
        frame_seconds: time step of [`embed_frames`].
        embeds_short_windows: whether the cost of [`embed_short_windows`] is that of the given sound only.
        runs_remote_code: whether the model runs Python code from its repository.
        engine: "torch", "packed" or "onnx"; see [`use_engine`].
        workers: number of files to embed at a time, each by one thread; None is one at a time, with all of torch's
            threads (`recordings.embed_files`). With ``windows_at_a_time``, number of files to decode at a time.
        windows_at_a_time: number of windows of several files in one batch (`recordings.embed_files`); None, as on a
            CPU, embeds each file separately.
        loaded_files: files of the directory before it was loaded; see `engines.known_fingerprints`.
    """

    name: str = ""
    revision: str | None = None
    license: str | None = None
    min_tail_seconds: float = 0.0
    max_text_tokens: int | None = None
    num_parameters: int | None = None
    logit_scale: float | None = None
    logit_bias: float | None = None
    query_prompt: str = ""
    document_prompt: str = ""
    matryoshka_dims: tuple[int, ...] = ()
    frame_seconds: float | None = None
    embeds_short_windows: bool = False
    runs_remote_code: bool = False
    engine: str = "torch"
    workers: int | None = None
    windows_at_a_time: int | None = None
    loaded_files: list[list[Any]] | None = None
    # What messages call this kind of model.
    kind: ClassVar[str] = "audio-text encoder"
    # Whether it may be made of classes that a repository brings, if the user allows that.
    may_run_remote_code: ClassVar[bool] = False
    # Whether the model computes all windows of a batch in one shape, whatever their lengths.
    batches_have_one_shape: ClassVar[bool] = False
    # What its models can be loaded in.
    precisions: ClassVar[tuple[str, ...]] = ("float32",)
    # What can compute them.
    engines: ClassVar[tuple[str, ...]] = ("torch",)

    @classmethod
    def directories_only(cls, directory: Path) -> bool:
        """Whether a model of this class loads from a directory only, not by its Hub id."""
        return False

    # ------------------------------------------------------------------------------------- what it is

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """
        A digest that two encoders share if and only if they give the same embeddings.

        It covers weights, precision, front end, windows and the text side, but not names, paths and versions of
        libraries. It is computed at each access.

        Raises:
            EncoderError: if this encoder has no fingerprint, such as a model that was quantised in memory.
        """

    @property
    def text_fingerprint(self) -> str:
        """Like [`fingerprint`], but only of the parts that [`pool_texts`] depends on."""
        return self.fingerprint

    @property
    @abstractmethod
    def precision(self) -> str: ...

    @property
    @abstractmethod
    def sampling_rate(self) -> int: ...

    @property
    @abstractmethod
    def window_seconds(self) -> float: ...

    @property
    @abstractmethod
    def embedding_dim(self) -> int: ...

    @property
    def pooled_text_dim(self) -> int:
        """Width of the result of [`pool_texts`]."""
        return self.embedding_dim

    @property
    def window_samples(self) -> int:
        """Samples of a window at ``sampling_rate``."""
        return round(self.window_seconds * self.sampling_rate)

    @property
    def min_tail_samples(self) -> int:
        """``min_tail_seconds`` in samples, at least 1."""
        return max(1, round(self.min_tail_seconds * self.sampling_rate))

    def described(self) -> dict[str, Any]:
        """
        Settings of the embedding, for the record of a bank or a table: JSON values.

        Returns:
            ``revision``, ``precision``, ``engine``, ``window_seconds``, ``embedding_dim`` and ``remote_code``.
        """
        return {
            "revision": self.revision,
            "precision": self.precision,
            "engine": self.engine,
            "window_seconds": self.window_seconds,
            "embedding_dim": self.embedding_dim,
            "remote_code": self.runs_remote_code,
        }

    def to(self, device: Any) -> Self:
        """Moves the weights to a torch device; has no effect on encoders without torch."""
        return self

    @property
    def earlier_fingerprints(self) -> tuple[str, ...]:
        """Fingerprints of earlier rounding in this precision, which [`use_rounding_of`] can restore."""
        return ()

    def use_rounding_of(self, fingerprint: str) -> None:
        """
        Switches to the rounding of an earlier version if that has the given fingerprint, for data that it made.

        Args:
            fingerprint: fingerprint of ``earlier_fingerprints``; any other one changes nothing.
        """
        return

    @property
    def ready_engines(self) -> tuple[str, ...]:
        """The engines of the class that need no export first."""
        return self.engines

    def use_engine(self, engine: str) -> None:
        """
        Switches to another engine, for inference on a CPU in float32.

        All engines give the same vectors to 1e-5 in any coordinate, and share the fingerprint. Each has the
        guarantee above: the same bits at any time.

        Args:
            engine: one of the class's ``engines``; availability on this machine is not checked here.

        Raises:
            ValueError: if the class has no engine of that name.
        """
        if engine != self.engine:
            raise ValueError(f"engine {engine!r} is not one of {', '.join(self.engines)}.")

    # ---------------------------------------------------------------------------------------- sentences

    @abstractmethod
    def prepare_texts(self, sentences: Sequence[str]) -> list[str]:
        """
        Prepares sentences for the tokenizer.

        Raises:
            ValueError: for a sentence that contains no word; the message shows it.
        """

    def count_tokens(self, sentences: Sequence[str]) -> list[int] | None:
        """
        Number of tokens of each sentence before it is cut to ``max_text_tokens``, with special tokens; None if unknown.

        Raises:
            ValueError: for a sentence that contains no word.
        """
        return None

    @abstractmethod
    def embed_texts(
        self, sentences: Sequence[str], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """
        Unit vectors ``(sentences, embedding_dim)``.

        Args:
            sentences: equal ones are embedded once.
            batch_size: number of sentences per forward pass; affects memory, not the result.
            progress: show a progress bar.

        Raises:
            ValueError: for a sentence that contains no word.
        """

    def pool_texts(
        self, sentences: Sequence[str], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """
        The text tower's pooled output ``(sentences, pooled_text_dim)``, before the projection if there is one.

        Used for clusters, and cached for frozen text towers. Arguments and errors as in [`embed_texts`].
        """
        return self.embed_texts(sentences, batch_size=batch_size, progress=progress)

    def project_texts(self, pooled: np.ndarray) -> np.ndarray:
        """Projects pooled rows of [`pool_texts`] to unit vectors ``(rows, embedding_dim)``."""
        return unit_rows(pooled)

    # ------------------------------------------------------------------------------------------- sounds

    def pieces(
        self, path: Any, *, offset: float = 0.0, duration: float | None = None
    ) -> Iterator[np.ndarray]:
        """
        A sound file's samples at ``sampling_rate``, in pieces and bounded memory.

        Args:
            path: path of a sound file.
            offset: where to begin, seconds.
            duration: how much, seconds; None reads to the end.

        Yields:
            float32 ``(samples,)``, or ``(samples, channels)``, which [`mix`] mixes to one channel.

        Raises:
            AudioReadError: for an unreadable file; a damaged file may yield pieces first.
        """
        from ..processing import stream_channels

        yield from stream_channels(path, sampling_rate=self.sampling_rate, offset=offset, duration=duration)

    def mix(self, samples: np.ndarray, *, name: str | None = None) -> np.ndarray:
        """
        A window mixed to mono, using only the samples of that window: float32 ``(samples,)``.

        By default the mean over channels that are not silent; see `processing.mix_channels`.

        Args:
            samples: from [`pieces`], at most one window.
            name: name of the recording, for a warning that its channels cancel.
        """
        from ..processing import mix_channels

        return mix_channels(samples, "active", name=name)

    @abstractmethod
    def pool_windows(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """
        Pooled rows ``(windows, width)``, from which vectors are projected; a recording's vector from their mean.

        Args:
            waveforms: mono float32 ``(windows, window_samples)`` at ``sampling_rate``, padded with zeros.
            lengths: number of real samples of each, at least 1.
        """

    def project_windows(self, pooled: np.ndarray) -> np.ndarray:
        """Projects pooled rows of [`pool_windows`], or means of them, to unit vectors ``(rows, embedding_dim)``."""
        return unit_rows(pooled)

    def embed_windows(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """Unit vectors ``(windows, embedding_dim)``; arguments as in [`pool_windows`]."""
        return self.project_windows(self.pool_windows(waveforms, lengths))

    def embed_short_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """
        Unit vectors ``(windows, embedding_dim)`` of windows shorter than the model's, all of one length.

        They are embedded as clips of that length: by default padded with silence. A class whose model accepts shorter
        inputs does not pad them, which is faster.

        Args:
            waveforms: mono float32 ``(windows, samples)`` at ``sampling_rate``, at most ``window_samples``.
        """
        count, samples = waveforms.shape
        filled = np.zeros((count, self.window_samples), dtype=np.float32)
        filled[:, :samples] = waveforms
        return self.embed_windows(filled, [samples] * count)

    def embed_clips(
        self,
        clips: Sequence[Any],
        *,
        batch_size: int = 16,
        progress: bool = False,
        description: str = "sounds",
        skip_unreadable: bool = False,
        num_workers: int = 0,
    ) -> tuple[np.ndarray, list[tuple[int, str]]]:
        """
        Unit vectors ``(clips, embedding_dim)`` of whole clips, as published figures are computed.

        By default of consecutive windows, with the remainder at the end as a separate padded window
        ([`clip_embedding.embed_clips`]).

        Args:
            clips: paths, or dicts with ``path`` and, by choice, ``offset`` and ``duration`` (seconds), or dicts
                with ``array`` and ``sampling_rate``, or waveforms in a form that the encoder's class documents.
            batch_size: number of windows per forward pass; affects memory, not the result.
            progress: show a progress bar.
            description: label of the progress bar.
            skip_unreadable: return zeros for an unreadable clip and continue, instead of raising.
            num_workers: number of threads that decode the next clips ahead, with identical vectors; 0 decodes in
                the calling thread.

        Returns:
            The vectors, and the unreadable clips as (index, reason).

        Raises:
            AudioReadError: for a clip that cannot be read, unless ``skip_unreadable``.
        """
        from .clip_embedding import embed_clips  # that module is written in terms of this one

        return embed_clips(
            self,
            clips,
            batch_size=batch_size,
            progress=progress,
            description=description,
            skip_unreadable=skip_unreadable,
            num_workers=num_workers,
        )

    def embed_frames(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """
        Unit vectors ``(windows, frames, embedding_dim)``, one each ``frame_seconds``; padded with zeros.

        Compare frame vectors with each other only, and never rank them together with vectors of windows or clips.

        Raises:
            EncoderError: if the model has no frame vectors (``frame_seconds`` is None).
        """
        raise EncoderError(f"{self.name or self.kind}: has no frame vectors.")


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Normalises rows ``(n, width)`` to unit length, float32; rows of zeros stay zero."""
    norms = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return (rows / np.maximum(norms, 1e-12)).astype(np.float32)


__all__ = ["AudioTextEncoder", "EncoderError", "unit_rows"]
