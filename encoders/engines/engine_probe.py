"""Finds the fastest float32 engine of this machine: times a block once, and stores the times."""

import logging
import os
import platform
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ...files.cache_root import cache_root
from ...files.json_files import read_json, write_json
from .engine_names import ENGINES, lack_of_engine

logger = logging.getLogger(__name__)

FILE = "engine_times.json"
# The linear layers of a ViT-B block (in, out), at half a ten-second segment's tokens.
LAYERS = ((768, 2304), (768, 768), (768, 3072), (3072, 768))
ROWS = 256
ROUNDS = 5
# By how much another engine must be faster than torch; smaller differences may come from noise.
SMALLEST_GAIN = 1.05


def machine_key() -> str:
    """The properties that the times depend on: processor, torch's threads, versions of torch and ONNX Runtime."""
    try:
        runtime = version("onnxruntime")
    except PackageNotFoundError:
        runtime = "none"
    return f"{processor_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}, onnxruntime {runtime}"


def processor_name() -> str:
    """The processor's model, as the system names it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown processor"


def fastest_engine(
    candidates: Sequence[str] = ENGINES, cache_dir: str | os.PathLike[str] | None = None
) -> str:
    """
    The fastest of some engines on this machine's CPU; "torch" unless another one is clearly faster.

    Times are measured at the first call, about a second of work, and kept in ``engine_times.json`` of the cache by
    [`machine_key`]. If they cannot be saved, the result is "torch", since another process might measure
    different times.

    Args:
        candidates: engines to compare, of ``ENGINES``; always with "torch".
        cache_dir: where the file is; None is the package's cache.
    """
    times = remembered_times(cache_dir)
    if times is None:
        times = probe_engines()
        if not _remember(times, cache_dir):
            return "torch"
    best, fastest = "torch", times.get("torch", float("inf")) / SMALLEST_GAIN
    for name in candidates:
        if name != "torch" and times.get(name, float("inf")) < fastest:
            best, fastest = name, times[name]
    return best


def remembered_times(cache_dir: str | os.PathLike[str] | None = None) -> dict[str, float] | None:
    """Stored seconds of each engine on this machine; None if there are none, or they are unreadable."""
    try:
        known = read_json(_path(cache_dir))
        times = known[machine_key()] if known else None
        if times is None or set(times) - set(ENGINES) or "torch" not in times:
            return None
        return {name: float(seconds) for name, seconds in times.items()}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def probe_engines(rounds: int = ROUNDS) -> dict[str, float]:
    """
    Best CPU seconds of a block's linear layers by engine, measured alternately; unavailable engines are skipped.

    Args:
        rounds: how often each is measured.
    """
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(out, width, generator=generator) / width**0.5 for width, out in LAYERS]
    inputs = {width: torch.randn(ROWS, width, generator=generator) for width, _ in LAYERS}
    makers = {"torch": _in_torch, "packed": _in_packed, "onnx": _in_onnx}
    ways = {
        name: make(weights, inputs)
        for name, make in makers.items()
        if lack_of_engine(name, device="cpu") is None
    }
    best = dict.fromkeys(ways, float("inf"))
    with torch.no_grad():
        for turn in range(rounds + 1):
            for name, call in ways.items():
                start = time.process_time()
                call()
                if turn:
                    best[name] = min(best[name], time.process_time() - start)
    return best


def _in_torch(weights: list[torch.Tensor], inputs: dict[int, torch.Tensor]) -> Callable[[], Any]:
    return lambda: [nn.functional.linear(inputs[weight.shape[1]], weight) for weight in weights]


def _in_packed(weights: list[torch.Tensor], inputs: dict[int, torch.Tensor]) -> Callable[[], Any]:
    from .packed_linear import PackedLinear, linear_layer

    layers = [PackedLinear(linear_layer(weight)) for weight in weights]
    return lambda: [layer(inputs[layer.in_features]) for layer in layers]


def _in_onnx(weights: list[torch.Tensor], inputs: dict[int, torch.Tensor]) -> Callable[[], Any]:
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper

    given = {f"x{width}": rows.numpy() for width, rows in inputs.items()}
    names = [f"y{place}" for place in range(len(weights))]
    nodes, tensors = [], []
    for place, weight in enumerate(weights):
        nodes.append(helper.make_node("MatMul", [f"x{weight.shape[1]}", f"w{place}"], [names[place]]))
        tensors.append(numpy_helper.from_array(np.ascontiguousarray(weight.T.numpy()), f"w{place}"))
    graph = helper.make_graph(
        nodes,
        "block",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, rows.shape) for name, rows in given.items()],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, (ROWS, len(weight)))
            for name, weight in zip(names, weights, strict=True)
        ],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return lambda: session.run(None, given)


def _path(cache_dir: str | os.PathLike[str] | None) -> Path:
    return cache_root(cache_dir) / FILE


def _remember(times: dict[str, float], cache_dir: str | os.PathLike[str] | None) -> bool:
    path = _path(cache_dir)
    try:
        try:
            known = read_json(path)
        except ValueError:
            known = None
        known = known if isinstance(known, dict) else {}
        write_json(path, {**known, machine_key(): times})
    except OSError as error:
        logger.info("%s: cannot be written (%s); the engine is torch", path, error.strerror or error)
        return False
    return True


__all__ = ["fastest_engine", "machine_key", "probe_engines", "processor_name", "remembered_times"]
