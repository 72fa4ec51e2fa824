"""Product quantisation with a learned rotation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_catalogue import mixture
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.base import Tokenized
from genrec.tokenizer.collisions import DeduplicationCode, UniqueAssignment
from genrec.tokenizer.product import ProductQuantiser, block_widths, principal_start, split_blocks

RULE = UniqueAssignment()


def uneven(n: int = 600, width: int = 12, seed: int = 0) -> Tensor:
    """Correlated features whose variance lies in few directions."""
    g = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(width, width, generator=g))[0]
    return torch.randn(n, width, generator=g) * torch.logspace(1, -1, width) @ turn


def restored(pq: ProductQuantiser, codes: np.ndarray) -> Tensor:
    parts = [book[torch.from_numpy(codes[:, i].astype(np.int64))] for i, book in enumerate(pq.codebooks)]
    return torch.cat(parts, dim=1) @ pq.rotation.T + pq.mean


def error(x: Tensor, y: Tensor) -> float:
    return float((x - y).square().sum() / (x - x.mean(0)).square().sum())


@given(width=st.integers(1, 40), data=st.data())
def test_blocks_share_out_the_columns(width: int, data: st.DataObject) -> None:
    n = data.draw(st.integers(1, width))
    widths = block_widths(width, n)
    assert sum(widths) == width
    assert len(widths) == n
    assert max(widths) - min(widths) <= 1
    assert [block.shape[1] for block in split_blocks(torch.zeros(2, width), n)] == widths


@settings(max_examples=15)
@given(width=st.integers(1, 20), rows=st.integers(1, 40), seed=st.integers(0, 99), data=st.data())
def test_the_start_is_orthogonal_whatever_the_rank(
    width: int, rows: int, seed: int, data: st.DataObject
) -> None:
    x = uneven(rows, width, seed)
    turn = principal_start(x - x.mean(0), data.draw(st.integers(1, width)))
    torch.testing.assert_close(turn.T @ turn, torch.eye(width), atol=1e-4, rtol=0)


def test_the_start_gives_blocks_the_same_product_of_variances() -> None:
    x = torch.randn(4000, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([8.0, 4.0, 2.0, 1.0])
    x = x - x.mean(0)
    rotated = x @ principal_start(x, 2)
    products = rotated.var(0).view(2, 2).prod(1)
    assert products[0] / products[1] == pytest.approx(
        1.0, abs=0.1
    )  # 8 * 1 against 4 * 2, not 8 * 4 against 2


@pytest.mark.parametrize("levels", [1, 3, 5, 12])
def test_error_by_depth_is_that_of_what_ids_give_back(levels: int) -> None:
    x = uneven()
    pq = ProductQuantiser(8, levels, iterations=5, rotations=4)
    made = pq.tokenize(x, DeduplicationCode())
    assert made.raw is not None
    torch.testing.assert_close(pq.rotation.T @ pq.rotation, torch.eye(12), atol=1e-4, rtol=0)
    assert made.error_by_depth[0] == 1.0
    assert all(later <= earlier + 1e-6 for earlier, later in pairwise(made.error_by_depth))
    assert made.error_by_depth[-1] == pytest.approx(error(x, restored(pq, made.raw)), abs=1e-4)


def test_the_rotation_pays() -> None:
    x = uneven()
    lost = {}
    for name, rotations in (("start", 0), ("learned", 15)):
        made = ProductQuantiser(8, 4, iterations=15, rotations=rotations).tokenize(x, RULE)
        lost[name] = made.error_by_depth[-1]
    columns = [_block_error(part, seed=0) for part in split_blocks(x - x.mean(0), 4)]
    lost["columns as they are"] = sum(columns) / float((x - x.mean(0)).square().sum())
    assert lost["learned"] <= 1.01 * lost["start"] < 0.8 * lost["columns as they are"]


def _block_error(block: Tensor, seed: int) -> float:
    pq = ProductQuantiser(8, 1, iterations=15, rotations=0, seed=seed)
    return pq.tokenize(block, DeduplicationCode()).error_by_depth[-1] * float(
        (block - block.mean(0)).square().sum()
    )


def test_codes_are_the_nearest_of_each_block() -> None:
    x = uneven(100)
    pq = ProductQuantiser(8, 4, iterations=2, rotations=2)
    made = pq.tokenize(x, RULE)
    assert made.raw is not None
    for level, block in enumerate(split_blocks((x - pq.mean) @ pq.rotation, 4)):
        distances = torch.cdist(block, pq.codebooks[level])
        own = distances[torch.arange(100), torch.from_numpy(made.raw[:, level].astype(np.int64))]
        torch.testing.assert_close(own, distances.min(1).values, atol=1e-3, rtol=1e-3)


def test_duplicates_differ_in_their_last_digits_only() -> None:
    x = uneven(500, 32)
    x[:200] = x[0]  # more than one digit of 16 tells apart
    made: Tokenized = ProductQuantiser(16, 16, iterations=3, rotations=2).tokenize(x, RULE)
    assert made.raw is not None
    assert len(np.unique(made.codes, axis=0)) == 500
    assert np.array_equal(made.codes[:, :14], made.raw[:, :14])
    assert np.array_equal(made.codes[200:], made.raw[200:])


def test_more_digits_than_columns_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"ProductQuantiser\.n_levels is 13, but the item features have 12 columns"
    ):
        ProductQuantiser(8, 13).tokenize(mixture(50), RULE)


@pytest.mark.parametrize(
    ("name", "value"), [("codebook_size", 1), ("n_levels", 0), ("iterations", -1), ("rotations", -2)]
)
def test_names_the_wrong_argument(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"ProductQuantiser\.{name} .* got {value}"):
        ProductQuantiser(**{name: value})
