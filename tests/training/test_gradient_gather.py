"""Two real processes over gloo against one process with the whole batch: the same loss, the same gradients."""

import subprocess
import sys

import pytest
import torch
from tiny_recipes import environment

from auricle.modeling import contrastive_loss
from auricle.training.gradient_gather import gather_rows, gathered_contrastive_loss, world

# Positives within a process (0 and 0), across both (0, 1) and rows without another positive (2, 3, 4).
GROUPS = torch.tensor([0, 1, 2, 0, 1, 3, 0, 4])
WIDTH = 6

WORKER = """
import sys
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from auricle.training import gradient_gather

folder, rank = sys.argv[1], int(sys.argv[2])
distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
inputs = torch.load(f"{folder}/inputs.pt", weights_only=True)


class Towers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.audio = torch.nn.Parameter(inputs["audio_weight"].clone())
        self.text = torch.nn.Parameter(inputs["text_weight"].clone())
        self.scale = torch.nn.Parameter(inputs["scale"].clone())

    def forward(self, audio, text):
        normalize = torch.nn.functional.normalize
        return normalize(audio @ self.audio, dim=-1), normalize(text @ self.text, dim=-1), self.scale.exp()


def run(name):
    towers = Towers()
    half = slice(4 * rank, 4 * rank + 4)
    wrapped = DistributedDataParallel(towers)  # averages gradients for as long as it lives
    audio, text, scale = wrapped(inputs["audio"][half], inputs["text"][half])
    similarities = gradient_gather.gathered_similarities(audio, text)
    loss = gradient_gather.gathered_contrastive_loss(similarities, inputs["groups"][half], scale)
    loss.backward()
    mean = loss.detach().clone()
    distributed.all_reduce(mean)
    results[name] = {"loss": mean / 2, **{name: p.grad for name, p in towers.named_parameters()}}


results = {}
run("ours")
whole = gradient_gather.gather_rows
gradient_gather.gather_rows = lambda rows, with_gradient: whole(rows, with_gradient=False)
run("without gradient")
gathered = whole(torch.full((1, 2), float(rank)), with_gradient=False)
results["order"] = gathered, gradient_gather.world()
torch.save(results, f"{folder}/results{rank}.pt")
distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(0)
    return {
        "audio": torch.randn(8, 10, generator=generator),
        "text": torch.randn(8, 5, generator=generator),
        "audio_weight": torch.randn(10, WIDTH, generator=generator),
        "text_weight": torch.randn(5, WIDTH, generator=generator),
        "scale": torch.tensor(1.5),
        "groups": GROUPS,
    }


@pytest.fixture(scope="module")
def two_processes(inputs, tmp_path_factory):
    """What the two processes computed, one entry a process."""
    folder = tmp_path_factory.mktemp("gather")
    torch.save(inputs, folder / "inputs.pt")
    (folder / "worker.py").write_text(WORKER, encoding="utf-8")
    workers = [
        subprocess.Popen(
            [sys.executable, str(folder / "worker.py"), str(folder), str(rank)],
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    errors = [worker.communicate(timeout=120)[1] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(errors)
    return [torch.load(folder / f"results{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.fixture(scope="module")
def one_process(inputs):
    """Loss and gradients of the whole batch in this process, from the definition of the loss."""
    leaves = {name: inputs[f"{name}_weight"].clone().requires_grad_() for name in ("audio", "text")}
    leaves["scale"] = inputs["scale"].clone().requires_grad_()
    normalize = torch.nn.functional.normalize
    audio = normalize(inputs["audio"] @ leaves["audio"], dim=-1)
    text = normalize(inputs["text"] @ leaves["text"], dim=-1)
    loss = contrastive_loss(leaves["scale"].exp() * audio @ text.T, GROUPS[:, None] == GROUPS[None, :])
    loss.backward()
    return {"loss": loss.detach(), **{name: leaf.grad for name, leaf in leaves.items()}}


@pytest.mark.parametrize("name", ["loss", "audio", "text", "scale"])
def test_two_processes_equal_one_with_twice_the_batch(name, two_processes, one_process):
    assert one_process[name].abs().max() > 1e-3
    for results in two_processes:
        assert torch.allclose(results["ours"][name], one_process[name], rtol=0, atol=1e-6)


def test_a_gather_without_gradient_would_be_seen(two_processes, one_process):
    """The loss looks right then: only the gradients tell."""
    for results in two_processes:
        broken = results["without gradient"]
        assert torch.allclose(broken["loss"], one_process["loss"], rtol=0, atol=1e-6)
        for name in ("audio", "text"):
            assert (broken[name] - one_process[name]).abs().max() > 1e-2


def test_rows_come_in_the_order_of_the_ranks(two_processes):
    for rank, results in enumerate(two_processes):
        gathered, where = results["order"]
        assert gathered.tolist() == [[0.0, 0.0], [1.0, 1.0]]
        assert tuple(where) == (rank, 2)


def test_one_process_needs_no_gathering(inputs, one_process):
    assert world() == (0, 1)
    rows = torch.randn(3, 2)
    assert gather_rows(rows, with_gradient=True) is rows
    normalize = torch.nn.functional.normalize
    loss = gathered_contrastive_loss(
        normalize(inputs["audio"] @ inputs["audio_weight"], dim=-1),
        normalize(inputs["text"] @ inputs["text_weight"], dim=-1),
        GROUPS,
        inputs["scale"].exp(),
    )
    assert torch.allclose(loss, one_process["loss"], rtol=0, atol=1e-6)
