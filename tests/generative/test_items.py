from __future__ import annotations

import pytest
import torch

from genrec.generative.items import ItemEmbedding

CODES = torch.tensor([[0, 2], [1, 0], [1, 2]])
FEATURES = torch.randn(3, 5)


@pytest.mark.parametrize("use_ids", [True, False])
@pytest.mark.parametrize("features", [FEATURES, None])
def test_an_item_is_the_sum_of_its_parts(use_ids: bool, features: torch.Tensor | None) -> None:
    made = ItemEmbedding(CODES, (2, 3), 4, use_ids=use_ids, features=features)
    items = torch.tensor([[2, 0], [1, 1]])
    found = made(items)
    assert found.shape == (2, 2, 4)
    table = made.codes.weight
    for place in ((0, 0), (0, 1), (1, 0)):
        item = int(items[place])
        expected = table[CODES[item, 0]] + table[2 + CODES[item, 1]]
        if made.ids is not None:
            expected = expected + made.ids.weight[item]
        if made.project is not None:
            expected = expected + made.project(FEATURES[item])
        torch.testing.assert_close(found[place], expected)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_no_items_no_vectors(shape: tuple[int, ...]) -> None:
    made = ItemEmbedding(CODES, (2, 3), 4, use_ids=True, features=FEATURES)
    assert made(torch.empty(shape, dtype=torch.int64)).shape == (*shape, 4)
