"""The symmetric multi-positive contrastive loss, as pure functions of similarities."""

import torch


def positive_cross_entropy(logits: torch.Tensor, positive_mask: torch.Tensor) -> torch.Tensor:
    """
    Cross-entropy of each row's softmax against the uniform distribution over the row's positives.

    Computed in float32 for any input type.

    Args:
        logits: similarities divided by the temperature, ``(queries, candidates)``.
        positive_mask: bool ``(queries, candidates)``; every row has at least one True.

    Returns:
        Mean over the rows, a scalar of at least 0.

    Raises:
        ValueError: if the shapes differ or a row has no positive.
    """
    if logits.shape != positive_mask.shape:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}, positive_mask has {tuple(positive_mask.shape)}; "
            "they must be equal."
        )
    positives = positive_mask.sum(dim=-1)
    if not torch.compiler.is_compiling() and bool((positives == 0).any()):
        row = int((positives == 0).nonzero()[0])
        raise ValueError(f"row {row} of positive_mask has no positive; every query needs at least one.")
    log_probabilities = logits.float().log_softmax(dim=-1)
    # `where`, not a product: a logit of -inf outside the positives must not turn into a NaN.
    positive_terms = torch.where(positive_mask, log_probabilities, log_probabilities.new_zeros(()))
    return -(positive_terms.sum(dim=-1) / positives).mean()


def contrastive_loss(
    logits_per_audio: torch.Tensor,
    positive_mask: torch.Tensor | None = None,
    logits_per_text: torch.Tensor | None = None,
    positive_mask_per_text: torch.Tensor | None = None,
) -> torch.Tensor:
    """
    Contrastive loss over both directions, ``L_sup = H(p_a, q_a) + H(p_c, q_c)``.

    This is the scale of the DCASE 2025 report (arXiv 2509.16649): the SUM of the two directions, twice what
    CLIP-style code calls the symmetric loss. ``q`` is the softmax of the logits and ``p`` is uniform over the
    positives, so all captions of one clip in a batch are correct answers.

    Args:
        logits_per_audio: cosine similarities divided by the temperature, ``(clips, captions)``.
        positive_mask: bool ``(clips, captions)``, True where the caption describes the clip; None means that
            clip i and caption i are the only pairs.
        logits_per_text: ``(captions, clips)``. Given only if the rows of one process are compared with the
            columns of all, so that the two matrices are not each other's transpose.
        positive_mask_per_text: bool ``(captions, clips)``; goes with ``logits_per_text``.

    Returns:
        The loss, a float32 scalar of at least 0.

    Raises:
        ValueError: if shapes differ, a row has no positive, or the default pairing meets unequal counts.
    """
    if positive_mask is None:
        clips, captions = logits_per_audio.shape
        if clips != captions:
            raise ValueError(
                f"without a positive_mask clip i belongs to caption i, but there are {clips} clips and "
                f"{captions} captions."
            )
        positive_mask = torch.eye(clips, dtype=torch.bool, device=logits_per_audio.device)
    if logits_per_text is None:
        logits_per_text, positive_mask_per_text = logits_per_audio.T, positive_mask.T
    elif positive_mask_per_text is None:
        raise ValueError("logits_per_text needs its own positive_mask_per_text.")
    return positive_cross_entropy(logits_per_audio, positive_mask) + positive_cross_entropy(
        logits_per_text, positive_mask_per_text
    )
