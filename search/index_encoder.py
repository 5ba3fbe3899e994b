"""The encoder of an index, for recordings and queries."""

import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ..encoders import AudioTextEncoder
from ..encoders.caption_lengths import caption_lengths
from ..encoders.engines.engine_names import EngineError
from ..encoders.engines.known_fingerprints import remember_fingerprint, was_loaded_from
from ..encoders.loading import PrecisionError
from ..encoders.truncated_encoder import TruncatedEncoder
from .encoder_settings import EncoderSettings, remote_code_option, usable_engine
from .errors import SearchError
from .frame_writing import keep_frames, write_frames
from .index_creation import check_hop, check_precision, place_of
from .store.index_folder import IndexFolder
from .store.kept_frames import KeptFrames, kept_frames

if TYPE_CHECKING:
    from ..encoders.recordings.recording_frames import RecordingFrames
    from ..encoders.recordings.recording_windows import WindowVectors
    from ..encoders.recordings.short_windows import ShortWindows
    from .ray_cluster import RayCluster

logger = logging.getLogger(__name__)


class IndexEncoder:
    """
    The encoder of an index, loaded when it is first needed; thread-safe.

    Args:
        directory: directory of the index, for messages.
        record: settings of the index.
        loader: from a directory or Hub id, and options of [`load_encoder`], to an encoder.
        text_tower: directory of an exported text tower, which embeds the sentences if given.
        model: present path or id of the encoder, if it differs from the record.
        remember: called with that path and the commit once the encoder there was found to match the index.
        trust_remote_code: run code of the model's repository, if the index was made with it.

    Raises:
        SearchError: if the text tower cannot be read or belongs to another model.
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
        self._sound_encoder: AudioTextEncoder | None = None
        self._told_of_cutting = self._closed = False
        self._heard: Callable[[str, float], None] | None = None
        if text_tower is not None:
            from ..encoders.onnx_encoder import OnnxEncoder

            try:
                exported = OnnxEncoder(text_tower)
                # An export may contain the audio tower only.
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
            if exported.precision != record["settings"]["precision"]:
                logger.warning(
                    "%s: the text tower is in %s, and %s was made in %s: scores differ slightly",
                    text_tower,
                    exported.precision,
                    directory,
                    record["settings"]["precision"],
                )

    def hold(self, encoder: AudioTextEncoder) -> None:
        """Uses a loaded encoder that is known to match the index."""
        self._encoder = encoder
        self._note_fingerprint(encoder)

    def _note_fingerprint(self, encoder: AudioTextEncoder) -> None:
        """So that the next process need not read all weights to know whose they are."""
        if encoder.precision == "float32" and encoder.loaded_files is not None:
            remember_fingerprint(encoder.name, encoder.loaded_files, self.record["fingerprint"])

    def close(self) -> None:
        """Releases the loaded model; later calls that need it raise SearchError."""
        with self._lock:
            self._encoder = self._text_encoder = self._sound_encoder = None
            self._closed = True

    @property
    def encoder(self) -> AudioTextEncoder:
        """
        The index's encoder.

        Raises:
            SearchError: if the model cannot be loaded, or differs from the model of the index.
        """
        with self._lock:
            if self._closed:
                raise SearchError(f"{self.directory}: is closed.")
            if self._encoder is None:
                name = self._elsewhere or self.record["model"]
                if self.missing and not self._elsewhere:
                    raise SearchError(self.missing)
                encoder = self._load(self.location, self.options())
                encoder.use_rounding_of(self.record["fingerprint"])
                check_precision(self.directory, self.record, encoder)
                wanted, files = self.record["fingerprint"], encoder.loaded_files
                known = encoder.precision == "float32" and was_loaded_from(encoder.name, files, wanted)
                if not known and encoder.fingerprint != wanted:
                    raise SearchError(
                        f"{name}: the weights or settings differ from those that {self.directory} was made with "
                        f"({self.record['model']}); give the same model with --model, or make a new index."
                    )
                self._encoder, self._sound_encoder = encoder, None
                self._note_fingerprint(encoder)
                if self._elsewhere and self._remember is not None:
                    self._remember(name, encoder.revision)
            return self._encoder

    @property
    def missing(self) -> str:
        """A hint if the model is no longer at its recorded path; otherwise empty."""
        name = self._elsewhere or self.record["model"]
        # Anything else than an absolute path is an id on the Hub.
        if self._encoder is not None or not os.path.isabs(name) or os.path.exists(name):
            return ""
        command = f"auricle serve {os.fspath(self.directory)} --model PATH"
        return (
            f"{name}: the model of this index is no longer there. If it was moved, give its new path with "
            f"--model, as in {command}; the index remembers it."
        )

    @property
    def location(self) -> str:
        """
        The path or id, and the commit, from which the model is loaded.

        The index keeps the commit that it was made with, even if the repository has newer ones.
        """
        if self._elsewhere:
            return self._elsewhere
        name, revision = self.record["model"], self.record["settings"]["revision"]
        return name if revision is None or os.path.isdir(name) else f"{name}@{revision}"

    def options(self) -> dict[str, Any]:
        """
        Arguments of [`load_encoder`] that reproduce this encoder, without those at their defaults.

        Raises:
            SearchError: if the model runs code of its repository without permission.
        """
        trusted = remote_code_option(self.directory, self.record, self._trusted)
        options = EncoderSettings.of_record(self.record).options()
        # Made on another machine, or the model's export is here.
        if "engine" in options and usable_engine(self.location, options["engine"]) is None:
            del options["engine"]
        return {**options, **trusted}

    def _load(self, name: str, options: Mapping[str, Any]) -> AudioTextEncoder:
        try:
            return self._loader(name, **options)
        except SearchError as error:
            if "engine" in options and isinstance(getattr(error.__cause__, "__cause__", None), EngineError):
                # Recorded and not asked for, unless it fails again: the other engines give the same vectors to 1e-5.
                encoder = self._loader(name, **{key: options[key] for key in options if key != "engine"})
                logger.warning("%s The engine is now %s.", error, encoder.engine)
                return encoder
            if isinstance(error.__cause__, PrecisionError):
                raise SearchError(
                    f"{self.directory}: was made in {options['precision']}, and {error.__cause__.lack}. Ask it on a "
                    "machine that has it, or make an index in float32."
                ) from error
            if self._elsewhere or os.path.isdir(name):
                raise
            raise SearchError(f"{error} If the model was moved, give its new path with --model.") from error

    def embed_texts(self, sentences: Sequence[str]) -> np.ndarray:
        """
        Unit vectors ``(sentences, width)``.

        Raises:
            SearchError: for a sentence without a word, or that is not valid text.
        """
        for sentence in sentences:
            if not sentence.strip():
                raise SearchError("The query is empty; it has no word to search for.")
            if any("\ud800" <= letter <= "\udfff" for letter in sentence):
                raise SearchError(f"{sentence!r}: not valid text.")
        try:
            encoder = self._text_encoder or self._for_texts() or self.encoder
            for sentence in sentences:
                _prepare(encoder, sentence)
            note = "" if self._told_of_cutting else _cut_note(encoder, sentences)
            if note:
                self._told_of_cutting = True
                logger.warning("%s", note)
            return encoder.embed_texts(list(sentences))
        except ValueError as error:
            raise SearchError(str(error)) from error

    def _for_texts(self) -> AudioTextEncoder | None:
        """The text tower only, for queries, if the loader supports it and nothing is loaded yet."""
        load = getattr(self._loader, "for_texts", None)
        with self._lock:
            # A model at a new place is loaded whole, and the place remembered.
            if load is None or self._encoder is not None or self._closed or self._elsewhere:
                return None
            if self._text_encoder is None and set(self.options()) <= {"engine"}:
                self._text_encoder = load(self.location, self.record["fingerprint"])
            return self._text_encoder

    def _for_sounds(self) -> AudioTextEncoder | None:
        """The exported audio tower only, for updates, if the loader supports it and nothing is loaded yet."""
        load = getattr(self._loader, "for_sounds", None)
        settings = self.record["settings"]
        with self._lock:
            if load is None or self._encoder is not None or self._closed or self._elsewhere:
                return None
            # Its engine is not checked here: that would import the class of the whole model.
            plain = set(EncoderSettings.of_record(self.record).options()) <= {"engine"}
            if self._sound_encoder is None and plain and not settings["remote_code"]:
                self._sound_encoder = load(self.location, self.record["fingerprint"], settings["engine"])
            return self._sound_encoder

    def cut_note(self, sentences: Sequence[str]) -> str:
        """A note if a sentence is longer than the model's limit; otherwise empty."""
        return _cut_note(self._text_encoder or self._for_texts() or self.encoder, sentences)

    def embed_files(
        self, paths: Iterator[str], cluster: "RayCluster | None" = None
    ) -> "Iterator[tuple[str, WindowVectors | Exception]]":
        """
        Windows of files in the form that the index stores; see [`recording_windows.embed_files`].

        Args:
            paths: paths of sound files; without any, no model is loaded.
            cluster: computes the embeddings instead of this process.
        """
        first = next(paths, None)
        if first is None:
            return
        how = {
            "hop_seconds": self.record["hop_seconds"],
            "clip_vector": self.record["settings"]["clip_vector"],
        }
        paths = chain([first], paths)
        frames = kept_frames(IndexFolder(self.directory), self.record)
        if cluster is not None:
            if frames is not None:
                raise SearchError(
                    f"{self.directory}: keeps frames, which --ray does not embed; leave it out."
                )
            fingerprint, options = self.record["fingerprint"], self.options()
            yield from cluster.embed_files(list(paths), self.location, fingerprint, **how, options=options)
            return
        from ..encoders.recordings.recording_windows import embed_files

        encoder = self.encoder if frames is not None else self._for_sounds() or self.encoder
        embedded = embed_files(encoder, paths, heard=self._heard, **how)
        try:
            yield from embedded if frames is None else keep_frames(encoder, frames, embedded)
        except RuntimeError as error:
            # torch's own class of it exists on machines with a GPU only.
            if type(error).__name__ != "OutOfMemoryError":
                raise
            advice = "give a smaller --batch-size" if encoder.windows_at_a_time else "free some of it"
            raise SearchError(
                f"{self.directory}: the GPU has too little free memory; {advice}. What was embedded is kept."
            ) from error

    def write_frames(
        self, frames: KeptFrames, path: str, digest: str, check: Callable[[], None] | None = None
    ) -> None:
        """
        Embeds the frames of a file and stores them.

        Args:
            frames: store for the frames.
            path: path of the file.
            digest: digest of its content.
            check: is called between batches, and ends this if it raises.

        Raises:
            AudioReadError, OSError: if the file cannot be read.
            StoreError: if frames cannot be written.
        """
        write_frames(self.encoder, frames, path, digest, check)

    def hear(self, heard: Callable[[str, float], None]) -> None:
        """Sets the function that [`embed_files`] calls with a path and the seconds of sound embedded so far."""
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
            path: path of a sound file.
            start: start of the part, seconds.
            seconds: length of the part; None means up to the end.
            hop_seconds: from one window's start to the next one's; a window if not given.

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
        Frame vectors of a file, embedded when they are requested.

        Args:
            path: path of a sound file.
            duration: its duration, seconds.

        Raises:
            SearchError: if the encoder has no frame vectors.
        """
        from ..encoders import EncoderError
        from ..encoders.recordings.recording_frames import RecordingFrames

        try:
            return RecordingFrames(self.encoder, path, duration)
        except EncoderError as error:
            raise SearchError(str(error)) from error

    @property
    def embeds_short_windows(self) -> bool:
        """Whether the encoder computes short windows faster than full ones."""
        return self.encoder.embeds_short_windows

    def short_windows_of(
        self, path: str | os.PathLike[str], hop_seconds: float | None = None
    ) -> "ShortWindows":
        """
        One vector per second of a file, or per ``hop_seconds``.

        Raises:
            SearchError: if it cannot be read, or for a hop above a window.
        """
        from ..encoders.recordings.short_windows import HOP_SECONDS, embed_short_windows
        from ..processing import AudioReadError

        window = self.record["window_seconds"]
        hop = check_hop(hop_seconds, window) or min(HOP_SECONDS, window)
        try:
            return embed_short_windows(self.encoder, path, hop_seconds=hop)
        except (AudioReadError, OSError) as error:
            raise SearchError(str(error)) from error


def _cut_note(encoder: AudioTextEncoder, sentences: Sequence[str]) -> str:
    lengths = caption_lengths(encoder, list(sentences))
    if lengths is None or not lengths.cut:
        return ""
    told = f"a query has {lengths.longest} tokens; the model reads the first {lengths.limit}"
    return f"{told} and ignores the rest"


def _prepare(encoder: AudioTextEncoder, sentence: str) -> None:
    """
    Raises:
        SearchError: for a sentence that the encoder refuses; without the place that its list of texts has.
    """
    try:
        encoder.prepare_texts([sentence])
    except ValueError as error:
        raise SearchError(f"The query {str(error).removeprefix('text[0] is ')}") from error


__all__ = ["IndexEncoder"]
