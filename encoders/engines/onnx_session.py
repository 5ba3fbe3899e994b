"""Sessions of ONNX Runtime for towers that the cache has; needs neither torch nor transformers."""

import os
from typing import Any


def open_session(path: str | os.PathLike[str], num_threads: int) -> Any:
    """
    A session on the CPU that gives the same bits in every run.

    Args:
        path: file of a graph.
        num_threads: number of threads of one call.

    Raises:
        ImportError: if onnxruntime is not installed.
        ValueError: if the file cannot be read or is not a graph; the message names it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = num_threads
    # A waiting thread sleeps instead of spinning: the machine stays usable.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.use_deterministic_compute = True
    try:
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        # Its errors have no base class of their own.
        if type(error).__module__.partition(".")[0] != "onnxruntime":
            raise
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise ValueError(f"{os.fspath(path)}: ONNX Runtime cannot load it ({reason}).") from error


__all__ = ["open_session"]
