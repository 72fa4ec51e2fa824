"""What a recipe turns into: an optimiser with decay where it belongs, and settings of the loop."""

from __future__ import annotations

import pytest
from torch import nn

from genrec.errors import ConfigError
from genrec.training.recipe import Recipe


def test_only_matrices_decay() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    decayed, free = Recipe(weight_decay=0.1).optimizer(model, 0.01).param_groups
    assert [p.shape for p in decayed["params"]] == [(4, 3)]
    assert decayed["weight_decay"] == 0.1
    assert len(free["params"]) == 3
    assert free["weight_decay"] == 0.0


def test_embeddings_need_not_decay() -> None:
    table, bag = nn.Embedding(5, 3), nn.EmbeddingBag(6, 3)
    model = nn.ModuleList([table, bag, nn.Linear(3, 4)])
    decayed, free = Recipe(decay_embeddings=False).optimizer(model, 0.01).param_groups
    assert [p.shape for p in decayed["params"]] == [(4, 3)]
    assert [p.shape for p in free["params"]] == [(5, 3), (6, 3), (4,)]
    assert len(Recipe().optimizer(model, 0.01).param_groups[0]["params"]) == 3


def test_a_recipe_hands_on_its_average() -> None:
    assert Recipe(ema=0.99).settings(iterations=10, learning_rate=0.1).ema == 0.99


def test_a_run_with_epochs_validates_after_each() -> None:
    settings = Recipe(patience=3).settings(iterations=100, learning_rate=0.1, epoch=7, monitor="ndcg@10")
    assert (settings.validate_every, settings.patience, settings.monitor) == (7, 3, "ndcg@10")


def test_a_run_without_epochs_spreads_its_validations() -> None:
    settings = Recipe(validations=4, patience=3).settings(iterations=100, learning_rate=0.1)
    assert settings.validate_every == 25
    assert settings.patience is None  # there is nothing to be patient about


@pytest.mark.parametrize(
    ("iterations", "learning_rate", "said"),
    [
        (0, 0.1, "train.iterations must be at least 1, got 0"),
        (-5, 0.1, "train.iterations must be at least 1, got -5"),
        (5, 0.0, "train.learning_rate must be above 0, got 0.0"),
        (5, float("nan"), "train.learning_rate must be above 0, got nan"),
    ],
)
def test_bad_runs_are_refused(iterations: int, learning_rate: float, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Recipe().settings(iterations=iterations, learning_rate=learning_rate)


def test_bad_recipes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"Recipe\.weight_decay"):
        Recipe(weight_decay=-1.0)
    with pytest.raises(ConfigError, match=r"Recipe\.validations"):
        Recipe(validations=0)
