"""Two real processes over gloo against one process with the whole batch: the same loss, the same gradients."""

import subprocess
import sys

import pytest
import torch
from tiny_recipes import environment

from auricle.modeling import contrastive_loss
from auricle.training.losses.cluster_loss import cluster_losses
from auricle.training.losses.distillation_loss import distillation_loss
from auricle.training.losses.gradient_gather import (
    gather_rows,
    gathered_contrastive_loss,
    gathered_distillation_loss,
    gathered_similarities,
    world,
)

# Positives within a process (0 and 0), across both (0, 1) and rows without another positive (2, 3, ...).
GROUPS = torch.tensor([0, 1, 2, 0, 5, 6, 7, 8, 1, 3, 0, 4, 9, 10, 11, 12])
WIDTH, TEACHERS, CLUSTERS = 6, 7, 5
PARAMETERS = ("audio", "text", "scale", "audio_head", "text_head")
# Weights of the contrastive, the distillation and both cluster losses.
OBJECTIVES = {
    "contrastive": (1.0, 0.0, 0.0),
    "distillation": (0.0, 1.0, 0.0),
    "clusters": (0.0, 0.0, 1.0),
    "all": (1.0, 0.7, 0.05),
}

WORKER = """
import sys
import torch
from torch import distributed
from torch.nn.parallel import DistributedDataParallel
from auricle.training.losses import gradient_gather
from auricle.training.losses.cluster_loss import cluster_losses

folder, rank = sys.argv[1], int(sys.argv[2])
distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
inputs = torch.load(f"{folder}/inputs.pt", weights_only=True)


class Towers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        for name in inputs["parameters"]:
            setattr(self, name, torch.nn.Parameter(inputs["weights"][name].clone()))

    def forward(self, audio, text):
        audio, text = audio @ self.audio, text @ self.text
        normalize = torch.nn.functional.normalize
        embeds = normalize(audio, dim=-1), normalize(text, dim=-1)
        return *embeds, self.scale.exp(), audio @ self.audio_head, text @ self.text_head


def run(name, weights):
    towers = Towers()
    half = slice(8 * rank, 8 * rank + 8)
    own = {name: rows[half] for name, rows in inputs["rows"].items()}
    wrapped = DistributedDataParallel(towers)  # averages gradients for as long as it lives
    audio, text, scale, audio_logits, text_logits = wrapped(own["audio"], own["text"])
    similarities = gradient_gather.gathered_similarities(audio, text)
    losses = (
        gradient_gather.gathered_contrastive_loss(similarities, own["groups"], scale),
        gradient_gather.gathered_distillation_loss(
            similarities, own["teacher_audio"], own["teacher_text"], 1 / scale
        ),
        sum(cluster_losses(audio_logits, text_logits, own["clusters"])),
    )
    loss = sum(weight * loss for weight, loss in zip(weights, losses))
    loss.backward()
    mean = loss.detach().clone()
    distributed.all_reduce(mean)
    results[name] = {"loss": mean / 2, **{name: p.grad for name, p in towers.named_parameters()}}


results = {}
for name, weights in inputs["objectives"].items():
    run(name, weights)
whole = gradient_gather.gather_rows
gradient_gather.gather_rows = lambda rows, with_gradient: whole(rows, with_gradient=False)
for name in ("contrastive", "distillation"):
    run(f"{name} without gradient", inputs["objectives"][name])
gathered = whole(torch.full((1, 2), float(rank)), with_gradient=False)
results["order"] = gathered, gradient_gather.world()
torch.save(results, f"{folder}/results{rank}.pt")
distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=generator)

    return {
        "rows": {
            "audio": draw(16, 10),
            "text": draw(16, 5),
            "groups": GROUPS,
            # Several teachers' vectors, as scaled as a bank's: their products are mean cosines.
            "teacher_audio": torch.nn.functional.normalize(draw(16, TEACHERS), dim=-1),
            "teacher_text": torch.nn.functional.normalize(draw(16, TEACHERS), dim=-1),
            "clusters": torch.randint(CLUSTERS, (16,), generator=generator),
        },
        "weights": {
            "audio": draw(10, WIDTH),
            "text": draw(5, WIDTH),
            "scale": torch.tensor(1.5),
            "audio_head": draw(WIDTH, CLUSTERS),
            "text_head": draw(WIDTH, CLUSTERS),
        },
        "parameters": PARAMETERS,
        "objectives": OBJECTIVES,
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


def outputs_of(inputs, leaves):
    """Embeddings and cluster logits of all rows, as the towers of the two processes make them."""
    audio, text = (inputs["rows"][name] @ leaves[name] for name in ("audio", "text"))
    normalize = torch.nn.functional.normalize
    embeds = normalize(audio, dim=-1), normalize(text, dim=-1)
    return *embeds, audio @ leaves["audio_head"], text @ leaves["text_head"]


@pytest.fixture(scope="module")
def one_process(inputs):
    """Loss and gradients of the whole batch in this process, from the definitions of the losses."""
    rows, results = inputs["rows"], {}
    for name, weights in OBJECTIVES.items():
        leaves = {name: value.clone().requires_grad_() for name, value in inputs["weights"].items()}
        audio, text, audio_logits, text_logits = outputs_of(inputs, leaves)
        scale = leaves["scale"].exp()
        losses = (
            contrastive_loss(scale * audio @ text.T, GROUPS[:, None] == GROUPS[None, :]),
            distillation_loss(audio @ text.T, rows["teacher_audio"] @ rows["teacher_text"].T, 1 / scale),
            sum(cluster_losses(audio_logits, text_logits, rows["clusters"])),
        )
        loss = sum(weight * loss for weight, loss in zip(weights, losses, strict=True))
        loss.backward()
        results[name] = {"loss": loss.detach(), **{name: leaf.grad for name, leaf in leaves.items()}}
    return results


@pytest.mark.parametrize("name", ["loss", *PARAMETERS])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_two_processes_equal_one_with_twice_the_batch(objective, name, two_processes, one_process):
    expected = one_process[objective][name]
    heads_only = {"scale"} if objective == "clusters" else {"audio_head", "text_head"}
    if objective == "all" or name not in heads_only:
        assert expected.abs().max() > 1e-3
    for results in two_processes:
        assert torch.allclose(results[objective][name], expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("objective", ["contrastive", "distillation"])
def test_a_gather_without_gradient_would_be_seen(objective, two_processes, one_process):
    """The loss looks right then: only the gradients tell."""
    for results in two_processes:
        broken, expected = results[f"{objective} without gradient"], one_process[objective]
        assert torch.allclose(broken["loss"], expected["loss"], rtol=0, atol=1e-6)
        for name in ("audio", "text"):
            assert (broken[name] - expected[name]).abs().max() > 1e-2


def test_rows_come_in_the_order_of_the_ranks(two_processes):
    for rank, results in enumerate(two_processes):
        gathered, where = results["order"]
        assert gathered.tolist() == [[0.0, 0.0], [1.0, 1.0]]
        assert tuple(where) == (rank, 2)


def test_one_process_needs_no_gathering(inputs, one_process):
    assert world() == (0, 1)
    rows = torch.randn(3, 2)
    assert gather_rows(rows, with_gradient=True) is rows
    audio, text, _, _ = outputs_of(inputs, inputs["weights"])
    scale, rows = inputs["weights"]["scale"].exp(), inputs["rows"]
    similarities = gathered_similarities(audio, text)
    assert torch.equal(similarities.per_audio, similarities.per_text.T)
    losses = {
        "contrastive": gathered_contrastive_loss(similarities, GROUPS, scale),
        "distillation": gathered_distillation_loss(
            similarities, rows["teacher_audio"], rows["teacher_text"], (1 / scale).item()
        ),
    }
    for name, loss in losses.items():
        assert torch.allclose(loss, one_process[name]["loss"], rtol=0, atol=1e-6)


def test_only_the_answering_teachers_count():
    """A clip's targets are those of its own fold's teacher among all captions, and a caption's those of its own."""
    draws = torch.Generator().manual_seed(3)
    audio, text = (torch.randn(5, 2 * 4, generator=draws) for _ in range(2))
    student = gathered_similarities(*(torch.randn(5, 3, generator=draws) for _ in range(2)))
    folds = [0, 1, 1, 0, 1]
    answering = torch.zeros(5, 8)
    per_audio, per_text = torch.zeros(5, 5), torch.zeros(5, 5)
    for row, fold in enumerate(folds):
        own = slice(4 * fold, 4 * fold + 4)
        answering[row, own] = 1
        for other in range(5):
            per_audio[row, other] = audio[row, own] @ text[other, own]
            per_text[row, other] = text[row, own] @ audio[other, own]
    expected = distillation_loss(student.per_audio, per_audio, 0.3, student.per_text, per_text)
    found = gathered_distillation_loss(student, audio, text, 0.3, answering)
    assert torch.allclose(found, expected, rtol=0, atol=1e-6)
    assert not torch.allclose(found, gathered_distillation_loss(student, audio, text, 0.3), atol=1e-3)


def test_mixed_precision_does_not_round_similarities(inputs):
    """In bfloat16 a cosine is off by 0.002, a logit at a temperature of 0.05 by 0.04."""
    audio, text, _, _ = outputs_of(inputs, inputs["weights"])
    exact = gathered_similarities(audio, text)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = audio @ text.T
        mixed = gathered_similarities(audio, text)
    assert rounded.dtype == torch.bfloat16 and mixed.per_audio.dtype == torch.float32
    assert torch.equal(mixed.per_audio, exact.per_audio) and torch.equal(mixed.per_text, exact.per_text)
