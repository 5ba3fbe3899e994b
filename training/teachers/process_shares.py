"""Embedding clips and captions with all processes of a job, each its share, for the main one to collect."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from torch import distributed

from ...encoders import AudioTextEncoder
from ..losses.gradient_gather import world
from .pooled_captions import PooledCaptions

LONGEST_WAIT = timedelta(days=1)
T = TypeVar("T")


@dataclass(frozen=True)
class EmbeddedPairs:
    """
    Vectors of a dataset.

    Attributes:
        audio: float32 ``(clips, width)``, unit length; zeros for clips that cannot be read.
        captions: float32 ``(captions, width)``, unit length.
        unreadable: (index of the clip, reason).
    """

    audio: np.ndarray
    captions: np.ndarray
    unreadable: list[tuple[int, str]]


def join_processes() -> PartialState:
    """
    Joins the processes of a job that a launcher started; a process of its own is a job of one.

    They wait for each other a day at most, where half an hour would be usual: shares of long recordings differ, and
    one process may have to render or decode a dataset before the others can continue.
    """
    return PartialState(cpu=not torch.cuda.is_available(), timeout=LONGEST_WAIT)


def first_on_main(action: Callable[[], T]) -> T:
    """
    Calls a function on the main process and then on the others, which end quietly if it failed there.

    Raises:
        SystemExit: with code 2 on the other processes, if the main process reports an error.
    """
    if world()[1] == 1:
        return action()
    if PartialState().is_main_process:
        try:
            value = action()
        except Exception:
            broadcast_object_list([False])
            raise
        broadcast_object_list([True])
        return value
    if not broadcast_object_list([None])[0]:
        raise SystemExit(2)
    return action()


def embed_in_shares(
    encoder: AudioTextEncoder,
    clips: Sequence[Any],
    captions: Sequence[str],
    *,
    batch_size: int,
    num_workers: int = 0,
    pooled_captions: PooledCaptions | None = None,
    progress: bool = False,
) -> EmbeddedPairs | None:
    """
    Embeds clips and captions; to be called by all processes of the job with the same arguments.

    Args:
        encoder: the same on every process, on the process's own device.
        clips: in any form that the encoder takes; those that cannot be read are left at zeros.
        captions: sentences; equal ones should be given once.
        batch_size: segments, or sentences, at a time.
        num_workers: threads of each process that decode clips.
        pooled_captions: where vectors of the encoder's text tower may be kept; used if it holds any of that tower.
        progress: show progress bars on the main process.

    Returns:
        All vectors in the order given on the main process, None on the others.
    """
    rank, processes = world()
    progress = progress and rank == 0
    audio, failures = encoder.embed_clips(
        clips[rank::processes],
        batch_size=batch_size,
        progress=progress,
        skip_unreadable=True,
        num_workers=num_workers,
    )
    own, options = captions[rank::processes], {"batch_size": batch_size, "progress": progress}
    if pooled_captions is not None and pooled_captions.holds(encoder):
        text = pooled_captions.projected(encoder, own, **options)
    else:
        text = encoder.embed_texts(own, **options)
    shares = _collect((audio, text, failures))
    if shares is None:
        return None
    width = encoder.embedding_dim
    pairs = EmbeddedPairs(
        audio=np.empty((len(clips), width), dtype=np.float32),
        captions=np.empty((len(captions), width), dtype=np.float32),
        unreadable=[],
    )
    for place, (audio, text, failures) in enumerate(shares):
        pairs.audio[place::processes] = audio
        pairs.captions[place::processes] = text
        pairs.unreadable.extend((place + processes * index, reason) for index, reason in failures)
    pairs.unreadable.sort()
    return pairs


def _collect(share: Any) -> list[Any] | None:
    rank, processes = world()
    if processes == 1:
        return [share]
    shares: list[Any] | None = [None] * processes if rank == 0 else None
    distributed.gather_object(share, shares, dst=0)
    return shares
