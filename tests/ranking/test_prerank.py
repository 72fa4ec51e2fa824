"""The pre-ranker: lists scored at once, from recall's order to a better one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from genrec.errors import ArtifactError, ConfigError, DataError
from genrec.ranking.prerank import (
    CandidateLists,
    PreRank,
    PreRanker,
    PreRankTask,
    load_prerank,
    save_prerank,
    standardised,
)
from genrec.training.checkpoint import Checkpoints
from genrec.training.loop import run
from genrec.training.recipe import Recipe
from genrec.training.runtime import Runtime
from genrec.training.trackers import Trackers

USERS, ITEMS, WIDTH, LENGTH = 120, 40, 6, 12


def lists(seed: int = 0) -> CandidateLists:
    """Recall scores say little; what is good is the item whose vector is like the user's."""
    rng = np.random.default_rng(seed)
    users, items = (rng.normal(size=(n, WIDTH)).astype(np.float32) for n in (USERS, ITEMS))
    candidates = np.argsort(rng.random((USERS, ITEMS)), axis=1)[:, :LENGTH]
    candidates[0, 5:] = -1
    candidates[1] = -1
    match = (users[:, None] * items[candidates]).sum(2)
    good = (match >= np.partition(match, -2, axis=1)[:, [-2]]) & (candidates >= 0)
    scores = rng.normal(size=candidates.shape).astype(np.float32)
    return CandidateLists(users, items, candidates, scores, good.astype(np.float32))


def trained(folder: Path, steps: int = 150) -> tuple[PreRank, CandidateLists]:
    runtime = Runtime(seed=0, threads=1, cpu=True)
    runtime.seed_everything()
    data, model = lists(), PreRank(WIDTH, hidden=(16, 8), activation="gelu")
    task = PreRankTask(model, data, 30, 0, dict)
    recipe = Recipe(weight_decay=0.0)
    run(
        task,
        recipe.optimizer(model, 0.02),
        recipe.settings(iterations=steps, learning_rate=0.02),
        runtime=runtime,
        checkpoints=Checkpoints(folder / "checkpoints"),
        trackers=Trackers(),
        progress_bar=False,
    )
    return model, data


def first_is_good(scores: np.ndarray, data: CandidateLists) -> float:
    assert data.labels is not None
    rows = np.arange(2, USERS)
    return float(data.labels[rows, scores[2:].argmax(1)].mean())


def test_untrained_it_keeps_the_order_of_recall() -> None:
    data = lists()
    found = PreRanker(PreRank(WIDTH), data.items)(data.users, data.candidates, data.scores)
    there = data.candidates >= 0
    assert found.shape == (USERS, LENGTH)
    assert np.array_equal(np.isneginf(found), ~there)
    full = there.all(1)
    assert np.array_equal(np.argsort(found[full]), np.argsort(data.scores[full]))


def test_it_learns_what_recall_does_not_say(tmp_path: Path) -> None:
    model, data = trained(tmp_path)
    found = PreRanker(model, data.items)(data.users, data.candidates, data.scores)
    assert first_is_good(found, data) > 0.8 > 0.4 > first_is_good(data.scores, data)


def test_what_an_item_says_may_be_computed_once() -> None:
    model, data = PreRank(WIDTH, hidden=(8, 4), dropout=0.2).eval(), lists()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    ranker = PreRanker(model, data.items)
    users, rows = torch.from_numpy(data.users), torch.from_numpy(data.candidates).clamp_min(0)
    scores = torch.from_numpy(data.scores).masked_fill(torch.from_numpy(data.candidates) < 0, -torch.inf)
    with torch.no_grad():
        whole = model(users, torch.from_numpy(data.items)[rows], scores)
    assert np.allclose(ranker(data.users, data.candidates, data.scores), whole.numpy(), atol=1e-5)


def test_every_list_is_scored_by_itself(tmp_path: Path) -> None:
    model, data = trained(tmp_path, 10)
    ranker = PreRanker(model, data.items)
    whole = ranker(data.users, data.candidates, data.scores)
    alone = ranker(data.users[7:8], data.candidates[7:8], data.scores[7:8])
    assert np.allclose(whole[7:8], alone, atol=1e-5)


def test_recall_scores_count_by_their_place_in_the_list_alone() -> None:
    scores = torch.tensor([[1.0, 2.0, 3.0, 9.0], [5.0, 5.0, 5.0, 5.0]])
    there = torch.tensor([[True, True, True, False], [True, True, True, True]])
    found = standardised(scores, there)
    assert torch.allclose(found[0], torch.tensor([-(1.5**0.5), 0.0, 1.5**0.5, 0.0]))
    assert torch.equal(found[1], torch.zeros(4))
    assert torch.allclose(standardised(100 * scores - 7, there), found)


def test_gradients_are_those_of_the_function() -> None:
    torch.manual_seed(0)
    model = PreRank(3, hidden=(4, 3), activation="tanh").double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    users, vectors = torch.randn(2, 3).double(), torch.randn(2, 5, 3).double()
    scores = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda s: model(users, vectors, s), scores)


def test_it_is_stored_with_what_it_was_made_from(tmp_path: Path) -> None:
    model, data = trained(tmp_path, 5)
    reference = {"recaller": {"path": "out/two-tower", "hash": "r" * 64}}
    save_prerank(tmp_path, model, config="", inputs=reference, metrics={}, rerun="train it")
    again, manifest = load_prerank(tmp_path)
    arguments = data.users, data.candidates, data.scores
    assert np.array_equal(PreRanker(again, data.items)(*arguments), PreRanker(model, data.items)(*arguments))
    assert manifest.inputs == reference
    with pytest.raises(ArtifactError, match="no preranker artifact"):
        load_prerank(tmp_path / "nowhere")


def test_what_does_not_fit_is_said() -> None:
    data = lists()
    with pytest.raises(DataError, match="reads vectors of width 5, these items have 6"):
        PreRanker(PreRank(5), data.items)
    with pytest.raises(DataError, match="one list per user"):
        CandidateLists(data.users[:3], data.items, data.candidates, data.scores)
    with pytest.raises(DataError, match="lists without labels"):
        PreRankTask(
            PreRank(WIDTH), CandidateLists(data.users, data.items, data.candidates, data.scores), 8, 0, dict
        )
    for arguments in ({"width": 0}, {"width": 4, "hidden": ()}, {"width": 4, "hidden": (0,)}):
        with pytest.raises(ConfigError, match="PreRank"):
            PreRank(**arguments)  # type: ignore[arg-type]
