"""Every re-ranker is bound from a gin file, and a bad argument is named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gin
import pytest

from genrec import config
from genrec.rerank.base import Chain, Reranker

CHAIN = """
from __gin__ import dynamic_registration
import genrec.rerank.base as base
import genrec.rerank.filters as filters
import genrec.rerank.mmr as mmr
import genrec.rerank.quality as quality

show.reranker = @base.Chain()
base.Chain.stages = (
    @filters.SeenFilter(), @filters.AgeFilter(), @quality.Quality(), @mmr.Mmr(), @filters.GenreQuota()
)
filters.AgeFilter.min_year = 1950
quality.Quality.weight = 0.2
quality.Quality.rating_range = (0.5, 5.0)
mmr.Mmr.lambda_mmr = 0.7
mmr.Mmr.scale = 'rank'
filters.GenreQuota.at_most = {'Drama': 4}
filters.GenreQuota.at_least = {'War': 1}
"""


@pytest.fixture(autouse=True)
def _clean_gin() -> Iterator[None]:
    yield
    gin.clear_config()


def show(*, reranker: Reranker) -> None:
    """An entry function."""
    assert isinstance(reranker, Chain)
    print(*(type(stage).__name__ for stage in reranker.stages))


@pytest.fixture
def leaf(tmp_path: Path) -> str:
    path = tmp_path / "chain.gin"
    path.write_text(CHAIN, "utf-8")
    return str(path)


def test_a_chain_is_bound(leaf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert config.main(show, description="x", argv=[leaf]) == 0
    assert capsys.readouterr().out == "SeenFilter AgeFilter Quality Mmr GenreQuota\n"


@pytest.mark.parametrize(
    "binding",
    [
        "mmr.Mmr.lambda_mmr = 2",
        "mmr.Mmr.scale = 'cubic'",
        "quality.Quality.weight = 'much'",
        "quality.Quality.rating_range = (1,)",
        "quality.Quality.prior = -1",
        "filters.AgeFilter.max_year = 1900",
        "filters.GenreQuota.first = 0",
        "filters.GenreQuota.at_most = {'Drama': 'few'}",
        "base.Chain.stages = ()",
    ],
)
def test_a_bad_binding_is_named(binding: str, leaf: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert config.main(show, description="x", argv=[leaf, "--gin", binding]) == 2
    module_and_class, _, argument = binding.partition(" =")[0].rpartition(".")
    said = capsys.readouterr().err
    assert f"{module_and_class.partition('.')[2]}.{argument}" in said
    assert said.count("\n") == 1
