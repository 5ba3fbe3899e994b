"""Servers that speak OpenAI's chat completions: OpenAI's own, vLLM, llama.cpp, transformers serve and others."""

import os
from typing import Any

from .requests import BackendError, BackendRefused, TextRequest

KEY_VARIABLE = "OPENAI_API_KEY"


class OpenAIBackend:
    """
    Chat completions with the official client, which waits and retries after 408, 409, 429, 5xx, lost
    connections and timeouts.

    Args:
        model: the server's name of the model.
        base_url: address of the server, such as ``http://127.0.0.1:8000/v1``; None is OpenAI's.
        concurrency: requests at a time.
        temperature: temperature of sampling.
        max_tokens: longest answer.
        timeout: seconds to wait for an answer; a local server may load its model first.
        max_retries: number of retries.
        seed: sent with each request; servers that support it give the same answers.
        key: None uses ``$OPENAI_API_KEY``; a local server needs none. It is never logged or stored.

    Raises:
        ImportError: if the client is not installed.
        BackendRefused: if the requests go to OpenAI's own server and there is no key.
    """

    is_rule_based = False

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        concurrency: int = 8,
        temperature: float = 0.7,
        max_tokens: int = 120,
        timeout: float = 120.0,
        max_retries: int = 8,
        seed: int = 0,
        key: str | None = None,
    ):
        try:
            from openai import AsyncOpenAI
        except ImportError as error:
            raise ImportError(
                "requests to a server need OpenAI's client: pip install 'auricle[augment]'."
            ) from error
        self._key = key or os.environ.get(KEY_VARIABLE) or ""
        if not self._key and base_url is None:
            raise BackendRefused(f"no API key found: set {KEY_VARIABLE}, or give a server with --base-url.")
        self.concurrency = concurrency
        self.settings = {
            "backend": "openai",
            "model": model,
            "temperature": temperature,
            "max_tokens": max_tokens,
            "seed": seed,
        }
        self._options: dict[str, Any] = {
            "api_key": self._key or "none",
            "base_url": base_url,
            "timeout": timeout,
            "max_retries": max_retries,
        }
        self._make = AsyncOpenAI
        self._client: Any = None

    async def answer(self, request: TextRequest) -> str:
        """One answer; see `TextBackend`."""
        import openai

        # Made within the loop that it is used in.
        self._client = self._client or self._make(**self._options)
        try:
            completion = await self._client.chat.completions.create(
                model=str(self.settings["model"]),
                messages=[{"role": "user", "content": request.prompt}],
                temperature=float(self.settings["temperature"]),
                max_tokens=int(self.settings["max_tokens"]),
                # Asked again, the same seed would give the same useless answer.
                seed=int(self.settings["seed"]) + request.attempt,
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise BackendRefused(f"the server rejected the API key: {self._without_key(error)}.") from None
        except (openai.NotFoundError, openai.BadRequestError, openai.UnprocessableEntityError) as error:
            raise BackendRefused(f"the server rejected the request: {self._without_key(error)}.") from None
        except openai.OpenAIError as error:
            raise BackendError(f"no response: {self._without_key(error)}") from None
        except ValueError as error:
            raise BackendError(
                f"the server did not return a completion: {self._without_key(error)}"
            ) from None
        return _content(completion)

    def _without_key(self, error: Exception) -> str:
        text = " ".join(str(error).split()).rstrip(".")
        text = text.replace(self._key, "***") if self._key else text
        # Servers repeat a key with its middle masked.
        for end in range(min(len(self._key), 12), 3, -1):
            text = text.replace(self._key[:end], "***")
        return text[:300]


def _content(completion: Any) -> str:
    choices = getattr(completion, "choices", None)
    message = getattr(choices[0], "message", None) if choices else None
    content = getattr(message, "content", None)
    if not isinstance(content, str):
        raise BackendError("the server did not return a completion: the response has no message")
    return content


__all__ = ["KEY_VARIABLE", "OpenAIBackend"]
