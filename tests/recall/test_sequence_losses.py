"""Losses of sequence models, each against its formula written out in double precision."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from genrec.errors import ConfigError
from genrec.recall.sequence_losses import CHUNK, BinaryCrossEntropy, FullSoftmax, SampledSoftmax, SequenceLoss

M, D, N = CHUNK + 70, 8, 30  # more rows than a chunk


def batch(scale: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """States, targets and table in double precision, with gradients."""
    draw = torch.Generator().manual_seed(3)
    states = (scale * torch.randn(M, D, generator=draw, dtype=torch.float64)).requires_grad_()
    table = torch.randn(N, D, generator=draw, dtype=torch.float64).requires_grad_()
    return states, torch.randint(N, (M,), generator=draw), table


def value_and_slopes(loss: SequenceLoss, states: Tensor, targets: Tensor, table: Tensor) -> list[Tensor]:
    """Loss, its gradient to the states and to the table."""
    states, table = (x.detach().requires_grad_() for x in (states, table))
    value = loss(states, targets, table)
    (3 * value).backward()  # a slope from above other than 1
    assert states.grad is not None
    assert table.grad is not None
    return [value.detach(), states.grad, table.grad]


def written_out(states: Tensor, targets: Tensor, table: Tensor) -> Tensor:
    """Mean of -log(exp(score of the target) / sum of exp(scores))."""
    scores = states @ table.T
    return -(scores[torch.arange(len(targets)), targets] - scores.exp().sum(1).log()).mean()


@pytest.mark.parametrize("scale", [0.1, 4.0])
def test_full_softmax_is_the_formula_and_so_are_its_gradients(scale: float) -> None:
    states, targets, table = batch(scale)
    expected = value_and_slopes(written_out, states, targets, table)
    for found, right in zip(value_and_slopes(FullSoftmax(), states, targets, table), expected, strict=True):
        torch.testing.assert_close(found, right, rtol=1e-10, atol=1e-12)
    single = value_and_slopes(FullSoftmax(), states.float(), targets, table.float())
    for found, right in zip(single, expected, strict=True):
        torch.testing.assert_close(found, right.float(), rtol=1e-4, atol=1e-6)


def test_full_softmax_survives_large_scores() -> None:
    states, targets, table = batch(1000.0)
    loss = FullSoftmax()(states, targets, table)
    torch.testing.assert_close(loss, F.cross_entropy(states @ table.T, targets))


@pytest.mark.parametrize("negatives", [N, N + 5])
def test_a_sample_of_everything_is_the_full_softmax(negatives: int) -> None:
    states, targets, table = batch()
    full = value_and_slopes(FullSoftmax(), states, targets, table)
    for found, right in zip(
        value_and_slopes(SampledSoftmax(negatives), states, targets, table), full, strict=True
    ):
        torch.testing.assert_close(found, right)


def test_the_sampled_sum_is_right_on_average() -> None:
    """Without the correction by log(N / n) the sum over items would come out at a third."""
    states, targets, table = batch(0.3)
    torch.manual_seed(0)
    rows = slice(0, 4)
    own = (states[rows] * table[targets[rows]]).sum(1)
    sums = []
    for _ in range(4000):  # of one row at a time: exp(loss + own score) is the estimated sum
        loss = SampledSoftmax(N // 3)(states[:1], targets[:1], table)
        sums.append((loss + own[0]).exp().item())
    right = (states[0] @ table.T).exp().sum().item()
    assert sum(sums) / len(sums) == pytest.approx(right, rel=0.02)


def test_the_target_is_never_its_own_negative() -> None:
    states, table = torch.full((6, 1), 10.0), torch.tensor([[10.0], [-10.0]])
    targets = torch.zeros(6, dtype=torch.int64)
    torch.manual_seed(0)
    assert SampledSoftmax(2)(states, targets, table) < 1e-6
    assert BinaryCrossEntropy(50)(states, targets, table) < 1e-6


@pytest.mark.parametrize(("negatives", "calibration"), [(1, 0.0), (7, 0.75)])
def test_binary_cross_entropy_is_the_formula(negatives: int, calibration: float) -> None:
    states, targets, table = batch()
    torch.manual_seed(5)
    found = BinaryCrossEntropy(negatives, calibration)(states, targets, table)
    torch.manual_seed(5)
    drawn = torch.randint(N, (M, negatives))
    alpha = negatives / (N - 1)
    beta = alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)  # gSASRec, eq. 19
    scores = states @ table.T
    positive = torch.sigmoid(scores.gather(1, targets[:, None])) ** beta
    negative = torch.sigmoid(scores.gather(1, drawn))
    counted = drawn != targets[:, None]
    right = -(positive.log().sum() + ((1 - negative).log() * counted).sum()) / M
    torch.testing.assert_close(found, right)


def test_paper_losses_are_the_ends_of_calibration() -> None:
    assert BinaryCrossEntropy(1).beta(101) == 1.0
    assert BinaryCrossEntropy(25, calibration=1.0).beta(101) == pytest.approx(0.25)
    assert BinaryCrossEntropy(500, calibration=1.0).beta(101) == 1.0


def test_arguments_are_checked() -> None:
    for make, name in (
        (lambda: SampledSoftmax(0), "SampledSoftmax.negatives"),
        (lambda: BinaryCrossEntropy(0), "BinaryCrossEntropy.negatives"),
        (lambda: BinaryCrossEntropy(1, 1.5), "BinaryCrossEntropy.calibration"),
    ):
        with pytest.raises(ConfigError, match=name):
            make()
