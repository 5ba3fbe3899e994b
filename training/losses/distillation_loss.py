"""Distillation from teachers' similarities, as a pure function of similarities."""

import torch


def distillation_loss(
    similarities: torch.Tensor,
    teacher_similarities: torch.Tensor,
    temperature: float | torch.Tensor,
    similarities_per_text: torch.Tensor | None = None,
    teacher_similarities_per_text: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    Cross-entropy of the student's softmaxes against the teachers', ``L_dist = H(p_a, q_a) + H(p_c, q_c)``.

    In either direction ``q`` is the softmax of the student's cosine similarities divided by the temperature, and
    the soft targets ``p`` are the softmax of the teachers' mean similarities at the same temperature (Primus et
    al., arXiv 2408.11641; AISTAT report, arXiv 2509.16649). It is the SUM of the two directions, each averaged over
    its rows: the scale of ``contrastive_loss``. Labels are not used: captions of one clip share a teacher column
    of equal targets anyway. The minimum of the loss is the targets' entropy, reached if the two softmaxes are
    equal.

    Half-precision input is computed in float32, float64 in float64: at a temperature of 0.05 the exponents span
    2 / 0.05 = 40, and a teacher's information is in the small probabilities at the end of that span.

    Args:
        similarities: the student's cosine similarities in -1 to 1, ``(clips, captions)``.
        teacher_similarities: the teachers' mean cosine similarities, ``(clips, captions)``; gets no gradient.
        temperature: above 0; a scalar tensor may carry a gradient, which the targets do not give it.
        similarities_per_text: ``(captions, clips)``. Given only if the rows of one process are compared with the
            columns of all, so that the two matrices are not each other's transpose.
        teacher_similarities_per_text: ``(captions, clips)``; goes with ``similarities_per_text``.

    Returns:
        The loss, a float32 (float64) scalar of at least 0. A NaN of the student becomes a NaN here, for mixed
        precision to skip the step.

    Raises:
        ValueError: if shapes differ or are empty, only one of the two matrices per text is given, a teacher's
            similarity is not finite, or the temperature is not above 0.
    """
    if (similarities_per_text is None) != (teacher_similarities_per_text is None):
        raise ValueError(
            "similarities_per_text and teacher_similarities_per_text go together; give both or none."
        )
    fixed = temperature.detach() if isinstance(temperature, torch.Tensor) else temperature
    if not torch.compiler.is_compiling() and not float(fixed) > 0:
        raise ValueError(f"temperature={float(fixed)} must be above 0.")
    _check(similarities, teacher_similarities, "")
    if similarities_per_text is None:
        similarities_per_text, teacher_similarities_per_text = similarities.T, teacher_similarities.T
    else:
        _check(similarities_per_text, teacher_similarities_per_text, "_per_text")
    return _soft_cross_entropy(similarities, teacher_similarities, temperature) + _soft_cross_entropy(
        similarities_per_text, teacher_similarities_per_text, temperature
    )


def _soft_cross_entropy(
    student: torch.Tensor, teacher: torch.Tensor, temperature: float | torch.Tensor
) -> torch.Tensor:
    """Mean over the rows of the cross-entropy of the student's softmax against the teacher's."""
    fixed = temperature.detach() if isinstance(temperature, torch.Tensor) else temperature
    targets = (_precise(teacher.detach()) / fixed).softmax(dim=-1)
    log_probabilities = (_precise(student) / temperature).log_softmax(dim=-1)
    return -(targets * log_probabilities).sum(dim=-1).mean()


def _precise(values: torch.Tensor) -> torch.Tensor:
    return values if values.dtype == torch.float64 else values.float()


def _check(student: torch.Tensor, teacher: torch.Tensor, suffix: str) -> None:
    if student.shape != teacher.shape or student.dim() != 2 or not student.numel():
        raise ValueError(
            f"similarities{suffix} have shape {tuple(student.shape)}, teacher_similarities{suffix} have "
            f"{tuple(teacher.shape)}; they must be equal, of two dimensions and not empty."
        )
    if not torch.compiler.is_compiling() and not bool(teacher.isfinite().all()):
        row, column = (~teacher.isfinite()).nonzero()[0].tolist()
        raise ValueError(
            f"teacher_similarities{suffix}[{row}, {column}] is {teacher[row, column].item()}, but must be finite."
        )


__all__ = ["distillation_loss"]
