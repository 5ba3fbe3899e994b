"""Requests to a language model, with a hash, and the interface of the backends that answer them."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, Protocol

Task = Literal["translate", "mix"]


@dataclass(frozen=True)
class TextRequest:
    """
    One request to a language or translation model.

    Attributes:
        task: ``translate`` or ``mix``.
        texts: the sentence to translate, or the two captions to merge.
        languages: languages of the sentence and of the answer, as (English name, code) pairs; empty for ``mix``.
        prompt: the prompt of a chat model, with the texts filled in.
        prompt_version: version of the prompt, from its file.
        attempt: 0 for the first request. If its answer fails the checks, it is sent again with the next number.
        settings: settings of the model: its name, temperature and so on.
    """

    task: Task
    texts: tuple[str, ...]
    prompt: str
    prompt_version: str
    languages: tuple[tuple[str, str], ...] = ()
    attempt: int = 0
    settings: Mapping[str, str | int | float] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """SHA-256 of all fields: equal requests are sent once."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()


class BackendError(RuntimeError):
    """A request that was not answered, after all retries; the next one may be."""


class BackendRefused(RuntimeError):
    """The server refuses the key or the model, so every request would fail. The message contains no key."""


class TextBackend(Protocol):
    """
    Interface of a backend that answers requests.

    Attributes:
        settings: everything that its answers depend on, for the requests' hash and the record.
        concurrency: number of simultaneous requests.
        is_rule_based: whether it works by rules, without a language model.
    """

    settings: Mapping[str, str | int | float]
    concurrency: int
    is_rule_based: bool

    async def answer(self, request: TextRequest) -> str:
        """
        Raises:
            BackendError: if this request cannot be answered.
            BackendRefused: if no request can be answered.
        """
        ...


__all__ = ["BackendError", "BackendRefused", "Task", "TextBackend", "TextRequest"]
