"""A model's entry in MTEB: the code for its pull request, and the same as an object for evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..modeling import AuricleModel
from ..processing import AuricleProcessor

# MTEB marks tasks whose data a model was trained on; by the names that datasets have here.
TASKS_OF_SOURCE = {
    "clotho": (
        "ClothoA2TRetrieval",
        "ClothoA2TRetrieval.v2",
        "ClothoT2ARetrieval",
        "ClothoT2ARetrieval.v2",
    ),
    "audiocaps": ("AudioCapsA2TRetrieval", "AudioCapsT2ARetrieval"),
    "wavcaps": (),
}

_LONGEST_LINE = 88  # MTEB's formatter


@dataclass(frozen=True)
class MtebEntry:
    """
    The arguments of ``mteb.ModelMeta`` for one model.

    Attributes:
        values: by name, all but the loader, which is ``SentenceTransformerEncoderWrapper``.
    """

    values: dict[str, Any]

    def meta(self) -> Any:
        """
        The entry as MTEB's own object; its ``load_model`` loads the model by name.

        Raises:
            ImportError: if MTEB is not installed.
            ValueError: if MTEB refuses a value, such as an unknown licence.
        """
        try:
            from mteb.models.model_meta import ModelMeta
            from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper
        except ImportError as error:
            raise ImportError("an MTEB entry needs MTEB: pip install 'auricle[mteb]'.") from error
        return ModelMeta(loader=SentenceTransformerEncoderWrapper, **self.values)

    def source(self) -> str:
        """The entry as Python: the file of a pull request to MTEB."""
        variable = "".join(
            letter if letter.isalnum() else "_" for letter in self.values["name"].split("/")[-1]
        ).lower()
        lines = [_argument(name, value) for name, value in self.values.items()]
        return "\n".join(
            [
                "from mteb.models.model_meta import ModelMeta",
                "from mteb.models.sentence_transformer_wrapper import SentenceTransformerEncoderWrapper",
                "",
                f"{variable if not variable[0].isdigit() else '_' + variable} = ModelMeta(",
                "    loader=SentenceTransformerEncoderWrapper,",
                *lines,
                ")",
                "",
            ]
        )


def mteb_entry(
    model: AuricleModel,
    processor: AuricleProcessor,
    name: str,
    *,
    revision: str | None = None,
    release_date: str | None = None,
    license: str | None = None,
    trained_on: Sequence[str] | None = None,
    training_code: str | None = None,
) -> MtebEntry:
    """
    The metadata that MTEB records about a model.

    Args:
        model: on any device, also without memory (``meta``).
        processor: the model's own.
        name: ``owner/name`` on the Hub.
        revision: the commit that was evaluated.
        release_date: as ``2026-01-31``.
        license: a licence name of MTEB, such as ``apache-2.0``.
        trained_on: ``clotho``, ``audiocaps``, ``wavcaps``, or names of MTEB's tasks; None is not known, an empty
            sequence none of them.
        training_code: address of the code.

    Raises:
        ValueError: if the name is not ``owner/name``.
    """
    if name.count("/") != 1 or not all(name.split("/")):
        raise ValueError(
            f"{name!r} cannot be the name of a model in MTEB: it needs an owner, as in owner/name."
        )
    tasks = None
    if trained_on is not None:
        tasks = {task for source in trained_on for task in TASKS_OF_SOURCE.get(source, (source,))}
    parameters = list(model.parameters())
    values = {
        # Without the model's rate, MTEB resamples sounds to 16 kHz.
        "loader_kwargs": {
            "trust_remote_code": True,
            "target_sampling_rate": processor.feature_extractor.sampling_rate,
        },
        "name": name,
        "revision": revision,
        "release_date": release_date,
        "languages": ["eng-Latn"],
        "modalities": ["text", "audio"],
        "n_parameters": sum(one.numel() for one in parameters),
        "n_embedding_parameters": model.get_input_embeddings().weight.numel(),
        "memory_usage_mb": round(sum(one.numel() * one.element_size() for one in parameters) / 2**20),
        "max_tokens": processor.max_text_tokens,
        "embed_dim": model.config.projection_dim,
        "license": license,
        "open_weights": True,
        "public_training_code": training_code,
        "public_training_data": None,
        "framework": ["Sentence Transformers", "PyTorch"],
        "reference": f"https://huggingface.co/{name}",
        "similarity_fn_name": "cosine",
        "use_instructions": False,
        "training_datasets": tasks,
    }
    return MtebEntry(values)


def _argument(name: str, value: Any) -> str:
    """One line of the call, or a line for each of its items where it would be a long one."""
    line = f"    {name}={_written(value)},"
    if len(line) <= _LONGEST_LINE:
        return line
    if isinstance(value, dict):
        items = [f"        {_written(key)}: {_written(one)}," for key, one in value.items()]
    elif isinstance(value, set | list):
        items = [f"        {_written(one)}," for one in sorted(value)]
    else:
        return line
    opening, closing = "[]" if isinstance(value, list) else "{}"
    return "\n".join([f"    {name}={opening}", *items, f"    {closing},"])


def _written(value: Any) -> str:
    """A value as ruff formats it; large numbers in groups of three digits."""
    if isinstance(value, bool) or value is None:
        return repr(value)
    if isinstance(value, int):
        return f"{value:_}" if value >= 100_000 else str(value)
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, set):
        return "{" + ", ".join(_written(one) for one in sorted(value)) + "}" if value else "set()"
    if isinstance(value, list):
        return "[" + ", ".join(_written(one) for one in value) + "]"
    return "{" + ", ".join(f"{_written(key)}: {_written(one)}" for key, one in value.items()) + "}"


__all__ = ["TASKS_OF_SOURCE", "MtebEntry", "mteb_entry"]
