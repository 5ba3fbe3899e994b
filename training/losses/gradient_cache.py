"""The loss of a whole batch with the memory of a micro-batch (GradCache)."""

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel
from torch.utils.checkpoint import get_device_states, set_device_states

from ...modeling import AuricleOutput

# Inputs with a row a segment; all others have a row a pair.
SEGMENT_INPUTS = ("input_features", "audio_attention_mask")
# Outputs with a row a pair that losses are computed from.
REPRESENTATIONS = ("audio_embeds", "text_embeds", "audio_cluster_logits", "text_cluster_logits")


class GradientCache:
    """
    Trains on a batch whose activations do not fit in memory, with the loss and the gradients of the whole batch.

    GradCache (Gao et al., arXiv 2101.06983, section 3.2) runs every micro-batch twice. [`forward`] keeps embeddings
    only. The loss compares the embeddings of the whole batch, and its backward pass ends there. [`backward`] runs each
    micro-batch again and continues with the gradients of its embeddings, so activations of one micro-batch at a time
    are in memory. The second run starts from the states of the random number generators that the first one started
    from: dropout and token drop are the same.

    Args:
        micro_batch_size: pairs in one forward pass, at least 1.

    Raises:
        ValueError: for a smaller one.
    """

    def __init__(self, micro_batch_size: int):
        if micro_batch_size < 1:
            raise ValueError(f"micro_batch_size={micro_batch_size} must be at least 1.")
        self.micro_batch_size = micro_batch_size
        self._runs: list[_Run] = []
        self._leaves: dict[str, torch.Tensor] = {}

    def forward(
        self,
        model: torch.nn.Module,
        inputs: Mapping[str, torch.Tensor],
        *,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> AuricleOutput:
        """
        Runs the micro-batches without storing activations.

        Args:
            model: an [`AuricleModel`], also one in DistributedDataParallel.
            inputs: the whole batch's tensors, as the collator makes them.
            generator: random generator of the token drop; every micro-batch starts from its present state, so that
                all drop the same tokens, as the rows of an undivided batch do.
            options: further arguments of the model.

        Returns:
            Embeddings, cluster logits and temperature of the whole batch. They are leaf tensors: the backward pass of a
            loss ends at them, and [`backward`] continues from there.
        """
        # The states are read before anything of the batch is drawn; only the wrapped module runs here, since
        # DistributedDataParallel would expect a backward pass.
        module = model.module if isinstance(model, DistributedDataParallel) else model
        start = None if generator is None else generator.get_state()
        parts: dict[str, list[torch.Tensor]] = {}
        self._runs = []
        for cut in cut_batch(inputs, self.micro_batch_size):
            run = _Run(cut, options, generator, start, _random_states(cut))
            self._runs.append(run)
            # With gradients, though nothing is kept: without, torch may choose other kernels for attention.
            for name, value in _representations(run.outputs(module)).items():
                parts.setdefault(name, []).append(value.detach())
        scale = parts.pop("logit_scale")[0]
        self._leaves = {name: torch.cat(rows) for name, rows in parts.items()} | {
            "logit_scale": scale.clone()
        }
        for leaf in self._leaves.values():
            leaf.requires_grad_()
        return AuricleOutput(**self._leaves)

    def backward(self, model: torch.nn.Module) -> None:
        """
        Adds the gradients of the parameters, after the loss's backward pass has reached the embeddings.

        Several processes exchange gradients in the last micro-batch only, and not at all if the caller is inside
        the model's ``no_sync``. Gradients have the scale of the loss.

        Args:
            model: the same as in [`forward`].

        Raises:
            RuntimeError: if [`forward`] was not called before.
        """
        if not self._runs:
            raise RuntimeError("there is no forward pass to continue.")
        runs, leaves = self._runs, self._leaves
        self._runs, self._leaves = [], {}
        first = 0
        for number, run in enumerate(runs):
            is_last = number == len(runs) - 1
            distributed = isinstance(model, DistributedDataParallel)
            with model.no_sync() if distributed and not is_last else nullcontext():
                run.restore_random_states()
                outputs = _representations(run.outputs(model))
                rows = slice(first, first + len(outputs["audio_embeds"]))
                # One temperature serves the whole batch: its gradient is added once.
                gradients = {
                    name: leaf.grad if name == "logit_scale" else leaf.grad[rows]
                    for name, leaf in leaves.items()
                    if leaf.grad is not None and (is_last or name != "logit_scale")
                }
                trained = [name for name in gradients if outputs[name].requires_grad]
                torch.autograd.backward(
                    [outputs[name] for name in trained], [gradients[name] for name in trained]
                )
                first = rows.stop


@dataclass
class _Run:
    """A micro-batch, and the states of all random number generators before its first forward pass."""

    inputs: dict[str, torch.Tensor]
    options: dict[str, Any]
    generator: torch.Generator | None
    generator_state: torch.Tensor | None
    states: tuple[torch.Tensor, list[int], list[torch.Tensor]]

    def outputs(self, model: torch.nn.Module) -> AuricleOutput:
        if self.generator is not None:
            self.generator.set_state(self.generator_state)
        return model(**self.inputs, **self.options, generator=self.generator)

    def restore_random_states(self) -> None:
        host, devices, states = self.states
        torch.set_rng_state(host)
        if devices:
            set_device_states(devices, states, device_type=self.inputs["input_features"].device.type)


def _random_states(inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, list[int], list[torch.Tensor]]:
    devices, states = get_device_states(*inputs.values())
    return torch.get_rng_state(), devices, states


def _representations(outputs: AuricleOutput) -> dict[str, torch.Tensor]:
    values = {name: getattr(outputs, name) for name in (*REPRESENTATIONS, "logit_scale")}
    return {name: value for name, value in values.items() if value is not None}


def cut_batch(inputs: Mapping[str, torch.Tensor], rows: int) -> list[dict[str, torch.Tensor]]:
    """
    Cuts a batch of pairs into consecutive micro-batches; the last one may be smaller.

    Args:
        inputs: tensors with one row per pair; those of [`SEGMENT_INPUTS`] have one row per segment,
            ``segment_counts`` rows per clip.
        rows: pairs of a micro-batch.

    Returns:
        The micro-batches: views, not copies.
    """
    counts = inputs["segment_counts"].tolist() if "segment_counts" in inputs else None
    paired = {name: value for name, value in inputs.items() if name not in SEGMENT_INPUTS}
    total = len(counts) if counts is not None else len(inputs["input_features"])
    cuts, first_segment = [], 0
    for first in range(0, total, rows):
        last = min(first + rows, total)
        segments = last - first if counts is None else sum(counts[first:last])
        cut = {name: value[first:last] for name, value in paired.items()}
        for name in SEGMENT_INPUTS:
            if name in inputs:
                cut[name] = inputs[name][first_segment : first_segment + segments]
        cuts.append(cut)
        first_segment += segments
    return cuts


__all__ = ["GradientCache", "cut_batch"]
