"""Models of the sentence-transformers library that take text and audio, with the encoder interface."""

import inspect
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from tqdm.auto import tqdm

from ..checkpoint_faults import check_complete, first_line, named_fault, quiet_loading
from ..interface import AudioTextEncoder, EncoderError, unit_rows
from ..model_source import ACCEPTED, license_of, read_json
from .library_fingerprint import (
    config_settings,
    count_parameters,
    extractor_settings,
    library_fingerprint,
    tokenizer_settings,
)
from .transformers_encoder import (
    MIN_TAIL_SECONDS,
    PRECISIONS,
    checked_precision,
    checked_window,
    chosen_device,
    finite_rows,
    prepared_sentence,
    real_samples,
    use_packed_layers,
)

LONGEST_TEXT = 8192
SHORTEST_SECONDS = 0.1
# As the cards of the EmbeddingGemma models say.
NO_FLOAT16 = ("embedding_gemma2",)
# Widths that vectors may be cut to, for models that name them only on their card.
MATRYOSHKA_DIMS = {"embedding_gemma2": (768, 512, 256, 128)}


class SentenceTransformersEncoder(AudioTextEncoder):
    """
    Any sentence-transformers model of text and sound, such as EmbeddingGemma 2 and the omni models.

    Sentences go through the model's ``encode_query`` and windows through its ``encode_document``, with these traps
    closed: a window is never longer than the model takes, which its extractor would cut without a word; a sentence
    that is a path or an address stays a sentence; windows of different lengths are computed apart, so that no
    padding can change a vector. The prompt for queries is the model's own. Windows get no prompt: the documents'
    is for text.

    Args:
        model: a `SentenceTransformer`; it puts itself into evaluation mode when it encodes.
        window_seconds: length of a window; None is the longest that the model takes, but 10 s if that is above
            30 s or unknown.
        name: where it was loaded from.
        revision: commit of the Hub repository.
        license: license of the weights.

    Raises:
        EncoderError: for a window that is not from 0.1 s up to what the model takes, or a model that does not
            take both text and sound.
    """

    kind = "sentence-transformers model"
    precisions = tuple(PRECISIONS)
    engines = ("torch", "packed")
    may_run_remote_code: ClassVar[bool] = True

    def __init__(
        self,
        model: Any,
        *,
        window_seconds: float | None = None,
        name: str = "",
        revision: str | None = None,
        license: str | None = None,
    ):
        self.model = model
        self.name, self.revision, self.license = name, revision, license
        missing = [kind for kind in ("text", "audio") if not model.supports(kind)]
        self._extractor = next(_parts(model, "feature_extractor", "sampling_rate"), None)
        if missing or self._extractor is None:
            takes = ", ".join(map(str, model.modalities))
            raise EncoderError(
                f"{name or self.kind}: is a sentence-transformers model that takes {takes}; accepted are "
                f"{ACCEPTED}."
            )
        longest = longest_sound(self._extractor, next(_parts(model, "processor", "audio_seq_length"), None))
        default = longest if longest <= 30 else 10.0
        self._window_seconds = checked_window(name or self.kind, window_seconds, default, longest)
        self.min_tail_seconds = min(MIN_TAIL_SECONDS, self._window_seconds / 2)
        tokenizers = list(_parts(model, "tokenizer", "model_max_length"))
        for tokenizer in tokenizers:
            tokenizer.model_max_length = min(tokenizer.model_max_length, LONGEST_TEXT)
        self.max_text_tokens = min(tokenizer.model_max_length for tokenizer in tokenizers)
        self.query_prompt = model.prompts.get("query") or ""
        self.document_prompt = model.prompts.get("document") or ""
        self._embedding_dim: int | None = None

    @classmethod
    def recognizes(cls, directory: Path, model_type: str | None) -> bool:
        """Whether a directory contains a chain of modules, one of which accepts audio."""
        if not (directory / "modules.json").is_file():
            return False
        found = [read_json(path) for path in sorted(directory.rglob("*config*.json"))]
        configs = [config for config in found if isinstance(config, dict)]
        modalities = [config["modality_config"] for config in configs if config.get("modality_config")]
        if modalities:
            return any("audio" in modality for modality in modalities)
        marks = ("feature_extractor", "feature_extractor_type", "audio_config")
        return any(config.get(mark) for config in configs for mark in marks)

    @classmethod
    def load(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        device: Any = None,
        precision: str = "float32",
        trust_remote_code: bool = False,
        window_seconds: float | None = None,
    ) -> Self:
        """
        Loads a directory or a Hub id; arguments and errors as of [`load_encoder`].

        Raises:
            EncoderError: also if sentence-transformers is not installed.
        """
        name = os.fspath(name)
        dtype = checked_precision(name, precision)
        try:
            from sentence_transformers import SentenceTransformer
        except ImportError as error:
            raise EncoderError(
                f"{name}: needs sentence-transformers: pip install 'auricle[public]'."
            ) from error
        options = {"revision": revision, "trust_remote_code": trust_remote_code}
        try:
            with named_fault(name, "model"), quiet_loading():
                model = SentenceTransformer(
                    name,
                    device="cpu",
                    local_files_only=Path(name).is_dir(),
                    model_kwargs={"dtype": dtype},
                    **options,
                )
            if precision == "float16" and any(
                part.config.model_type in NO_FLOAT16 for part in _models(model)
            ):
                raise EncoderError(
                    f"{name}: its numbers leave the range of float16; take bfloat16 or float32."
                )
            # The library does not convert the layers after each tower of a router.
            model.to(dtype)
            with named_fault(name, "weights"), quiet_loading():
                reports = list(_loading_reports(model, name, options))
            for report in reports:
                check_complete(name, report)
        except ImportError as error:
            reason = first_line(error)
            raise EncoderError(
                f"{name}: needs a package that is not installed ({reason}): pip install 'auricle[public]'."
            ) from error
        except ValueError as error:
            raise EncoderError(str(error)) from error
        encoder = cls(
            model,
            window_seconds=window_seconds,
            name=name,
            revision=revision,
            license=license_of(name, revision),
        )
        encoder.to(chosen_device(device))
        if precision != "float32":
            encoder._check_half_precision()
        return encoder

    def _check_half_precision(self) -> None:
        # Not every model brings what its extractor makes to the type of its weights.
        silence = np.zeros((1, self.window_samples), dtype=np.float32)
        try:
            self.embed_texts(["sound"])
            self.embed_windows(silence, [min(self.sampling_rate, self.window_samples)])
        except RuntimeError as error:
            raise EncoderError(f"{self.name}: does not compute in {self.precision}; take float32.") from error

    @property
    def fingerprint(self) -> str:
        """Of weights, precision, modules, preprocessing, windows, tokenizers, text limit and the query's prompt."""
        modules = [
            (type(module).__name__, module.get_config_dict() if hasattr(module, "get_config_dict") else {})
            for module in self.model
        ]
        settings = {
            "kind": type(self).__name__,
            "modules": [
                (kind, {key: value for key, value in config.items() if value}) for kind, config in modules
            ],
            "models": [config_settings(model.config) for model in _models(self.model)],
            "extractor": extractor_settings(self._extractor),
            "tokenizers": [tokenizer_settings(part) for part in _parts(self.model, "tokenizer", "get_vocab")],
            "window_samples": self.window_samples,
            "min_tail_samples": self.min_tail_samples,
            "max_text_tokens": self.max_text_tokens,
            "query_prompt": self.query_prompt,
        }
        return library_fingerprint(settings, self.model.state_dict())

    def use_engine(self, engine: str) -> None:
        """See [`AudioTextEncoder.use_engine`]; "packed" packs the linear layers of every module."""
        use_packed_layers(self, self.model, engine)

    @property
    def num_parameters(self) -> int:
        """Of the whole model."""
        return count_parameters(self.model)

    @property
    def precision(self) -> str:
        """The type of the weights."""
        return str(self.model.dtype or torch.float32).removeprefix("torch.")

    @property
    def sampling_rate(self) -> int:
        """Hz, of the feature extractor."""
        return self._extractor.sampling_rate

    @property
    def window_seconds(self) -> float:
        """As chosen at loading, or the model's own."""
        return self._window_seconds

    @property
    def embedding_dim(self) -> int:
        """Width of a sentence's vector; for some models the library reports the width before their last layer."""
        if self._embedding_dim is None:
            self._embedding_dim = self._encode_texts(["sound"], 1).shape[1]
        return self._embedding_dim

    @property
    def matryoshka_dims(self) -> tuple[int, ...]:
        """The widths up to ``embedding_dim`` that the configuration or the model's card names."""
        config = self.model.config
        named = matryoshka_dims({} if config is None else config.to_dict())
        return tuple(width for width in named if width <= self.embedding_dim)

    def to(self, device: Any) -> Self:
        """Moves the model to a device."""
        self.model.to(device)
        return self

    def prepare_texts(self, sentences: Sequence[str]) -> list[str]:
        """
        Sentences without white space at the ends, after the query's prompt.

        Raises:
            ValueError: for a sentence without a letter or digit.
        """
        return [self.query_prompt + prepared_sentence(sentence) for sentence in sentences]

    def embed_texts(
        self, sentences: Sequence[str], *, batch_size: int = 64, progress: bool = False
    ) -> np.ndarray:
        """See [`AudioTextEncoder.embed_texts`]."""
        prepared = [prepared_sentence(sentence) for sentence in sentences]
        distinct = sorted(set(prepared), key=lambda text: (len(text), text))
        vectors: dict[str, np.ndarray] = {}
        starts = range(0, len(distinct), batch_size)
        for start in tqdm(starts, desc="captions", unit="batch", disable=not progress):
            part = distinct[start : start + batch_size]
            vectors.update(zip(part, self._encode_texts(part, batch_size), strict=True))
        rows = np.array([vectors[text] for text in prepared], dtype=np.float32)
        return rows.reshape(-1, self.embedding_dim)

    def pool_windows(self, waveforms: np.ndarray, lengths: Sequence[int]) -> np.ndarray:
        """Unit vectors; clips below a tenth of a second are padded with silence."""
        rows = np.zeros((len(lengths), self.embedding_dim), dtype=np.float32)
        # Convolutions fail on fewer samples than they are wide.
        shortest = min(round(SHORTEST_SECONDS * self.sampling_rate), self.window_samples)
        lengths = [max(length, shortest) for length in lengths]
        windows = real_samples(waveforms, lengths)
        for length in sorted(set(lengths)):
            places = [place for place, other in enumerate(lengths) if other == length]
            sounds = [{"array": windows[place], "sampling_rate": self.sampling_rate} for place in places]
            rows[places] = _float_rows(
                self.model.encode_document(
                    sounds, prompt="", batch_size=len(sounds), show_progress_bar=False, convert_to_tensor=True
                )
            )
        return rows

    def _encode_texts(self, sentences: list[str], batch_size: int) -> np.ndarray:
        # As a plain string, the path of an existing sound or its address would be read, downloaded and embedded.
        rows = self.model.encode_query(
            [{"text": sentence} for sentence in sentences],
            batch_size=batch_size,
            show_progress_bar=False,
            convert_to_tensor=True,
        )
        return finite_rows(_float_rows(rows), self)


def longest_sound(extractor: Any, processor: Any = None) -> float:
    """
    Seconds of the longest sound that a feature extractor, and the processor around it, take whole.

    Args:
        extractor: with its length as ``nb_max_samples`` (CLAP), ``n_samples`` (Whisper), or as the ``max_length``
            that it cuts to where none is given (Gemma).
        processor: with ``audio_seq_length`` tokens of ``audio_ms_per_token`` ms, or None.

    Returns:
        Infinity if no length is given.
    """
    default = inspect.signature(type(extractor).__call__).parameters.get("max_length")
    limits = [
        samples / extractor.sampling_rate
        for samples in (
            getattr(extractor, "nb_max_samples", None),
            getattr(extractor, "n_samples", None),
            default.default if default is not None else None,
        )
        if isinstance(samples, int)
    ]
    milliseconds = getattr(processor, "audio_ms_per_token", None)
    if milliseconds:
        limits.append(processor.audio_seq_length * milliseconds / 1000)
    return min(limits, default=float("inf"))


def matryoshka_dims(config: dict[str, Any]) -> tuple[int, ...]:
    """Widths that a configuration, or for some types the model's card, allows to cut vectors to."""
    listed = config.get("matryoshka_dims") or config.get("matryoshka_dimensions")
    if listed:
        return tuple(sorted(map(int, listed), reverse=True))
    return MATRYOSHKA_DIMS.get(config.get("model_type", ""), ())


def _float_rows(rows: torch.Tensor) -> np.ndarray:
    return unit_rows(rows.float().cpu().numpy())


def _models(model: Any) -> Iterator[Any]:
    """The models of the transformers library within, not their parts."""
    from transformers import PreTrainedModel

    for child in model.children():
        if isinstance(child, PreTrainedModel):
            yield child
        else:
            yield from _models(child)


def _parts(model: Any, name: str, mark: str) -> Iterator[Any]:
    """Processors, or parts of that name of them, that have an attribute."""
    for module in model.modules():
        processor = getattr(module, "processor", None)
        for part in (getattr(processor, name, None), processor):
            if part is not None and hasattr(part, mark):
                yield part
                break


def _loading_reports(model: Any, name: str, options: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """
    Settings of each transformers model that its files do not contain.

    sentence-transformers does not hand on the report, so the files' headers are read once more, without values.
    """
    for part in _models(model):
        folders = _folders(name, part.config.model_type, options.get("revision"))
        found = []
        for folder in folders:
            _, report = type(part).from_pretrained(
                name,
                config=part.config,
                subfolder=folder,
                revision=options.get("revision"),
                device_map="meta",
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
            found.append(report)
        if found:
            yield min(found, key=lambda report: len(report["missing_keys"]) + len(report["mismatched_keys"]))


def _folders(name: str, model_type: str, revision: str | None) -> list[str]:
    """Folders of a model whose ``config.json`` has a model type."""
    from huggingface_hub import try_to_load_from_cache

    root = Path(name)
    if not root.is_dir():
        known = try_to_load_from_cache(name, "modules.json", revision=revision) or try_to_load_from_cache(
            name, "config.json", revision=revision
        )
        if not isinstance(known, str):
            return []
        root = Path(known).parent
    paths = [path for path in sorted(root.rglob("config.json")) if _type_of(path) == model_type]
    return [path.parent.relative_to(root).as_posix().removeprefix(".") for path in paths]


def _type_of(path: Path) -> str | None:
    try:
        return json.loads(path.read_text(encoding="utf-8")).get("model_type")
    except (OSError, ValueError, AttributeError):
        return None


__all__ = ["SentenceTransformersEncoder", "longest_sound", "matryoshka_dims"]
