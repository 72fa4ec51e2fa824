"""The input layer: every form of field against a plain transcription, and the vector of what is unknown."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from small_log import FEATURES, Posters, ids, items, log, rows, users
from small_rank import GENRES, HISTORY, ITEM, USER, YEAR, Fields, small_batch, small_inputs
from torch import Tensor

from genrec.errors import ConfigError
from genrec.ranking.fields import Field, Pooling
from genrec.ranking.inputs import InputLayer
from genrec.ranking.schema import Schema

D = 3


@dataclass(frozen=True)
class Only:
    """A schema of some fields."""

    fields: tuple[Field, ...]


def table(layer: InputLayer, name: str) -> Tensor:
    return layer.get_parameter(f"vectors.tables.of_{name}.weight")


def test_fields_are_rows_of_tables_and_maps_of_numbers() -> None:
    layer, batch = small_inputs(D), small_batch()
    fields = layer.fields(batch)
    assert fields.shape == (6, 5, D)
    assert layer.names == ("user", "item", "genres", "history", "year")
    torch.testing.assert_close(fields[:, 0], table(layer, "user")[batch["user"]])
    torch.testing.assert_close(fields[:, 1], table(layer, "item")[batch["item"]])
    year = layer.vectors.maps["of_year"]
    assert isinstance(year, torch.nn.Linear)
    torch.testing.assert_close(fields[:, 4], batch["year"] @ year.weight.T + year.bias)
    torch.testing.assert_close(layer.flat(batch), fields.reshape(6, 5 * D))


@pytest.mark.parametrize(("pooling", "pool"), [("mean", torch.mean), ("sum", torch.sum), ("max", torch.amax)])
def test_several_ids_are_pooled_over_those_there_are(pooling: Pooling, pool: object) -> None:
    torch.manual_seed(0)
    batch = small_batch()
    layer = InputLayer(
        Only((Field("history", "sequence", 9, "history", pooling=pooling),)), D, init_std=1.0
    ).eval()
    pooled = layer.fields(batch)[:, 0]
    for row in range(6):
        there = table(layer, "history")[batch["history"][row][batch["history.mask"][row]]]
        expected = pool(there, dim=0) if len(there) else torch.zeros(D)  # type: ignore[operator]
        torch.testing.assert_close(pooled[row], expected)
    assert torch.isfinite(torch.autograd.grad(pooled.sum(), table(layer, "history"))[0]).all()


def test_the_first_order_part_is_a_sum_of_weights() -> None:
    layer, batch = small_inputs(D), small_batch()
    weights = {
        name: layer.get_parameter(f"first_order.tables.of_{name}.weight")[:, 0]
        for name in ("user", "item", "genres")
    }
    year = layer.first_order.maps["of_year"]
    assert isinstance(year, torch.nn.Linear)
    for row in range(6):
        total = layer.bias + weights["user"][batch["user"][row]] + weights["item"][batch["item"][row]]
        total = total + (batch["year"][row] @ year.weight[0] + year.bias[0])
        for name, own in (("genres", "genres"), ("history", "item")):
            there = weights[own][batch[name][row][batch[f"{name}.mask"][row]]]
            total = total + (there.mean() if len(there) else 0.0)
        torch.testing.assert_close(layer.linear(batch)[row], total)
    torch.testing.assert_close(InputLayer(Fields(), D).linear(batch), torch.zeros(6))


def test_history_and_target_are_of_one_table() -> None:
    layer, batch = small_inputs(D), small_batch()
    history, mask, target = layer.sequence(batch)
    weight = table(layer, "item")
    torch.testing.assert_close(history, weight[batch["history"]])
    torch.testing.assert_close(target, weight[batch["item"]])
    assert torch.equal(mask, batch["history.mask"])
    assert {name for name, _ in layer.vectors.tables.named_children()} == {"of_user", "of_item", "of_genres"}


def test_without_a_shared_history_the_sentence_says_what_to_add() -> None:
    layer = InputLayer(Only((USER, ITEM, Field("history", "sequence", 9, "history"))), D)
    with pytest.raises(
        ConfigError, match=r"'history': \{'kind': 'sequence', 'source': 'history', 'shares': 'item'\}"
    ):
        layer.sequence(small_batch())


def test_a_feature_of_another_width_is_projected_to_the_common_one() -> None:
    wide = Field("item", "id", 9, "item", width=7)
    layer = InputLayer(Only((wide, HISTORY)), D)
    batch = small_batch()
    projection = layer.get_parameter("vectors.projections.of_item.weight")
    torch.testing.assert_close(
        layer.fields(batch)[:, 0], table(layer.eval(), "item")[batch["item"]] @ projection.T
    )
    history, _, target = layer.sequence(batch)
    assert (table(layer, "item").shape, history.shape, target.shape) == ((9, 7), (6, 4, D), (6, D))
    assert layer.linear(batch).shape == (6,)


def test_in_training_some_ids_are_unknown_and_so_their_vector_is_learnt() -> None:
    torch.manual_seed(0)
    layer = InputLayer(Only((ITEM, HISTORY, GENRES, YEAR)), D, dropout_to_oov=0.5)
    many = {"item": torch.ones(4000, dtype=torch.int64)}
    seen = layer.vectors(ITEM, many)
    unknown = (seen == table(layer, "item")[0]).all(1)
    assert 0.45 < unknown.float().mean() < 0.55
    assert torch.autograd.grad(seen.sum(), table(layer, "item"))[0][0].abs().sum() > 0
    assert not (layer.eval().vectors(ITEM, many) == table(layer, "item")[0]).all(1).any()
    layer.train()  # the history has the item's table: it is left alone
    history = {
        "history": torch.ones(100, 4, dtype=torch.int64),
        "history.mask": torch.ones(100, 4, dtype=torch.bool),
    }
    torch.testing.assert_close(layer.vectors(HISTORY, history), table(layer, "item")[1].expand(100, D))


def test_names_that_torch_has_taken_are_fine() -> None:
    fields = Only(tuple(Field(name, "id", 3, name) for name in ("items", "type", "keys", "forward")))
    batch = {field.name: torch.zeros(2, dtype=torch.int64) for field in fields.fields}
    assert InputLayer(fields, D).fields(batch).shape == (2, 4, D)


@pytest.mark.parametrize(
    ("width", "dropout", "std", "argument"),
    [(0, 0.0, 0.1, "width"), (2, 1.0, 0.1, "dropout_to_oov"), (2, 0.0, 0.0, "init_std")],
)
def test_settings_out_of_range_are_told(width: int, dropout: float, std: float, argument: str) -> None:
    with pytest.raises(ConfigError, match=rf"InputLayer\.{argument} must be"):
        InputLayer(Fields(), width, dropout_to_oov=dropout, init_std=std)
    with pytest.raises(ConfigError, match=r"Schema\.features is empty"):
        InputLayer(Only(()), 2)


def test_gradients_are_right_for_every_kind_of_feature() -> None:
    events = [
        (0, 0, 5.0, 3600),
        (0, 1, 3.0, 7200),
        (1, 1, 4.0, 90000),
        (1, 2, 2.0, 90060),
        (2, 0, 1.0, 180000),
    ]
    schema = Schema(FEATURES).fit(log(events), items(), users(), Posters(), ids())
    layer = InputLayer(schema, 2, init_std=0.5).double().eval()
    batch = schema.transform(rows([(0, 3, 100000), (2, 1, 200000), (3, 5, 90000), (-1, -1, 5)]))
    batch = {name: one.double() if one.is_floating_point() else one for name, one in batch.items()}

    def both(*parameters: Tensor) -> tuple[Tensor, Tensor]:
        named = dict(zip(dict(layer.named_parameters()), parameters, strict=True))
        return torch.func.functional_call(
            Outputs(layer), {f"layer.{name}": one for name, one in named.items()}, (batch,)
        )

    assert torch.autograd.gradcheck(both, tuple(layer.parameters()), fast_mode=True)


class Outputs(torch.nn.Module):
    """All that a layer gives, as one module."""

    def __init__(self, layer: InputLayer) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        return self.layer.fields(batch), self.layer.linear(batch)
