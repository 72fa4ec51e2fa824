"""ALS and BPR by the library `implicit`."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from battery import RecallerBattery, catalogue, checkerboard, interactions

from genrec.errors import ConfigError
from genrec.recall.implicit_mf import Als, Bpr

USERS = np.arange(30, dtype=np.int32)


class TestAls(RecallerBattery):
    def make(self, batch_size: int = 256) -> Als:
        return Als(2, alpha=5, regularization=1, threads=1, batch_size=batch_size)


class TestBpr(RecallerBattery):
    def make(self, batch_size: int = 256) -> Bpr:
        return Bpr(4, learning_rate=0.1, regularization=0.01, iterations=200, batch_size=batch_size)


def test_als_solves_the_normal_equations_of_its_paper() -> None:
    """The users' vectors, given the items', minimise the confidence-weighted squares (Hu et al. 2008, equation 4)."""
    train = checkerboard()
    alpha, penalty = 3.0, 0.5
    fitted = Als(3, alpha, penalty, iterations=200).fit(train, catalogue(20))
    y, dense = fitted.item_vectors.astype(float), train.matrix().toarray().astype(float)
    for user in range(train.n_users):
        confidence = np.where(dense[user] > 0, alpha, 1.0)
        solved = np.linalg.solve(
            (y.T * confidence) @ y + penalty * np.eye(3), (y.T * confidence) @ dense[user]
        )
        np.testing.assert_allclose(fitted.user_vectors[user], solved, atol=0.02)


def test_threads_change_nothing_in_als() -> None:
    one, two = (
        Als(8, iterations=3, threads=threads).fit(checkerboard(), catalogue(20)) for threads in (1, 2)
    )
    np.testing.assert_array_equal(one.user_vectors, two.user_vectors)
    np.testing.assert_array_equal(one.item_vectors, two.item_vectors)


@pytest.mark.parametrize("kind", [Als, Bpr])
def test_another_seed_is_another_model(kind: type[Als] | type[Bpr]) -> None:
    first, second = (kind(4, seed=seed).fit(checkerboard(), catalogue(20)) for seed in (0, 1))
    assert not np.array_equal(first.item_vectors, second.item_vectors)


def test_items_that_nobody_took_come_last_in_bpr() -> None:
    train = interactions([(user, item) for user in range(6) for item in range(user % 2, 8, 2)], 7, 10)
    fitted = Bpr(4, learning_rate=0.1, iterations=50).fit(train, catalogue(10))
    lists = fitted.recommend(np.arange(6, dtype=np.int32), 10, exclude_seen=False)
    assert set(lists.items[:, -2:].ravel().tolist()) == {8, 9}


def test_biases_are_part_of_the_vectors_of_bpr() -> None:
    fitted = Bpr(4).fit(checkerboard(), catalogue(20))
    assert fitted.item_vectors.shape == (20, 5)
    np.testing.assert_array_equal(fitted.user_vectors[:, -1], 1)


def test_a_model_that_diverges_is_one_sentence() -> None:
    with pytest.raises(ConfigError, match=r"Bpr diverged.*Bpr\.learning_rate"):
        Bpr(4, learning_rate=1e6, regularization=1e3, iterations=50).fit(checkerboard(), catalogue(20))


@pytest.mark.parametrize("kind", [Als, Bpr])
def test_without_the_library_the_extra_is_named(
    kind: type[Als] | type[Bpr], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    with pytest.raises(ConfigError, match=rf"{kind.__name__} needs the package implicit.*genrec\[cf\]"):
        kind().fit(checkerboard(), catalogue(20))


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: Als(factors=0), "Als.factors"),
        (lambda: Als(alpha=0), "Als.alpha"),
        (lambda: Als(regularization=-1), "Als.regularization"),
        (lambda: Als(iterations=0), "Als.iterations"),
        (lambda: Als(threads=0), "Als.threads"),
        (lambda: Als(seed=-1), "Als.seed"),
        (lambda: Bpr(factors=-3), "Bpr.factors"),
        (lambda: Bpr(learning_rate=0), "Bpr.learning_rate"),
        (lambda: Bpr(regularization=float("nan")), "Bpr.regularization"),
        (lambda: Bpr(iterations=0), "Bpr.iterations"),
    ],
)
def test_bad_settings_are_named(make: object, argument: str) -> None:
    with pytest.raises(ConfigError, match=argument):
        make()  # type: ignore[operator]
