"""The distillation loss against its definition written out in Python, in double precision."""

import math

import numpy as np
import pytest
import torch

from auricle.training.losses.distillation_loss import distillation_loss

TAU = 0.05


def brute_log_softmax(values):
    peak = max(values)
    log_normaliser = peak + math.log(sum(math.exp(value - peak) for value in values))
    return [value - log_normaliser for value in values]


def brute_direction(student, teacher, tau):
    """H(p, q) row by row: p the softmax of the teacher's similarities over tau, q that of the student's."""
    total = 0.0
    for row, target in zip(student, teacher, strict=True):
        log_q = brute_log_softmax([value / tau for value in row])
        log_p = brute_log_softmax([value / tau for value in target])
        total -= sum(math.exp(p) * q for p, q in zip(log_p, log_q, strict=True))
    return total / len(student)


def brute_loss(student, teacher, tau=TAU):
    return brute_direction(student.tolist(), teacher.tolist(), tau) + brute_direction(
        student.T.tolist(), teacher.T.tolist(), tau
    )


def random_case(seed, clips, captions):
    """Similarities of a student and of its teachers, each from -1 to 1."""
    rng = np.random.default_rng(seed)
    return tuple(torch.tensor(rng.uniform(-1, 1, (clips, captions))) for _ in range(2))


SHAPES = [(1, 1), (4, 4), (3, 11), (9, 2), (1, 6)]


@pytest.mark.parametrize(("clips", "captions"), SHAPES)
@pytest.mark.parametrize("seed", range(3))
def test_equals_the_definition(seed, clips, captions):
    student, teacher = random_case(seed, clips, captions)
    got = distillation_loss(student, teacher, TAU)
    assert got.dtype == torch.float64 and got.shape == ()
    assert got.item() == pytest.approx(brute_loss(student, teacher), rel=1e-10, abs=1e-10)
    single = distillation_loss(student.float(), teacher.float(), TAU)
    assert single.dtype == torch.float32
    assert single.item() == pytest.approx(got.item(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("seed", range(3))
def test_half_precision_similarities_lose_nothing_further(dtype, seed):
    student, teacher = (values.to(dtype) for values in random_case(seed, 12, 15))
    got = distillation_loss(student, teacher, TAU)
    assert got.dtype == torch.float32
    assert got.item() == pytest.approx(brute_loss(student.double(), teacher.double()), rel=1e-5)


def test_bfloat16_stays_within_a_thousandth_of_the_exact_loss():
    # Rounding the similarities to 8 bits is the larger part: it averages out over a batch of the usual size.
    student, teacher = random_case(5, 128, 128)
    got = distillation_loss(student.bfloat16(), teacher.bfloat16(), TAU)
    assert got.item() == pytest.approx(brute_loss(student, teacher), rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_a_spread_of_forty_keeps_its_tail(dtype):
    """exp(-40) is no number in half precision, and its logarithm infinite if taken afterwards."""
    student, teacher = (
        torch.tensor([[1.0, -1.0, 0.0]], dtype=dtype),
        torch.tensor([[-1.0, 1.0, 0.0]], dtype=dtype),
    )
    assert distillation_loss(student, teacher, TAU).item() == pytest.approx(40.0, rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_tail_moves_the_student(dtype):
    """Both are sure of the first candidate; which of the others comes second is told by exp(-20)."""
    student = torch.tensor([[1.0, 0.0, -1.0]], dtype=dtype, requires_grad=True)
    distillation_loss(student, torch.tensor([[1.0, -1.0, 0.0]], dtype=dtype), TAU).backward()
    second = math.exp(-20) / TAU
    assert student.grad[0, 1:].tolist() == pytest.approx([second, -second], rel=4e-3)


def test_gradient_equals_finite_differences():
    student, teacher = random_case(7, 4, 6)
    temperature = torch.tensor(0.3, dtype=torch.float64)

    def loss(values, tau):
        return distillation_loss(values, teacher, tau)

    assert torch.autograd.gradcheck(loss, (student.requires_grad_(), torch.tensor(0.3).double()))
    # A learned temperature moves the student's softmax; the targets stay what the teachers said.
    tau = temperature.clone().requires_grad_()
    loss(student, tau).backward()
    targets = [(values / temperature).softmax(-1) for values in (teacher, teacher.T)]

    def with_fixed_targets(tau):
        parts = [values / tau for values in (student, student.T)]
        return -sum(
            (p * q.log_softmax(-1)).sum(-1).mean() for p, q in zip(targets, parts, strict=True)
        ).item()

    step = 1e-6
    slope = (with_fixed_targets(temperature + step) - with_fixed_targets(temperature - step)) / (2 * step)
    assert tau.grad.item() == pytest.approx(slope, rel=1e-5)


def test_gradient_is_the_difference_of_the_softmaxes():
    student, teacher = random_case(8, 5, 7)
    leaf = student.clone().requires_grad_()
    distillation_loss(leaf, teacher, TAU).backward()
    rows = ((student / TAU).softmax(1) - (teacher / TAU).softmax(1)) / 5
    columns = ((student / TAU).softmax(0) - (teacher / TAU).softmax(0)) / 7
    torch.testing.assert_close(leaf.grad, (rows + columns) / TAU, atol=1e-10, rtol=0)


def test_captions_of_one_clip_in_a_batch():
    """Two rows of one clip and two captions of another: equal targets by themselves, no label needed."""
    student, teacher = random_case(9, 6, 6)
    teacher[1], teacher[:, 4] = teacher[0], teacher[:, 3]
    leaf = student.clone().requires_grad_()
    loss = distillation_loss(leaf, teacher, TAU)
    assert loss.item() == pytest.approx(brute_loss(student, teacher), rel=1e-10)
    loss.backward()
    assert torch.autograd.gradcheck(lambda values: distillation_loss(values, teacher, 0.2), (leaf,))


def test_it_is_the_sum_of_both_directions():
    for count in (2, 5):
        flat = torch.zeros(count, count)
        assert distillation_loss(flat, flat, TAU).item() == pytest.approx(2 * math.log(count))


def test_a_student_equal_to_its_teachers_is_the_best():
    student, teacher = random_case(3, 6, 6)
    best = distillation_loss(teacher, teacher, TAU)
    entropy = sum(
        torch.distributions.Categorical(logits=values / TAU).entropy().mean().item()
        for values in (teacher, teacher.T)
    )
    assert best.item() == pytest.approx(entropy, rel=1e-9)
    for share in (0.01, 0.1, 1.0):
        assert distillation_loss(teacher + share * (student - teacher), teacher, TAU) > best


def test_teachers_get_no_gradient():
    student, teacher = (values.requires_grad_() for values in random_case(2, 3, 3))
    distillation_loss(student, teacher, TAU).backward()
    assert teacher.grad is None and student.grad is not None


def test_parts_of_the_rows_average_to_the_whole():
    """What several processes do: each compares its own rows with the columns of all."""
    student, teacher = random_case(4, 6, 8)
    parts = []
    for part in range(2):
        clips, captions = slice(3 * part, 3 * part + 3), slice(4 * part, 4 * part + 4)
        parts.append(
            distillation_loss(
                student[clips], teacher[clips], TAU, student.T[captions], teacher.T[captions]
            ).item()
        )
    assert parts[0] != pytest.approx(parts[1], rel=1e-3)
    assert sum(parts) / 2 == pytest.approx(brute_loss(student, teacher), rel=1e-9)


def test_a_student_that_overflowed_makes_the_loss_nan_and_raises_nothing():
    student, teacher = random_case(1, 3, 3)
    student[1, 2] = math.nan
    assert distillation_loss(student, teacher, TAU).isnan()


def spoilt(value):
    teacher = torch.zeros(3, 4)
    teacher[2, 1] = value
    return teacher


ZEROS = torch.zeros(3, 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((ZEROS, torch.zeros(4, 3), TAU), r"similarities have shape \(3, 4\), .* have \(4, 3\)"),
        ((torch.zeros(3), torch.zeros(3), TAU), "of two dimensions"),
        ((torch.zeros(0, 4), torch.zeros(0, 4), TAU), "not empty"),
        ((ZEROS, ZEROS, TAU, ZEROS.T, ZEROS), r"similarities_per_text have shape \(4, 3\)"),
        ((ZEROS, ZEROS, TAU, ZEROS.T), "go together"),
        ((ZEROS, ZEROS, TAU, None, ZEROS.T), "go together"),
        ((ZEROS, ZEROS, 0.0), "temperature=0.0 must be above 0"),
        ((ZEROS, ZEROS, -0.05), "temperature=-0.05 must be above 0"),
        ((ZEROS, ZEROS, math.nan), "temperature=nan must be above 0"),
        ((ZEROS, spoilt(math.nan), TAU), r"teacher_similarities\[2, 1\] is nan"),
        ((ZEROS, spoilt(math.inf), TAU), r"teacher_similarities\[2, 1\] is inf"),
        ((ZEROS, ZEROS, TAU, ZEROS.T, spoilt(-math.inf).T), r"teacher_similarities_per_text\[1, 2\] is -inf"),
    ],
)
def test_faulty_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        distillation_loss(*arguments)
