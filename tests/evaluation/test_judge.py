"""Validation figures are those of the protocol, and their mean is a mean."""

from __future__ import annotations

from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest
from fake_split import FakeSplit, FixedScores, events
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from genrec.data.recommendations import Recommendations
from genrec.errors import ConfigError
from genrec.evaluation.judge import BLOCK, Alone, Judge, share
from genrec.evaluation.protocol import evaluate, evaluation_set


def test_judge_gives_the_protocols_figures() -> None:
    rng = np.random.default_rng(0)
    split = FakeSplit(*(events(rng, 20, 30, n) for n in (5, 1, 1)))
    cases = evaluation_set(split, "valid")  # type: ignore[arg-type]
    methods = {name: FixedScores(rng.normal(size=(20, 30)), cases) for name in ("generative", "embedding")}
    figures = Judge(k=5, monitor="mean/ndcg@5")(methods, cases)
    for name, method in methods.items():
        expected = evaluate(method, cases, (5,), method=name, masked=True).summary
        assert figures[f"{name}/ndcg@5"] == expected["ndcg@5"]
        assert figures[f"{name}/recall@5"] == expected["recall@5"]
    assert figures["mean/ndcg@5"] == pytest.approx(
        (figures["generative/ndcg@5"] + figures["embedding/ndcg@5"]) / 2
    )


def test_a_bad_cut_off_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"Judge\.k"):
        Judge(k=0)


def test_an_unknown_figure_is_refused_before_training() -> None:
    with pytest.raises(ConfigError, match=r"choose one of generative/ndcg@10"):
        Judge(monitor="generative/ndcg@5")


class Together(Alone):
    """One of several threads that judge side by side."""

    def __init__(self, rank: int, size: int, heap: dict[int, NDArray[np.float64]], barrier: Barrier) -> None:
        super().__init__(rank, size)
        self.heap, self.barrier = heap, barrier

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        self.heap[self.rank] = values
        self.barrier.wait()
        total: NDArray[np.float64] = np.sum([self.heap[rank] for rank in range(self.size)], axis=0)
        self.barrier.wait()
        return total


class Counting(FixedScores):
    """Remembers whom it was asked about."""

    asked: list[int]

    def recommend(self, users: NDArray[np.int32], k: int, *, exclude_seen: bool = True) -> Recommendations:
        self.asked += users.tolist()
        return super().recommend(users, k, exclude_seen=exclude_seen)


@pytest.mark.parametrize("size", [2, 3, 5])
def test_several_processes_judge_every_user_once_and_get_the_figures_of_one(size: int) -> None:
    rng = np.random.default_rng(0)
    n_users = 3 * BLOCK + 7
    split = FakeSplit(*(events(rng, n_users, 30, n) for n in (5, 1, 2)))
    cases = evaluation_set(split, "test")  # type: ignore[arg-type]
    scores = rng.normal(size=(n_users, 30))
    heap: dict[int, Any] = {}
    barrier = Barrier(size)
    found: dict[int, dict[str, float]] = {}
    asked: list[int] = []

    def judged(rank: int) -> None:
        method = Counting(scores, cases)
        method.asked = asked
        found[rank] = Judge()({"generative": method}, cases, Together(rank, size, heap, barrier))

    threads = [Thread(target=judged, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = Judge()({"generative": FixedScores(scores, cases)}, cases)
    assert [found[rank] for rank in range(size)] == [alone] * size
    assert sorted(asked) == cases.users.tolist()


@given(st.integers(0, 2000), st.integers(1, 9))
def test_shares_are_whole_blocks_and_follow_each_other(users: int, size: int) -> None:
    shares = [share(users, rank, size) for rank in range(size)]
    assert [start for start, _ in shares] == [0, *(stop for _, stop in shares[:-1])]
    assert shares[-1][1] == users
    assert all(start % BLOCK == 0 or start == users for start, _ in shares)
    blocks = [-(-(stop - start) // BLOCK) for start, stop in shares]
    assert max(blocks) - min(blocks) <= 1
