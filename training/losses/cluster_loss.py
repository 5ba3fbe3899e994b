"""Classification of captions' clusters by both towers' heads, as a pure function of logits."""

import torch


def cluster_losses(
    audio_logits: torch.Tensor, text_logits: torch.Tensor, labels: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Cross-entropies of both heads, ``L_cls_audio`` and ``L_cls_text`` of the AISTAT report (arXiv 2509.16649).

    The text head predicts the caption's cluster, the audio head the cluster of the caption that the clip is
    paired with in this batch. Rows are independent, so the mean over processes with equally many rows is the loss of
    one process with all of them: no gathering is needed.

    Half-precision input is computed in float32, float64 in float64.

    Args:
        audio_logits: ``(batch, clusters)``.
        text_logits: ``(batch, clusters)``.
        labels: the captions' clusters, int64 ``(batch,)``, each 0 to ``clusters - 1``.

    Returns:
        The audio and the text head's loss, each a float32 (float64) scalar of at least 0, averaged over the rows.

    Raises:
        ValueError: if the shapes do not fit one another or are empty, or a label is out of range; the message names
            the label and its row.
    """
    for name, logits in (("audio_logits", audio_logits), ("text_logits", text_logits)):
        if logits.dim() != 2 or not logits.numel() or labels.shape != logits.shape[:1]:
            raise ValueError(
                f"{name} have shape {tuple(logits.shape)}, labels have {tuple(labels.shape)}; expected "
                "(batch, clusters) and (batch,), not empty."
            )
    if audio_logits.shape != text_logits.shape:
        raise ValueError(
            f"audio_logits are for {audio_logits.shape[1]} clusters, text_logits for {text_logits.shape[1]}; both "
            "heads must have the same number."
        )
    clusters = audio_logits.shape[1]
    if labels.dtype != torch.int64:
        raise ValueError(f"labels are {labels.dtype}, but must be int64.")
    if not torch.compiler.is_compiling():
        wrong = (labels < 0) | (labels >= clusters)
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0])
            raise ValueError(
                f"labels[{row}] is {int(labels[row])}; the heads have {clusters} clusters, 0 to {clusters - 1}."
            )
    return _cross_entropy(audio_logits, labels), _cross_entropy(text_logits, labels)


def _cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    precise = logits if logits.dtype == torch.float64 else logits.float()
    return torch.nn.functional.cross_entropy(precise, labels)


__all__ = ["cluster_losses"]
