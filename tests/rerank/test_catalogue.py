from __future__ import annotations

import numpy as np
import pytest

from genrec.errors import ConfigError
from genrec.rerank.catalogue import Catalogue


def test_events_are_counted(films: Catalogue) -> None:
    assert films.counts is not None
    assert films.counts.tolist() == [3, 2, 1, 1, 1, 0]
    assert films.rating_sums is not None
    assert films.rating_sums.tolist() == [10, 6, 1, 3, 3, 0]
    assert films.rating_counts is not None
    assert films.rating_counts.tolist() == [2, 2, 1, 1, 1, 0]  # an unknown rating is an event
    assert films.first_events is not None
    days = films.first_events / 86_400
    assert days[:4].tolist() == [10, 5, 50, 60]
    assert np.isnan(days[4:]).all()  # one without a time, one without an event


def test_genres_are_columns(films: Catalogue) -> None:
    assert films.genre_names == ("Comedy", "Drama", "Horror", "War")
    assert films.members(["War", "Drama"], "x").tolist() == [
        [False, True],
        [True, True],
        [False, False],
        [False, True],
        [False, False],
        [False, False],
    ]
    with pytest.raises(ConfigError, match="x names Western, but the genres are Comedy"):
        films.members(["Western"], "x")


def test_unit_vectors_have_length_one_or_zero() -> None:
    vectors = np.array([[3, 4], [0, 0], [1e-20, 0], [5, 5]], np.float32)
    catalogue = Catalogue(4, vectors=vectors, present=np.array([True, True, True, False]))
    assert catalogue.unit is not None
    np.testing.assert_allclose(catalogue.unit, [[0.6, 0.8], [0, 0], [1, 0], [0, 0]])
    assert catalogue.known is not None
    assert catalogue.known.tolist() == [True, False, True, False]
    assert catalogue.unit is catalogue.unit  # computed once
    assert Catalogue(4).unit is None
    assert Catalogue(4).known is None


@pytest.mark.parametrize(
    "columns",
    [
        {"vectors": np.zeros((3, 2))},
        {"years": np.zeros(5)},
        {"rating_sums": np.zeros(4)},
        {"genres": np.zeros((4, 2), bool), "genre_names": ("a",)},
    ],
)
def test_columns_that_do_not_fit_are_a_bug(columns: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"catalogue|genres"):
        Catalogue(4, **columns)  # type: ignore[arg-type]
