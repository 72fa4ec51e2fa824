"""SASRec: the shared battery, causality, padding, order, and going on where it was stopped."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from battery import N_ITEMS, RecallerBattery, catalogue, checkerboard, interactions

from genrec.data.tables import Interactions
from genrec.errors import ConfigError
from genrec.recall.neural import Record, Training
from genrec.recall.sasrec import Sasrec, SasrecLesson
from genrec.recall.sequence_losses import BinaryCrossEntropy, FullSoftmax, SampledSoftmax, SequenceLoss
from genrec.training.checkpoint import Checkpoints
from genrec.training.recipe import Recipe
from genrec.training.runtime import Runtime
from genrec.training.schedules import Constant
from genrec.training.trackers import Trackers


def small(
    loss: SequenceLoss | None = None, *, epochs: int = 12, dropout: float = 0.0, checkpoint_every: int = 1000
) -> Sasrec:
    recipe = Recipe(schedule=Constant(), weight_decay=0.0, checkpoint_every=checkpoint_every, log_every=1)
    return Sasrec(
        loss=loss,
        width=16,
        layers=1,
        heads=2,
        max_length=8,
        dropout=dropout,
        batch_tokens=120,
        training=Training(epochs, 0.02, recipe, Runtime(threads=1)),
    )


class TestSasrec(RecallerBattery):
    def make(self, batch_size: int = 256) -> Sasrec:
        recaller = small()
        recaller.batch_size = batch_size
        return recaller


def lesson_of(train: Interactions, recaller: Sasrec | None = None) -> SasrecLesson:
    torch.manual_seed(0)
    lesson = (recaller or small())._lesson(train, catalogue(train.n_items), None)
    assert isinstance(lesson, SasrecLesson)
    with torch.no_grad():
        for weight in lesson.parameters():
            weight.add_(torch.randn_like(weight) * 0.3)
    return lesson.eval()


def test_the_future_changes_no_earlier_state() -> None:
    lesson = lesson_of(checkerboard())
    items = torch.randint(N_ITEMS, (3, 8), generator=torch.Generator().manual_seed(1))
    states = lesson.states(items)
    assert states.shape == (3, 9, 16)
    for t in range(8):
        other = items.clone()
        other[:, t:] = (other[:, t:] + 5) % N_ITEMS
        changed = lesson.states(other)
        torch.testing.assert_close(changed[:, : t + 1], states[:, : t + 1])
        assert ((changed[:, t + 1] - states[:, t + 1]).abs().amax(1) > 1e-3).all()


def test_padding_changes_nothing() -> None:
    lesson = lesson_of(checkerboard())
    items = torch.tensor([[3, 1, 4, -1, -1, -1], [1, 5, 9, 2, 6, 5]])
    torch.testing.assert_close(lesson.states(items)[:1, :4], lesson.states(items[:1, :3]))


def test_the_loss_is_that_of_every_position_once() -> None:
    """Windows, padding and overlaps of long histories: each event of each user is a target exactly once."""
    train = interactions([(0, i % 9) for i in range(30)] + [(1, 2), (1, 3), (2, 7)], 4, 9)
    targets: list[int] = []

    class Listening(FullSoftmax):
        def __call__(self, states: torch.Tensor, target: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
            targets.extend(target.tolist())
            return super().__call__(states, target, table)

    lesson = lesson_of(train, small(Listening()))
    for step in range(lesson.steps_per_epoch):
        lesson.loss(step)
    assert sorted(targets) == sorted(train.items.tolist())


def test_a_user_is_the_state_after_the_last_items_and_scores_are_products() -> None:
    train = interactions([(0, i % 9) for i in range(20)] + [(2, 5), (2, 3)], 3, 9)
    lesson = lesson_of(train)
    with torch.no_grad():
        users, items = lesson.vectors()
        newest = torch.from_numpy(train.items[12:20].astype(np.int64))[None]  # max_length of them
        torch.testing.assert_close(users[0], lesson.states(newest)[0, -1])
        torch.testing.assert_close(users[2], lesson.states(torch.tensor([[5, 3]]))[0, -1])
    torch.testing.assert_close(items, lesson.table.weight.detach())


@pytest.mark.parametrize(
    ("loss", "epochs"), [(None, 12), (SampledSoftmax(6), 25), (BinaryCrossEntropy(4, 0.5), 35)]
)
def test_it_learns_what_comes_next(loss: SequenceLoss | None, epochs: int) -> None:
    """Everybody goes round in a circle; popularity and neighbours know nothing of the direction."""
    n_items = 9
    train = interactions([(user, (user + i) % n_items) for user in range(30) for i in range(12)], 30, n_items)
    recaller = small(loss, epochs=epochs).fit(train, catalogue(n_items), None)
    users = np.arange(30, dtype=np.int32)
    best = recaller.recommend(users, 1, exclude_seen=False).items[:, 0]
    np.testing.assert_array_equal(best, (users + 12) % n_items)


class StoppedError(Exception):
    """Stands for whatever ends a process."""


class StopAt(Trackers):
    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    def log(self, metrics: dict[str, float], step: int) -> None:
        if step == self.step:
            raise StoppedError


def test_a_training_that_was_stopped_ends_with_the_same_vectors(tmp_path: Path) -> None:
    train, items = checkerboard(), catalogue(N_ITEMS)
    whole = small(epochs=3, dropout=0.2, checkpoint_every=4).fit(train, items, None)
    first = small(epochs=3, dropout=0.2, checkpoint_every=4)
    first.record = Record(Checkpoints(tmp_path), "this", StopAt(6))
    with pytest.raises(StoppedError):
        first.fit(train, items, None)
    again = small(epochs=3, dropout=0.2, checkpoint_every=4)
    again.record = Record(Checkpoints(tmp_path), "this", Trackers())
    assert again.record.checkpoints.progress("last")["step"] == 4  # type: ignore[index]
    again.fit(train, items, None)
    np.testing.assert_array_equal(again.user_vectors, whole.user_vectors)
    np.testing.assert_array_equal(again.item_vectors, whole.item_vectors)


def test_another_seed_is_another_model() -> None:
    train, items = checkerboard(), catalogue(N_ITEMS)
    other = small(epochs=1)
    other.training = Training(1, 0.02, other.training.recipe, Runtime(seed=1, threads=1))
    one = small(epochs=1).fit(train, items, None)
    assert not np.allclose(one.item_vectors, other.fit(train, items, None).item_vectors)


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"width": 0}, "Sasrec.width"),
        ({"layers": 0}, "Sasrec.layers"),
        ({"width": 10, "heads": 3}, "Sasrec.heads"),
        ({"max_length": 3}, "Sasrec.max_length"),
        ({"dropout": 1.0}, "Sasrec.dropout"),
        ({"max_length": 100, "batch_tokens": 100}, "Sasrec.batch_tokens"),
        ({"batch_windows": 0}, "Sasrec.batch_windows"),
    ],
)
def test_arguments_are_checked(settings: dict[str, int], name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        Sasrec(**settings)  # type: ignore[arg-type]
