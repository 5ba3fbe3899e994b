"""One training step at the published size: PaSST (no overlap) and RoBERTa-large, random weights.

    python benchmarks/bench_full_size_step.py [--batch-size 4] [--seconds 30] [--activation-checkpointing]

Prints seconds of forward, backward and optimiser step, and the process's peak resident memory.
"""

import argparse
import resource
import time

import torch

from auricle.modeling import AuricleConfig, AuricleModel
from auricle.processing import AuricleFeatureExtractor


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=4, help="clips and captions")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a clip")
    parser.add_argument("--tokens", type=int, default=32, help="tokens of a caption")
    parser.add_argument("--activation-checkpointing", action="store_true", help="recompute activations")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AuricleModel(AuricleConfig()).to(device).train()
    if arguments.activation_checkpointing:
        model.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.0)
    samples = round(arguments.seconds * 32000)
    clips = [torch.randn(samples).mul(0.1).numpy() for _ in range(arguments.batch_size)]

    started = time.perf_counter()
    inputs = AuricleFeatureExtractor()(clips, sampling_rate=32000).to(device)
    print(f"front end  {time.perf_counter() - started:6.1f} s, {len(inputs['input_features'])} segments")
    tokens = torch.randint(5, 50000, (arguments.batch_size, arguments.tokens), device=device)
    started = time.perf_counter()
    loss = model(
        **inputs,
        input_ids=tokens,
        attention_mask=torch.ones_like(tokens),
        return_loss=True,
        generator=torch.Generator().manual_seed(0),
    ).loss
    forward = time.perf_counter()
    loss.backward()
    backward = time.perf_counter()
    optimizer.step()
    finished = time.perf_counter()
    print(f"forward    {forward - started:6.1f} s, loss {loss.item():.3f}")
    print(f"backward   {backward - forward:6.1f} s")
    print(f"optimiser  {finished - backward:6.1f} s")
    print(f"step       {finished - started:6.1f} s")
    print(f"parameters {sum(p.numel() for p in model.parameters()) / 1e6:6.1f} M, device {device}")
    print(f"peak resident memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")
    if device == "cuda":
        print(f"peak device memory   {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB")


if __name__ == "__main__":
    main()
