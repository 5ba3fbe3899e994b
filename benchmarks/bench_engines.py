"""
Towers at published size by every engine and precision of this machine: seconds an item, and what the vectors differ.

    python benchmarks/bench_engines.py [--towers passt beats eat text clap clap-fused pe-small] [--threads 1 2]
        [--rounds 3]

Random weights. Sounds are ten-second segments, one at a time; the text tower has the shape of RoBERTa-large and embeds
a caption of 13 tokens, and 32 of them at once. CLAP and PE-AV have the sizes of bench_full_size_classes.py, and take
what their feature extractors make of ten seconds of noise. CPU and wall time of one process, best of the rounds, all
ways of a tower in turns. ``alone - batch``: the largest difference of an item alone and beside another one.
"""

import argparse
import copy
import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import torch
import transformers
from bench_full_size_classes import CLAP_EXTRACTOR, pe_av_config
from measuring import machine, table
from transformers import RobertaConfig, RobertaModel
from transformers.modeling_outputs import BaseModelOutputWithPooling

from auricle.encoders.engines.engine_names import lack_of_engine
from auricle.encoders.engines.kept_weights import keep_computed_weights
from auricle.encoders.engines.one_at_a_time import compute_one_at_a_time
from auricle.encoders.engines.onnx_engine import run_by_onnx
from auricle.encoders.engines.packed_linear import pack_linear_layers
from auricle.encoders.settings.precision import compute_towers_in, lack_of
from auricle.modeling import AUDIO_CONFIGS, AUDIO_MODELS
from auricle.modeling.int8 import Int8Linear, Int8RowLinear, quantize_linear_layers

TOKENS, CAPTIONS = 13, 32
PUBLIC_RATE = 48_000
TOWERS = ["passt", "beats", "eat", "text", "clap", "clap-fused", "pe-small"]


def audio_tower(kind: str) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = AUDIO_MODELS[f"auricle_{kind}"](AUDIO_CONFIGS[f"auricle_{kind}"]()).eval()
    model.set_attn_implementation("sdpa")
    keep_computed_weights(model)
    config = model.config
    frames = config.num_frames // config.patch_size * config.patch_size
    return model, {"input_features": 0.5 * torch.randn(2, frames, config.num_mel_bins)}


class AudioFeatures(torch.nn.Module):
    """The sound side of a public model, with the outputs of a tower."""

    def __init__(self, model: torch.nn.Module):
        super().__init__()
        self.model = model.eval()

    def forward(self, **inputs: torch.Tensor) -> BaseModelOutputWithPooling:
        """The model's vectors of sounds."""
        if hasattr(self.model, "get_audio_embeds"):
            return BaseModelOutputWithPooling(pooler_output=self.model.get_audio_embeds(**inputs))
        return BaseModelOutputWithPooling(pooler_output=self.model.get_audio_features(**inputs).pooler_output)


def public_tower(kind: str) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, 10 * PUBLIC_RATE)).astype(np.float32)
    if kind.startswith("pe-"):
        model = transformers.PeAudioModel(pe_av_config(kind.removeprefix("pe-")))
        mask = torch.ones(noise.shape, dtype=torch.int64)
        return AudioFeatures(model), {"input_values": torch.from_numpy(noise)[:, None], "padding_mask": mask}
    fused = kind == "clap-fused"
    audio = {"enable_fusion": fused, "fusion_type": "aff_2d" if fused else None}
    rule = {"truncation": "fusion"} if fused else {}
    extractor = transformers.ClapFeatureExtractor(**CLAP_EXTRACTOR | rule)
    made = extractor(list(noise), sampling_rate=PUBLIC_RATE, return_tensors="pt")
    inputs = {"input_features": made["input_features"], "is_longer": torch.zeros(2, 1, dtype=torch.bool)}
    return AudioFeatures(transformers.ClapModel(transformers.ClapConfig(audio_config=audio))), inputs


def text_tower() -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=50_265,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=514,
        type_vocab_size=1,
    )
    model = RobertaModel(config, add_pooling_layer=False).eval()
    words = torch.randint(3, 50_000, (CAPTIONS, TOKENS))
    return model, {"input_ids": words, "attention_mask": torch.ones_like(words)}


def ways_of(
    model: torch.nn.Module, inputs: dict[str, torch.Tensor], folder: Path, left_out: list[str]
) -> dict[str, torch.nn.Module]:
    ways = {"torch float32": model}
    if not lack_of_engine("packed", device="cpu"):
        # The copy shares its weights: with PE-AV two would not fit into the memory of a small machine.
        shared = {id(weight): weight for weight in (*model.parameters(), *model.buffers())}
        ways["packed float32"] = copy.deepcopy(model, shared)
        pack_linear_layers(ways["packed float32"])
    public = isinstance(model, AudioFeatures)
    exportable = not public or getattr(model.model.config.audio_config, "enable_fusion", None) is False
    if exportable and not lack_of_engine("onnx", device="cpu") and "onnx" not in left_out:
        items = torch.export.Dim("items", min=1)
        tokens = torch.export.Dim("tokens", min=2, max=512)
        axes = {0: items, 1: tokens} if "input_ids" in inputs else {0: items}
        other = ways["onnx float32"] = copy.deepcopy(model)
        two = {name: value[:2] for name, value in inputs.items()}
        tower = other.model.audio_model if public else other
        run_by_onnx(tower, two, dict.fromkeys(inputs, axes), folder / "export", name="benchmark")
    if public:
        # They have no int8.
        return ways
    if not lack_of("bfloat16", "cpu"):
        ways["torch bf16"] = copy.deepcopy(model)
        compute_towers_in("bfloat16", ways["torch bf16"])
    layer = Int8RowLinear if "input_ids" in inputs else Int8Linear
    ways["torch int8"] = quantize_linear_layers(model, layer=layer)
    compute_one_at_a_time(ways["torch int8"])
    return ways


@torch.no_grad()
def measure(kind: str, arguments: argparse.Namespace) -> Iterator[list[str]]:
    make = {"text": text_tower}.get(kind)
    if make is None:
        make = partial(audio_tower if f"auricle_{kind}" in AUDIO_MODELS else public_tower, kind)
    with tempfile.TemporaryDirectory() as folder:
        for threads in arguments.threads:
            torch.set_num_threads(threads)
            model, inputs = make()
            ways = ways_of(model, inputs, Path(folder), arguments.without)
            one = {name: value[:1] for name, value in inputs.items()}
            two = {name: value[:2] for name, value in inputs.items()}
            alone = {name: vector(way, one) for name, way in ways.items()}
            beside = {name: vector(way, two)[:1] for name, way in ways.items()}
            reference = alone["torch float32"]
            cases = [("alone", one, 1)] + (
                [(f"{CAPTIONS} at once", inputs, CAPTIONS)] if kind == "text" else []
            )
            for case, given, items in cases:
                calls = {name: (lambda way=way, given=given: way(**given)) for name, way in ways.items()}
                seconds, wall = timed(calls, arguments.rounds)
                for name in ways:
                    yield [
                        kind,
                        case,
                        str(threads),
                        name,
                        f"{seconds[name] / items:.3f}",
                        f"{wall[name] / items:.3f}",
                        f"{items / wall[name]:.2f}",
                        f"{seconds['torch float32'] / seconds[name]:.2f}",
                        f"{float((alone[name] - reference).abs().max()):.1e}",
                        f"{float((alone[name] * reference).sum()):.5f}",
                        f"{float((alone[name] - beside[name]).abs().max()):.0e}",
                    ]


def vector(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    outputs = model(**inputs)
    pooled = outputs.get("pooler_output")
    pooled = outputs.last_hidden_state.mean(dim=1) if pooled is None else pooled
    return torch.nn.functional.normalize(pooled.float(), dim=-1)


def timed(calls: dict[str, Callable[[], object]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Best CPU and wall seconds of each call, in turns; each must have been called once before."""
    cpu, wall = dict.fromkeys(calls, float("inf")), dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            began, used = time.perf_counter(), time.process_time()
            call()
            used, took = time.process_time() - used, time.perf_counter() - began
            cpu[name], wall[name] = min(cpu[name], used), min(wall[name], took)
    return cpu, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--towers", nargs="+", default=TOWERS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--without", nargs="*", default=[], help="engines to leave out")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    torch.set_num_threads(1)
    print(machine())
    head = [
        "tower",
        "items",
        "threads",
        "way",
        "CPU s",
        "wall s",
        "items a second",
        "times torch",
        "difference",
        "cosine",
        "alone - batch",
    ]
    print(table([], head), flush=True)
    for tower in arguments.towers:
        for row in measure(tower, arguments):
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
