"""The model that an index is made and asked with."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .hits import SearchError

if TYPE_CHECKING:
    from .windows import WindowVectors

logger = logging.getLogger(__name__)


def load_model(model: str) -> tuple[Any, Any]:
    """
    A dual encoder and its processor, on the GPU if there is one.

    Args:
        model: directory or Hub id.

    Raises:
        SearchError: if it is none.
    """
    import torch

    from ..evaluation.model_loading import load_pretrained

    try:
        built = load_pretrained(model)
    except ValueError as error:
        raise SearchError(str(error)) from error
    built[0].to("cuda" if torch.cuda.is_available() else "cpu")
    return built


def load_model_on_half_the_cores(model: str) -> tuple[Any, Any]:
    """
    [`load_model`] for a process that does nothing else: torch then computes on half of the CPU's cores.

    See [`choose_cpu_threads`]: with a thread a core, any other busy program slows every file down many times.

    Raises:
        SearchError: as `load_model`.
    """
    from ..training.cpu_threads import set_cpu_threads

    set_cpu_threads(None)
    return load_model(model)


def fingerprint_of(built: tuple[Any, Any]) -> str:
    """Of the weights, the front end and the text side of a model and its processor."""
    from ..training.model_fingerprint import model_fingerprint

    return model_fingerprint(*built)


def record_of(
    model: str, built: tuple[Any, Any], hop_seconds: float | None, exact_windows: int
) -> dict[str, Any]:
    """
    What an index keeps of how it is made.

    Args:
        model: directory or Hub id.
        built: model and processor.
        hop_seconds: from one window's start to the next one's; None is a window.
        exact_windows: up to so many windows questions are exact.

    Raises:
        SearchError: for a hop that is not above 0 and at most a window.
    """
    window = built[1].feature_extractor.segment_seconds
    return {
        "model": os.path.abspath(model) if os.path.isdir(model) else model,
        "fingerprint": fingerprint_of(built),
        "window_seconds": window,
        "hop_seconds": check_hop(hop_seconds, window) or window,
        "exact_windows": exact_windows,
    }


def check_hop(hop_seconds: float | None, window_seconds: float) -> float | None:
    """
    Returns a hop, or None, as it is.

    Raises:
        SearchError: for a hop that is not above 0 and at most a window: sound would be left out.
    """
    if hop_seconds is not None and not 0 < hop_seconds <= window_seconds:
        raise SearchError(
            f"hop {hop_seconds:g} s: has to be above 0 and at most a window, {window_seconds:g} s."
        )
    return hop_seconds


def check_record(
    directory: str | os.PathLike[str], held: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """
    Raises:
        SearchError: if an index holds vectors of another model, window or hop than those that are to go in.
    """
    for name in ("fingerprint", "window_seconds", "hop_seconds"):
        if held[name] != wanted[name]:
            raise SearchError(
                f"{directory}: was made with another {name.replace('_', ' ')} ({held[name]}, "
                f"model {held['model']}; now {wanted[name]}). "
                "Vectors of two kinds cannot be compared: name another --index."
            )


class IndexModel:
    """
    The model of an index, loaded once there is something to embed; for any number of threads.

    Args:
        directory: of the index, for messages.
        record: what the index keeps of how it is made.
        loader: from a directory or Hub id to a dual encoder and its processor.
        text_tower: directory of an exported text tower, which then embeds the sentences.

    Raises:
        SearchError: if the text tower is none, or of another model.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        record: Mapping[str, Any],
        loader: Callable[[str], tuple[Any, Any]],
        *,
        text_tower: str | os.PathLike[str] | None = None,
    ):
        self.directory, self.record = directory, record
        self._loader, self._lock = loader, threading.Lock()
        self._built: tuple[Any, Any] | None = None
        self._told_of_cutting = False
        self._onnx = None
        if text_tower is not None:
            from ..evaluation.onnx_towers import OnnxTextTower

            try:
                self._onnx = OnnxTextTower(text_tower)
            except (ValueError, OSError) as error:
                raise SearchError(str(error)) from error
            if self._onnx.fingerprint != record["fingerprint"]:
                raise SearchError(
                    f"{text_tower}: is the text tower of another model than {directory} was made with "
                    f"({record['model']}); export that one."
                )

    def hold(self, built: tuple[Any, Any]) -> None:
        """Takes a model and its processor that are loaded and known to be the index's."""
        self._built = built

    @property
    def built(self) -> tuple[Any, Any]:
        """
        Model and processor.

        Raises:
            SearchError: if the model cannot be loaded, or is not the one that the index was made with.
        """
        with self._lock:
            if self._built is None:
                built = self._loader(self.record["model"])
                if fingerprint_of(built) != self.record["fingerprint"]:
                    raise SearchError(
                        f"{self.record['model']}: has other weights than those that {self.directory} was made "
                        "with; make the index anew."
                    )
                self._built = built
            return self._built

    def embed_texts(self, sentences: Sequence[str]) -> np.ndarray:
        """
        Unit vectors ``(sentences, width)``.

        Raises:
            SearchError: for a sentence without a word, or that is no valid text.
        """
        for sentence in sentences:
            if any("\ud800" <= letter <= "\udfff" for letter in sentence):
                raise SearchError(f"{sentence!r}: is no valid text.")
        try:
            if self._onnx is not None:
                self._tell_of_cutting(self._onnx.limit, self._onnx.longest(sentences))
                return self._onnx.embed(sentences)
            from ..evaluation.caption_lengths import caption_lengths
            from ..evaluation.embedding import embed_captions

            model, processor = self.built
            lengths = caption_lengths(processor, list(sentences))
            self._tell_of_cutting(lengths.limit, lengths.longest)
            return embed_captions(model, processor, list(sentences))
        except ValueError as error:
            raise SearchError(str(error)) from error

    def _tell_of_cutting(self, limit: int, longest: int) -> None:
        """Says once that a question is longer than the model reads."""
        if longest > limit and not self._told_of_cutting:
            self._told_of_cutting = True
            logger.warning(
                "a question has %d tokens; the model reads the first %d and leaves out the rest",
                longest,
                limit,
            )

    def embed_files(self, paths: Iterator[str]) -> "Iterator[tuple[str, WindowVectors | Exception]]":
        """Windows of files, as the index keeps them; see [`windows.embed_files`]."""
        from .windows import embed_files

        yield from embed_files(*self.built, paths, hop_seconds=self.record["hop_seconds"])

    def embed_part(
        self,
        path: str | os.PathLike[str],
        start: float,
        seconds: float | None,
        hop_seconds: float | None = None,
    ) -> "WindowVectors":
        """
        Windows of a file, or of a part of it.

        Args:
            path: of a sound file.
            start: of the part, seconds.
            seconds: how much; None is to the end.
            hop_seconds: between windows; a window if not given.

        Raises:
            SearchError: if it cannot be read, or for a hop above a window.
        """
        from ..processing import AudioReadError
        from .windows import embed_windows

        window = self.record["window_seconds"]
        hop = check_hop(hop_seconds, window) or window
        try:
            return embed_windows(*self.built, path, hop_seconds=hop, offset=start, duration=seconds)
        except (AudioReadError, OSError) as error:
            raise SearchError(str(error)) from error


__all__ = [
    "IndexModel",
    "check_hop",
    "check_record",
    "fingerprint_of",
    "load_model",
    "load_model_on_half_the_cores",
    "record_of",
]
