"""The pipeline: every stage does its part, traces tell the truth, and every odd request has its answer."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray
from pipeline_world import GLUTTON, LONER, N_ITEMS, N_USERS, NOBODY, dataset, in_order, merged, pipeline

from genrec.data.tables import NO_TIMESTAMP, Interactions
from genrec.errors import ConfigError, DataError
from genrec.evaluation.page import render_page
from genrec.pipeline import POPULARITY, Pipeline
from genrec.ranking.rows import Rows
from genrec.recall.ease import Ease
from genrec.rerank.mmr import Mmr
from genrec.stages import Settings, World, standardised
from genrec.trace import reason, trace_rows, trace_text
from genrec.trace_page import trace_sections

USERS = np.arange(N_USERS, dtype=np.int32)


@pytest.fixture(scope="module")
def whole() -> Pipeline:
    return pipeline()


class Backwards:
    """Prefers what recall liked least."""

    def __call__(
        self, users: NDArray[np.int32], items: NDArray[np.int32], scores: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        return np.where(items >= 0, -scores, -np.inf).astype(np.float32)


def test_lists_keep_the_contract(whole: Pipeline) -> None:
    lists = whole.recommend(USERS, 6)
    assert lists.items.shape == (N_USERS, 6)
    for user, row in zip(USERS, lists.items, strict=True):
        shown = row[row >= 0]
        assert len(set(shown)) == len(shown)
        assert not set(shown) & set(whole.world.histories[user])
    assert (lists.scores[:, 1:] <= lists.scores[:, :-1]).all()
    assert (lists.items[USERS != GLUTTON] >= 0).all()


def test_one_user_gets_what_many_get(whole: Pipeline) -> None:
    many = whole.recommend(USERS, 6).items
    small = pipeline(settings=Settings(topk_recall=12, rank_weight=0.5, batch_size=7))
    np.testing.assert_array_equal(small.recommend(USERS, 6).items, many)
    for user in (0, 5, LONER):
        trace = whole.recommend_for_user(f"u{user}", topk_recall=12, topk_final=6, lambda_mmr=None)
        assert [item.item_id - 100 for item in trace.items] == many[user].tolist()


def test_stages_follow_their_scores(whole: Pipeline) -> None:
    run = whole.run(whole.request(USERS[:4]), 5)
    assert [stage.name for stage in run.stages] == ["recall", "rank", "rerank"]
    recall, rank, last = run.stages
    assert (recall.items.shape, rank.items.shape, last.items.shape) == ((4, 12), (4, 12), (4, 5))
    for stage in run.stages:
        np.testing.assert_array_equal(np.take_along_axis(recall.items, stage.places, axis=1), stage.items)
        assert stage.seconds > 0
    logits = rank.figures["rank/logit"]
    own = np.take_along_axis(recall.scores, rank.places, axis=1)
    there = np.ones(own.shape, dtype=bool)
    expected = 0.5 * standardised(logits, there) + 0.5 * standardised(own, there)
    np.testing.assert_allclose(rank.scores, expected, atol=1e-5)
    probabilities = 1 / (1 + np.exp(-(0.5 * logits - 1)))
    np.testing.assert_allclose(rank.figures["rank/probability"], probabilities, atol=1e-5)


def test_the_weight_goes_from_recall_to_the_ranker() -> None:
    recall = pipeline(settings=Settings(topk_recall=12, rank_weight=0.0), reranker=Mmr(1.0))
    run = recall.run(recall.request(USERS[:6]), 12)
    np.testing.assert_array_equal(run.stages[-1].items, run.stages[0].items)
    ranked = pipeline(settings=Settings(topk_recall=12, rank_weight=1.0), reranker=Mmr(1.0))
    logits = ranked.run(ranked.request(USERS[:6]), 12).stages[1].figures["rank/logit"]
    assert (np.diff(logits, axis=1) <= 0).all()


def test_the_pre_ranker_thins_out_for_the_ranker() -> None:
    thin = pipeline(settings=Settings(topk_recall=12, keep=4, rank_weight=1.0), preranker=Backwards())
    run = thin.run(thin.request(USERS[:3]), 3)
    assert [stage.name for stage in run.stages] == ["recall", "prerank", "rank", "rerank"]
    np.testing.assert_array_equal(run.stages[1].items, run.stages[0].items[:, :-5:-1])
    assert run.stages[2].items.shape == (3, 4)
    assert thin.recommend(USERS[:3], 6).items.shape == (3, 6), "never fewer than are asked for"


def test_ranking_knows_what_was_before_the_request_only(whole: Pipeline) -> None:
    request = whole.request(USERS[:3], now=1_050_000)
    run = whole.run(request, 5)
    log = whole.world.log
    assert log.timestamps is not None
    past = log.take(log.timestamps < 1_050_000)
    assert 0 < len(past) < len(log)
    assert whole.ranker is not None
    rank = run.stages[1]
    again = whole.ranker.with_log(past)(Rows.pairs(USERS[:3], rank.items, 1_050_000))
    np.testing.assert_allclose(rank.figures["rank/logit"].ravel(), again.logits, rtol=1e-5)  # as on that day
    later = whole.run(whole.request(USERS[:3]), 5).stages[1]
    assert not np.allclose(np.sort(later.figures["rank/logit"]), np.sort(rank.figures["rank/logit"]))


def test_the_clock_says_when_a_request_is() -> None:
    times = dataset().interactions.timestamps
    assert times is not None
    by_log = pipeline(settings=Settings())
    assert set(by_log.request(np.array([0, LONER, NOBODY], np.int32)).times) == {times.max() + 1}
    by_user = pipeline(settings=Settings(clock="user"))
    own = times[dataset().interactions.users == 3].max()
    assert by_user.request(np.array([3, LONER, NOBODY], np.int32)).times.tolist() == [
        own + 1,
        times.max() + 1,
        times.max() + 1,
    ]


def test_a_log_without_times_is_served_without_a_time() -> None:
    data = dataset()
    log = in_order(data.interactions)
    bare = Interactions(log.users, log.items, N_USERS, N_ITEMS)
    world = World(data.items, data.users.ids, bare)
    trace = Pipeline(Ease(l2=5.0).fit(bare, data.items), world).recommend_for_user("u1", 10, 5)
    assert trace.now is None
    assert len(trace.items) == 5
    assert world.last_times[0] == NO_TIMESTAMP


def test_a_trace_says_who_proposed_what(whole: Pipeline) -> None:
    trace = whole.recommend_for_user("u2", topk_recall=12, topk_final=5, lambda_mmr=0.3)
    assert (trace.known, trace.history, trace.fallback, trace.lambda_mmr) == (True, 8, "", 0.3)
    lists, places = merged().fit(whole.world.log, dataset().items).explained(np.array([2], np.int32), 12)
    for rank, item in enumerate(trace.items, start=1):
        at = int(np.flatnonzero(lists.items[0] == item.item_id - 100)[0])
        proposed = {
            name: int(place) for name, place in zip(("ease", "itemcf"), places[0, at], strict=True) if place
        }
        assert item.recallers == proposed
        assert item.stages["recall"].rank == at + 1
        assert item.stages["recall"].score == pytest.approx(float(lists.scores[0, at]))
        assert item.stages["rerank"].rank == rank
        assert item.lifted == item.stages["rank"].rank - rank
        assert 0 < item.figures["rank/probability"] < 1
        above = {other.item_id for other in trace.items[: rank - 1]}
        assert (item.neighbour in above) == (rank > 1)
        assert item.title == f"film {item.item_id - 100}"
        assert item.year == (None if item.item_id == 100 else 1979 + item.item_id - 100)
    assert [stage.candidates for stage in trace.stages] == [12, 12, 5]


def test_a_trace_says_what_mmr_traded(whole: Pipeline) -> None:
    traces = [whole.recommend_for_user(f"u{user}", 12, 5, 0.3) for user in range(6)]
    lifted = [item for trace in traces for item in trace.items if item.lifted > 0]
    assert lifted
    assert all(f"lifted {item.lifted}" in reason(item) for item in lifted)
    assert all(item.figures["mmr/relevance"] < 1 for item in lifted), "it went above a more relevant one"


def test_lambda_of_the_request_is_that_of_mmr(whole: Pipeline) -> None:
    plain = whole.recommend_for_user("u2", 12, 12, 1.0)
    assert [item.lifted for item in plain.items] == [0] * 12
    with pytest.raises(ConfigError, match="lambda_mmr"):
        whole.recommend_for_user("u2", lambda_mmr=1.5)


def test_a_trace_is_json_without_nan(whole: Pipeline) -> None:
    trace = whole.recommend_for_user("u2", 12, 5)
    assert np.isnan(trace.items[0].figures["mmr/similarity"])
    found = json.loads(json.dumps(trace.to_json(), allow_nan=False))
    assert found["items"][0]["figures"]["mmr/similarity"] is None
    assert found["items"][0]["item_id"] == trace.items[0].item_id
    assert found["items"][1]["recallers"] == dict(trace.items[1].recallers)


def test_a_trace_is_a_text_and_a_page(whole: Pipeline) -> None:
    trace = whole.recommend_for_user("u2", 12, 5)
    text = trace_text(trace)
    assert [line.split(":")[0] for line in text.splitlines() if " ms" in line] == ["recall", "rank", "rerank"]
    assert f"proposed at rank {', '.join(f'{n} {r}' for n, r in trace.items[0].recallers.items())}" in text
    assert reason(trace.items[0]) in text
    columns, rows = trace_rows(trace.items)
    assert all(len(row) == len(columns) for row in rows)
    first = trace.items[0].item_id
    page = render_page("t", trace_sections(trace, lambda item: b"\xff\xd8" if item == first else None))
    assert page.count("data:image/jpeg") == 1
    assert trace.items[4].title in page


@pytest.mark.parametrize(
    ("user", "known", "fallback"),
    [("u28", True, "the user has no history"), ("stranger", False, "the user is unknown")],
)
def test_no_history_gets_the_popular_items(whole: Pipeline, user: str, known: bool, fallback: str) -> None:
    trace = whole.recommend_for_user(user, topk_recall=6, topk_final=6)
    counts = whole.world.log.item_counts()
    assert (trace.known, trace.fallback, trace.history) == (known, fallback, 0)
    best = np.argsort(-counts, kind="stable")[:6]
    assert {item.item_id - 100 for item in trace.items} == set(best.tolist())
    assert all(set(item.recallers) == {POPULARITY} for item in trace.items)
    assert all(np.isfinite(item.figures["rank/logit"]) for item in trace.items)


def test_who_has_had_everything_gets_nothing(whole: Pipeline) -> None:
    trace = whole.recommend_for_user(f"u{GLUTTON}")
    assert (trace.items, trace.fallback, trace.history) == ((), "", N_ITEMS)
    assert "nothing is left" in trace_text(trace)
    assert "Nothing is left" in render_page("t", trace_sections(trace, lambda item: None))
    assert json.dumps(trace.to_json(), allow_nan=False)
    assert (whole.recommend(np.array([GLUTTON], np.int32), 3).items == -1).all()


def test_a_list_longer_than_the_catalogue_ends_early(whole: Pipeline) -> None:
    trace = whole.recommend_for_user("u0", topk_recall=500, topk_final=100)
    assert len(trace.items) == N_ITEMS - 8
    lists = whole.recommend(USERS[:2], 40)
    assert (lists.items[:, N_ITEMS - 8 :] == -1).all()
    assert np.isneginf(lists.scores[:, N_ITEMS - 8 :]).all()
    stranger = whole.recommend_for_user("stranger", topk_recall=500, topk_final=100)
    assert len(stranger.items) == N_ITEMS


def test_unmasked_lists_show_the_history_too(whole: Pipeline) -> None:
    lists = whole.recommend(USERS[:6], N_ITEMS, exclude_seen=False)
    assert (lists.items >= 0).all()


@pytest.mark.parametrize("arguments", [{"topk_recall": 0}, {"topk_final": 0}])
def test_a_bad_length_is_refused(whole: Pipeline, arguments: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        whole.recommend_for_user("u0", **arguments)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"topk_recall": 0}, "Settings.topk_recall"),
        ({"keep": 0}, "Settings.keep"),
        ({"batch_size": 0}, "Settings.batch_size"),
        ({"rank_weight": 1.1}, "Settings.rank_weight"),
        ({"clock": "moon"}, "Settings.clock"),
    ],
)
def test_bad_settings_are_named(arguments: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        Settings(**arguments)  # type: ignore[arg-type]


def test_tables_of_another_dataset_are_refused() -> None:
    data = dataset()
    log = in_order(data.interactions)
    with pytest.raises(DataError, match="one dataset"):
        Pipeline(Ease().fit(log, data.items), World(data.items, data.users.ids[:-1], log))


def test_nobody_asks_for_nothing(whole: Pipeline) -> None:
    assert whole.recommend(USERS[:0], 5).items.shape == (0, 5)


def test_standardised_looks_at_what_is_there() -> None:
    scores = np.array([[1.0, 3.0, -np.inf], [2.0, 2.0, 2.0], [-np.inf] * 3])
    there = scores > -np.inf
    np.testing.assert_allclose(standardised(scores, there), [[-1, 1, 0], [0, 0, 0], [0, 0, 0]])
