"""Batches in a fixed order, training that resumes bit for bit, and prediction."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_rank import Fields

from genrec.errors import ConfigError, DataError
from genrec.evaluation.ranking_metrics import group_auc
from genrec.ranking.examples import Epochs, Examples
from genrec.ranking.fields import Batch
from genrec.ranking.inputs import InputLayer
from genrec.ranking.losses import Bce, BprWithinUser, Loss, UncertaintyWeighted
from genrec.ranking.models.base import RankModel
from genrec.ranking.models.din import Din
from genrec.ranking.models.mmoe import Mmoe
from genrec.ranking.rows import Rows
from genrec.ranking.task import RankTask, main_logits, predict
from genrec.training.checkpoint import Checkpoints
from genrec.training.loop import run
from genrec.training.recipe import Recipe
from genrec.training.runtime import Runtime
from genrec.training.trackers import Trackers

N = 90


def transform(rows: Rows) -> Batch:
    """Features of a row, whatever rows stand beside it."""
    users, items = torch.from_numpy(rows.users).long(), torch.from_numpy(rows.items).long()
    history = (items[:, None] + torch.arange(1, 5)) % 9
    there = torch.arange(4) < (users % 5)[:, None]
    genres = torch.stack([items % 5, users % 5], dim=1)
    return {
        "user": users,
        "item": items,
        "genres": genres,
        "genres.mask": genres > 0,
        "history": history * there,
        "history.mask": there,
        "year": torch.stack([items / 9, torch.ones(len(items))], dim=1),
    }


def some_rows(n: int = N) -> Rows:
    """Users like items of their own parity."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 7, n).astype(np.int32), rng.integers(0, 9, n).astype(np.int32)
    good = ((users + items) % 2 == 0).astype(np.float32)
    rating = np.where(rng.random(n) < 0.3, np.nan, good).astype(np.float32)
    return Rows(users, items, np.arange(n), good, rng.random(n).astype(np.float32) + 0.5, {"rating": rating})


@given(st.integers(1, 40), st.integers(1, 50), st.integers(0, 3))
def test_every_row_comes_once_per_epoch_in_batches_of_like_size(n: int, size: int, epoch: int) -> None:
    epochs = Epochs(n, size, seed=1)
    steps = range(epoch * epochs.steps_per_epoch, (epoch + 1) * epochs.steps_per_epoch)
    batches = [epochs.rows(step) for step in steps]
    assert sorted(torch.cat(batches).tolist()) == list(range(n))
    lengths = {len(batch) for batch in batches}
    assert max(lengths) <= size
    assert max(lengths) - min(lengths) <= 1


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    first, second = Epochs(50, 8, seed=3), Epochs(50, 8, seed=3)
    for step in (20, 0, 6, 13):  # asked for in any order
        second.rows(step)
    assert all(torch.equal(first.rows(step), second.rows(step)) for step in range(21))
    assert not torch.equal(first.rows(0), first.rows(7))
    assert not torch.equal(first.rows(0), Epochs(50, 8, seed=4).rows(0))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 10))
def test_rows_of_a_group_stay_together(groups: list[int], size: int) -> None:
    epochs = Epochs(len(groups), size, 0, np.array(groups))
    order = torch.cat([epochs.rows(step) for step in range(epochs.steps_per_epoch)])
    assert sorted(order.tolist()) == list(range(len(groups)))
    met = [groups[row] for row in order]
    changes = sum(one != other for one, other in pairwise(met))
    assert changes == len(set(groups)) - 1


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(DataError, match="no row to learn from"):
        Epochs(0, 5, 0)
    with pytest.raises(ConfigError, match=r"train\.batch_size"):
        Epochs(5, 0, 0)
    unlabelled = Rows(np.zeros(2, np.int32), np.zeros(2, np.int32), np.zeros(2, np.int64))
    with pytest.raises(DataError, match="rows without labels"):
        Examples(transform, unlabelled).targets(torch.tensor([0]))


def test_features_are_the_same_kept_or_not() -> None:
    kept, made = Examples(transform, some_rows()), Examples(transform, some_rows(), memory=0)
    assert (kept.kept is None, made.kept is None) == (False, True)
    assert Examples(transform, some_rows(), memory=100).kept is None
    rows = torch.tensor([5, 80, 5])
    for one, other in (
        (kept.features(rows), made.features(rows)),
        (next(kept.blocks()), next(made.blocks())),
    ):
        assert one.keys() == other.keys()
        assert all(torch.equal(one[name], other[name]) for name in one)
    assert [len(block["user"]) for block in made.blocks(40)] == [40, 40, 10]


def test_targets_are_those_of_the_rows() -> None:
    rows = some_rows()
    found = Examples(transform, rows).targets(torch.tensor([7, 3]))
    assert rows.labels is not None
    assert rows.weights is not None
    assert found.labels.tolist() == rows.labels[[7, 3]].tolist()
    assert found.weights is not None
    assert found.weights.tolist() == rows.weights[[7, 3]].tolist()
    assert found.groups.tolist() == rows.users[[7, 3]].tolist()
    assert found.tasks is not None
    assert torch.equal(
        found.tasks["rating"].isnan(), torch.from_numpy(np.isnan(rows.tasks["rating"][[7, 3]]))
    )


def din(inputs: InputLayer) -> RankModel:
    return Din(inputs, hidden=(8,), attention=(4,), dropout=0.1)


def mmoe(inputs: InputLayer) -> RankModel:
    return Mmoe(inputs, experts=2, hidden=(8,), tower=(4,), dropout=0.1)


CASES = {
    "din": (din, Bce, None),
    "din, bpr": (din, BprWithinUser, "users"),
    "mmoe": (mmoe, lambda: UncertaintyWeighted({"like": "binary", "rating": "regression"}), None),
}


def train(folder: Path, case: str, steps: int = 100) -> tuple[RankTask, dict[str, torch.Tensor]]:
    """Some steps, from the last checkpoint in a folder if there is one."""
    make, make_loss, grouped = CASES[case]
    runtime = Runtime(seed=1, threads=1, cpu=True)
    runtime.seed_everything()
    examples = Examples(transform, some_rows())
    model = make(InputLayer(Fields(), 4, dropout_to_oov=0.02))
    loss: Loss = make_loss()

    def judge() -> dict[str, float]:
        logits = main_logits(predict(model, examples))
        return {"gauc": group_auc(examples.labels, logits, examples.rows.users).mean}

    epochs = Epochs(len(examples), 16, runtime.seed, examples.groups if grouped else None)
    task = RankTask(model, loss, examples, epochs, judge)
    recipe = Recipe(checkpoint_every=5, log_every=4, validations=3)
    run(
        task,
        recipe.optimizer(task.model, 0.05),
        recipe.settings(iterations=steps, learning_rate=0.05, epoch=6),
        runtime=runtime,
        checkpoints=Checkpoints(folder),
        trackers=Trackers(),
        progress_bar=False,
    )
    return task, {name: value.clone() for name, value in task.model.state_dict().items()}


@pytest.mark.parametrize("case", CASES)
def test_training_in_two_goes_is_training_in_one(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, whole = train(tmp_path / "whole", case)

    def killed(self: RankTask, step: int) -> None:
        if step == 37:
            raise InterruptedError

    with monkeypatch.context() as patch:
        patch.setattr(RankTask, "after_step", killed)
        with pytest.raises(InterruptedError):
            train(tmp_path / "parts", case)
    assert Checkpoints(tmp_path / "parts").progress("last") is not None
    _, again = train(tmp_path / "parts", case)
    assert whole.keys() == again.keys()
    assert all(torch.equal(whole[name], again[name]) for name in whole)
    assert task.judge()["gauc"] > 0.95
    assert any("loss.log_variance" in name for name in whole) == (case == "mmoe")


def test_prediction_is_in_order_and_leaves_the_mode() -> None:
    model, rows = mmoe(InputLayer(Fields(), 4)), some_rows()
    model.train()
    found = predict(model, Examples(transform, rows, memory=0))
    assert found.shape == (N, 2)
    assert model.training
    assert np.array_equal(predict(model, Examples(transform, rows.take(slice(40, 50)))), found[40:50])
    assert np.array_equal(main_logits(found), found[:, 0])
    assert predict(model, Examples(transform, rows.take(slice(0, 0)))).shape == (0,)
