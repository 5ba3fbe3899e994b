"""Gathers embeddings over processes so that gradients flow back to their process."""

from dataclasses import dataclass

import torch
from torch import distributed

from ...modeling import contrastive_loss
from .distillation_loss import distillation_loss


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
            A plain gather stops gradients: the loss would look right and its gradients would be wrong.

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


@dataclass(frozen=True)
class GatheredSimilarities:
    """
    Inner products of this process's rows with the rows of all processes.

    Attributes:
        per_audio: own clips with all captions, ``(batch, processes x batch)``, float32.
        per_text: own captions with all clips, ``(batch, processes x batch)``, float32.
    """

    per_audio: torch.Tensor
    per_text: torch.Tensor


def gathered_similarities(
    audio: torch.Tensor, text: torch.Tensor, *, with_gradient: bool = True
) -> GatheredSimilarities:
    """
    Compares this process's clips and captions with those of all processes.

    Args:
        audio: ``(batch, width)``; row i belongs to row i of ``text``.
        text: ``(batch, width)``.
        with_gradient: as of [`gather_rows`].
    """
    # Mixed precision would multiply in 8 bits: an error of 0.002 in a cosine is one of 0.04 once divided by 0.05.
    with torch.autocast(audio.device.type, enabled=False):
        audio, text = audio.float(), text.float()
        return GatheredSimilarities(
            audio @ gather_rows(text, with_gradient=with_gradient).T,
            text @ gather_rows(audio, with_gradient=with_gradient).T,
        )


def gathered_contrastive_loss(
    similarities: GatheredSimilarities, groups: torch.Tensor, logit_scale: torch.Tensor
) -> torch.Tensor:
    """
    The contrastive loss of this process's rows against the rows of all processes.

    Averaged over processes, as distributed data parallel does with gradients, it equals the loss of one
    process with the whole batch; so do the gradients.

    Args:
        similarities: cosines, from [`gathered_similarities`].
        groups: int64 ``(batch,)``; pairs with equal numbers are positives of each other.
        logit_scale: ``1 / temperature``, a scalar.

    Returns:
        Scalar float32.
    """
    positives = groups[:, None] == gather_rows(groups, with_gradient=False)[None, :]
    return contrastive_loss(
        logit_scale * similarities.per_audio, positives, logit_scale * similarities.per_text, positives
    )


def gathered_distillation_loss(
    similarities: GatheredSimilarities,
    teacher_audio: torch.Tensor,
    teacher_text: torch.Tensor,
    temperature: float | torch.Tensor,
    answering: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    The distillation loss of this process's rows against the rows of all processes.

    Averaged over processes it equals the loss of one process with the whole batch, as the contrastive loss does.

    Args:
        similarities: the student's cosines, from [`gathered_similarities`].
        teacher_audio, teacher_text: ``(batch, teachers' width)``, vectors whose inner products are the teachers'
            mean cosines, from [`AlignedTeachers`]; row i belongs to row i of the student.
        temperature: above 0, see [`distillation_loss`].
        answering: ``(batch, teachers' width)`` of 0 and 1, see [`AlignedTeachers.answering`]; None lets all teachers
            answer for all rows.

    Returns:
        Scalar float32.
    """
    if answering is None:
        teachers = gathered_similarities(teacher_audio, teacher_text, with_gradient=False)
        per_audio, per_text = teachers.per_audio, teachers.per_text
    else:
        # A clip is judged by its own fold's teachers, and a caption by its own's: the two matrices differ.
        per_audio = gathered_similarities(
            teacher_audio * answering, teacher_text, with_gradient=False
        ).per_audio
        per_text = gathered_similarities(
            teacher_audio, teacher_text * answering, with_gradient=False
        ).per_text
    return distillation_loss(similarities.per_audio, per_audio, temperature, similarities.per_text, per_text)
