"""YouTubeDNN: the shared battery, no look at the future, the age of examples, and what samplers draw."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from battery import RecallerBattery, catalogue, checkerboard, interactions
from test_two_tower import Stopped, training

from genrec.data.tables import NO_TIMESTAMP, Interactions
from genrec.errors import ConfigError
from genrec.recall.neural import Record
from genrec.recall.samplers import Draws, Empirical, LogUniform, Sampler
from genrec.recall.youtube_dnn import AGES, Age, YoutubeDnn, YoutubeLesson
from genrec.training.checkpoint import Checkpoints
from genrec.training.trackers import Trackers


def small(
    *,
    batch_size: int = 256,
    age: Age = "none",
    tied: bool = True,
    dropout: float = 0.0,
    max_length: int = 20,
    epochs: int = 20,
    checkpoint_every: int = 10**6,
) -> YoutubeDnn:
    return YoutubeDnn(
        width=4,
        hidden=(8,),
        max_length=max_length,
        age=age,
        tied=tied,
        dropout=dropout,
        sampled=16,
        examples=128,
        training=training(epochs, checkpoint_every=checkpoint_every),
        batch_size=batch_size,
    )


class TestYoutubeDnn(RecallerBattery):
    def make(self, batch_size: int = 256) -> YoutubeDnn:
        return small(batch_size=batch_size)


def lesson_of(recaller: YoutubeDnn, train: Interactions) -> YoutubeLesson:
    torch.manual_seed(0)
    lesson = recaller._lesson(train, catalogue(train.n_items), None)
    assert isinstance(lesson, YoutubeLesson)
    return lesson.eval()


def states(lesson: YoutubeLesson, train: Interactions) -> np.ndarray:
    events = torch.arange(len(train))
    with torch.no_grad():
        return lesson.states(events, lesson.users[events], torch.zeros(len(train))).numpy()


def test_an_example_knows_what_precedes_it_and_nothing_else() -> None:
    """Its state is that of a user whose history ends there, and changes with no event at or after it."""
    train = checkerboard()
    lesson = lesson_of(small(max_length=4), train)
    found = states(lesson, train)
    for row in (1, 5, 40, 41, len(train) - 1):
        changed = train.items.copy()
        changed[row:] = (changed[row:] + 7) % train.n_items
        changed[: np.searchsorted(train.users, train.users[row])] = 3  # what other users took
        other = replace(train, items=changed)
        np.testing.assert_allclose(
            states(lesson_of(small(max_length=4), other), other)[row], found[row], atol=1e-6
        )
        cut = train.take(np.arange(row))
        users, _ = lesson_of(small(max_length=4), cut).vectors()
        np.testing.assert_allclose(users[train.users[row]].detach(), found[row], atol=1e-6)
    first = np.flatnonzero(np.diff(train.users, prepend=-1))
    assert np.ptp(found[first], axis=0).max() == 0  # before their first event, users are alike


def test_the_newest_items_are_read() -> None:
    train = interactions([(0, item) for item in (1, 2, 3, 4)] + [(1, 3), (1, 4)], 2, 6)
    lesson = lesson_of(small(max_length=2), train)
    history = torch.tensor([[4, 3]])
    expected = lesson.read.weight[history[0]].mean(0)
    np.testing.assert_allclose(
        lesson._mean(history, lesson.read.weight)[0].detach(), expected.detach(), atol=1e-7
    )
    padded = lesson._mean(torch.tensor([[4, 6, 6], [6, 6, 6]]), lesson.read.weight)
    assert torch.equal(padded[0], lesson.read.weight[4])
    assert torch.equal(padded[1], torch.zeros(4))


def timed(times: list[int]) -> Interactions:
    train = interactions([(0, 0), (0, 1), (1, 2), (1, 3), (1, 0)], 3, 4)
    return replace(train, timestamps=np.array(times, np.int64))


def test_the_age_of_an_example() -> None:
    train = timed([10, 30, NO_TIMESTAMP, 50, 40])
    age, own = AGES["training"](train), AGES["history"](train)
    assert age is not None
    assert own is not None
    np.testing.assert_allclose(age, [1, 0.5, 1, 0, 0.25])
    np.testing.assert_allclose(own, [0.5, 0, 1, 0, 0.25])
    assert AGES["none"](train) is None
    for silent in (replace(train, timestamps=None), timed([NO_TIMESTAMP] * 5)):
        assert AGES["training"](silent) is None
        assert AGES["history"](silent) is None
    assert (AGES["training"](timed([7] * 5)) == np.zeros(5)).all()


@pytest.mark.parametrize("tied", [True, False])
def test_age_tells_what_is_taken_when(tied: bool) -> None:
    """Everyone took three of items 0 to 4 long ago, and takes two of 5 to 9 now; nothing but age is known here."""
    rng = np.random.default_rng(0)
    pairs = [
        (user, int(item))
        for user in range(60)
        for item in (*rng.permutation(5)[:3], *5 + rng.permutation(5)[:2])
    ]
    train = interactions(pairs, 60, 10)
    train = replace(train, timestamps=np.where(train.items < 5, 0, 1000))
    recaller = small(age="training", tied=tied, epochs=12).fit(train, catalogue(10))
    lesson = lesson_of(recaller, train)
    lesson.load_state_dict(recaller.weights)
    first = lesson.offsets[:1]
    with torch.no_grad():
        best = [lesson.states(first, torch.zeros(1).long(), torch.tensor([age])) for age in (0.0, 1.0)]
        now, then = (int((state @ lesson.table.weight[:10].T).argmax()) for state in best)
    assert now >= 5 > then


def test_every_event_is_an_example_and_its_own_item_is_no_negative() -> None:
    train = checkerboard()
    lesson = lesson_of(small(), train)
    batches = [lesson.minibatches.rows(step) for step in range(lesson.steps_per_epoch)]
    assert sorted(torch.cat(batches).tolist()) == list(range(len(train)))
    drawn = torch.arange(20).repeat(2)
    lesson.draws.forward = lambda n: drawn  # type: ignore[method-assign]
    lesson.sampled = 40
    with torch.no_grad():
        events = batches[0]
        logits = (
            lesson.states(events, lesson.users[events], torch.zeros(len(events))) @ lesson.table.weight[:20].T
        )
        logits -= lesson.draws.log_q
        own = lesson.items[events]
        weights = torch.full_like(logits, 2.0).scatter(
            1, own[:, None], 1.0
        )  # each other item was drawn twice
        expected = ((logits.exp() * weights).sum(1).log() - logits.gather(1, own[:, None])[:, 0]).mean()
        assert lesson.loss(0).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("sampler", [Empirical(), Empirical(0.0), Empirical(1.0), LogUniform()])
def test_samplers_draw_what_they_say(sampler: Sampler) -> None:
    counts = np.array([50, 3, 0, 200, 0, 10, 1])
    chances = sampler.probabilities(counts)
    assert chances.sum() == pytest.approx(1)
    assert (chances > 0).all()
    torch.manual_seed(0)
    drawn = Draws(chances)(40_000)
    np.testing.assert_allclose(np.bincount(drawn, minlength=7) / 40_000, chances, atol=0.01)
    np.testing.assert_allclose(Draws(chances).log_q.exp(), chances, rtol=1e-5)


def test_the_shape_of_samplers() -> None:
    counts = np.array([50, 3, 0, 200])
    np.testing.assert_allclose(Empirical(0.0).probabilities(counts), 0.25)
    np.testing.assert_allclose(Empirical(1.0).probabilities(counts), np.array([51, 4, 1, 201]) / 257)
    ranked = LogUniform().probabilities(counts)
    np.testing.assert_allclose(ranked[[3, 0, 1, 2]], np.log([2, 3 / 2, 4 / 3, 5 / 4]) / np.log(5))


def test_a_training_that_was_killed_ends_as_one_that_was_not(tmp_path: Path) -> None:
    train = checkerboard()
    items = catalogue(train.n_items)

    def recaller() -> YoutubeDnn:
        return small(age="history", dropout=0.3, epochs=4, checkpoint_every=2)

    whole, killed, resumed = recaller().fit(train, items), recaller(), recaller()
    killed.record = Record(Checkpoints(tmp_path), "run", Stopped(7))
    with pytest.raises(KeyboardInterrupt):
        killed.fit(train, items)
    resumed.record = Record(Checkpoints(tmp_path), "run", Trackers())
    resumed.fit(train, items)
    np.testing.assert_array_equal(resumed.user_vectors, whole.user_vectors)
    np.testing.assert_array_equal(resumed.item_vectors, whole.item_vectors)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: YoutubeDnn(width=0), r"YoutubeDnn\.width"),
        (lambda: YoutubeDnn(max_length=0), r"YoutubeDnn\.max_length"),
        (lambda: YoutubeDnn(sampled=0), r"YoutubeDnn\.sampled"),
        (lambda: YoutubeDnn(hidden=(0,)), r"YoutubeDnn\.hidden"),
        (lambda: YoutubeDnn(dropout=1.0), r"YoutubeDnn\.dropout"),
        (lambda: YoutubeDnn(age="old"), r"YoutubeDnn\.age"),  # type: ignore[arg-type]
        (lambda: Empirical(1.5), r"Empirical\.power"),
    ],
)
def test_bad_settings_are_named(make: object, argument: str) -> None:
    with pytest.raises(ConfigError, match=argument):
        make()  # type: ignore[operator]
