"""Writes networks as ONNX files, without output of the exporter and without paths of this machine."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import torch
from torch import nn


def write_graph(
    network: nn.Module,
    example: tuple,
    inputs: list[str],
    outputs: list[str],
    shapes: tuple,
    path: Path,
) -> None:
    """
    Writes a network as an ONNX file.

    Args:
        network: in evaluation mode.
        example: its arguments.
        inputs, outputs: names.
        shapes: dynamic axes of each argument, as in ``torch.onnx.export``.
        path: path of the file; large weights are next to it in ``NAME.data``.

    Raises:
        RuntimeError, ValueError, torch.onnx.OnnxExporterError: if the exporter fails.
    """
    program = torch.onnx.export(
        network,
        example,
        dynamo=True,
        input_names=inputs,
        output_names=outputs,
        dynamic_shapes=shapes,
        optimize=True,
        verbose=False,
    )
    # The exporter notes at each node the source files that it came from, with this machine's paths.
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()
    program.save(path)


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Silences the exporter's progress output and its warnings about unrelated packages."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "root", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), open(os.devnull, "w") as nowhere, redirect_stdout(nowhere):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


__all__ = ["quiet_exporter", "write_graph"]
