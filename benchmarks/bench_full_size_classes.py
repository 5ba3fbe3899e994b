"""
CPU-seconds a ten-second clip and peak memory of every kind of model, at published size with random weights.

    OMP_NUM_THREADS=1 python benchmarks/bench_full_size_classes.py [--only NAME ...] [--rounds 2] [--json FILE]

Each model is made and saved in one process, and in another one loaded by `load_encoder`, as any command does, and asked
for one clip from file to vector. Seconds are CPU time of that process (user and system), the smallest of the rounds
after one that does not count; memory is the most that the process ever had resident, libraries and loading included.
Neither depends on the values of weights. A temporary directory takes up to 6 GB.

Sizes. Auricle: as published, with RoBERTa-large. CLAP: transformers' defaults, which are those of
laion/clap-htsat-unfused and -fused. PE-AV: the codec and text model are transformers' defaults; layers and widths of
the audio part (12 of 768, 16 of 1024, 28 of 1792) are not read from the repositories but inferred, for their sums of
0.44, 0.56 and 1.46 billion are those of the PE-A-Frame repositories. EmbeddingGemma 2: transformers' defaults for
text, vision and sound, 0.74 billion as published; not known is the width between the audio tower and the language
model, taken to be 768. Tokenizers have single bytes for words, which no clip depends on.

EmbeddingGemma 2 needs torchvision, and is left out with a line where it is not installed.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import transformers
from measuring import machine, table
from tokenizers import pre_tokenizers

CLIP_SECONDS, CLIP_RATE = 10.0, 44_100
CAPTION = "a dog barks twice while rain falls on a tin roof"
CLAP_EXTRACTOR = {
    "truncation": "rand_trunc",
    "padding": "repeatpad",
    "max_length_s": 10,
    "sampling_rate": 48_000,
}
PE_SIZES = {"small": (12, 768, 2048, 6), "base": (16, 1024, 2752, 8), "large": (28, 1792, 4800, 14)}
GEMMA_SPECIAL = ("<|image>", "<|image|>", "<image|>", "<|audio>", "<|audio|>", "<audio|>", "<|video|>")
GEMMA_EXTRACTOR = {
    "feature_extractor_type": "Gemma4AudioFeatureExtractor",
    "feature_size": 128,
    "fft_length": 512,
    "frame_length": 320,
    "hop_length": 160,
    "max_frequency": 8000.0,
    "mel_floor": 0.001,
    "min_frequency": 0.0,
    "return_attention_mask": True,
    "sampling_rate": 16_000,
}
GEMMA_TEMPLATE = (
    "{{ bos_token }}{%- for message in messages -%}{%- for item in message['content'] -%}"
    "{%- if item['type'] == 'text' -%}{{ item['text'] }}{%- else -%}<|audio|>{%- endif -%}"
    "{%- endfor -%}{%- endfor -%}"
)


def byte_roberta(longest: int) -> Any:
    """RoBERTa's tokenizer with single bytes for words."""
    pieces = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    return transformers.RobertaTokenizer(vocab=vocabulary, merges=[], model_max_length=longest)


def save_auricle(tower: str, folder: Path) -> None:
    from auricle.modeling import AuricleConfig, AuricleModel
    from auricle.processing import AuricleFeatureExtractor, AuricleProcessor

    AuricleModel(AuricleConfig(audio_config={"model_type": f"auricle_{tower}"})).save_pretrained(folder)
    AuricleProcessor(AuricleFeatureExtractor.for_tower(tower), byte_roberta(512)).save_pretrained(folder)


def save_clap(fused: bool, folder: Path) -> None:
    audio = {"enable_fusion": fused, "fusion_type": "aff_2d" if fused else None}
    transformers.ClapModel(transformers.ClapConfig(audio_config=audio)).save_pretrained(folder)
    rule = {"truncation": "fusion"} if fused else {}
    transformers.ClapFeatureExtractor(**CLAP_EXTRACTOR | rule).save_pretrained(folder)
    byte_roberta(512).save_pretrained(folder)


def pe_av_config(size: str) -> Any:
    """Of the part for sound and text, at the size of a published model."""
    layers, width, inner, heads = PE_SIZES[size]
    audio = {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": 128,
        "dac_config": {"downsampling_ratios": [2, 8, 10, 12], "codebook_dim": 128, "sampling_rate": 48_000},
    }
    return transformers.PeAudioConfig(audio_config=audio)


def save_pe_av(size: str, folder: Path) -> None:
    model = transformers.PeAudioModel(pe_av_config(size))
    model.save_pretrained(folder)
    extractor = {
        "feature_extractor_type": "PeAudioFeatureExtractor",
        "feature_size": 1,
        "hop_length": model.config.audio_config.dac_config.hop_length,
        "return_attention_mask": True,
        "sampling_rate": 48_000,
    }
    write(
        folder / "processor_config.json",
        {"feature_extractor": extractor, "processor_class": "PeAudioProcessor"},
    )
    byte_roberta(8192).save_pretrained(folder)


def save_embedding_gemma2(folder: Path) -> None:
    letters = ["▁", *map(chr, range(33, 127))]
    pieces = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", *GEMMA_SPECIAL, *letters]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    names = ("boi_token", "image_token", "eoi_token", "boa_token", "audio_token", "eoa_token", "video_token")
    special = dict(zip(names, GEMMA_SPECIAL, strict=True))
    tokenizer = transformers.GemmaTokenizer(
        vocab=vocabulary, merges=[], extra_special_tokens=special, add_bos_token=True
    )
    tokenizer.save_pretrained(folder)
    ids = {
        f"{name}_id" if name != "eoa_token" else "eoa_token_index": vocabulary[special[name]]
        for name in names
    }
    config = transformers.EmbeddingGemma2Config(
        audio_config={"model_type": "gemma4_audio", "output_proj_dims": 768},
        vision_config={"model_type": "gemma4_vision"},
        **ids,
    )
    transformers.EmbeddingGemma2Model(config).save_pretrained(folder)
    image = {"image_processor_type": "Gemma4ImageProcessor", "patch_size": 16, "pooling_kernel_size": 3}
    processor = {
        "audio_ms_per_token": 40,
        "audio_seq_length": 280,
        "feature_extractor": GEMMA_EXTRACTOR,
        "image_processor": {**image, "max_soft_tokens": 280},
        "image_seq_length": 280,
        "processor_class": "EmbeddingGemma2Processor",
        "video_processor": {"video_processor_type": "EmbeddingGemma2VideoProcessor"},
    }
    write(folder / "processor_config.json", processor)
    parts = {
        "": "base.modules.transformer.Transformer",
        "1_Pooling": "sentence_transformer.modules.pooling.Pooling",
        "2_Normalize": "base.modules.normalize.Normalize",
    }
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.{kind}"}
        for number, (path, kind) in enumerate(parts.items())
    ]
    write(folder / "modules.json", modules)
    forward = {"method": "forward", "method_output_name": "last_hidden_state"}
    modalities = {
        **dict.fromkeys(("text", "image", "audio", "video"), forward),
        "message": {**forward, "format": "structured"},
    }
    write(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "feature-extraction",
            "modality_config": modalities,
            "module_output_name": "token_embeddings",
        },
    )
    write(folder / "1_Pooling/config.json", {"embedding_dimension": 768, "pooling_mode": "mean"})
    (folder / "2_Normalize").mkdir()
    (folder / "chat_template.jinja").write_text(GEMMA_TEMPLATE, encoding="utf-8")


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


CLASSES: dict[str, tuple[str, Callable[[Path], None]]] = {
    "auricle-passt": ("Auricle, PaSST + RoBERTa-large", partial(save_auricle, "passt")),
    "auricle-beats": ("Auricle, BEATs + RoBERTa-large", partial(save_auricle, "beats")),
    "auricle-eat": ("Auricle, EAT + RoBERTa-large", partial(save_auricle, "eat")),
    "clap": ("CLAP, unfused", partial(save_clap, False)),
    "clap-fused": ("CLAP, fused", partial(save_clap, True)),
    "pe-av-small": ("PE-AV small, sound and text", partial(save_pe_av, "small")),
    "pe-av-base": ("PE-AV base, sound and text", partial(save_pe_av, "base")),
    "pe-av-large": ("PE-AV large, sound and text", partial(save_pe_av, "large")),
    "embeddinggemma2": ("EmbeddingGemma 2 (sentence-transformers)", save_embedding_gemma2),
}


def measure(folder: Path, clip: Path, rounds: int) -> dict[str, float]:
    """CPU-seconds a clip, gigabytes and what the encoder says of itself; in a process of its own."""
    from auricle.encoders import load_encoder

    torch.set_num_threads(1)
    encoder = load_encoder(folder, device="cpu")
    encoder.embed_texts([CAPTION])
    times = []
    for _ in range(1 + rounds):
        start = time.process_time()
        vectors, _ = encoder.embed_clips([clip])
        times.append(time.process_time() - start)
    assert vectors.shape == (1, encoder.embedding_dim) and np.isfinite(vectors).all()
    return {
        "parameters": encoder.num_parameters or 0,
        "window_seconds": encoder.window_seconds,
        "embedding_dim": encoder.embedding_dim,
        "seconds": min(times[1:]),
        "weights_gigabytes": sum(path.stat().st_size for path in folder.glob("*.safetensors")) / 1e9,
        # Linux counts in units of 1,024 bytes.
        "peak_gigabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def run_step(*arguments: Any) -> str:
    """A step in a process of its own; raises subprocess.CalledProcessError if it fails."""
    command = [sys.executable, __file__, *map(str, arguments)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=list(CLASSES), default=list(CLASSES), help="these alone")
    parser.add_argument("--rounds", type=int, default=2, help="measured rounds")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--build", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "CLIP"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.build:
        torch.manual_seed(0)
        CLASSES[arguments.build[0]][1](Path(arguments.build[1]))
        return
    if arguments.measure:
        print(json.dumps(measure(*map(Path, arguments.measure), arguments.rounds)))
        return
    figures = {}
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as place:
            clip = Path(place) / "clip.wav"
            noise = 0.1 * np.random.default_rng(0).standard_normal(round(CLIP_SECONDS * CLIP_RATE))
            soundfile.write(clip, noise, CLIP_RATE)
            try:
                run_step("--build", name, Path(place) / "model")
                told = run_step("--measure", Path(place) / "model", clip, "--rounds", arguments.rounds)
            except subprocess.CalledProcessError as error:
                print(f"{name}: failed: {error.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                continue
        figures[name] = json.loads(told.splitlines()[-1])
        print(name, figures[name], file=sys.stderr, flush=True)
        if arguments.json:
            write(arguments.json, {"machine": machine(), "figures": figures})
    torch.set_num_threads(1)
    print(machine())
    head = ["model", "parameters", "window", "CPU-s a clip", "weights", "peak memory"]
    rows = [
        [
            CLASSES[name][0],
            f"{found['parameters'] / 1e9:.2f} billion",
            f"{found['window_seconds']:g} s",
            f"{found['seconds']:.2f}",
            f"{found['weights_gigabytes']:.1f} GB",
            f"{found['peak_gigabytes']:.1f} GB",
        ]
        for name, found in figures.items()
    ]
    print(table(rows, head))


if __name__ == "__main__":
    main()
