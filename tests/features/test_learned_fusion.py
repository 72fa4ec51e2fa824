"""Networks that make one vector of several modalities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import pytest
import torch
from torch import Tensor

from genrec.errors import ConfigError
from genrec.features.fusion import Fusion, Gated, Mlp, ModalityTokens, Transformer, present_blocks

WIDTHS = (3, 5, 2)
MAKE = [partial(Mlp, width=8, hidden=6), partial(Gated, width=8), partial(Transformer, width=8, heads=2)]
Make = Callable[[Sequence[int]], Fusion]


def rows(n: int = 6) -> Tensor:
    """Items of which the second lacks the second modality, and the last has none."""
    x = torch.randn(n, sum(WIDTHS), generator=torch.Generator().manual_seed(0))
    x[1, 3:8] = 0.0
    x[-1] = 0.0
    return x


@pytest.fixture(params=MAKE, ids=lambda make: make.func.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    torch.manual_seed(0)
    chosen: Make = request.param
    return chosen


def test_a_block_of_zeros_is_missing() -> None:
    there = present_blocks(rows(3), WIDTHS)
    assert there.tolist() == [[True, True, True], [True, False, True], [False, False, False]]


def test_every_row_gets_a_vector_of_its_own(make: Make) -> None:
    fusion, x = make(WIDTHS).eval(), rows()
    found = fusion(x)
    assert found.shape == (6, fusion.width)
    assert found.isfinite().all()
    assert len(torch.unique(found, dim=0)) == 6
    torch.testing.assert_close(fusion(x[1:2]), found[1:2])


def test_every_modality_counts_and_a_missing_one_is_learned(make: Make) -> None:
    fusion, x = make(WIDTHS).eval(), rows().requires_grad_()
    fusion(x).square().sum().backward()
    assert x.grad is not None
    assert all((block != 0).all() for block in torch.split(x.grad[0], WIDTHS))
    missing = next(p for name, p in fusion.named_parameters() if name.endswith("missing"))
    assert missing.grad is not None
    if not isinstance(fusion, Transformer):  # which does not look at missing modalities
        assert (missing.grad != 0).any()


def test_a_row_with_nothing_can_be_trained_on(make: Make) -> None:
    fusion = make(WIDTHS)
    fusion(rows()).square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in fusion.parameters())


def test_what_is_hidden_in_training_is_as_what_is_missing() -> None:
    tokens = ModalityTokens(WIDTHS, 4, dropout=0.5)
    x = torch.randn(500, sum(WIDTHS))
    with torch.no_grad():
        found, there = tokens(x)
        gone = x.clone()
        gone[~there.repeat_interleave(torch.tensor(WIDTHS), dim=1)] = 0.0
        expected, also = tokens.eval()(gone)
    assert torch.equal(there, also)
    torch.testing.assert_close(found, expected)


def test_dropout_hides_its_share_but_never_everything() -> None:
    tokens = ModalityTokens((1,) * 10, 2, dropout=0.3)
    _, there = tokens(torch.randn(4000, 10))
    assert there.any(dim=1).all()
    assert 0.26 < 1 - there.float().mean().item() < 0.31  # a little below .3, because one is always kept
    _, there = tokens.eval()(torch.randn(100, 10))
    assert there.all()


def test_dropout_keeps_the_only_modality() -> None:
    x = torch.randn(200, sum(WIDTHS))
    x[:, 3:] = 0.0
    _, there = ModalityTokens(WIDTHS, 2, dropout=0.9)(x)
    assert there[:, 0].all()
    assert not there[:, 1:].any()


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ConfigError, match=r"modality_dropout of a fusion"):
        Mlp(WIDTHS, modality_dropout=1.0)
    with pytest.raises(ConfigError, match=r"Transformer.width"):
        Transformer(WIDTHS, width=6, heads=4)
    with pytest.raises(ConfigError, match=r"needs modalities"):
        Gated(())
