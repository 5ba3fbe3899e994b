"""Gathering embeddings over processes so that gradients flow back to where they came from."""

import torch
from torch import distributed

from ..modeling import contrastive_loss


def world() -> tuple[int, int]:
    """(rank, number of processes) of the running job; (0, 1) without a process group."""
    if distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank(), distributed.get_world_size()
    return 0, 1


def gather_rows(rows: torch.Tensor, *, with_gradient: bool) -> torch.Tensor:
    """
    Rows of all processes, in the order of their ranks.

    Args:
        rows: ``(rows, ...)``, equally many on every process.
        with_gradient: the backward pass sums the gradients of all processes and returns each its share.
            A plain gather has none: the loss would look right and its gradients would be wrong.

    Returns:
        ``(processes x rows, ...)``.
    """
    _, processes = world()
    if processes == 1:
        return rows
    rows = rows.contiguous()
    return _Gather.apply(rows) if with_gradient else _gather(rows)


def _gather(rows: torch.Tensor) -> torch.Tensor:
    _, processes = world()
    parts = [torch.empty_like(rows) for _ in range(processes)]
    distributed.all_gather(parts, rows)
    return torch.cat(parts, dim=0)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(context, rows: torch.Tensor) -> torch.Tensor:
        return _gather(rows)

    @staticmethod
    def backward(context, gradient: torch.Tensor) -> torch.Tensor:
        # Every process has a share in the gradient of everybody's rows.
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(gradient)
        rank, processes = world()
        return gradient.chunk(processes)[rank]


def gathered_contrastive_loss(
    audio_embeds: torch.Tensor,
    text_embeds: torch.Tensor,
    groups: torch.Tensor,
    logit_scale: torch.Tensor,
) -> torch.Tensor:
    """
    The contrastive loss of this process's rows against the rows of all processes.

    Averaged over processes, as distributed data parallel does with gradients, it equals the loss of one
    process with the whole batch; so do the gradients.

    Args:
        audio_embeds: ``(batch, width)``, unit length; row i belongs to row i of ``text_embeds``.
        text_embeds: ``(batch, width)``, unit length.
        groups: int64 ``(batch,)``; pairs with equal numbers are positives of each other.
        logit_scale: ``1 / temperature``, a scalar.

    Returns:
        Scalar float32.
    """
    all_audio = gather_rows(audio_embeds, with_gradient=True)
    all_text = gather_rows(text_embeds, with_gradient=True)
    all_groups = gather_rows(groups, with_gradient=False)
    positives = groups[:, None] == all_groups[None, :]
    return contrastive_loss(
        logit_scale * audio_embeds @ all_text.T,
        positives,
        logit_scale * text_embeds @ all_audio.T,
        positives,
    )
