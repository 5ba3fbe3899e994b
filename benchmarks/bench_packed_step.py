"""
Whether packed linear layers can help a training step on a CPU, where the weights change every step.

    OMP_NUM_THREADS=1 python benchmarks/bench_packed_step.py [--rounds 7]

The linear layers of a block of a transformer at the width of the demo's tower and of the published ones, with the rows
of a batch. Forward by torch; packing and forward by oneDNN; backward and AdamW by torch, which packing cannot change:
its gradients need the plain weights. CPU time of one process, in turns.
"""

import argparse

import torch
from measuring import interleaved, machine, table
from torch import nn

from auricle.encoders.engines.packed_linear import PackedLinear

# Width, and rows of a batch: tokens a clip times clips.
CASES = {"demo": (192, 32 * 100), "published": (768, 4 * 500)}


def measure(name: str, rounds: int) -> list[str]:
    width, rows = CASES[name]
    torch.manual_seed(0)
    sizes = ((width, 3 * width), (width, width), (width, 4 * width), (4 * width, width))
    layers = [nn.Linear(*size) for size in sizes]
    inputs = [torch.randn(rows, size[0]) for size in sizes]
    optimizer = torch.optim.AdamW([parameter for layer in layers for parameter in layer.parameters()])
    packed = [PackedLinear(layer) for layer in layers]

    def forward(used: list) -> list[torch.Tensor]:
        return [layer(given) for layer, given in zip(used, inputs, strict=True)]

    @torch.no_grad()
    def forward_alone(used: list) -> None:
        forward(used)

    def step() -> None:
        optimizer.zero_grad()
        sum(result.square().mean() for result in forward(layers)).backward()
        optimizer.step()

    seconds = interleaved(
        {
            "forward": lambda: forward_alone(layers),
            "packing": lambda: [PackedLinear(layer) for layer in layers],
            "packed forward": lambda: forward_alone(packed),
            "step": step,
        },
        rounds=rounds,
    )
    saved = seconds["forward"] - seconds["packing"] - seconds["packed forward"]
    ways = [f"{1e3 * value:.1f}" for value in seconds.values()]
    free = seconds["step"] / (seconds["step"] - seconds["forward"] + seconds["packed forward"])
    return [name, *ways, f"{seconds['step'] / (seconds['step'] - saved):.3f}", f"{free:.3f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(machine())
    head = [
        "width",
        "forward, ms",
        "packing, ms",
        "packed forward, ms",
        "step, ms",
        "gain",
        "gain, packing free",
    ]
    print(table([measure(name, arguments.rounds) for name in CASES], head))


if __name__ == "__main__":
    main()
