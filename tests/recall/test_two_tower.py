"""Two towers: the shared battery, batches and resuming, cold items, and what the correction does to popular ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from battery import RecallerBattery, catalogue, checkerboard, interactions

from genrec.data.tables import Interactions
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.losses import Bpr, InBatchSoftmax, InfoNce, MixedSoftmax, PairLoss, Pairs
from genrec.recall.neural import Record, Training
from genrec.recall.two_tower import TwoTower, TwoTowerLesson
from genrec.tokenizer.semantic_ids import SemanticIds, catalogue_hash
from genrec.tokenizer.store import save_ids
from genrec.training.checkpoint import Checkpoints
from genrec.training.processes import Processes
from genrec.training.recipe import Recipe
from genrec.training.runtime import Runtime
from genrec.training.schedules import Constant
from genrec.training.trackers import Trackers

USER_INPUTS, ITEM_INPUTS = ("genres", "rating", "activity"), ("genres", "year", "rating", "popularity")


def training(epochs: int = 20, learning_rate: float = 0.03, checkpoint_every: int = 10**6) -> Training:
    recipe = Recipe(schedule=Constant(), weight_decay=0.0, checkpoint_every=checkpoint_every, log_every=1)
    return Training(epochs, learning_rate, recipe, Runtime(threads=1, cpu=True))


def small(
    loss: PairLoss | None = None,
    *,
    user_inputs: Sequence[str] = (),
    item_inputs: Sequence[str] = (),
    ids_path: str | None = None,
    given: Training | None = None,
    batch_size: int = 256,
) -> TwoTower:
    return TwoTower(
        loss=loss or InBatchSoftmax(0.5),
        user_inputs=user_inputs,
        item_inputs=item_inputs,
        ids_path=ids_path,
        id_width=3,
        input_width=3,
        hidden=(8,) if item_inputs else (),
        width=3,
        pairs=128,
        training=given or training(),
        batch_size=batch_size,
    )


class TestDssm(RecallerBattery):
    def make(self, batch_size: int = 256) -> TwoTower:
        return small(batch_size=batch_size)


class TestTwoTower(RecallerBattery):
    def make(self, batch_size: int = 256) -> TwoTower:
        loss = MixedSoftmax(0.5, drawn=32)
        return small(loss, user_inputs=USER_INPUTS, item_inputs=ITEM_INPUTS, batch_size=batch_size)


@pytest.mark.parametrize("loss", [Bpr(64), Bpr(64, hard=0.25), InfoNce(0.5), MixedSoftmax(0.5, 64, hard=0.5)])
def test_every_loss_sees_the_colours(loss: PairLoss) -> None:
    users = np.arange(30, dtype=np.int32)
    train = checkerboard()
    lists = small(loss).fit(train, catalogue(train.n_items)).recommend(users, 8, exclude_seen=False)
    assert (lists.items % 2 == users[:, None] % 2).mean() > 0.97


def rated(train: Interactions) -> Interactions:
    return replace(train, ratings=(1 + train.items % 5).astype(np.float32))


class Listening:
    """A loss that keeps what it is handed."""

    def __init__(self, drawn: int) -> None:
        self.drawn, self.heard = drawn, list[Pairs]()

    def __call__(self, pairs: Pairs) -> torch.Tensor:
        self.heard.append(pairs)
        return pairs.users.sum()


def lesson_of(recaller: TwoTower, train: Interactions) -> TwoTowerLesson:
    torch.manual_seed(0)
    lesson = recaller._lesson(train, catalogue(train.n_items), None)
    assert isinstance(lesson, TwoTowerLesson)
    return lesson


@pytest.mark.parametrize("mask_history", [True, False])
def test_a_batch_is_events_and_what_is_no_negative_of_them(mask_history: bool) -> None:
    train, listening = checkerboard(), Listening(drawn=50)
    recaller = small(listening)
    recaller.mask_history = mask_history
    lesson = lesson_of(recaller, train)
    taken = set(zip(train.users.tolist(), train.items.tolist(), strict=True))
    for step in range(lesson.steps_per_epoch):
        lesson.loss(step)
        rows = lesson.minibatches.rows(step).numpy()
        pairs = listening.heard[-1]
        items = train.items[rows].tolist()
        for row, user in enumerate(train.users[rows].tolist()):
            for column, item in enumerate(items):
                apart = (user, item) not in taken if mask_history else item != items[row]
                assert pairs.negative[row, column].item() == apart
        assert pairs.negative.shape == (len(rows), len(rows) + 50)
        assert 0 < pairs.negative[:, len(rows) :].float().mean() < 1
        assert torch.equal(pairs.log_q[: len(rows)], lesson.frequency.log_q(torch.tensor(items)))
    assert lesson.frequency.events == len(train)


def test_processes_share_a_batch() -> None:
    """Each has its rows and all hear of every event; the parts of the loss add up."""
    train, listening = checkerboard(), Listening(drawn=0)
    parts, heard = [], []
    for rank in (0, 1):
        lesson = lesson_of(small(listening), train)
        lesson.processes = Processes(rank, 2)
        parts.append(lesson.loss(0).item())
        pairs = listening.heard[-1]
        heard.append(lesson.frequency.interval)
        parts[-1] /= pairs.users.sum().item()  # the mean of a part, by its share of the rows
    assert sum(parts) == pytest.approx(1)
    rows = len(lesson.minibatches.rows(0))
    assert sorted(len(pairs.users) for pairs in listening.heard) == [rows // 2, (rows + 1) // 2]
    assert torch.equal(*heard)


def test_vectors_of_a_batch_know_nothing_of_their_own_events() -> None:
    """With a constant in place of ids, a user's vector must be that of the same user without the event."""
    train = rated(checkerboard())
    recaller = small(user_inputs=USER_INPUTS, item_inputs=ITEM_INPUTS)
    recaller.id_dropout = 0.0
    listening = Listening(drawn=0)
    recaller.loss = listening
    lesson = lesson_of(recaller, train)
    rows = lesson.minibatches.rows(0)[:40].numpy()
    lesson.loss(0)
    middle = lesson.user_tower.parts[2].middle
    for place, row in enumerate(rows):
        other = train.take(np.delete(np.arange(len(train)), row))
        apart = lesson_of(recaller, other)
        for tower in ("user_tower", "item_tower"):
            theirs, own = getattr(apart, tower), getattr(lesson, tower)
            for mine, given in zip(theirs.parameters(), own.parameters(), strict=True):
                mine.data = given.data
            for part in theirs.parts:
                if hasattr(part, "sums"):  # deviations are from the mean of all, which moves for all alike
                    part.sums += (part.middle - middle) * part.rated
                if hasattr(part, "known"):
                    part.known |= True
        found = listening.heard[0]
        user, item = (
            torch.tensor(train.users[row : row + 1]).long(),
            torch.tensor(train.items[row : row + 1]).long(),
        )
        with torch.no_grad():
            np.testing.assert_allclose(found.users[place].detach(), apart.user_tower(user)[0], atol=1e-5)
            np.testing.assert_allclose(found.items[place].detach(), apart.item_tower(item)[0], atol=1e-5)


def two_worlds() -> tuple[Interactions, np.ndarray]:
    """Users of two tastes for 30 items each, whose popularity falls off; and the probabilities [2, 60]."""
    rng = np.random.default_rng(0)
    chances = np.zeros((2, 60))
    falling = 1 / np.arange(1, 31) ** 1.2
    chances[0, :30] = chances[1, 30:] = falling / falling.sum()
    pairs = [(user, int(i)) for user in range(200) for i in rng.choice(60, 30, p=chances[user % 2])]
    return interactions(pairs, 200, 60), chances


def test_without_the_correction_popular_items_are_ranked_too_low_and_with_it_they_are_not() -> None:
    """Within a taste all users are alike, so that the right ranking is by popularity, which cancels uncorrected."""
    train, chances = two_worlds()
    users = np.arange(40, dtype=np.int32)
    right = np.argsort(-chances, axis=1)[users % 2, :5]
    share = {}
    for log_q in (False, True):
        recaller = TwoTower(
            loss=InBatchSoftmax(1.0, log_q=log_q),
            id_width=8,
            width=8,
            normalised=False,
            mask_history=False,
            pairs=256,
            training=training(8, 0.02),
        ).fit(train, catalogue(60))
        lists = recaller.recommend(users, 5, exclude_seen=False).items
        share[log_q] = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(lists, right, strict=True)])
    assert share[True] > 0.75
    assert share[False] < 0.45


def cold_and_warm() -> tuple[Interactions, list[int]]:
    """The checkerboard, of which items 18 and 19 are known by their genre only."""
    train = checkerboard()
    return train.take(train.items < 18), [18, 19]


def test_a_cold_item_is_what_its_content_says() -> None:
    train, cold = cold_and_warm()
    items = catalogue(train.n_items)
    recaller = small(user_inputs=("genres",), item_inputs=("genres",)).fit(train, items)
    vectors = recaller.item_vectors
    colour = [vectors[i:18:2].mean(axis=0) for i in (0, 1)]
    for place, item in enumerate(cold):
        assert vectors[item] @ colour[place] > vectors[item] @ colour[1 - place] + 0.1
    weight = recaller.weights["item_tower.parts.0.table.weight"]
    assert weight[0].abs().sum() > 0  # of ids that were dropped


def test_without_content_all_cold_items_are_alike() -> None:
    train, cold = cold_and_warm()
    vectors = small().fit(train, catalogue(train.n_items)).item_vectors
    np.testing.assert_array_equal(vectors[cold[0]], vectors[cold[1]])
    assert len(np.unique(vectors[:18], axis=0)) == 18


def test_features_and_prefixes_of_semantic_ids_are_inputs(tmp_path: Path) -> None:
    """Two ways to tell an item's colour: each finds the cold item of the colour."""
    train, _ = cold_and_warm()
    items = catalogue(train.n_items)
    vectors = np.eye(2, dtype=np.float32)[np.arange(20) % 2]
    features = ItemFeatures(vectors, np.ones(20, dtype=bool), "text", "colours")
    codes = np.stack([np.arange(20) % 2, np.arange(20) // 2], axis=1).astype(np.int32)
    ids = SemanticIds(codes, (2, 10), "by hand", catalogue_hash(items))
    folder = tmp_path / "ids"
    nothing = {"path": "", "hash": ""}
    save_ids(
        folder,
        ids,
        features,
        items,
        weights={"none": torch.zeros(1)},
        config="",
        config_hash="",
        dataset=nothing,
        split=nothing,
        rerun="",
    )
    for name, path in (("features", None), ("prefixes", str(folder))):
        recaller = small(item_inputs=(name,), ids_path=path).fit(train, items, features)
        found = recaller.recommend(np.arange(10, dtype=np.int32), 2).items
        assert all({18 + user % 2} & set(row) for user, row in enumerate(found.tolist())), name
        assert set(recaller.reads()) == ({"semantic_ids"} if path else set())


class Stopped(Trackers):
    """Stands for a process that is killed at a step."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.at = at

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        if step == self.at:
            raise KeyboardInterrupt


def test_a_training_that_was_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    train = rated(checkerboard())
    items = catalogue(train.n_items)

    def recaller() -> TwoTower:
        given = training(4, checkpoint_every=2)
        loss = MixedSoftmax(0.5, drawn=16)
        return small(loss, user_inputs=USER_INPUTS, item_inputs=ITEM_INPUTS, given=given)

    whole = recaller().fit(train, items)
    for at in (5, 9):
        killed = recaller()
        killed.record = Record(Checkpoints(tmp_path), "run", Stopped(at))
        with pytest.raises(KeyboardInterrupt):
            killed.fit(train, items)
    resumed = recaller()
    resumed.record = Record(Checkpoints(tmp_path), "run", Trackers())
    resumed.fit(train, items)
    np.testing.assert_array_equal(resumed.user_vectors, whole.user_vectors)
    np.testing.assert_array_equal(resumed.item_vectors, whole.item_vectors)
    assert resumed.weights.keys() == whole.weights.keys()
    assert all(torch.equal(resumed.weights[name], value) for name, value in whole.weights.items())


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: TwoTower(width=0), r"TwoTower\.width"),
        (lambda: TwoTower(pairs=0), r"TwoTower\.pairs"),
        (lambda: TwoTower(hidden=(8, 0)), r"TwoTower\.hidden"),
        (lambda: TwoTower(id_dropout=1.0), r"TwoTower\.id_dropout"),
        (lambda: TwoTower(frequency_rate=0), r"TwoTower\.frequency_rate"),
        (lambda: TwoTower(user_inputs=("age",)), r"TwoTower\.user_inputs must be of genres, .*; got age"),
        (lambda: TwoTower(item_inputs=("activity",)), r"TwoTower\.item_inputs"),
    ],
)
def test_bad_settings_are_named(make: object, argument: str) -> None:
    with pytest.raises(ConfigError, match=argument):
        make()  # type: ignore[operator]
