from __future__ import annotations

from math import exp

import pytest
import torch
import torch.nn.functional as F

from genrec.generative.dense import DenseHead
from genrec.generative.repeat import RepeatWeight

N, D, E, M = 7, 6, 4, 5


@pytest.fixture
def head() -> DenseHead:
    torch.manual_seed(0)
    head = DenseHead(D, E, N, negatives=None).double()
    torch.nn.init.normal_(head.bias.weight)
    return head


def logits(head: DenseHead, state: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Scaled cosine plus bias, written out."""
    rows = []
    for one in state:
        q = head.query(one)
        keys = [head.key(vector) for vector in vectors]
        cosine = torch.stack([q @ k / (q.norm() * k.norm()) for k in keys])
        rows.append(cosine * exp(head.log_scale.item()) + head.bias.weight[:, 0])
    return torch.stack(rows)


def test_dot_product_of_queries_and_keys_is_the_logit(head: DenseHead) -> None:
    state, vectors = torch.randn(M, D).double(), torch.randn(N, E).double()
    found = head.queries(state) @ head.keys(vectors, torch.arange(N)).T
    torch.testing.assert_close(found, logits(head, state, vectors))


def test_loss_is_cross_entropy_over_the_catalogue(head: DenseHead) -> None:
    state, vectors, target = (
        torch.randn(M, D).double(),
        torch.randn(N, E).double(),
        torch.tensor([0, 6, 3, 3, 1]),
    )
    expected = F.cross_entropy(logits(head, state, vectors), target)
    torch.testing.assert_close(head.loss(state, target, vectors), expected)


def test_a_sample_of_every_item_once_is_the_full_loss(head: DenseHead) -> None:
    state, vectors, target = (
        torch.randn(M, D).double(),
        torch.randn(N, E).double(),
        torch.tensor([0, 6, 3, 3, 1]),
    )
    drawn = torch.arange(N)
    sampled = head.sampled_loss(state, target, vectors[target], drawn, vectors[drawn])
    torch.testing.assert_close(sampled, head.loss(state, target, vectors))


def test_the_sum_over_items_is_estimated_without_bias(head: DenseHead) -> None:
    """exp(loss) is the sum over items divided by the target's term, and linear in the sample."""
    state, vectors, target = torch.randn(1, D).double(), torch.randn(N, E).double(), torch.tensor([2])
    ratios = [
        head.sampled_loss(state, target, vectors[target], torch.tensor(pair), vectors[list(pair)]).exp()
        for pair in [(i, j) for i in range(N) for j in range(N)]
    ]
    torch.testing.assert_close(torch.stack(ratios).mean(), head.loss(state, target, vectors).exp())


def test_a_repeat_is_worth_what_was_learned(head: DenseHead) -> None:
    again = DenseHead(D, E, N, negatives=None, repeat=True).double()
    again.load_state_dict(
        head.state_dict() | {"repeat.scaled": torch.tensor([1.5 / RepeatWeight.SCALE], dtype=torch.float64)}
    )
    state, vectors, target = torch.randn(2, D).double(), torch.randn(N, E).double(), torch.tensor([3, 5])
    taken = (torch.tensor([0, 0, 1]), torch.tensor([3, 6, 0]))
    expected = logits(head, state, vectors)
    expected[taken] += 1.5
    torch.testing.assert_close(again.logits(state, again.keys(vectors, torch.arange(N)), taken), expected)
    full = F.cross_entropy(expected, target)
    torch.testing.assert_close(again.loss(state, target, vectors, taken), full)
    drawn = torch.arange(N)
    sampled = again.sampled_loss(state, target, vectors[target], drawn, vectors[drawn], taken)
    torch.testing.assert_close(sampled, full)
    twice = drawn.repeat_interleave(2)
    sampled = again.sampled_loss(state, target, vectors[target], twice, vectors[twice], taken)
    torch.testing.assert_close(sampled, full)
