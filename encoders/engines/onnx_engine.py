"""Runs towers in float32 with ONNX Runtime: exported once per model and stored in the cache."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ...files.locking import DirectoryLockedError, directory_lock
from ...files.saved_directories import replace_directory
from .engine_names import EngineError
from .export_cache import GRAPH
from .onnx_graphs import quiet_exporter, write_graph
from .onnx_session import open_session

logger = logging.getLogger(__name__)

# Of token outputs, which are not of unit length, relative to the largest of them.
_EXPORT_TOLERANCE = 1e-4
_LOCK_SECONDS = 600.0


def run_by_onnx(
    tower: nn.Module,
    example: Mapping[str, torch.Tensor],
    shapes: Mapping[str, Mapping[int, Any]],
    directory: Path,
    *,
    name: str,
) -> None:
    """
    Replaces a tower by ONNX Runtime; its graph is exported first if the cache lacks it or has a damaged one.

    Args:
        tower: a model of the transformers library, in evaluation mode, float32, on the CPU.
        example: its inputs by name, one or two of them, of two items.
        shapes: their dynamic axes.
        directory: directory of its export; see [`export_cache.export_directory`].
        name: name of the model, for messages.

    Raises:
        EngineError: if the tower cannot be exported or saved, or the export gives different embeddings.
    """
    path = directory / GRAPH

    def export(is_missing: Callable[[], bool]) -> None:
        try:
            with directory_lock(directory.parent, f"{directory.name}.lock", seconds=_LOCK_SECONDS):
                # Another process may have exported it meanwhile.
                if is_missing():
                    logger.info("%s: exporting a tower for ONNX Runtime to %s", name, directory)
                    replace_directory(directory, lambda fresh: _export(tower, example, shapes, fresh, name))
        except EngineError:
            raise
        except (OSError, DirectoryLockedError) as error:
            reason = getattr(error, "strerror", None) or error
            raise EngineError(name, "onnx", f"its export cannot be kept in {directory} ({reason})") from error

    if not path.is_file():
        export(lambda: not path.is_file())
    try:
        tower.forward = _runner(path, list(example))
    except ValueError as error:
        logger.warning("%s: %s It is exported again.", name, error)
        export(lambda: True)
        tower.forward = _runner(path, list(example))


def _export(
    tower: nn.Module,
    example: Mapping[str, torch.Tensor],
    shapes: Mapping[str, Mapping[int, Any]],
    directory: Path,
    name: str,
) -> None:
    network = _Outputs(tower, list(example)).eval()
    with torch.no_grad():
        expected = network(*example.values())
        outputs = ["last_hidden_state", "pooler_output"][: len(expected)]
        try:
            with quiet_exporter():
                write_graph(
                    network,
                    tuple(example.values()),
                    list(example),
                    outputs,
                    tuple(shapes[key] for key in example),
                    directory / GRAPH,
                )
        except (RuntimeError, ValueError, torch.onnx.OnnxExporterError) as error:
            first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise EngineError(name, "onnx", f"a tower cannot be exported ({first.strip()})") from error
    try:
        compute = _runner(directory / GRAPH, list(example))
    except ValueError as error:
        raise EngineError(name, "onnx", f"its export cannot be loaded ({error})") from error
    for count in (1, 2):
        given = {key: value[:count] for key, value in example.items()}
        answer = compute(**given)
        for got, wanted in zip(answer.values(), expected, strict=True):
            largest = float((got - wanted[:count]).abs().max() / wanted.abs().max().clamp(min=1.0))
            if not largest <= _EXPORT_TOLERANCE:
                raise EngineError(name, "onnx", f"an exported tower differs from the model by {largest:.2g}")


class _Outputs(nn.Module):
    """A tower's token outputs and, where it has them, its pooled ones, as a tuple."""

    def __init__(self, tower: nn.Module, names: list[str]):
        super().__init__()
        self.tower, self.names = tower, names

    # The exporter wants its inputs one by one.
    def forward(self, first: torch.Tensor, second: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        given = [value for value in (first, second) if value is not None]
        outputs = self.tower(**dict(zip(self.names, given, strict=True)))
        pooled = outputs.get("pooler_output")
        return (outputs.last_hidden_state,) if pooled is None else (outputs.last_hidden_state, pooled)


def _runner(path: Path, names: list[str]) -> Any:
    session = open_session(path, torch.get_num_threads())

    def compute(**given: Any) -> BaseModelOutputWithPooling:
        for name, value in given.items():
            if isinstance(value, torch.Tensor) and name not in names and bool(value.any()):
                raise ValueError(f"the exported tower takes {', '.join(names)}, and not {name}.")
        feeds = {name: given[name].numpy() for name in names}
        found = [torch.from_numpy(value) for value in session.run(None, feeds)]
        return BaseModelOutputWithPooling(*found)

    return compute


__all__ = ["run_by_onnx"]
