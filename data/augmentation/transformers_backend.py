"""Open models in this process: a chat model for any task, or a pair of translation models."""

import asyncio
from typing import Any

from .requests import BackendRefused, TextRequest

# NLLB's codes of languages; Marian's models are named by the two letters.
NLLB_CODES = {
    "en": "eng_Latn",
    "de": "deu_Latn",
    "fr": "fra_Latn",
    "es": "spa_Latn",
    "it": "ita_Latn",
    "pt": "por_Latn",
    "nl": "nld_Latn",
    "pl": "pol_Latn",
    "sv": "swe_Latn",
    "cs": "ces_Latn",
    "fi": "fin_Latn",
    "tr": "tur_Latn",
    "ru": "rus_Cyrl",
    "zh": "zho_Hans",
    "ja": "jpn_Jpan",
    "ko": "kor_Hang",
    "ar": "arb_Arab",
    "hi": "hin_Deva",
}
MARIAN_NAME = "Helsinki-NLP/opus-mt-{source}-{target}"


class ChatModelBackend:
    """
    A chat model through transformers, one request at a time.

    Args:
        model: Hub id or directory of a causal language model whose tokenizer has a chat template.
        max_tokens: longest answer.
        seed: seed of sampling; the first request decodes greedily, repeated ones sample.
        device: None uses a GPU if there is one.

    Raises:
        BackendRefused: if the model cannot be loaded or has no chat template.
    """

    is_rule_based = False
    concurrency = 1

    def __init__(self, model: str, *, max_tokens: int = 120, seed: int = 0, device: str | None = None):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.tokenizer, self.model = _loaded(model, AutoTokenizer, AutoModelForCausalLM)
        if not getattr(self.tokenizer, "chat_template", None):
            raise BackendRefused(f"{model}: the tokenizer has no chat template; use a chat model.")
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self.model.to(self.device).eval()
        self.settings = {"backend": "chat", "model": model, "max_tokens": max_tokens, "seed": seed}

    async def answer(self, request: TextRequest) -> str:
        """One answer; see `TextBackend`."""
        return await asyncio.to_thread(self._generate, request)

    def _generate(self, request: TextRequest) -> str:
        import torch

        messages = [{"role": "user", "content": request.prompt}]
        inputs = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(self.device)
        sampling = {"do_sample": request.attempt > 0}
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(int(self.settings["seed"]) + request.attempt)
            tokens = self.model.generate(
                **inputs, max_new_tokens=int(self.settings["max_tokens"]), **sampling
            )
        return self.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


class TranslationModelBackend:
    """
    Translation models with transformers: MarianMT, one model per direction, or NLLB, one for all.

    Args:
        model: Hub id or directory of an NLLB model; or a pattern with ``{source}`` and ``{target}`` for one model a
            direction, such as ``Helsinki-NLP/opus-mt-{source}-{target}``.
        beams: number of beams of the search.
        device: None uses a GPU if there is one.
    """

    is_rule_based = False
    concurrency = 1

    def __init__(self, model: str = MARIAN_NAME, *, beams: int = 4, device: str | None = None):
        import torch

        self.settings = {"backend": "translation", "model": model, "beams": beams}
        self.device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        self._models: dict[str, tuple[Any, Any]] = {}

    async def answer(self, request: TextRequest) -> str:
        """One translation; see `TextBackend`.

        Raises:
            BackendRefused: for another task, or a language that the model does not know.
        """
        if request.task != "translate":
            raise BackendRefused(
                "a translation model cannot merge captions; use --backend chat, openai or rules."
            )
        return await asyncio.to_thread(self._translate, request)

    def _translate(self, request: TextRequest) -> str:
        import torch

        (_, source), (_, target) = request.languages
        name = str(self.settings["model"]).replace("{source}", source).replace("{target}", target)
        tokenizer, model = self._of(name)
        options: dict[str, Any] = {}
        if hasattr(tokenizer, "src_lang") and "{" not in str(self.settings["model"]):
            codes = [NLLB_CODES.get(code) for code in (source, target)]
            if None in codes:
                raise BackendRefused(f"{name}: unknown language {source if codes[0] is None else target!r}.")
            tokenizer.src_lang = codes[0]
            options["forced_bos_token_id"] = tokenizer.convert_tokens_to_ids(codes[1])
        inputs = tokenizer(request.texts[0], return_tensors="pt").to(self.device)
        # A repeated request must not produce the rejected answer again.
        sampling = (
            {"do_sample": True, "num_beams": 1} if request.attempt else {"num_beams": self.settings["beams"]}
        )
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(request.attempt)
            tokens = model.generate(**inputs, max_new_tokens=200, **sampling, **options)
        return tokenizer.decode(tokens[0], skip_special_tokens=True)

    def _of(self, name: str) -> tuple[Any, Any]:
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        if name not in self._models:
            tokenizer, model = _loaded(name, AutoTokenizer, AutoModelForSeq2SeqLM)
            self._models[name] = tokenizer, model.to(self.device).eval()
        return self._models[name]


def _loaded(name: str, tokenizers: Any, models: Any) -> tuple[Any, Any]:
    try:
        return tokenizers.from_pretrained(name), models.from_pretrained(name)
    except (OSError, ValueError, ImportError) as error:
        reason = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
        raise BackendRefused(f"{name}: cannot load the model ({reason}).") from error


__all__ = ["MARIAN_NAME", "ChatModelBackend", "TranslationModelBackend"]
