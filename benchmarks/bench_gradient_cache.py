"""
Time and activation memory of a training step in micro-batches (GradCache), as ratios to the whole batch.

    OMP_NUM_THREADS=1 python benchmarks/bench_gradient_cache.py [--batch-size 32] [--micro-batch-sizes 16 8 4]

The audio tower of recipes/demo.yaml with random weights; captions as pooled vectors, as of the demo's frozen text
tower. Memory is the largest size of what autograd saves for the backward pass at a time; ways in turns, best round.
"""

import argparse
import time
from pathlib import Path

import torch
import yaml
from measuring import machine, table

from auricle.modeling import AuricleConfig, AuricleModel
from auricle.training.losses.gradient_cache import GradientCache
from auricle.training.losses.gradient_gather import gathered_contrastive_loss, gathered_similarities

RECIPE = Path(__file__).resolve().parent.parent / "recipes" / "demo.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--micro-batch-sizes", type=int, nargs="+", default=[16, 8, 4])
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(0)
    text = {"model_type": "bert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    audio = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["model"]["audio"]["config"]
    model = AuricleModel(AuricleConfig(audio_config=audio, text_config=text, projection_dim=128))
    model.text_model.requires_grad_(False)
    model.to(device).train()
    config = model.config.audio_config
    shape = (arguments.batch_size, config.num_frames, config.num_mel_bins)
    batch = {
        "input_features": torch.randn(shape, device=device),
        "segment_counts": torch.ones(arguments.batch_size, dtype=torch.int64),
        "pooled_text": torch.randn(arguments.batch_size, 32, device=device),
    }
    sizes = [None, *arguments.micro_batch_sizes]
    best = dict.fromkeys(sizes, float("inf"))
    memory = {size: saved_bytes(model, batch, size) for size in sizes}
    for _ in range(arguments.rounds):
        for size in sizes:
            started = time.perf_counter()
            step(model, batch, size)
            if device == "cuda":
                torch.cuda.synchronize()
            best[size] = min(best[size], time.perf_counter() - started)
    rows = [
        [
            str(size or f"{arguments.batch_size} at once"),
            f"{best[size] / best[None]:.2f}",
            f"{memory[size] / memory[None]:.2f}",
        ]
        for size in sizes
    ]
    print(f"{machine()}, {device}, batches of {arguments.batch_size} pairs, best of {arguments.rounds}")
    print(table(rows, ["micro-batch", "time", "activation memory"]))


def step(model: AuricleModel, batch: dict[str, torch.Tensor], size: int | None) -> None:
    """Forward and backward pass of one batch."""
    model.zero_grad()
    generator = torch.Generator().manual_seed(0)
    cache = None if size is None else GradientCache(size)
    if cache is None:
        outputs = model(**batch, generator=generator)
    else:
        outputs = cache.forward(model, batch, generator=generator)
    groups = torch.arange(len(outputs.audio_embeds), device=outputs.audio_embeds.device)
    similarities = gathered_similarities(outputs.audio_embeds, outputs.text_embeds)
    gathered_contrastive_loss(similarities, groups, outputs.logit_scale).backward()
    if cache is not None:
        cache.backward(model)


def saved_bytes(model: AuricleModel, batch: dict[str, torch.Tensor], size: int | None) -> int:
    """The most that autograd saves at a time, without parameters."""
    parameters = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    held: dict[int, list[int]] = {}
    largest = 0

    class Saved:
        def __init__(self, tensor: torch.Tensor):
            nonlocal largest
            # Detached: a saved output would otherwise hold the graph that holds it.
            self.tensor = tensor.detach()
            storage = tensor.untyped_storage()
            self.place = storage.data_ptr()
            if self.place not in parameters:
                held.setdefault(self.place, [0, storage.nbytes()])[0] += 1
                largest = max(largest, sum(count[1] for count in held.values()))

        def __del__(self):
            if self.place in held:
                held[self.place][0] -= 1
                if not held[self.place][0]:
                    del held[self.place]

    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
        step(model, batch, size)
    return largest


if __name__ == "__main__":
    main()
