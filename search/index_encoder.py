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
from ..encoders.loading import PrecisionError
from ..encoders.truncated_encoder import TruncatedEncoder
from .encoder_settings import EncoderSettings, remote_code_option
from .errors import SearchError
from .store.index_folder import IndexFolder
from .store.index_record import RECORD
from .store.index_store import EXACT_WINDOWS, Store
from .store.write_lock import check_free, writing

if TYPE_CHECKING:
    from ..encoders.recordings.recording_frames import RecordingFrames
    from ..encoders.recordings.recording_windows import WindowVectors
    from .ray_cluster import RayCluster

logger = logging.getLogger(__name__)


def load_index_encoder(name: str, **options: Any) -> AudioTextEncoder:
    """
    An encoder, on the GPU if there is one.

    Args:
        name: directory or Hub id.
        options: of [`load_encoder`].

    Raises:
        SearchError: if there is none, or it cannot be loaded.
    """
    try:
        return load_encoder(name, **options)
    except ValueError as error:
        raise SearchError(str(error)) from error


def load_encoder_on_half_the_cores(name: str, **options: Any) -> AudioTextEncoder:
    """
    [`load_index_encoder`] for a process that does nothing else: torch then computes on half of the CPU's cores.

    See [`choose_cpu_threads`]: with a thread a core, any other busy program slows every file down many times.

    Raises:
        SearchError: as `load_index_encoder`.
    """
    from ..encoders.cpu_threads import set_cpu_threads

    set_cpu_threads(None)
    return load_index_encoder(name, **options)


def open_or_create(
    directory: str | os.PathLike[str],
    model: str,
    loader: Callable[..., AudioTextEncoder],
    *,
    hop_seconds: float | None = None,
    exact_windows: int | None = None,
    settings: EncoderSettings | None = None,
    trust_remote_code: bool = False,
) -> tuple[AudioTextEncoder, dict[str, Any]]:
    """
    Loads the model of an index, and makes the index empty if there is none.

    Args:
        directory, model, hop_seconds, exact_windows, settings, trust_remote_code: as of [`SoundIndex.create`].
        loader: from a directory or Hub id and options of [`load_encoder`] to an encoder.

    Returns:
        The encoder, and what an index that is made with it keeps of how it is made.

    Raises:
        SearchError: if the model cannot be loaded, or the index was made with other settings or cannot be made.
    """
    folder, settings = IndexFolder(directory), settings or EncoderSettings()
    if folder.exists(RECORD):
        settings = settings.completed_by(directory, Store(directory).record)
    trusted = {"trust_remote_code": True} if trust_remote_code else {}
    encoder = loader(model, **settings.options(), **trusted)
    record = record_of(
        model, encoder, hop_seconds, EXACT_WINDOWS if exact_windows is None else exact_windows, settings
    )
    if not folder.exists(RECORD):
        check_free(folder)
        with writing(folder):
            # Another process may have made it while this one waited.
            if not folder.exists(RECORD):
                Store.create(directory, record, encoder.embedding_dim)
    return encoder, record


def record_of(
    model: str,
    encoder: AudioTextEncoder,
    hop_seconds: float | None,
    exact_windows: int,
    settings: EncoderSettings,
) -> dict[str, Any]:
    """
    What an index keeps of how it is made.

    Args:
        model: directory or Hub id.
        encoder: loaded from there.
        hop_seconds: from one window's start to the next one's; None is a window.
        exact_windows: up to so many windows questions are exact.
        settings: that the encoder was loaded with.

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
        "settings": {
            "clip_vector": "model",
            "precision": encoder.precision,
            "revision": encoder.revision,
            "window_seconds": settings.window_seconds,
            "truncate_dim": settings.truncate_dim,
            "remote_code": encoder.runs_remote_code,
        },
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
        SearchError: if an index holds vectors of another model, window or hop than those that are to go in, or of a
            model that runs code of its repository only in one of both.
    """
    if held["settings"]["remote_code"] != wanted["settings"]["remote_code"]:
        how = ("without", "leave out") if wanted["settings"]["remote_code"] else ("with", "give")
        raise SearchError(
            f"{directory}: was made {how[0]} Python code from the repository of {held['model']}; {how[1]} "
            "--trust-remote-code, or name another --index."
        )
    for name in ("fingerprint", "window_seconds", "hop_seconds"):
        if held[name] != wanted[name]:
            raise SearchError(
                f"{directory}: was made with another {name.replace('_', ' ')} ({held[name]}, "
                f"model {held['model']}; now {wanted[name]}). "
                "Vectors of two kinds cannot be compared: name another --index."
            )


class IndexEncoder:
    """
    The encoder of an index, loaded once there is something to embed; for any number of threads.

    Args:
        directory: of the index, for messages.
        record: what the index keeps of how it is made.
        loader: from a directory or Hub id, and options of [`load_encoder`], to an encoder.
        text_tower: directory of an exported text tower, which then embeds the sentences.
        model: where the encoder lies now, if not where the record says.
        remember: called with that place and the commit once the encoder from there was found to be the index's.
        trust_remote_code: run code of the model's repository, if the index was made so.

    Raises:
        SearchError: if the text tower is none, or of another model.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        record: Mapping[str, Any],
        loader: Callable[..., AudioTextEncoder],
        *,
        text_tower: str | os.PathLike[str] | None = None,
        model: str | None = None,
        remember: Callable[[str, str | None], None] | None = None,
        trust_remote_code: bool = False,
    ):
        self.directory, self.record = directory, record
        self._trusted = trust_remote_code
        self._elsewhere = None if model is None else place_of(model)
        self._remember = remember
        self._loader, self._lock = loader, threading.Lock()
        self._encoder: AudioTextEncoder | None = None
        self._text_encoder: AudioTextEncoder | None = None
        self._told_of_cutting = False
        if text_tower is not None:
            from ..encoders.onnx_encoder import OnnxEncoder

            try:
                exported = OnnxEncoder(text_tower)
                # An export may hold the audio tower alone.
                _ = exported.text_tower
            except (ValueError, OSError) as error:
                raise SearchError(str(error)) from error
            width = record["settings"]["truncate_dim"]
            narrower = width is not None and width < exported.embedding_dim
            self._text_encoder = TruncatedEncoder(exported, width) if narrower else exported
            if self._text_encoder.fingerprint != record["fingerprint"]:
                precision = record["settings"]["precision"]
                made = f"{record['model']}" if precision == "float32" else f"{record['model']} in {precision}"
                raise SearchError(
                    f"{text_tower}: is the text tower of another model than {directory} was made with "
                    f"({made}); export that one."
                )

    def hold(self, encoder: AudioTextEncoder) -> None:
        """Takes an encoder that is loaded and known to be the index's."""
        self._encoder = encoder

    @property
    def encoder(self) -> AudioTextEncoder:
        """
        The index's encoder.

        Raises:
            SearchError: if it cannot be loaded, or is not the one that the index was made with.
        """
        with self._lock:
            if self._encoder is None:
                name = self._elsewhere or self.record["model"]
                encoder = self._load(self.location, self.options())
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
    def location(self) -> str:
        """
        Where the model is loaded from.

        A repository may have moved on: the index goes on with the commit that it was made with.
        """
        if self._elsewhere:
            return self._elsewhere
        name, revision = self.record["model"], self.record["settings"]["revision"]
        return name if revision is None or os.path.isdir(name) else f"{name}@{revision}"

    def options(self) -> dict[str, Any]:
        """
        How it is loaded: arguments of [`load_encoder`], without those that have their defaults.

        Raises:
            SearchError: if it runs code of its repository, and that is not trusted.
        """
        trusted = remote_code_option(self.directory, self.record, self._trusted)
        return {**EncoderSettings.of_record(self.record).options(), **trusted}

    def _load(self, name: str, options: Mapping[str, Any]) -> AudioTextEncoder:
        try:
            return self._loader(name, **options)
        except SearchError as error:
            if isinstance(error.__cause__, PrecisionError):
                raise SearchError(
                    f"{self.directory}: was made in {options['precision']}, and {error.__cause__.lack}. Ask it on a "
                    "machine that has it, or make an index in float32."
                ) from error
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
            if any("\ud800" <= letter <= "\udfff" for letter in sentence):
                raise SearchError(f"{sentence!r}: is no valid text.")
        try:
            encoder = self._text_encoder or self.encoder
            encoder.prepare_texts(list(sentences))
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
        """Windows of files, as the index keeps them, by a cluster if there is one; see [`embed_files`]."""
        first = next(paths, None)
        if first is None:
            # The model is loaded once there is something to embed.
            return
        paths = chain([first], paths)
        how = {
            "hop_seconds": self.record["hop_seconds"],
            "clip_vector": self.record["settings"]["clip_vector"],
        }
        if cluster is not None:
            fingerprint, options = self.record["fingerprint"], self.options()
            yield from cluster.embed_files(list(paths), self.location, fingerprint, **how, options=options)
            return
        from ..encoders.recordings.recording_windows import embed_files

        yield from embed_files(self.encoder, paths, **how)

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

    def frames_of(self, path: str | os.PathLike[str], duration: float) -> "RecordingFrames":
        """
        Frame features of a file, embedded where they are asked for.

        Args:
            path: of a sound file.
            duration: of it, seconds.

        Raises:
            SearchError: if the encoder has no frame vectors.
        """
        from ..encoders import EncoderError
        from ..encoders.recordings.recording_frames import RecordingFrames

        try:
            return RecordingFrames(self.encoder, path, duration)
        except EncoderError as error:
            raise SearchError(str(error)) from error


__all__ = [
    "IndexEncoder",
    "check_hop",
    "check_record",
    "load_encoder_on_half_the_cores",
    "load_index_encoder",
    "open_or_create",
    "place_of",
    "record_of",
]
