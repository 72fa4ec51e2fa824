from __future__ import annotations

import pytest
import torch

from genrec.errors import ConfigError
from genrec.generative.items import ItemEmbedding

CODES = torch.tensor([[0, 2], [1, 0], [1, 2]])
FEATURES = {"text": torch.randn(3, 5), "image": torch.randn(3, 2)}


def made(*inputs: str) -> ItemEmbedding:
    return ItemEmbedding(CODES, (2, 3), 4, inputs=inputs, features=FEATURES)


@pytest.mark.parametrize(
    ("inputs", "content"),
    [
        (["codes"], []),
        (["ids"], []),
        (["codes", "ids", "features"], ["text", "image"]),
        (["image"], ["image"]),
        (["ids", "text"], ["text"]),
    ],
)
def test_an_item_is_the_sum_of_its_parts(inputs: list[str], content: list[str]) -> None:
    embedding = made(*inputs)
    items = torch.tensor([[2, 0], [1, 1]])
    found = embedding(items)
    assert found.shape == (2, 2, 4)
    for place in ((0, 0), (0, 1), (1, 0)):
        item = int(items[place])
        expected = torch.zeros(4)
        if "codes" in inputs:
            table = embedding.codes.weight
            expected = expected + table[CODES[item, 0]] + table[2 + CODES[item, 1]]
        if "ids" in inputs:
            expected = expected + embedding.ids.weight[item]
        if content:
            expected = expected + embedding.project(torch.cat([FEATURES[name][item] for name in content]))
        torch.testing.assert_close(found[place], expected)


@pytest.mark.parametrize("shape", [(0,), (2, 0), (0, 3)])
def test_no_items_no_vectors(shape: tuple[int, ...]) -> None:
    embedding = made("codes", "ids", "features")
    assert embedding(torch.empty(shape, dtype=torch.int64)).shape == (*shape, 4)


@pytest.mark.parametrize("inputs", [[], ["sound"], "codes"])
def test_wrong_inputs_are_refused(inputs: list[str]) -> None:
    with pytest.raises(
        ConfigError, match=r"Timeline.inputs must name some of codes, ids, features, text, image"
    ):
        ItemEmbedding(CODES, (2, 3), 4, inputs=inputs, features=FEATURES)


def test_features_alone_need_features() -> None:
    with pytest.raises(ConfigError, match="made without features"):
        ItemEmbedding(CODES, (2, 3), 4, inputs=["features"], features={})
