"""Checks that a GPU is needed for, as functions of a device: parity, precision, compile, NCCL, GradCache.

They need torch, transformers, numpy and the repository alone, and run on a CPU too, at [`TINY`] sizes.
"""

import copy
import gc
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from auricle.modeling import AuricleConfig, AuricleModel
from auricle.processing import AuricleFeatureExtractor
from auricle.training.learning_rate import warmup_cosine_schedule
from auricle.training.losses.gradient_cache import GradientCache
from auricle.training.losses.gradient_gather import gathered_contrastive_loss, gathered_similarities

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "demo.yaml"
TOWERS = ("passt", "beats", "eat")
TOKENS = 16
DEMO_PITCHES, DEMO_NOISES = 16, 4


@dataclass(frozen=True)
class Row:
    """One line of the table; ``passed`` is None for a measurement without a limit."""

    check: str
    subject: str
    result: str
    accepted: str = ""
    passed: bool | None = None


@dataclass(frozen=True)
class Sizes:
    """
    How much is computed.

    Attributes:
        tower: what each audio tower's published config is changed by; empty is the published size.
        text: config of the text tower; None is RoBERTa-large, as in the report.
        clips: segments in parity and compile checks.
        batch_size: pairs in a step of GradCache and throughput.
        micro_batch_size: of GradCache.
        demo_steps: optimiser steps of the demo's miniature.
        demo_tower: what the demo's audio tower is changed by.
        precisions: what the demo's miniature is trained in; fp16 is slow on a CPU.
        repeats: timed calls.
        backend: of torch.compile.
        files: sounds that the input pipeline decodes.
        seconds: their length.
        workers: numbers of loader processes.
    """

    tower: dict[str, Any]
    text: dict[str, Any] | None
    clips: int
    batch_size: int
    micro_batch_size: int
    demo_steps: int
    demo_tower: dict[str, Any]
    precisions: tuple[str, ...]
    repeats: int
    backend: str
    files: int
    seconds: float
    workers: tuple[int, ...]


SMALL_TEXT = {
    "model_type": "bert",
    "vocab_size": 100,
    "hidden_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
SMALL_TOWER = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
FULL = Sizes({}, None, 4, 32, 8, 150, {}, ("fp32", "bf16", "fp16"), 10, "inductor", 256, 10.0, (1, 4, 8))
TINY = Sizes(
    SMALL_TOWER, SMALL_TEXT, 2, 4, 2, 60, SMALL_TOWER, ("fp32", "bf16"), 1, "aot_eager", 4, 1.0, (0,)
)


def build(tower: str, sizes: Sizes, *, small_text: bool = False) -> AuricleModel:
    """A dual encoder with random weights, the same ones for the same arguments, on the CPU."""
    torch.manual_seed(0)
    audio = {"model_type": f"auricle_{tower}", **sizes.tower}
    if tower == "beats" and sizes.tower:
        audio |= {"num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 2}
    text = SMALL_TEXT if small_text else sizes.text
    return AuricleModel(AuricleConfig(audio_config=audio, text_config=text))


def batch_for(model: AuricleModel, pairs: int, device: str) -> dict[str, torch.Tensor]:
    """Random segments, one a clip, and random captions."""
    generator = torch.Generator().manual_seed(1)
    audio, text = model.config.audio_config, model.config.text_config
    shape = (pairs, audio.num_frames, audio.num_mel_bins)
    tokens = torch.randint(5, text.vocab_size, (pairs, TOKENS), generator=generator)
    batch = {
        "input_features": torch.randn(shape, generator=generator),
        "input_ids": tokens,
        "attention_mask": torch.ones_like(tokens),
    }
    counts = torch.ones(pairs, dtype=torch.int64)
    return {**{name: value.to(device) for name, value in batch.items()}, "segment_counts": counts}


def contrastive(outputs: Any) -> torch.Tensor:
    groups = torch.arange(len(outputs.audio_embeds), device=outputs.audio_embeds.device)
    similarities = gathered_similarities(outputs.audio_embeds, outputs.text_embeds)
    return gathered_contrastive_loss(similarities, groups, outputs.logit_scale)


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def free(device: str) -> None:
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def exact_float32() -> Iterator[None]:
    """Without TF32 in matrix products and convolutions; both settings come back afterwards."""
    before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before


def largest_distance(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest Euclidean distance of two vectors of one row; infinite where anything is not finite."""
    distance = (ours.double().cpu() - theirs.double().cpu()).norm(dim=-1).max().item()
    return distance if np.isfinite(distance) else float("inf")


def within(check: str, subject: str, value: float, limit: float, what: str) -> Row:
    return Row(check, subject, f"{value:.1e} {what}", f"at most {limit:.0e}", value <= limit)


def check_parity(device: str, sizes: Sizes, limit: float = 1e-4) -> Iterator[Row]:
    """Unit-length embeddings of each tower in float32, on the device and on the CPU."""
    for tower in TOWERS:
        # One text tower is enough: it is the same beside each audio tower.
        model = build(tower, sizes, small_text=tower != TOWERS[0]).eval()
        with torch.inference_mode():
            expected = model(**batch_for(model, sizes.clips, "cpu"))
        model.to(device)
        with exact_float32(), torch.inference_mode():
            got = model(**batch_for(model, sizes.clips, device))
        for part in ("audio_embeds", "text_embeds") if tower == TOWERS[0] else ("audio_embeds",):
            distance = largest_distance(getattr(got, part), getattr(expected, part))
            subject = tower if part == "audio_embeds" else "text tower"
            yield within("float32 against CPU", subject, distance, limit, "largest distance of unit vectors")
        del model, got
        free(device)


def check_batches(device: str, sizes: Sizes, limit: float = 1e-6) -> Iterator[Row]:
    """Segments alone, filled up with silence, and beside others at another place of a batch of the same size."""
    for tower in TOWERS:
        model = build(tower, sizes, small_text=True).to(device).eval()
        segments = batch_for(model, 2 * sizes.clips, device)["input_features"]
        silence = torch.zeros_like(segments)
        silence[0] = segments[-1]
        turned = segments.roll(1, dims=0)
        for precision in ("fp32", "bf16"):
            half = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bf16")
            with exact_float32(), torch.inference_mode(), half:
                together, beside, alone = (
                    torch.nn.functional.normalize(model.pool_audio(given).float(), dim=-1)
                    for given in (segments, turned, silence)
                )
            distance = max(
                largest_distance(beside, together.roll(1, dims=0)), largest_distance(alone[:1], together[-1:])
            )
            what = "largest distance of unit vectors"
            if precision == "fp32":
                yield within("same batch size, other place", tower, distance, limit, what)
            else:
                yield Row("same batch size, other place", f"{tower}, bf16", f"{distance:.1e} {what}")
        del model
        free(device)


def check_compile(device: str, sizes: Sizes, limit: float = 1e-3) -> Iterator[Row]:
    """torch.compile of each audio tower in float32, against the tower as it is."""
    for tower in TOWERS:
        model = build(tower, sizes, small_text=True).audio_model.to(device).eval()
        config = model.config
        generator = torch.Generator().manual_seed(1)
        segments = torch.randn(sizes.clips, config.num_frames, config.num_mel_bins, generator=generator)
        torch.compiler.reset()
        with exact_float32(), torch.inference_mode():
            expected = model(segments.to(device)).pooler_output
            got = torch.compile(model, backend=sizes.backend)(segments.to(device)).pooler_output
        scale = expected.norm(dim=-1).max().item()
        distance = largest_distance(got, expected) / scale
        yield within(f"torch.compile ({sizes.backend})", tower, distance, limit, "of the output's length")
        del model
        free(device)


PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def check_demo_training(device: str, sizes: Sizes) -> Iterator[Row]:
    """The demo's audio tower from scratch on tones, each pitch with a caption of its own, in each precision."""
    for precision in sizes.precisions:
        losses, skipped = train_demo(device, sizes, precision)
        yield judge_training(precision, losses, skipped)


def judge_training(precision: str, losses: list[float], skipped: int) -> Row:
    """Passes if every loss is finite and the mean of the last quarter is at most 0.8 of the first quarter's."""
    quarter = max(1, len(losses) // 4)
    first, last = (float(np.mean(part)) for part in (losses[:quarter], losses[-quarter:]))
    return Row(
        "demo miniature, training",
        precision,
        f"loss {first:.3f} to {last:.3f} in {len(losses)} steps, {skipped} skipped",
        "finite, falls by 20 %",
        bool(np.isfinite(losses).all() and last <= 0.8 * first),
    )


def demo_sounds(extractor: AuricleFeatureExtractor) -> torch.Tensor:
    """Features of every pitch in several noises, ``(DEMO_NOISES, DEMO_PITCHES, frames, mel bins)``."""
    rng = np.random.default_rng(0)
    times = np.arange(extractor.segment_samples) / extractor.sampling_rate
    pitches = 200 * 2 ** (np.arange(DEMO_PITCHES) / 4)
    tones = 0.3 * np.sin(2 * np.pi * pitches[:, None] * times)
    noisy = (tones + 0.05 * rng.standard_normal(tones.shape) for _ in range(DEMO_NOISES))
    rate = extractor.sampling_rate
    return torch.stack(
        [extractor(list(one.astype(np.float32)), sampling_rate=rate)["input_features"] for one in noisy]
    )


def train_demo(device: str, sizes: Sizes, precision: str) -> tuple[list[float], int]:
    """
    Trains with autocast as transformers' Trainer does: master weights in float32, a loss scaler for fp16.

    Returns:
        The loss of every step, the last one infinite if a weight is not finite in the end, and how many steps the
        loss scaler skipped.
    """
    recipe = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["model"]
    sounds = demo_sounds(AuricleFeatureExtractor(**recipe["front_end"])).to(device)
    torch.manual_seed(0)
    # Weights as large as in the tests' tiny towers: it learns within the steps there are.
    audio = recipe["audio"]["config"] | {"initializer_range": 0.1} | sizes.demo_tower
    text = SMALL_TEXT | {"initializer_range": 0.2}  # at this width captions would hardly differ otherwise
    config = AuricleConfig(audio_config=audio, text_config=text, projection_dim=64, text_pooling="mean")
    model = AuricleModel(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-4)
    schedule = warmup_cosine_schedule(
        optimizer, warmup_steps=10, cosine_end_step=sizes.demo_steps, min_learning_rate=1e-6
    )
    scaler = torch.amp.GradScaler(device, enabled=precision == "fp16")
    dtype, drop = PRECISIONS[precision], torch.Generator().manual_seed(2)
    draws, losses, skipped = torch.Generator().manual_seed(3), [], 0
    for step in range(sizes.demo_steps):
        pitch = torch.randperm(DEMO_PITCHES, generator=draws)
        features = sounds[step % DEMO_NOISES, pitch.to(device)]
        tokens = pitch[:, None] + torch.tensor([10, 40, 70])
        with torch.autocast(device, dtype=dtype, enabled=precision != "fp32"):
            outputs = model(
                input_features=features,
                segment_counts=torch.ones(len(pitch), dtype=torch.int64),
                input_ids=tokens.to(device),
                attention_mask=torch.ones_like(tokens).to(device),
                generator=drop,
            )
        similarities = gathered_similarities(outputs.audio_embeds, outputs.text_embeds)
        loss = gathered_contrastive_loss(similarities, pitch.to(device), outputs.logit_scale)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        before = scaler.get_scale()
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        skipped += scaler.get_scale() < before
        losses.append(loss.item())
    if not all(torch.isfinite(weight).all() for weight in model.parameters()):
        losses[-1] = float("inf")
    free(device)
    return losses, skipped


def check_one_process(device: str, sizes: Sizes, limit: float = 1e-5) -> Iterator[Row]:
    """A step of GradCache in DistributedDataParallel (NCCL on a GPU, gloo on a CPU), against one without."""
    backend = "nccl" if device == "cuda" else "gloo"
    model = build("passt", sizes, small_text=True).to(device).eval()
    batch = batch_for(model, sizes.clips, device)
    with tempfile.TemporaryDirectory() as folder, exact_float32():
        expected = gradients(copy.deepcopy(model), batch, sizes.clips // 2)
        # A file as the meeting point: no port, no network.
        store = distributed.FileStore(str(Path(folder) / "store"), 1)
        distributed.init_process_group(backend, store=store, rank=0, world_size=1)
        try:
            one = torch.ones(1, device=device)
            distributed.all_reduce(one)
            parallel = DistributedDataParallel(copy.deepcopy(model))
            got = gradients(parallel, batch, sizes.clips // 2)
            synchronize(device)
        finally:
            distributed.destroy_process_group()
    scale = max(value.abs().max().item() for value in expected.values())
    missing = expected.keys() ^ got.keys()
    difference = max((got[name] - expected[name]).abs().max().item() for name in expected.keys() & got.keys())
    value = float("inf") if missing or one.item() != 1 else difference / scale
    yield within("one process", backend, value, limit, "of the largest gradient")


def gradients(model: torch.nn.Module, batch: dict[str, torch.Tensor], size: int) -> dict[str, torch.Tensor]:
    """Gradients of a GradCache step of a model, or of one in DistributedDataParallel."""
    cache = GradientCache(size)
    contrastive(cache.forward(model, batch)).backward()
    cache.backward(model)
    module = model.module if isinstance(model, DistributedDataParallel) else model
    return {name: one.grad.clone() for name, one in module.named_parameters() if one.grad is not None}


def peak_bytes(device: str, call: Callable[[], object]) -> int | None:
    """The most device memory that a call takes beyond what is held before it; None where it is not counted."""
    if device != "cuda":
        call()
        return None
    free(device)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    synchronize(device)
    return torch.cuda.max_memory_allocated() - before


def check_gradient_cache(device: str, sizes: Sizes) -> Iterator[Row]:
    """Peak memory of a step of EAT in micro-batches, as a share of the step at once; gradients included in both."""
    model = build("eat", sizes, small_text=True).to(device).train()
    batch = batch_for(model, sizes.batch_size, device)

    def whole() -> None:
        contrastive(model(**batch)).backward()

    def in_parts() -> None:
        cache = GradientCache(sizes.micro_batch_size)
        contrastive(cache.forward(model, batch)).backward()
        cache.backward(model)

    # Gradients are allocated before, so that both ways pay for activations only.
    whole()
    at_once, cut = peak_bytes(device, whole), peak_bytes(device, in_parts)
    subject = f"eat, {sizes.batch_size} pairs in {sizes.micro_batch_size}s"
    yield judge_memory(subject, at_once, cut)
    free(device)


def judge_memory(subject: str, at_once: int | None, cut: int | None, limit: float = 0.5) -> Row:
    """Passes if the micro-batches' peak is at most half of the whole batch's."""
    if not at_once or cut is None:
        return Row("GradCache memory", subject, "ran; memory is counted on a GPU only")
    result = f"{cut / 2**30:.2f} GiB instead of {at_once / 2**30:.2f} GiB ({cut / at_once:.2f})"
    return Row("GradCache memory", subject, result, f"at most {limit:g}", cut <= limit * at_once)
