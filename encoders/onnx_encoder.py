"""Exported ONNX towers with the encoder interface."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from ..files.reading_ahead import read_ahead
from .interface import AudioTextEncoder, EncoderError, unit_rows
from .model_source import license_of
from .onnx_towers import RECORD_FILE, OnnxAudioTower, OnnxTextTower, read_any_record

if TYPE_CHECKING:
    from ..processing import AuricleFeatureExtractor


class OnnxEncoder(AudioTextEncoder):
    """
    The towers that `auricle export` wrote, run by the ONNX runtime on the CPU.

    Each tower is loaded when first used. Sentences need neither torch nor transformers; sounds go through the
    project's own front end, which needs both. A directory may contain only one tower: using the other one raises an
    error. ``fingerprint`` is the exported model's.

    Args:
        directory: written by `auricle export`.
        num_threads: number of threads of the runtime; None leaves the choice to it.

    Raises:
        EncoderError: if the directory contains no export.
        ImportError: if onnxruntime is not installed.
    """

    kind = "ONNX export"
    precisions = ("float32", "int8")
    engine, engines = "onnx", ("onnx",)

    def __init__(self, directory: str | os.PathLike[str], num_threads: int | None = None):
        try:
            self.record = read_any_record(directory)
        except ValueError as error:
            raise EncoderError(str(error)) from error
        self.name = os.fspath(directory)
        self.max_text_tokens = self.record["max_text_tokens"]
        self._num_threads = num_threads
        self._text: OnnxTextTower | None = None
        self._audio: OnnxAudioTower | None = None

    @classmethod
    def recognizes(cls, directory: Path, model_type: str | None) -> bool:
        """Whether a directory contains an export's record."""
        return (directory / RECORD_FILE).is_file()

    @classmethod
    def directories_only(cls, directory: Path) -> bool:
        """Always."""
        return True

    @classmethod
    def load(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        device: Any = None,
        precision: str | None = None,
        window_seconds: float | None = None,
    ) -> Self:
        """
        Loads an export; precision and windows are those of the export.

        Raises:
            EncoderError: if the directory contains no export, or one in another precision or of other windows.
        """
        encoder = cls(name)
        # Without a choice, callers pass float32.
        if precision not in (None, "float32", encoder.precision):
            raise EncoderError(f"{name}: was exported in {encoder.precision}, not in {precision}.")
        if window_seconds is not None and window_seconds != encoder.window_seconds:
            raise EncoderError(
                f"{name}: a window of {window_seconds:g} s is not accepted; this model's windows last "
                f"{encoder.window_seconds:g} s."
            )
        return encoder

    @property
    def text_tower(self) -> OnnxTextTower:
        """
        Raises:
            EncoderError: if the export has no audio tower.
        """
        if self._text is None:
            try:
                self._text = OnnxTextTower(self.name, self._num_threads)
            except (ValueError, OSError) as error:
                raise EncoderError(str(error)) from error
        return self._text

    @property
    def audio_tower(self) -> OnnxAudioTower:
        """
        Raises:
            EncoderError: if the export has no text tower.
        """
        if self._audio is None:
            try:
                self._audio = OnnxAudioTower(self.name, self._num_threads)
            except (ValueError, OSError) as error:
                raise EncoderError(str(error)) from error
            self.min_tail_seconds = self._audio.extractor.min_tail_seconds
        return self._audio

    @property
    def _extractor(self) -> "AuricleFeatureExtractor":
        return self.audio_tower.extractor

    @property
    def license(self) -> str | None:
        """As the export's card names it."""
        return license_of(self.name)

    @property
    def fingerprint(self) -> str:
        """Of the model that was exported."""
        return self.record["fingerprint"]

    @property
    def num_parameters(self) -> int | None:
        """Of the towers that were exported; older exports do not say."""
        return self.record.get("num_parameters")

    @property
    def logit_scale(self) -> float | None:
        """Of the model that was exported; older exports do not say."""
        return self.record.get("logit_scale")

    @property
    def precision(self) -> str:
        """The options of `auricle export`."""
        return "int8" if self.record["int8"] else "float32"

    @property
    def sampling_rate(self) -> int:
        """The front end's sampling rate in Hz."""
        return self._extractor.sampling_rate

    @property
    def window_seconds(self) -> float:
        """A segment of the front end."""
        return self._extractor.segment_seconds

    @property
    def window_samples(self) -> int:
        """A segment of the front end."""
        return self._extractor.segment_samples

    @property
    def min_tail_samples(self) -> int:
        """The front end's ``min_tail_seconds`` in samples."""
        return self._extractor.min_tail_samples

    @property
    def embedding_dim(self) -> int:
        """The model's ``projection_dim``."""
        return self.record["projection_dim"]

    def prepare_texts(self, sentences: Sequence[str]) -> list[str]:
        """In the form in which the exported model was trained on captions."""
        return [self.text_tower.prepare(sentence) for sentence in sentences]

    def count_tokens(self, sentences: Sequence[str]) -> list[int]:
        """See [`AudioTextEncoder.count_tokens`]."""
        return self.text_tower.count_tokens(sentences)

    def embed_texts(
        self, sentences: Sequence[str], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """See [`AudioTextEncoder.embed_texts`]."""
        parts = [
            self.text_tower.embed(sentences[start : start + batch_size])
            for start in range(0, len(sentences), batch_size)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, self.embedding_dim), dtype=np.float32)

    def pieces(
        self, path: Any, *, offset: float = 0.0, duration: float | None = None
    ) -> Iterator[np.ndarray]:
        """Reads with the front end's settings for channels and resampling."""
        return self._extractor.pieces(path, offset=offset, duration=duration)

    def mix(self, samples: np.ndarray, *, name: str | None = None) -> np.ndarray:
        """Mixes with the front end's ``downmix``."""
        return self._extractor.mix(samples, name=name)

    def pool_windows(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """Projected segments, not of unit length: the exported tower ends there."""
        real = self._extractor.at_least_shortest(lengths)
        inputs = self._extractor.encode(waveforms, real, [1] * len(real), None, "cpu")
        return self.audio_tower.run(inputs, batch_size=len(lengths))

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
        """See [`AudioTextEncoder.embed_clips`]."""
        from tqdm.auto import tqdm

        from ..processing import AudioReadError

        def read(clip: Any) -> Any:
            try:
                return self._extractor(clip)
            except AudioReadError as error:
                return error

        vectors = np.zeros((len(clips), self.embedding_dim), dtype=np.float32)
        failures: list[tuple[int, str]] = []
        with closing(read_ahead(read, clips, num_workers)) as results:
            bar = tqdm(results, desc=description, unit="clip", total=len(clips), disable=not progress)
            for index, inputs in enumerate(bar):
                if not isinstance(inputs, AudioReadError):
                    vectors[index] = self.audio_tower.embed_features(inputs, batch_size)
                elif skip_unreadable:
                    failures.append((index, str(inputs)))
                else:
                    raise inputs
        return vectors, failures

    def project_windows(self, pooled: np.ndarray) -> np.ndarray:
        """Unit length."""
        return unit_rows(pooled)


__all__ = ["OnnxEncoder"]
