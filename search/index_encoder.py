"""The encoder that an index is made and asked with."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ..encoders import AudioTextEncoder, load_encoder
from ..encoders.caption_lengths import caption_lengths
from .errors import SearchError

if TYPE_CHECKING:
    from ..encoders.recordings.recording_windows import WindowVectors
    from .ray_cluster import RayCluster

logger = logging.getLogger(__name__)


def load_index_encoder(name: str) -> AudioTextEncoder:
    """
    An encoder, on the GPU if there is one.

    Args:
        name: directory or Hub id.

    Raises:
        SearchError: if there is none, or it cannot be loaded.
    """
    try:
        return load_encoder(name)
    except ValueError as error:
        raise SearchError(str(error)) from error


def load_encoder_on_half_the_cores(name: str) -> AudioTextEncoder:
    """
    [`load_index_encoder`] for a process that does nothing else: torch then computes on half of the CPU's cores.

    See [`choose_cpu_threads`]: with a thread a core, any other busy program slows every file down many times.

    Raises:
        SearchError: as `load_index_encoder`.
    """
    from ..encoders.cpu_threads import set_cpu_threads

    set_cpu_threads(None)
    return load_index_encoder(name)


def record_of(
    model: str, encoder: AudioTextEncoder, hop_seconds: float | None, exact_windows: int
) -> dict[str, Any]:
    """
    What an index keeps of how it is made.

    Args:
        model: directory or Hub id.
        encoder: loaded from there.
        hop_seconds: from one window's start to the next one's; None is a window.
        exact_windows: up to so many windows questions are exact.

    Raises:
        SearchError: for a hop that is not above 0 and at most a window.
    """
    window = encoder.window_seconds
    return {
        "model": encoder.name if encoder.revision else place_of(model),
        "fingerprint": encoder.fingerprint,
        "window_seconds": window,
        "hop_seconds": check_hop(hop_seconds, window) or window,
        "exact_windows": exact_windows,
        "settings": {"clip_vector": "model", "precision": encoder.precision, "revision": encoder.revision},
    }


def place_of(model: str) -> str:
    """A directory as an absolute path, anything else as it is."""
    return os.path.abspath(model) if os.path.isdir(model) else model


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


def check_settings(
    directory: str | os.PathLike[str], held: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """
    Raises:
        SearchError: if a setting is wanted (not None) and an index was made with another one.
    """
    for name, value in wanted.items():
        if value not in (None, held[name]):
            raise SearchError(
                f"{directory}: was made with another {name.replace('_', ' ')} ({held[name]}, now {value}); "
                "name another --index."
            )


class IndexEncoder:
    """
    The encoder of an index, loaded once there is something to embed; for any number of threads.

    Args:
        directory: of the index, for messages.
        record: what the index keeps of how it is made.
        loader: from a directory or Hub id to an encoder.
        text_tower: directory of an exported text tower, which then embeds the sentences.
        model: where the encoder lies now, if not where the record says.
        remember: called with that place and the commit once the encoder from there was found to be the index's.

    Raises:
        SearchError: if the text tower is none, or of another model.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        record: Mapping[str, Any],
        loader: Callable[[str], AudioTextEncoder],
        *,
        text_tower: str | os.PathLike[str] | None = None,
        model: str | None = None,
        remember: Callable[[str, str | None], None] | None = None,
    ):
        self.directory, self.record = directory, record
        self._elsewhere = None if model is None else place_of(model)
        self._remember = remember
        self._loader, self._lock = loader, threading.Lock()
        self._encoder: AudioTextEncoder | None = None
        self._text_encoder: AudioTextEncoder | None = None
        self._told_of_cutting = self._closed = False
        self._heard: Callable[[str, float], None] | None = None
        if text_tower is not None:
            from ..encoders.onnx_encoder import OnnxEncoder

            try:
                self._text_encoder = OnnxEncoder(text_tower)
                # An export may hold the audio tower alone.
                _ = self._text_encoder.text_tower
            except (ValueError, OSError) as error:
                raise SearchError(str(error)) from error
            if self._text_encoder.fingerprint != record["fingerprint"]:
                raise SearchError(
                    f"{text_tower}: is the text tower of another model than {directory} was made with "
                    f"({record['model']}); export that one."
                )

    def hold(self, encoder: AudioTextEncoder) -> None:
        """Takes an encoder that is loaded and known to be the index's."""
        self._encoder = encoder

    def close(self) -> None:
        """Lets go of what is loaded; what is to be embedded later raises SearchError."""
        with self._lock:
            self._encoder = self._text_encoder = None
            self._closed = True

    @property
    def encoder(self) -> AudioTextEncoder:
        """
        The index's encoder.

        Raises:
            SearchError: if it cannot be loaded, or is not the one that the index was made with.
        """
        with self._lock:
            if self._closed:
                raise SearchError(f"{self.directory}: is closed.")
            if self._encoder is None:
                name = self._elsewhere or self.record["model"]
                if self.missing and not self._elsewhere:
                    raise SearchError(self.missing)
                encoder = self._load(name if self._elsewhere else self._at_its_commit(name))
                if encoder.fingerprint != self.record["fingerprint"]:
                    raise SearchError(
                        f"{name}: the weights or settings differ from those that {self.directory} was made with "
                        f"({self.record['model']}); give the same model with --model, or make the index anew."
                    )
                self._encoder = encoder
                if self._elsewhere and self._remember is not None:
                    self._remember(name, encoder.revision)
            return self._encoder

    @property
    def missing(self) -> str:
        """What to do if the model is not where the index has it from; empty if it is, or nothing is known of it."""
        name = self._elsewhere or self.record["model"]
        # Anything else than an absolute path is an id on the Hub.
        if self._encoder is not None or not os.path.isabs(name) or os.path.exists(name):
            return ""
        command = f"auricle serve {os.fspath(self.directory)} --model PLACE"
        return (
            f"{name}: the model of this index does not lie there any more. If it was moved, give its new place with "
            f"--model, as in {command}; the index remembers it."
        )

    def _at_its_commit(self, name: str) -> str:
        """The repository may have moved on; the index goes on with the commit that it was made with."""
        revision = self.record["settings"]["revision"]
        return name if revision is None or os.path.isdir(name) else f"{name}@{revision}"

    def _load(self, name: str) -> AudioTextEncoder:
        try:
            return self._loader(name)
        except SearchError as error:
            if self._elsewhere:
                raise
            raise SearchError(f"{error} If the model was moved, give its new place with --model.") from error

    def embed_texts(self, sentences: Sequence[str]) -> np.ndarray:
        """
        Unit vectors ``(sentences, width)``.

        Raises:
            SearchError: for a sentence without a word, or that is no valid text.
        """
        for sentence in sentences:
            if not sentence.strip():
                raise SearchError("The question is empty; it holds no word to search for.")
            if any("\ud800" <= letter <= "\udfff" for letter in sentence):
                raise SearchError(f"{sentence!r}: is no valid text.")
        try:
            encoder = self._text_encoder or self.encoder
            for sentence in sentences:
                _prepare(encoder, sentence)
            self._tell_of_cutting(encoder, sentences)
            return encoder.embed_texts(list(sentences))
        except ValueError as error:
            raise SearchError(str(error)) from error

    def _tell_of_cutting(self, encoder: AudioTextEncoder, sentences: Sequence[str]) -> None:
        """Says once that a question is longer than the model reads."""
        lengths = None if self._told_of_cutting else caption_lengths(encoder, list(sentences))
        if lengths is not None and lengths.cut:
            self._told_of_cutting = True
            logger.warning(
                "a question has %d tokens; the model reads the first %d and ignores the rest",
                lengths.longest,
                lengths.limit,
            )

    def embed_files(
        self, paths: Iterator[str], cluster: "RayCluster | None" = None
    ) -> "Iterator[tuple[str, WindowVectors | Exception]]":
        """
        Windows of files, as the index keeps them; see [`recording_windows.embed_files`].

        Args:
            paths: of sound files; without any, no model is loaded.
            cluster: embeds them in place of this process.
        """
        first = next(paths, None)
        if first is None:
            return
        settings = {
            "hop_seconds": self.record["hop_seconds"],
            "clip_vector": self.record["settings"]["clip_vector"],
        }
        paths = chain([first], paths)
        if cluster is not None:
            record = self.record
            yield from cluster.embed_files(list(paths), record["model"], record["fingerprint"], **settings)
            return
        from ..encoders.recordings.recording_windows import embed_files

        yield from embed_files(self.encoder, paths, heard=self._heard, **settings)

    def hear(self, heard: Callable[[str, float], None]) -> None:
        """Takes who is told of the path and the seconds of sound that [`embed_files`] has embedded."""
        self._heard = heard

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
        from ..encoders.recordings.recording_windows import embed_recording
        from ..processing import AudioReadError

        window = self.record["window_seconds"]
        hop = check_hop(hop_seconds, window) or window
        try:
            return embed_recording(
                self.encoder,
                path,
                hop_seconds=hop,
                clip_vector=self.record["settings"]["clip_vector"],
                offset=start,
                duration=seconds,
            )
        except (AudioReadError, OSError) as error:
            raise SearchError(str(error)) from error


def _prepare(encoder: AudioTextEncoder, sentence: str) -> None:
    """
    Raises:
        SearchError: for a sentence that the encoder refuses; without the place that its list of texts has.
    """
    try:
        encoder.prepare_texts([sentence])
    except ValueError as error:
        raise SearchError(f"The question {str(error).removeprefix('text[0] is ')}") from error


__all__ = [
    "IndexEncoder",
    "check_hop",
    "check_record",
    "check_settings",
    "load_encoder_on_half_the_cores",
    "load_index_encoder",
    "place_of",
    "record_of",
]
