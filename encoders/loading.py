"""Loads the matching encoder class for a directory or Hub id."""

import importlib
import os
from pathlib import Path
from typing import Any

from .engines.engine_names import AUTO, EngineError, lack_of_engine
from .hub_files import ModelFiles, fetch_all, find_model_files
from .interface import AudioTextEncoder, EncoderError
from .model_source import read_model_type
from .settings.precision import full_name, lack_of
from .truncated_encoder import truncated

# Module and class, the first that recognises a directory; each is imported only when its turn comes, so that an
# exported text tower answers without torch.
ENCODER_CLASSES = (
    ("onnx_encoder", "OnnxEncoder"),
    ("auricle_encoder", "AuricleEncoder"),
    ("public.clap_encoder", "ClapEncoder"),
    ("public.pe_audio_encoder", "PeAudioEncoder"),
    ("public.sentence_transformers_encoder", "SentenceTransformersEncoder"),
)
# Windows in a batch on a GPU, of several files: ten seconds at 32 kHz in float32 are 20 MB a batch.
GPU_WINDOWS = 16


class RemoteCodeError(EncoderError):
    """A model that needs Python code from its repository, which is not trusted."""


class PrecisionError(EncoderError):
    """
    A precision that the device does not support.

    Attributes:
        lack: what is missing, without the model's name.
    """

    def __init__(self, name: str, precision: str, lack: str):
        super().__init__(f"{name}: precision {precision}: {lack}; take float32.")
        self.lack = lack


def load_encoder(
    name: str | os.PathLike[str],
    *,
    revision: str | None = None,
    device: Any = None,
    precision: str = "float32",
    trust_remote_code: bool = False,
    window_seconds: float | None = None,
    truncate_dim: int | None = None,
    emulate_precision: bool = False,
    engine: str | None = None,
) -> AudioTextEncoder:
    """
    Loads a model of any kind that embeds recordings and sentences.

    The kind is found by its files: ``config.json``, ``modules.json``, ``adapter_config.json`` or the record of an
    export. From a Hub repository they are fetched first; all other files come from the same commit.

    Args:
        name: a saved model's directory, a directory of LoRA adapters (merged into the model that it names), a
            directory written by `auricle export`, a Hub id ``owner/name``, or ``owner/name@revision``.
        revision: branch, tag or commit of a Hub repository.
        device: a torch device; None takes the GPU if there is one.
        precision: "float32", "bfloat16" ("bf16") or "float16"; for Auricle models also "int8", 8-bit linear layers
            on the CPU (docs/results_encoders.md). Vectors of two precisions must not be mixed: each has a
            fingerprint of its own. In half precision an Auricle model's towers compute by torch.autocast; public
            models have their weights in it.
        trust_remote_code: run Python code of the repository, if no library has the model. Read the code first: it
            can do anything that you can.
        window_seconds: length of a window, at most what the model takes; None is the model's own.
        truncate_dim: keep this many first dimensions of the embeddings, at unit length; one of the model's
            ``matryoshka_dims``. None keeps all.
        emulate_precision: load in half precision on a device without it, for tests. It is slower than float32,
            and rounds differently from native half precision.
        engine: what computes float32 on a CPU (docs/engines.md): "torch"; "packed", linear layers packed for oneDNN;
            "onnx", towers exported to the cache and run by ONNX Runtime; or "auto", the fastest on this machine
            (``$AURICLE_ENGINE`` where the model has that one). Their vectors differ by at most 1e-5, and have one
            fingerprint. None is "torch", of an export "onnx".

    Returns:
        The encoder, in evaluation mode.

    Raises:
        EncoderError: if the model or the revision does not exist, its kind is unknown, it needs code of its own or
            is incomplete, or the model or the device does not support the precision, the engine, the window or the
            width. The message is one line that names the model and the part at fault.
    """
    files = find_model_files(name, revision)
    kind = _recognized_class(files.directory)
    if kind is None or kind.may_run_remote_code:
        kind = _class_if_its_code_may_run(files, kind, trust_remote_code)
    precision = full_name(precision)
    if precision not in kind.precisions:
        raise EncoderError(
            f"{files.name}: precision {precision!r} is not one of {', '.join(kind.precisions)}, which a "
            f"{kind.kind} has."
        )
    lack = None if emulate_precision else lack_of(precision, device)
    if lack:
        raise PrecisionError(files.name, precision, lack)
    engine = kind.engine if engine is None else engine
    if engine != AUTO:
        _check_engine(files.name, kind, engine, precision, device)
    location = files.name
    if not files.reachable:
        location = os.fspath(files.directory)
    elif files.revision is not None and kind.directories_only(files.directory):
        location = os.fspath(fetch_all(files).directory)
    options = {"window_seconds": window_seconds} if window_seconds is not None else {}
    if trust_remote_code and kind.may_run_remote_code:
        options["trust_remote_code"] = True
    encoder = kind.load(
        location,
        revision=files.revision if location == files.name else None,
        device=device,
        precision=precision,
        **options,
    )
    encoder.name, encoder.revision = files.name, files.revision
    if "trust_remote_code" in options:
        from .model_source import brings_remote_code

        encoder.runs_remote_code = brings_remote_code(files.directory)
    _use_engine(encoder, engine, device)
    if encoder.batches_have_one_shape and _is_on_gpu(encoder):
        encoder.windows_at_a_time = GPU_WINDOWS
    return encoder if truncate_dim is None else truncated(encoder, truncate_dim)


def load_text_encoder(directory: str | os.PathLike[str], fingerprint: str) -> AudioTextEncoder | None:
    """
    Only the text side of an Auricle model in float32 whose fingerprint is saved.

    Its weights are memory-mapped, and the audio tower's weights are not read.

    Args:
        directory: directory of a saved model.
        fingerprint: expected fingerprint.

    Returns:
        The encoder, which gives the whole model's vectors bit by bit; None if the whole model must be loaded.
    """
    place = Path(directory)
    if not place.is_dir() or read_model_type(place) != "auricle":
        return None
    kind = _recognized_class(place)
    if kind is not _class_of("auricle_encoder", "AuricleEncoder") or kind.directories_only(place):
        return None
    return kind.load_for_texts(place, fingerprint)


def _check_engine(name: str, kind: Any, engine: str, precision: str, device: Any) -> None:
    lack = None if engine == kind.engine else lack_of_engine(engine, precision, device, kind.engines)
    if lack:
        raise EncoderError(str(EngineError(name, engine, lack)))


def _use_engine(encoder: AudioTextEncoder, engine: str, device: Any) -> None:
    if engine == AUTO:
        engine = _fastest(encoder, device)
    try:
        encoder.use_engine(engine)
    except ValueError as error:
        raise EncoderError(str(error)) from error


def _is_on_gpu(encoder: AudioTextEncoder) -> bool:
    device = getattr(getattr(encoder, "model", None), "device", None)
    return device is not None and device.type == "cuda"


def _fastest(encoder: AudioTextEncoder, device: Any) -> str:
    """The fastest engine for an encoder, among the engines that need no export first."""
    candidates = [
        name
        for name in encoder.ready_engines
        if name == encoder.engine or lack_of_engine(name, encoder.precision, device, encoder.engines) is None
    ]
    if len(candidates) < 2:
        return encoder.engine
    chosen = os.environ.get("AURICLE_ENGINE")
    if chosen:
        return chosen if chosen in candidates else encoder.engine
    from .engines.engine_probe import fastest_engine

    return fastest_engine(candidates)


def directory_has_engine(name: str | os.PathLike[str], engine: str) -> bool:
    """
    Whether the kind of model in a directory has an engine. True for what is no directory: its files are not fetched.

    Raises:
        EncoderError: if its ``config.json`` cannot be read.
    """
    kind = _recognized_class(Path(name)) if Path(name).is_dir() else None
    return kind is None or engine in kind.engines


def is_encoder_directory(name: str | os.PathLike[str]) -> bool:
    """
    Whether a directory contains a model that [`load_encoder`] can load; weights are not loaded.

    Raises:
        EncoderError: if its ``config.json`` cannot be read.
    """
    return Path(name).is_dir() and _recognized_class(Path(name)) is not None


def _recognized_class(directory: Path) -> Any:
    model_type = read_model_type(directory)
    for module, class_name in ENCODER_CLASSES:
        kind = _class_of(module, class_name)
        if kind.recognizes(directory, model_type):
            return kind
    return None


def _class_if_its_code_may_run(files: ModelFiles, kind: Any, trusted: bool) -> Any:
    from .model_source import needed_remote_code, unfit_model

    classes = needed_remote_code(files.directory)
    if not classes:
        if kind is None:
            raise EncoderError(unfit_model(files.name, files.directory))
        return kind
    if not trusted:
        raise RemoteCodeError(
            f"{files.name}: needs Python code from its repository ({', '.join(classes)}). Read that code, and if "
            "you trust it give --trust-remote-code (in Python trust_remote_code=True)."
        )
    # sentence-transformers wraps any model that has features of text and audio.
    return _class_of("public.sentence_transformers_encoder", "SentenceTransformersEncoder")


def _class_of(module: str, class_name: str) -> Any:
    return getattr(importlib.import_module(f".{module}", __package__), class_name)


__all__ = [
    "ENCODER_CLASSES",
    "AudioTextEncoder",
    "EncoderError",
    "PrecisionError",
    "RemoteCodeError",
    "directory_has_engine",
    "is_encoder_directory",
    "load_encoder",
    "load_text_encoder",
]
