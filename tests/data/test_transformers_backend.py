"""Open models in this process: a chat model, a pair of translation models, one of many languages; tiny, random."""

import asyncio

import pytest
import torch
from tiny_models import tiny_vocabulary
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertTokenizerFast,
    LlamaConfig,
    LlamaForCausalLM,
    M2M100Config,
    M2M100ForConditionalGeneration,
)

from auricle.data.augmentation.requests import BackendRefused, TextRequest
from auricle.data.augmentation.transformers_backend import ChatModelBackend, TranslationModelBackend

TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
ENGLISH, GERMAN = ("English", "en"), ("German", "de")


def request(backend, text="a dog barks", task="translate", languages=(ENGLISH, GERMAN), attempt=0):
    return TextRequest(
        task=task,
        texts=(text,),
        prompt=f"say {text}",
        prompt_version="t",
        languages=languages,
        settings=backend.settings,
        attempt=attempt,
    )


def answer(backend, **options):
    return asyncio.run(backend.answer(request(backend, **options)))


def save_tokenizer(folder, template=None):
    names = ["input_ids", "attention_mask"]
    tokenizer = BertTokenizerFast(vocab=tiny_vocabulary(), do_lower_case=True, model_input_names=names)
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def chat_model(folder, template=TEMPLATE):
    torch.manual_seed(0)
    size = len(tiny_vocabulary())
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        initializer_range=0.5,
        eos_token_id=3,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    save_tokenizer(folder, template)
    return folder


def translation_model(folder, seed):
    torch.manual_seed(seed)
    config = BartConfig(
        vocab_size=len(tiny_vocabulary()),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=256,
        init_std=0.5,
        pad_token_id=0,
        bos_token_id=2,
        eos_token_id=3,
        decoder_start_token_id=2,
        forced_eos_token_id=None,
    )
    BartForConditionalGeneration(config).save_pretrained(folder)
    save_tokenizer(folder)
    return folder


def test_a_chat_model_answers_alike_and_anew_otherwise(tmp_path):
    folder = chat_model(tmp_path / "chat")
    backend = ChatModelBackend(str(folder), max_tokens=12, device="cpu")
    before = torch.random.get_rng_state()
    first = answer(backend, task="mix")
    assert first and first == answer(backend, task="mix")
    anew = [answer(backend, attempt=attempt) for attempt in (1, 2, 3)]
    assert anew == [answer(backend, attempt=attempt) for attempt in (1, 2, 3)]
    assert len({first, *anew}) > 1
    assert torch.equal(before, torch.random.get_rng_state())
    assert answer(ChatModelBackend(str(folder), max_tokens=12, device="cpu"), task="mix") == first


def test_a_model_without_a_chat_template_is_refused(tmp_path):
    with pytest.raises(BackendRefused, match="the tokenizer has no chat template"):
        ChatModelBackend(str(chat_model(tmp_path / "chat", None)))
    with pytest.raises(BackendRefused, match=r"nowhere: cannot load the model \("):
        ChatModelBackend(str(tmp_path / "nowhere"))


def test_each_direction_has_its_own_translation_model(tmp_path):
    for seed, name in enumerate(("en-de", "de-en")):
        translation_model(tmp_path / name, seed)
    backend = TranslationModelBackend(str(tmp_path / "{source}-{target}"), device="cpu")
    there, back = answer(backend), answer(backend, languages=(GERMAN, ENGLISH))
    assert there and back and there != back
    assert there == answer(backend)
    assert sorted(backend._models) == [str(tmp_path / "de-en"), str(tmp_path / "en-de")]


def test_a_translation_model_merges_no_captions(tmp_path):
    with pytest.raises(BackendRefused, match="cannot merge captions"):
        answer(TranslationModelBackend("none"), task="mix", languages=())


def nllb_model(folder):
    from transformers import NllbTokenizer

    words = ["<s>", "<pad>", "</s>", "<unk>", *"abcdefghijklmnopqrstuvwxyz", "▁"]
    tokenizer = NllbTokenizer(vocab={word: place for place, word in enumerate(words)}, merges=[])
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = M2M100Config(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=16,
        decoder_ffn_dim=16,
        max_position_embeddings=256,
        init_std=0.5,
        pad_token_id=1,
        bos_token_id=0,
        eos_token_id=2,
        decoder_start_token_id=2,
    )
    M2M100ForConditionalGeneration(config).save_pretrained(folder)
    return folder


def test_one_model_of_many_languages_is_told_which(tmp_path):
    backend = TranslationModelBackend(str(nllb_model(tmp_path / "nllb")), device="cpu")
    tokenizer, model = backend._of(str(tmp_path / "nllb"))
    starts, real = [], model.generate

    def generate(**options):
        tokens = real(**options)
        starts.append((tokenizer.src_lang, tokenizer.convert_ids_to_tokens(tokens[0][1].item())))
        return tokens

    model.generate = generate
    answer(backend)
    answer(backend, languages=(GERMAN, ENGLISH))
    assert starts == [("eng_Latn", "deu_Latn"), ("deu_Latn", "eng_Latn")]
    with pytest.raises(BackendRefused, match="unknown language 'xx'"):
        answer(backend, languages=(ENGLISH, ("Unknown", "xx")))
