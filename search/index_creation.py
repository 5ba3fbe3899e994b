"""Loads the model of an index, creates empty indexes, and builds the record of an index's settings."""

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..encoders import AudioTextEncoder, load_encoder
from .encoder_settings import EncoderSettings, usable_engine
from .errors import SearchError
from .store.index_folder import IndexFolder
from .store.index_record import OLDEST_VERSION, RECORD
from .store.index_store import EXACT_WINDOWS, Store
from .store.write_lock import check_free, writing

logger = logging.getLogger(__name__)


def load_index_encoder(name: str, **options: Any) -> AudioTextEncoder:
    """
    Loads an encoder, on the GPU if there is one.

    Args:
        name: directory or Hub id.
        options: options of [`load_encoder`].

    Raises:
        SearchError: if there is no model, or it cannot be loaded.
    """
    try:
        return load_encoder(name, **options)
    except ValueError as error:
        raise SearchError(str(error)) from error


def load_encoder_on_half_the_cores(name: str, **options: Any) -> AudioTextEncoder:
    """
    [`load_index_encoder`] for a process that does nothing else: torch then computes on half of the CPU's cores.

    See [`choose_cpu_threads`]: with one thread per core, any other busy program slows down every file several times.

    Raises:
        SearchError: as `load_index_encoder`.
    """
    from ..encoders.cpu_threads import set_cpu_threads

    set_cpu_threads(None)
    return load_index_encoder(name, **options)


def loader_by_engine(
    engine: str | None, workers: int | None = None, batch_size: int | None = None
) -> Callable[..., AudioTextEncoder]:
    """
    [`load_encoder_on_half_the_cores`] with another engine than the index's own, with several workers or in batches.

    Args:
        engine: see [`load_encoder`]; None is the engine of the index.
        workers: number of files to embed at a time, or with batches to decode at a time; None is one.
        batch_size: windows of several files in one batch; None is the encoder's own number, see
            [`AudioTextEncoder.windows_at_a_time`].

    Raises:
        SearchError: of the result, for a ``batch_size`` with a model that computes windows by their lengths.
    """

    def set_up(encoder: AudioTextEncoder) -> AudioTextEncoder:
        encoder.workers = workers
        if batch_size is not None:
            if not encoder.batches_have_one_shape:
                raise SearchError(
                    f"--batch-size {batch_size}: {encoder.name or encoder.kind} computes windows of different lengths "
                    "separately, so batches of several files would change its vectors; leave it out."
                )
            encoder.windows_at_a_time = batch_size
        return encoder

    def load(name: str, **options: Any) -> AudioTextEncoder:
        if engine is not None:
            options["engine"] = engine
        return set_up(load_encoder_on_half_the_cores(name, **options))

    # A query then loads only the text tower; see `IndexEncoder`.
    load.for_texts = _load_text_encoder if engine in (None, "auto", "torch") else None  # type: ignore[attr-defined]

    def load_for_sounds(
        directory: str, fingerprint: str, recorded_engine: str | None
    ) -> AudioTextEncoder | None:
        # A batch is for the whole model.
        if (engine or recorded_engine) != "onnx" or batch_size is not None:
            return None
        encoder = _load_sound_encoder(directory, fingerprint)
        return None if encoder is None else set_up(encoder)

    # An update then loads only the exported audio tower; see `IndexEncoder`.
    load.for_sounds = load_for_sounds  # type: ignore[attr-defined]
    return load


def _load_sound_encoder(directory: str, fingerprint: str) -> AudioTextEncoder | None:
    from ..encoders.cpu_threads import set_cpu_threads
    from ..encoders.recordings.exported_audio_part import load_sound_encoder

    set_cpu_threads(None)
    return load_sound_encoder(directory, fingerprint)


def _load_text_encoder(directory: str, fingerprint: str) -> AudioTextEncoder | None:
    from ..encoders.cpu_threads import set_cpu_threads
    from ..encoders.loading import load_text_encoder

    set_cpu_threads(None)
    return load_text_encoder(directory, fingerprint)


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
    Loads the model of an index; creates an empty index if the directory has none.

    Args:
        directory, model, hop_seconds, exact_windows, settings, trust_remote_code: as of [`SoundIndex.create`].
        loader: from a directory or Hub id and options of [`load_encoder`] to an encoder.

    Returns:
        The encoder, and the record of settings for a new index.

    Raises:
        SearchError: if the model cannot be loaded, or the index was made with other settings or cannot be made.
    """
    folder, settings = IndexFolder(directory), settings or EncoderSettings()
    held = Store(directory).record if folder.exists(RECORD) else None
    if held is not None:
        chosen, settings = settings.engine, settings.completed_by(directory, held)
        if chosen is None:
            settings = replace(settings, engine=usable_engine(model, settings.engine))
    trusted = {"trust_remote_code": True} if trust_remote_code else {}
    encoder = loader(model, **settings.options(), **trusted)
    if held is not None:
        encoder.use_rounding_of(held["fingerprint"])
        check_precision(directory, held, encoder)
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
    The record of an index's settings.

    Args:
        model: directory or Hub id.
        encoder: loaded from there.
        hop_seconds: from one window's start to the next one's; None is a window.
        exact_windows: number of windows up to which queries are exact.
        settings: arguments that the encoder was loaded with.

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
            "engine": encoder.engine,
            "revision": encoder.revision,
            "window_seconds": settings.window_seconds,
            "truncate_dim": settings.truncate_dim,
            "frames": settings.frames,
            "remote_code": encoder.runs_remote_code,
        },
    }


def place_of(model: str) -> str:
    """A directory as an absolute path; anything else unchanged."""
    return os.path.abspath(model) if os.path.isdir(model) else model


def check_hop(hop_seconds: float | None, window_seconds: float) -> float | None:
    """
    Checks a hop and returns it unchanged.

    Raises:
        SearchError: for a hop that is not above 0, or longer than a window, which would leave gaps.
    """
    if hop_seconds is not None and not 0 < hop_seconds <= window_seconds:
        raise SearchError(
            f"hop {hop_seconds:g} s: must be above 0 and at most a window, {window_seconds:g} s."
        )
    return hop_seconds


def check_record(
    directory: str | os.PathLike[str], held: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """
    Raises:
        SearchError: if the index was made with another model, window or hop than the given ones, or if only one of
            both models runs code of its repository.
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


def check_precision(
    directory: str | os.PathLike[str], held: Mapping[str, Any], encoder: AudioTextEncoder
) -> None:
    """
    Raises:
        SearchError: if an encoder computes in another precision than an index was made in. Exports in int8 have the
            fingerprint of the model that was exported.
    """
    precision = held["settings"]["precision"]
    # Version 2 did not record it.
    if held["version"] > OLDEST_VERSION and encoder.precision != precision:
        raise SearchError(
            f"{directory}: was made with precision {precision}, and {encoder.name or encoder.kind} computes in "
            f"{encoder.precision}. Vectors of two kinds cannot be compared: give the model in {precision}, or name "
            "another --index."
        )


def check_settings(
    directory: str | os.PathLike[str], held: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    """
    Raises:
        SearchError: if a given setting (not None) differs from the index's.
    """
    for name, value in wanted.items():
        if value not in (None, held[name]):
            raise SearchError(
                f"{directory}: was made with another {name.replace('_', ' ')} ({held[name]}, now {value}); "
                "name another --index."
            )


__all__ = [
    "check_hop",
    "check_precision",
    "check_record",
    "check_settings",
    "load_encoder_on_half_the_cores",
    "load_index_encoder",
    "loader_by_engine",
    "open_or_create",
    "place_of",
    "record_of",
]
