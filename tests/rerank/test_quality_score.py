from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from genrec.errors import ConfigError
from genrec.rerank.base import Context
from genrec.rerank.catalogue import Catalogue
from genrec.rerank.quality import Quality

Lists = tuple[NDArray[np.int32], NDArray[np.float32]]


def by_hand(prior: float = 10.0) -> list[float]:
    """Quality of the six films, one at a time."""
    counts = [3, 2, 1, 1, 1, 0]
    ratings: list[list[float]] = [[5, 5], [4, 2], [1], [3], [3], []]
    everyone = [rating for one in ratings for rating in one]
    mean = sum(everyone) / len(everyone)
    found = []
    for count, own in zip(counts, ratings, strict=True):
        popularity = math.log(1 + count) / math.log(1 + max(counts))
        shrunk = (sum(own) + prior * mean) / (len(own) + prior) if len(own) + prior else mean
        found.append(0.4 * popularity + 0.6 * (shrunk - 1) / 4)
    return found


@pytest.mark.parametrize("prior", [10.0, 0.0, 2.5])
def test_quality_is_the_formula(films: Catalogue, prior: float) -> None:
    np.testing.assert_allclose(Quality(prior=prior).figures(films)[2], by_hand(prior), rtol=1e-6)


def test_scores_are_the_blend(films: Catalogue, everything: Lists) -> None:
    found = Quality(weight=0.7).rerank(*everything, 6, Context(films))
    blended = 0.3 * np.linspace(1, 0, 6) + 0.7 * np.array(by_hand())
    assert found.items[0].tolist() == np.argsort(-blended, kind="stable").tolist()
    np.testing.assert_allclose(found.scores[0], np.sort(blended)[::-1], rtol=1e-6)
    np.testing.assert_allclose(
        found.trace["quality/quality"][0], np.array(by_hand())[found.items[0]], rtol=1e-6
    )
    np.testing.assert_allclose(
        found.trace["quality/relevance"][0], np.linspace(1, 0, 6)[found.items[0]], atol=1e-6
    )


def test_the_ends_of_weight(films: Catalogue, everything: Lists) -> None:
    items, scores = everything
    backwards = scores[:, ::-1].copy()
    assert Quality(weight=0).rerank(items, backwards, 6, Context(films)).items.tolist() == [
        [5, 4, 3, 2, 1, 0]
    ]
    best = Quality(weight=1).rerank(items, backwards, 6, Context(films)).items[0]
    assert best.tolist() == np.argsort(-np.array(by_hand()), kind="stable").tolist()


def test_shrinkage_trusts_many_ratings_more() -> None:
    events = np.array([0] + [1] * 50 + [2] * 50)
    ratings = np.array([5.0] + [4.8] * 50 + [2.0] * 50)
    rating = Quality(prior=10).figures(Catalogue.of(4, events, ratings))[1]
    assert rating[1] > rating[0] > rating[3] > rating[2]


def test_without_ratings_quality_is_popularity() -> None:
    events = np.array([0, 0, 0, 1])
    for ratings in (None, np.full(4, np.nan)):
        popularity, rating, quality = Quality().figures(Catalogue.of(3, events, ratings))
        np.testing.assert_array_equal(quality, popularity)
        assert np.isnan(rating).all()
        np.testing.assert_allclose(popularity, [1.0, 0.5, 0.0])


def test_a_catalogue_without_events_has_no_quality(everything: Lists) -> None:
    nothing = Catalogue.of(6, np.empty(0, np.int64))
    assert Quality().rerank(*everything, 6, Context(nothing)).items.tolist() == [[0, 1, 2, 3, 4, 5]]
    with pytest.raises(ConfigError, match="Quality needs the number of events"):
        Quality().rerank(*everything, 6, Context(Catalogue(6)))


def test_another_scale_of_ratings_is_refused(films: Catalogue) -> None:
    assert films.rating_sums is not None
    tens = dataclasses.replace(films, rating_sums=films.rating_sums * 2)
    with pytest.raises(ConfigError, match=r"Quality\.rating_range is 1 to 5, but mean ratings .* 2 to 10"):
        Quality(prior=0).figures(tens)
    assert (
        Quality(prior=0, rating_range=(2, 10)).figures(tens)[1].tolist()
        == Quality(prior=0, rating_range=(1, 5)).figures(films)[1].tolist()
    )


@pytest.mark.parametrize(
    ("bad", "name"),
    [
        (lambda: Quality(weight=1.2), "weight"),
        (lambda: Quality(popularity=-0.1), "popularity"),
        (lambda: Quality(prior=-1), "prior"),
        (lambda: Quality(prior=float("nan")), "prior"),
        (lambda: Quality(rating_range=(5, 1)), "rating_range"),
        (lambda: Quality(scale="z"), "scale"),
    ],
)
def test_arguments_are_checked(bad: type[Quality], name: str) -> None:
    with pytest.raises(ConfigError, match=rf"Quality\.{name}"):
        bad()
