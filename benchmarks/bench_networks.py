"""
Audio towers at published size: clips a second eager, SDPA, compiled, bfloat16 and int8, side by side.

    OMP_NUM_THREADS=1 python benchmarks/bench_networks.py [--towers passt beats eat] [--clips 1] [--rounds 2]

Random weights (speed does not depend on them; the cosines then only say what rounding does to such weights),
ten-second segments, CPU time of one process, all ways of a tower in turns. On a GPU pass --device cuda: wall time.
"""

import argparse
import copy
import time
import warnings

import torch
from measuring import interleaved, machine, table

from auricle.modeling import AUDIO_CONFIGS, AUDIO_MODELS
from auricle.modeling.int8 import quantize_linear_layers


def build(tower: str) -> torch.nn.Module:
    torch.manual_seed(0)
    return AUDIO_MODELS[f"auricle_{tower}"](AUDIO_CONFIGS[f"auricle_{tower}"]()).eval()


def with_attention(model: torch.nn.Module, attention: str) -> torch.nn.Module:
    other = copy.deepcopy(model)
    other.set_attn_implementation(attention)
    return other


@torch.no_grad()
def measure(tower: str, arguments: argparse.Namespace) -> list[list[str]]:
    model = with_attention(build(tower).to(arguments.device), "sdpa")
    config = model.config
    generator = torch.Generator().manual_seed(1)
    shape = (arguments.clips, config.num_frames, config.num_mel_bins)
    features = (0.5 * torch.randn(shape, generator=generator)).to(arguments.device)
    half = copy.deepcopy(model).to(torch.bfloat16)
    models = {"eager": with_attention(model, "eager"), "sdpa": model}
    if not arguments.no_compile:
        models["compiled"] = torch.compile(copy.deepcopy(model))
    if not arguments.no_bfloat16:
        models["bfloat16"] = half
    if arguments.device == "cpu":
        models["int8"] = quantize_linear_layers(model)
    reference = model(features).pooler_output
    cosine = {
        name: torch.nn.functional.cosine_similarity(one(features).pooler_output.float(), reference)
        .min()
        .item()
        for name, one in models.items()
    }
    slow = {name: models.pop(name) for name in ("bfloat16",) if name in models and arguments.device == "cpu"}
    best = interleaved(
        {name: lambda one=one: one(features) for name, one in models.items()}, rounds=arguments.rounds
    )
    best |= interleaved(
        {name: lambda one=one: one(features) for name, one in slow.items()}, rounds=1, warm_up=0
    )
    return [
        [
            tower,
            name,
            f"{arguments.clips / seconds:.2f}",
            f"{best['sdpa'] / seconds:.2f}",
            f"{cosine[name]:.5f}",
        ]
        for name, seconds in best.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--towers", nargs="+", default=["passt", "beats", "eat"])
    parser.add_argument("--clips", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--no-compile", action="store_true")
    parser.add_argument("--no-bfloat16", action="store_true")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")
    if arguments.device != "cpu":
        time.process_time = time.perf_counter  # what counts is waiting for the device
    print(machine())
    rows = [row for tower in arguments.towers for row in measure(tower, arguments)]
    print(table(rows, ["tower", "way", "10 s segments a second", "times SDPA", "cosine to float32"]))


if __name__ == "__main__":
    main()
