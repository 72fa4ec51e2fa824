"""One recaller from data to artifacts and figures, by the script."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
from own_recaller import Factors
from scripts_in_child import Outcome, Trouble, run
from tiny_world import manifest, payload, tree

from genrec.data.load import load_dataset
from genrec.data.splits import LeaveOneOut, Split
from genrec.data.tables import Dataset
from genrec.evaluation.protocol import evaluate, evaluation_set
from genrec.recall.ease import Ease
from genrec.recall.store import load_recaller
from genrec.recall.stored import Stored

SCRIPT, HOME = "experiments/train_recall.py", "out/custom/recall-"
DATA = "DATASET = 'custom'\nDATASET_FOLDER = 'data'\nDATASET_SPLIT = None\n"
OWN = """
from __gin__ import dynamic_registration
import genrec.recall.neural as neural
import genrec.training.recipe as recipe
import genrec.training.runtime as runtime
import own_recaller as own_recaller
include 'configs/recall/base.gin'
train.model = 'factors'
train.recaller = @own_recaller.Factors()
own_recaller.Factors.training = @neural.Training()
neural.Training.epochs = 3
neural.Training.learning_rate = 0.05
neural.Training.recipe = @recipe.Recipe()
neural.Training.runtime = @runtime.Runtime()
recipe.Recipe.checkpoint_every = 5
recipe.Recipe.log_every = 5
runtime.Runtime.cpu = True
runtime.Runtime.threads = 1
"""


@pytest.fixture
def world(fresh: Path) -> Path:
    """The small world with a data file, and a recaller of the user's own beside those of the repository."""
    (fresh / "data.gin").write_text(DATA)
    (fresh / "configs/recall").mkdir(parents=True)
    (fresh / "configs/recall/factors.gin").write_text(OWN)
    return fresh


def train(world: Path, model: str, *more: str, trouble: Trouble | None = None) -> Outcome:
    return run(SCRIPT, "--model", model, "data.gin", *more, folder=world, trouble=trouble)


def trained(world: Path, model: str, *more: str) -> dict[str, float]:
    """Figures of a run that must succeed."""
    outcome = train(world, model, *more)
    assert outcome.code == 0, outcome.err
    return figures(world / f"{HOME}{model}")


def figures(folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / "metrics.json").read_text("utf-8"))
    return found


def split_of(world: Path) -> tuple[Dataset, Split]:
    data = load_dataset("custom", world / "data")
    return data, LeaveOneOut()(data.interactions)


def test_artifacts_and_figures_of_both_parts(world: Path) -> None:
    outcome = train(world, "ease")
    assert outcome.code == 0, outcome.err
    folder = world / f"{HOME}ease"
    found, (data, split) = figures(folder), split_of(world)
    for part in ("valid", "test"):
        stored = Stored(str(folder)).fit(split.before(part), data.items)
        cases = evaluation_set(split, part)
        for masked, masking in ((True, "masked"), (False, "unmasked")):
            again = evaluate(stored, cases, method="ease", masked=masked)
            for name in ("ndcg@10", "recall@50"):
                assert found[f"{part}/ease/{masking}/{name}"] == again.summary[name]
            assert found[f"{part}/ease/{masking}/ndcg@10/low"] <= again.summary["ndcg@10"]
            assert f"{again.summary['ndcg@10']:.4f}" in outcome.out
        about = manifest(folder / part)
        assert about["facts"] == {"class": "genrec.recall.ease:Ease", "part": part}
        assert about["inputs"]["dataset"] == {"path": "custom", "hash": data.content_hash}
        assert about["inputs"]["split"]["hash"] == split.hash
        assert about["rerun"].endswith("train_recall.py --model ease data.gin")
        assert found[f"time/fit/{part}/ease/seconds"] > 0
        rows = [json.loads(line) for line in (folder / part / "metrics.jsonl").read_text().splitlines()]
        assert rows[-1][f"{part}/ease/masked/ndcg@10"] == found[f"{part}/ease/masked/ndcg@10"]
    loaded = load_recaller(folder / "test", split.before("test"))
    assert isinstance(loaded, Ease)
    assert loaded.l2 == 300.0


def test_a_second_run_does_nothing_and_another_setting_does(world: Path) -> None:
    first = trained(world, "ease")
    before = tree(world / "out")
    outcome = run(SCRIPT, f"{HOME}ease/config.gin", folder=world)  # the stored configuration says which model
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("is there already") == 2
    assert tree(world / "out") == before
    assert trained(world, "ease", "ease.Ease.l2 = 1.0") != first
    assert payload(world / f"{HOME}ease/test") != {}
    damaged = next((world / f"{HOME}ease/test").glob("weights-*.npy"))
    damaged.write_bytes(b"damaged")
    assert trained(world, "ease", "ease.Ease.l2 = 1.0") != first
    assert damaged.read_bytes() != b"damaged"


def test_one_part_alone(world: Path) -> None:
    found = trained(
        world, "popularity", "train.parts = ('valid',)", "train.max_users = 20", "train.ks = (10,)"
    )
    folder = world / f"{HOME}popularity"
    assert not (folder / "test").exists()
    assert {name.split("/")[0] for name in found} == {"valid", "time", "memory"}
    assert not [name for name in found if name.endswith(("@5", "@20", "@50"))]
    both = trained(world, "popularity", "train.max_users = 20", "train.ks = (10,)")
    assert {name: both[name] for name in found} == found, "the part that is there is taken as it is"
    assert "test/popularity/masked/ndcg@10" in both


def test_a_recaller_of_ones_own_is_stored_with_its_class(world: Path) -> None:
    trained(world, "factors")
    _, split = split_of(world)
    loaded = load_recaller(world / f"{HOME}factors/test", split.before("test"))
    assert isinstance(loaded, Factors)
    assert set(loaded.weights) == {"users.weight", "items.weight", "project.weight"}
    assert loaded.training.epochs == 3
    lines = (world / f"{HOME}factors/valid/metrics.jsonl").read_text().splitlines()
    losses = [row["train/loss"] for row in map(json.loads, lines) if "train/loss" in row]
    assert losses[-1] < losses[0]


def test_killed_at_random_steps_it_ends_the_same(world: Path) -> None:
    trained(world, "factors")
    home = world / f"{HOME}factors"
    whole = {part: payload(home / part) for part in ("valid", "test")}
    home.rename(world / "before")
    moments, kills = random.Random(0), 0
    while True:
        outcome = train(world, "factors", trouble=Trouble(kill_at_step=moments.randrange(8, 20)))
        if not outcome.killed:
            break
        kills += 1
    assert outcome.code == 0, outcome.err
    assert kills >= 2, "each part was killed"
    assert {part: payload(home / part) for part in whole} == whole


def test_killed_while_writing_it_ends_the_same(world: Path) -> None:
    trained(world, "factors")
    home = world / f"{HOME}factors"
    whole = {part: payload(home / part) for part in ("valid", "test")}
    home.rename(world / "before")
    for moment in (20, 45):
        train(world, "factors", trouble=Trouble(kill_at_write=moment))
    trained(world, "factors")
    assert {part: payload(home / part) for part in whole} == whole
    assert [name for name in tree(home) if Path(name).name.startswith(".")] == []


def test_judging_otherwise_does_not_train_again(world: Path) -> None:
    trained(world, "factors")
    home = world / f"{HOME}factors"
    before = payload(home / "test")
    checkpoints = tree(home / "test/checkpoints")
    found = trained(world, "factors", "train.ks = (10, 30)")
    assert "test/factors/masked/ndcg@30" in found
    assert payload(home / "test") == before
    assert tree(home / "test/checkpoints") == checkpoints
    refusal = train(world, "factors", "neural.Training.epochs = 4").refusal
    assert "another configuration" in refusal
    assert "--out" in refusal


def test_the_loss_of_an_index_is_told(world: Path) -> None:
    index = [
        "import genrec.recall.vector_index as vector_index",
        "own_recaller.Factors.index = @vector_index.FaissIndex()",
    ]
    flat = trained(
        world, "factors", *index, "vector_index.FaissIndex.factory = 'Flat'", "train.parts = ('valid',)"
    )
    assert flat["valid/factors/index/found@10"] > 0.99
    assert flat["valid/factors/index/ndcg@10"] == pytest.approx(
        flat["valid/factors/index/exact_ndcg@10"], abs=0.01
    )
    assert flat["valid/factors/index/ndcg@10"] == flat["valid/factors/masked/ndcg@10"]
    assert flat["time/valid/factors/index/seconds_per_1000_users"] > 0


def test_features_are_those_of_the_encoder_or_of_the_ids(trained_world: Path, trained: Path) -> None:
    (trained / "data.gin").write_text(DATA)
    (trained / "configs/recall").mkdir(parents=True)
    (trained / "configs/recall/factors.gin").write_text(OWN)
    outcome = train(trained, "factors", "train.semantic_ids_path = 'out/custom/tokenizer'")
    assert outcome.code == 0, outcome.err
    inputs = manifest(trained / f"{HOME}factors/valid")["inputs"]
    tokenizer = manifest(trained / "out/custom/tokenizer")
    assert inputs["features_of"]["path"] == "out/custom/tokenizer"
    assert (
        inputs["features"]["path"]
        == manifest(
            trained / "out/custom/tokenizer" / Path(tokenizer["inputs"]["item_features"]["path"]).name
        )["facts"]["encoder"]
    )
    genres = ["import genrec.features.metadata as metadata", "train.features = @metadata.Genres()"]
    outcome = train(trained, "factors", *genres, "--out", "genres")
    assert outcome.code == 0, outcome.err
    assert "Genres" in manifest(trained / "genres/valid")["inputs"]["features"]["path"]
    weights = load_recaller(trained / "genres/valid")
    assert isinstance(weights, Factors)
    assert weights.weights["project.weight"].shape == (8, 4)


def test_generative_recall_by_its_folders(trained: Path) -> None:
    (trained / "data.gin").write_text(DATA)
    paths = [
        "trained.Trained.ids_path = 'out/custom/tokenizer'",
        "trained.Trained.decoder_path = 'out/custom/decoder'",
        "trained.Trained.width = 20",
    ]
    outcome = train(trained, "generative", *paths)
    assert outcome.code == 0, outcome.err
    found = figures(trained / f"{HOME}generative")
    decoder = figures(trained / "out/custom/decoder")
    assert found["valid/generative/masked/ndcg@10"] == pytest.approx(decoder["valid/generative/ndcg@10"])
    about = manifest(trained / f"{HOME}generative/test")
    assert {"semantic_ids", "generative_model"} <= set(about["inputs"])
    assert not [name for name in about["files"] if name.endswith(".safetensors")]
    other = [
        "import genrec.data.splits as splits",
        "train.splitter = @splits.LeaveOneOut()",
        "splits.LeaveOneOut.seed = 9",
    ]
    assert "made from split" in train(trained, "generative", *paths, *other).refusal


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "esae", "data.gin"), ("--model esae is unknown", "ease", "factors", "popularity")),
        (("data.gin",), ("train.", "is not bound")),
        (("--model", "ease"), ("no macro %DATASET is defined", "DATASET = VALUE")),
        (
            ("--model", "factors", "configs/recall/ml100k/ease.gin"),
            ("--model factors was asked for", "'ease'"),
        ),
        (("--model", "ease", "data.gin", "train.ks = (5,)"), ("train.ks must hold 10",)),
        (
            ("--model", "ease", "data.gin", "train.parts = ('train',)"),
            ("train.parts", "'valid', 'test' or both"),
        ),
        (("--model", "ease", "data.gin", "ease.Ease.l2 = -1"), ("Ease.l2", "positive")),
        (("--model", "generative", "data.gin"), ("Trained.ids_path is not bound",)),
        (("--model", "ease", "data.gin", "train.max_users = 0"), ("max_users", "at least 1")),
    ],
)
def test_refusals_are_one_sentence_and_write_nothing(
    world: Path, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    refusal = run(SCRIPT, *arguments, folder=world).refusal
    for word in words:
        assert word in refusal
    assert not (world / "out").exists() or not list((world / "out").rglob("manifest.json"))


def test_lists_are_those_of_a_recaller_made_by_hand(world: Path) -> None:
    trained(world, "itemcf", "itemknn.ItemKnn.neighbours = 3")
    data, split = split_of(world)
    loaded = Stored(str(world / f"{HOME}itemcf")).fit(split.train, data.items)
    users = np.arange(60, dtype=np.int32)
    by_hand = type(loaded.recaller)(neighbours=3).fit(split.train, data.items)  # type: ignore[call-arg]
    np.testing.assert_array_equal(
        loaded.recommend(users, 9).items, by_hand.recommend(users, 9, exclude_seen=True).items
    )
