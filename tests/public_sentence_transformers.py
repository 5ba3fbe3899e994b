"""Tiny sentence-transformers models of text and sound with random weights, in the form of published ones."""

import string
from pathlib import Path

import torch
from public_models import LICENSE_CARD, spread_weights, write_json
from tiny_models import WORDS, tiny_text_config, tiny_vocabulary
from transformers import (
    BertModel,
    BertTokenizerFast,
    EmbeddingGemma2Config,
    EmbeddingGemma2Model,
    GemmaTokenizer,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    Wav2Vec2Processor,
)

TRANSFORMER = "sentence_transformers.base.modules.transformer.Transformer"
POOLING = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"
NORMALIZE = "sentence_transformers.base.modules.normalize.Normalize"

# Files of google/embeddinggemma-2, as the copies in ollama.com/library/embeddinggemma-2 show them: modules.json
# (blob 3d02572a0455), sentence_bert_config.json (b1bcd9f2dce3), config_sentence_transformers.json (031e56a498d3, of
# which the prompts used here), the audio tower's part of config.json (0673b3292afd), preprocessor_config.json
# (ea2ae257e901), processor_config.json (168f6a08522f, cut off behind the video processor), and tokens and length of
# tokenizer_config.json (17bd5d6e9364). Not seen: 1_Pooling/config.json, which is said to be the mean, and
# chat_template.jinja.
GEMMA_MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": TRANSFORMER},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": POOLING},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": NORMALIZE},
]
_FORWARD = {"method": "forward", "method_output_name": "last_hidden_state"}
GEMMA_SENTENCE_BERT = {
    "transformer_task": "feature-extraction",
    "modality_config": {
        **dict.fromkeys(("text", "image", "audio", "video"), _FORWARD),
        "message": {**_FORWARD, "format": "structured"},
    },
    "module_output_name": "token_embeddings",
}
GEMMA_PROMPTS = {
    "__version__": {
        "pytorch": "2.14.0+cu130",
        "sentence_transformers": "6.1.0",
        "transformers": "5.18.0.dev0",
    },
    "default_prompt_name": None,
    "model_type": "SentenceTransformer",
    "prompts": {
        "Retrieval-document": "title: none | text: ",
        "Retrieval-query": "task: search result | query: ",
        "document": "title: none | text: ",
        "query": "task: search result | query: ",
    },
    "similarity_fn_name": "cosine",
}
GEMMA_EXTRACTOR = {
    "dither": 0.0,
    "feature_extractor_type": "Gemma4AudioFeatureExtractor",
    "feature_size": 128,
    "fft_length": 512,
    "fft_overdrive": False,
    "frame_length": 320,
    "hop_length": 160,
    "input_scale_factor": 1.0,
    "max_frequency": 8000.0,
    "mel_floor": 0.001,
    "min_frequency": 0.0,
    "padding_side": "right",
    "padding_value": 0.0,
    "per_bin_mean": None,
    "per_bin_stddev": None,
    "preemphasis": 0.0,
    "preemphasis_htk_flavor": True,
    "return_attention_mask": True,
    "sampling_rate": 16000,
}
GEMMA_PROCESSOR = {
    "audio_ms_per_token": 40,
    "audio_seq_length": 280,
    "feature_extractor": GEMMA_EXTRACTOR,
    "image_processor": {
        "do_convert_rgb": True,
        "do_normalize": False,
        "do_rescale": True,
        "do_resize": True,
        "image_processor_type": "Gemma4ImageProcessor",
        "max_soft_tokens": 280,
        "patch_size": 16,
        "pooling_kernel_size": 3,
    },
    "image_seq_length": 280,
    "processor_class": "EmbeddingGemma2Processor",
    "video_processor": {"add_timestamps": False, "video_processor_type": "EmbeddingGemma2VideoProcessor"},
}
GEMMA_TOKENS = {
    "boi_token": "<|image>",
    "image_token": "<|image|>",
    "eoi_token": "<image|>",
    "boa_token": "<|audio>",
    "audio_token": "<|audio|>",
    "eoa_token": "<audio|>",
    "video_token": "<|video|>",
}
GEMMA_TEMPLATE = (
    "{{ bos_token }}{%- for message in messages -%}{%- for item in message['content'] -%}"
    "{%- if item['type'] == 'text' -%}{{ item['text'] }}"
    "{%- elif item['type'] == 'audio' -%}{{ '<|audio|>' }}{%- endif -%}"
    "{%- endfor -%}{%- endfor -%}"
)


def save_embedding_gemma2(folder: Path, *, seed: int = 0) -> None:
    """google/embeddinggemma-2 with its fields as noted above; its processor needs torchvision."""
    words = [f"{word}▁" for word in WORDS.split()] + WORDS.split()
    letters = ["▁", *string.ascii_letters, *string.digits, *string.punctuation]
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *GEMMA_TOKENS.values(), *words, *letters]
    vocabulary = {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = GemmaTokenizer(
        vocab=vocabulary, merges=[], extra_special_tokens=GEMMA_TOKENS, add_bos_token=True
    )
    tokenizer.save_pretrained(folder)
    ids = {name: vocabulary[token] for name, token in GEMMA_TOKENS.items()}
    config = EmbeddingGemma2Config(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "head_dim": 8,
            "global_head_dim": 16,
            "hidden_size_per_layer_input": 8,
            "embedding_dim": 24,
            "sliding_window": 512,
            "sliding_window_pattern": 2,
        },
        audio_config={
            "model_type": "gemma4_audio",
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "attention_chunk_size": 12,
            "attention_context_left": 13,
            "attention_context_right": 0,
            "conv_kernel_size": 5,
            "output_proj_dims": 24,
            "residual_weight": 0.5,
            "subsampling_conv_channels": [128, 4],
            "use_clipped_linears": True,
        },
        vision_config={
            "model_type": "gemma4_vision",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "position_embedding_size": 64,
        },
        boi_token_id=ids["boi_token"],
        eoi_token_id=ids["eoi_token"],
        image_token_id=ids["image_token"],
        boa_token_id=ids["boa_token"],
        eoa_token_index=ids["eoa_token"],
        audio_token_id=ids["audio_token"],
        video_token_id=ids["video_token"],
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EmbeddingGemma2Model(config).eval()
        spread_weights(model)
    model.save_pretrained(folder)
    write_json(folder / "processor_config.json", GEMMA_PROCESSOR)
    write_json(folder / "modules.json", GEMMA_MODULES)
    write_json(folder / "sentence_bert_config.json", GEMMA_SENTENCE_BERT)
    write_json(folder / "config_sentence_transformers.json", GEMMA_PROMPTS)
    write_json(folder / "1_Pooling/config.json", {"embedding_dimension": 24, "pooling_mode": "mean"})
    (folder / "2_Normalize").mkdir()
    (folder / "chat_template.jinja").write_text(GEMMA_TEMPLATE, encoding="utf-8")
    (folder / "README.md").write_text(LICENSE_CARD)


def save_two_towers(folder: Path, *, seed: int = 0) -> None:
    """
    A BERT and a wav2vec 2.0 behind a `Router` of sentence-transformers, each pooled and projected to one width.

    The library documents this form and writes it itself; it is no published model's. The wav2vec 2.0 normalises
    over time ("group", as facebook/wav2vec2-base), so that padding would change its vectors.
    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Router, Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text = BertModel(tiny_text_config())
        audio = Wav2Vec2Model(
            Wav2Vec2Config(
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=32,
                conv_dim=(8, 8, 8),
                conv_stride=(20, 8, 4),
                conv_kernel=(40, 16, 8),
                num_conv_pos_embeddings=16,
                num_conv_pos_embedding_groups=2,
                feat_extract_norm="group",
                vocab_size=4,
            )
        )
        spread_weights(audio)
        parts = folder.parent / f"{folder.name}-parts"
        text.eval().save_pretrained(parts / "text")
        BertTokenizerFast(vocab=tiny_vocabulary(), do_lower_case=True, model_max_length=64).save_pretrained(
            parts / "text"
        )
        audio.eval().save_pretrained(parts / "audio")
        extractor = Wav2Vec2FeatureExtractor(return_attention_mask=False, do_normalize=True)
        write_json(parts / "vocab.json", {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4})
        Wav2Vec2Processor(extractor, Wav2Vec2CTCTokenizer(str(parts / "vocab.json"))).save_pretrained(
            parts / "audio"
        )
        towers = {}
        for kind in ("text", "audio"):
            first = Transformer(str(parts / kind))
            towers[kind] = [first, Pooling(16, "mean"), Dense(16, 12), Normalize()]
        model = SentenceTransformer(modules=[Router(towers, default_route="text")], device="cpu")
    model.save_pretrained(str(folder))
