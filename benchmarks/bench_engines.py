"""
Towers at published size by every engine and precision of this machine: seconds an item, and what the vectors differ.

    OMP_NUM_THREADS=1 python benchmarks/bench_engines.py [--towers passt beats eat text] [--rounds 3] [--threads 1]

Random weights. Sounds are ten-second segments, one at a time; the text tower has the shape of RoBERTa-large and embeds
a caption of 13 tokens, and 32 of them at once. CPU time of one process, all ways of a tower in turns; with more than
one thread also wall time. ``alone - batch``: the largest difference of an item alone and beside another one.
"""

import argparse
import copy
import os
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from measuring import machine, table
from transformers import RobertaConfig, RobertaModel

from auricle.encoders.engines.engine_names import lack_of_engine
from auricle.encoders.engines.one_at_a_time import compute_one_at_a_time
from auricle.encoders.engines.onnx_engine import run_by_onnx
from auricle.encoders.engines.packed_linear import pack_linear_layers
from auricle.encoders.settings.precision import compute_towers_in, lack_of
from auricle.modeling import AUDIO_CONFIGS, AUDIO_MODELS
from auricle.modeling.int8 import Int8Linear, Int8RowLinear, quantize_linear_layers

TOKENS, CAPTIONS = 13, 32


def audio_tower(kind: str) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = AUDIO_MODELS[f"auricle_{kind}"](AUDIO_CONFIGS[f"auricle_{kind}"]()).eval()
    model.set_attn_implementation("sdpa")
    config = model.config
    frames = config.num_frames // config.patch_size * config.patch_size
    return model, {"input_features": 0.5 * torch.randn(2, frames, config.num_mel_bins)}


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
        ways["packed float32"] = copy.deepcopy(model)
        pack_linear_layers(ways["packed float32"])
    if not lack_of_engine("onnx", device="cpu") and "onnx" not in left_out:
        items = torch.export.Dim("items", min=1)
        tokens = torch.export.Dim("tokens", min=2, max=512)
        axes = {0: items, 1: tokens} if "input_ids" in inputs else {0: items}
        other = copy.deepcopy(model)
        two = {name: value[:2] for name, value in inputs.items()}
        run_by_onnx(other, two, dict.fromkeys(inputs, axes), folder / "export", name="benchmark")
        ways["onnx float32"] = other
    if not lack_of("bfloat16", "cpu"):
        ways["torch bf16"] = copy.deepcopy(model)
        compute_towers_in("bfloat16", ways["torch bf16"])
    layer = Int8RowLinear if "input_ids" in inputs else Int8Linear
    ways["torch int8"] = quantize_linear_layers(model, layer=layer)
    compute_one_at_a_time(ways["torch int8"])
    return ways


@torch.no_grad()
def measure(kind: str, arguments: argparse.Namespace) -> list[list[str]]:
    model, inputs = text_tower() if kind == "text" else audio_tower(kind)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        ways = ways_of(model, inputs, Path(folder), arguments.without)
        one = {name: value[:1] for name, value in inputs.items()}
        two = {name: value[:2] for name, value in inputs.items()}
        cases = [("alone", one, 1)] + ([(f"{CAPTIONS} at once", inputs, CAPTIONS)] if kind == "text" else [])
        reference = vector(model, one)
        for case, given, items in cases:
            calls = {name: (lambda way=way, given=given: way(**given)) for name, way in ways.items()}
            seconds, wall = timed(calls, arguments.rounds)
            for name, way in ways.items():
                alone, together = vector(way, one), vector(way, two)[:1]
                rows.append(
                    [
                        kind,
                        case,
                        name,
                        f"{seconds[name] / items:.3f}",
                        f"{wall[name] / items:.3f}",
                        f"{seconds['torch float32'] / seconds[name]:.2f}",
                        f"{float((alone - reference).abs().max()):.1e}",
                        f"{float((alone * reference).sum()):.5f}",
                        f"{float((alone - together).abs().max()):.0e}",
                    ]
                )
    return rows


def vector(model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    outputs = model(**inputs)
    pooled = outputs.get("pooler_output")
    pooled = outputs.last_hidden_state.mean(dim=1) if pooled is None else pooled
    return torch.nn.functional.normalize(pooled.float(), dim=-1)


def timed(calls: dict[str, Callable[[], object]], rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Best CPU and wall seconds of each call, in turns, after one that is not measured."""
    cpu, wall = dict.fromkeys(calls, float("inf")), dict.fromkeys(calls, float("inf"))
    for turn in range(rounds + 1):
        for name, call in calls.items():
            began, used = time.perf_counter(), time.process_time()
            call()
            used, took = time.process_time() - used, time.perf_counter() - began
            if turn:
                cpu[name], wall[name] = min(cpu[name], used), min(wall[name], took)
    return cpu, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--towers", nargs="+", default=["passt", "beats", "eat", "text"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--without", nargs="*", default=[], help="engines to leave out")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    warnings.filterwarnings("ignore")
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    print(machine())
    head = [
        "tower",
        "items",
        "way",
        "CPU s",
        "wall s",
        "times torch",
        "difference",
        "cosine",
        "alone - batch",
    ]
    print(table([row for tower in arguments.towers for row in measure(tower, arguments)], head))


if __name__ == "__main__":
    main()
