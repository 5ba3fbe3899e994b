"""Parts of the loss between two log entries."""

import pytest
import torch

from auricle.training.losses.loss_parts import LossParts


def test_every_step_counts_alike_however_many_batches_it_accumulates():
    parts = LossParts()
    parts.add({"a": torch.tensor(1.0), "b": torch.tensor(5.0)}, step=0, batches=2)
    parts.add({"a": torch.tensor(3.0), "b": torch.tensor(7.0)}, step=0, batches=2)
    # The last step of an epoch may have fewer.
    parts.add({"a": torch.tensor(10.0), "b": torch.tensor(0.0)}, step=1, batches=1)
    means = parts.take()
    assert {name: mean.item() for name, mean in means.items()} == {"a": (2 + 10) / 2, "b": 6 / 2}


def test_what_was_taken_is_gone():
    parts = LossParts()
    assert parts.take() == {}
    parts.add({"a": torch.tensor(1.0)}, step=0, batches=1)
    parts.take()
    parts.add({"a": torch.tensor(4.0)}, step=1, batches=1)
    assert parts.take()["a"].item() == 4.0
    assert parts.take() == {}


def test_no_graph_is_kept_and_half_precision_adds_up_in_single():
    parts = LossParts()
    for step in range(1000):
        parts.add({"a": torch.tensor(1.0, dtype=torch.bfloat16, requires_grad=True)}, step=step, batches=1)
    mean = parts.take()["a"]
    assert not mean.requires_grad and mean.item() == pytest.approx(1.0)
