"""Rank models from data to artifacts, and their comparison, by the scripts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scripts_in_child import Outcome, Trouble, run
from tiny_world import manifest, payload

from genrec.data.load import load_dataset
from genrec.data.splits import GlobalTime
from genrec.ranking.labels import LabelRule
from genrec.ranking.splits import ranking_split
from genrec.ranking.store import load_ranker

TRAIN, EVALUATE = "experiments/train_ranker.py", "experiments/evaluate_ranking.py"
USERS, ITEMS, EACH = 50, 30, 24
DATA = """
DATASET = 'custom'
DATASET_FOLDER = 'data'
DATASET_SPLIT = None
"""
SMALL = """
from __gin__ import dynamic_registration
import genrec.training.recipe as recipe
import genrec.training.runtime as runtime
include 'data.gin'
train.runtime = @runtime.Runtime()
runtime.Runtime.cpu = True
runtime.Runtime.threads = 1
recipe.Recipe.checkpoint_every = 6
recipe.Recipe.log_every = 5
recipe.Recipe.patience = None
train.width = 8
train.batch_size = 256
train.epochs = 25
train.learning_rate = 0.03
"""
JUDGE = "include 'data.gin'\ninclude 'configs/rank/judge.gin'\n"


def write_ratings(folder: Path) -> None:
    """Users of even number like the first of two genres, the others the second; all take items at random."""
    rng = np.random.default_rng(0)
    users = np.repeat(np.arange(USERS), EACH)
    items = np.concatenate([rng.permutation(ITEMS)[:EACH] for _ in range(USERS)])
    likes = (users % 2 == items % 2) ^ (rng.random(len(users)) < 0.1)
    events = {"user_id": users, "item_id": items, "timestamp": rng.permutation(len(users)) * 1000}
    folder.mkdir(parents=True)
    pd.DataFrame({**events, "rating": np.where(likes, 5, 2)}).to_csv(folder / "interactions.csv", index=False)
    number = np.arange(ITEMS)
    catalogue = {"item_id": number, "title": [f"tale {i}" for i in number], "year": 1980 + number % 20}
    pd.DataFrame({**catalogue, "genres": [f"genre{i % 2}" for i in number]}).to_csv(
        folder / "items.csv", index=False
    )


def train(world: Path, model: str, *more: str, trouble: Trouble | None = None) -> Outcome:
    return run(TRAIN, "--model", model, "small.gin", *more, folder=world, trouble=trouble)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ratings, and three rankers trained on them."""
    folder = tmp_path_factory.mktemp("rated")
    write_ratings(folder / "data")
    (folder / "data.gin").write_text(DATA)
    (folder / "small.gin").write_text(SMALL)
    (folder / "judge.gin").write_text(JUDGE)
    for model in ("lr", "fm", "ple"):
        done = train(folder, model)
        assert done.code == 0, done.err
        assert f"{model} in out/custom/rank-{model}; best AUC" in done.out
    return folder


@pytest.fixture(scope="module")
def metrics(world: Path) -> dict[str, float]:
    done = run(EVALUATE, "judge.gin", folder=world)
    assert done.code == 0, done.err
    assert "report: out/custom/ranking/ranking.html" in done.out
    found: dict[str, float] = json.loads((world / "out/custom/ranking/metrics.json").read_text("utf-8"))
    return found


def test_the_artifact_says_what_it_was_made_from(world: Path) -> None:
    data = load_dataset("custom", world / "data")
    split = GlobalTime()(data.interactions)
    found = manifest(world / "out/custom/rank-ple")
    assert (found["kind"], found["facts"]["model"]) == ("ranker", "ple")
    assert found["facts"]["tasks"] == ["like", "rating", "return"]
    assert found["inputs"]["split"]["hash"] == split.hash
    assert found["inputs"]["dataset"]["hash"] == data.content_hash
    assert 0.5 < found["metrics"]["valid/ple/auc"] <= 1
    for name in ("config.gin", "config-full.gin", "metrics.jsonl", "metrics.json"):
        assert (world / "out/custom/rank-ple" / name).exists()


def test_every_figure_has_its_interval(metrics: dict[str, float]) -> None:
    for part in ("valid", "test"):
        for model in ("lr", "fm", "ple"):
            for name in ("auc", "gauc", "logloss", "precision@5", "ndcg@10"):
                key = f"{part}/{model}/{name}"
                assert metrics[f"{key}/low"] <= metrics[key] <= metrics[f"{key}/high"]
            assert f"{part}/{model}/ece" in metrics
            assert metrics[f"time/{part}/{model}/rows_per_second"] > 0
    assert "test/lr/auc/minus_fm" in metrics


def test_pairs_of_features_say_what_features_alone_cannot(metrics: dict[str, float]) -> None:
    assert metrics["test/fm/auc"] > metrics["test/lr/auc"] + 0.1
    assert metrics["test/fm/auc"] > 0.65
    assert metrics["test/ple/auc"] > 0.65


def test_the_comparison_is_of_what_the_artifacts_say(world: Path, metrics: dict[str, float]) -> None:
    data = load_dataset("custom", world / "data")
    part = ranking_split(GlobalTime()(data.interactions), LabelRule()).test
    said = load_ranker(world / "out/custom/rank-fm").with_log(part.log)(part.rows)
    assert part.rows.labels is not None
    good, other = said.logits[part.rows.labels == 1], said.logits[part.rows.labels == 0]
    wins = (good[:, None] > other).mean() + 0.5 * (good[:, None] == other).mean()
    assert metrics["test/fm/auc"] == pytest.approx(float(wins))


def test_a_killed_training_ends_as_one_that_was_not(world: Path) -> None:
    done = train(world, "din", "--out", "out/whole")
    assert done.code == 0, done.err
    for step in (10, 9):
        assert train(world, "din", "--out", "out/parts", trouble=Trouble(kill_at_step=step)).killed
    done = train(world, "din", "--out", "out/parts")
    assert done.code == 0, done.err
    assert payload(world / "out/parts") == payload(world / "out/whole")


def test_within_user_losses_and_negatives(world: Path) -> None:
    more = (
        "import genrec.ranking.losses as losses",
        "import genrec.ranking.negatives as negatives",
        "import genrec.ranking.calibration as calibration",
        "train.loss = @losses.BprWithinUser()",
        "train.negatives = @negatives.Uniform()",
        "train.calibration = @calibration.Isotonic()",
        "train.epochs = 2",
    )
    done = train(world, "deepfm", "--out", "out/bpr", *more)
    assert done.code == 0, done.err
    judged = run(
        EVALUATE,
        "judge.gin",
        "evaluate.rankers = ()",
        "evaluate.folders = {'bpr': 'out/bpr'}",
        "evaluate.parts = ('valid',)",
        "import genrec.candidates as candidates",
        "import genrec.recall.itemknn as itemknn",
        "evaluate.negatives = @candidates.RecallNegatives()",
        "candidates.RecallNegatives.recaller = @itemknn.ItemKnn()",
        "--out",
        "out/bpr-judged",
        folder=world,
    )
    assert judged.code == 0, judged.err
    found = json.loads((world / "out/bpr-judged/metrics.json").read_text("utf-8"))
    assert 0 < found["valid/bpr/auc"] < 1
    assert not any(key.startswith("test/") for key in found)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--model", "forest"), "--model forest is unknown; choose one of dcn, dcn_v2, deep, deepfm, din, fm, lr"),
        (("--model", "fm", "train.model = 'lr'"), "leave one of them out"),
        (("--model", "fm", "train.epochs = 0"), "train.epochs must be at least 1"),
        (("--model", "fm", "train.monitor = 'logloss'"), "train.monitor must be one of auc, gauc"),
        (("--model", "deepfm", "deepfm.DeepFm.hidden = (0,)"), "DeepFm.hidden must be widths of at least 1"),
        (("--model", "mmoe", "mmoe.Mmoe.tasks = ('like',)"), "UncertaintyWeighted.tasks names 3 tasks where"),
        (("--model", "fm", "train.semantic_ids_path = 'nowhere'"), "no semantic_ids artifact in nowhere"),
        (("--model", "fm", "train.learning_rate = 0.5", "--out", "out/custom/rank-fm"), "another configuration"),
    ],
)  # fmt: skip
def test_training_refuses_in_one_sentence(world: Path, arguments: tuple[str, ...], said: str) -> None:
    before = payload(world / "out/custom/rank-fm")
    model, *more = arguments[1:]
    out = () if "--out" in more else ("--out", "out/refused")
    assert said in run(TRAIN, arguments[0], model, "small.gin", *more, *out, folder=world).refusal
    assert payload(world / "out/custom/rank-fm") == before


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        ("evaluate.rankers = ('lr', 'gone')", "no ranker artifact in out/custom/rank-gone"),
        ("evaluate.rankers = ()", "there is no ranker in out/custom"),
        ("evaluate.reference = 'best'", "evaluate.reference is 'best'"),
        ("evaluate.parts = ('train',)", "evaluate.parts must be"),
        ("evaluate.ks = (0,)", "evaluate.ks must be positive"),
        ("evaluate.splitter = @splits.LeaveOneOut()", "was made from split"),
        ("evaluate.folders = {'log': 'data'}", "no ranker artifact in data"),
    ],
)
def test_evaluation_refuses_in_one_sentence(
    world: Path, metrics: dict[str, float], binding: str, said: str
) -> None:
    refused = run(EVALUATE, "judge.gin", binding, "--out", "bad", folder=world)
    assert said in refused.refusal
    assert not (world / "bad").exists()
    assert metrics
