"""From data to a pipeline that is copied elsewhere, by the scripts: recall, ranker, judging, one user."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scripts_in_child import Outcome, run
from tiny_world import N_ITEMS, make_world, manifest

RANK = """
from __gin__ import dynamic_registration
import genrec.training.runtime as runtime
include 'configs/data/custom.gin'
include 'configs/model/next_item.gin'
DATASET_FOLDER = 'data'
train.runtime = @runtime.Runtime()
runtime.Runtime.cpu = True
runtime.Runtime.threads = 1
schema.Schema.features = {
    'item': {'kind': 'categorical', 'source': 'item'},
    'genres': {'kind': 'multi_label', 'source': 'item.genres'},
    'history': {'kind': 'sequence', 'source': 'history', 'length': 4, 'shares': 'item'},
}
train.width = 4
train.batch_size = 512
train.epochs = 2
"""
PRERANK = """
from __gin__ import dynamic_registration
import genrec.training.runtime as runtime
include 'configs/data/custom.gin'
include 'configs/model/prerank.gin'
DATASET_FOLDER = 'data'
train.recaller = 'ease'
train.runtime = @runtime.Runtime()
runtime.Runtime.cpu = True
runtime.Runtime.threads = 1
train.depth = 20
train.keep = 15
train.epochs = 2
train.batch_size = 16
"""
PIPELINE = """
include 'configs/data/custom.gin'
include 'configs/model/pipeline.gin'
DATASET_FOLDER = 'data'
evaluate.recaller = 'ease'
evaluate.ranker = 'deepfm-next'
evaluate.ks = (5, 10)
evaluate.timed_users = 5
evaluate.lambdas = (1.0, 0.5)
evaluate.weights = (0.0, 0.3, 1.0)
stages.Settings.topk_recall = 20
stages.Settings.keep = 15
"""
STAGES = ("recall", "prerank", "rank", "rerank")
EVALUATE, RECOMMEND = "experiments/evaluate_pipeline.py", "experiments/recommend.py"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recaller, a ranker, and pipelines of both parts."""
    folder = make_world(tmp_path_factory.mktemp("world"))
    (folder / "rank.gin").write_text(RANK)
    (folder / "prerank.gin").write_text(PRERANK)
    (folder / "pipeline.gin").write_text(PIPELINE)
    data = ("--model", "ease", "configs/data/custom.gin", "train.dataset_folder = 'data'")
    for script, arguments in (
        ("experiments/train_recall.py", data),
        ("experiments/train_prerank.py", ("prerank.gin",)),
        ("experiments/train_ranker.py", ("rank.gin",)),
        (EVALUATE, ("pipeline.gin",)),
    ):
        done = run(script, *arguments, folder=folder)
        assert done.code == 0, done.err
    return folder


def figures(world: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((world / "out/custom/pipeline/metrics.json").read_text("utf-8"))
    return found


def recommended(folder: Path, *arguments: str) -> Outcome:
    done = run(RECOMMEND, *arguments, folder=folder)
    assert done.code == 0, done.err
    return done


def test_the_pipeline_is_judged_beside_its_recall(world: Path) -> None:
    found = figures(world)
    recall = json.loads((world / "out/custom/recall-ease/metrics.json").read_text("utf-8"))
    for part in ("valid", "test"):
        assert found[f"{part}/recall/masked/ndcg@10"] == pytest.approx(
            recall[f"{part}/ease/masked/ndcg@10"]
        ), "the same recaller by the same protocol"
        low, high = (found[f"{part}/pipeline/masked/ndcg@10/minus_recall/{end}"] for end in ("low", "high"))
        assert low <= found[f"{part}/pipeline/masked/ndcg@10/minus_recall"] <= high
        kept = [found[f"{part}/pipeline/stage/{stage}/recall"] for stage in STAGES]
        assert kept == sorted(kept, reverse=True)
        assert 0 < found[f"time/{part}/pipeline/total/p50_ms"] <= found[f"time/{part}/pipeline/total/p99_ms"]
        assert f"{part}/pipeline/masked/lambda/0.5/ild@10" in found
    page = (world / "out/custom/pipeline/pipeline.html").read_text("utf-8")
    assert all(said in page for said in ("Pipeline on valid", "Pipeline on test", "Latency", "<svg"))


def test_the_pre_ranker_is_judged_beside_recall(world: Path) -> None:
    found = json.loads((world / "out/custom/prerank/metrics.json").read_text("utf-8"))
    recall = json.loads((world / "out/custom/recall-ease/metrics.json").read_text("utf-8"))
    assert found["valid/recall/ndcg@10"] == pytest.approx(recall["valid/ease/masked/ndcg@10"])
    assert found["valid/prerank/ndcg@10"] >= found["valid/recall/ndcg@10"] - 0.05
    about = manifest(world / "out/custom/prerank")["inputs"]
    assert {"dataset", "split", "features", "recaller"} == set(about)
    wrong = run("experiments/train_prerank.py", "prerank.gin", "train.keep = 21", folder=world)
    assert "train.keep" in wrong.refusal


def test_the_weight_is_the_best_on_validation(world: Path) -> None:
    found = figures(world)
    tried = {
        float(name.split("/")[3]): value
        for name, value in found.items()
        if name.startswith("valid/pipeline/rank_weight/")
    }
    assert set(tried) == {0.0, 0.3, 1.0}
    about = manifest(world / "out/custom/pipeline/test")
    settings = next((world / "out/custom/pipeline/test").glob("settings-*.json")).read_text("utf-8")
    assert tried[json.loads(settings)["settings"]["rank_weight"]] == max(tried.values())
    assert about["facts"]["part"] == "test"
    assert {"dataset", "split", "recaller", "preranker", "ranker", "features", "tasted"} == set(
        about["inputs"]
    )


def test_a_copy_alone_recommends_alike_with_posters(world: Path, tmp_path: Path) -> None:
    here = recommended(
        world,
        "--user",
        "7",
        "--pipeline",
        "out/custom/pipeline/test",
        "recommend.trace_json = 'trace.json'",
        "--k",
        "5",
    )
    assert [line.split(":")[0] for line in here.out.splitlines() if " ms" in line] == list(STAGES)
    shutil.copytree(world / "out/custom/pipeline/test", tmp_path / "copied")
    (tmp_path / "films/posters").mkdir(parents=True)
    for item in range(N_ITEMS):
        Image.fromarray(np.full((30, 20, 3), 6 * item, np.uint8)).save(tmp_path / f"films/posters/{item}.jpg")
    there = recommended(
        tmp_path,
        "--user",
        "7",
        "--pipeline",
        "copied",
        "recommend.trace_json = 'trace.json'",
        "recommend.dataset_folder = 'films'",
        "--html",
        "page.html",
        "--k",
        "5",
    )
    one, other = (json.loads((folder / "trace.json").read_text("utf-8")) for folder in (world, tmp_path))
    assert one["items"] == other["items"]
    assert len(one["items"]) == 5
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("data:image/jpeg") == 5
    assert one["items"][0]["title"] in page
    assert "page.html" in there.out


def test_a_stranger_gets_the_popular_items(world: Path) -> None:
    done = recommended(world, "--user", "stranger", "--pipeline", "out/custom/pipeline/test")
    assert "the user is unknown: recall gives the most popular items" in done.out
    assert "popularity 1" in done.out


def test_stale_stages_are_refused(world: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(world, tmp_path / "copy"))
    other = (
        "import genrec.data.splits as splits",
        "evaluate.splitter = @splits.LeaveOneOut()",
        "splits.LeaveOneOut.seed = 1",
    )
    refusal = run(EVALUATE, "pipeline.gin", *other, folder=copy).refusal
    assert "was made from split" in refusal
    assert "train_recall.py" in refusal
    shutil.rmtree(copy / "out/custom/rank-deepfm-next")
    assert "train_ranker.py" in run(EVALUATE, "pipeline.gin", folder=copy).refusal
    log = next((copy / "out/custom/pipeline/test").glob("log-*.parquet"))
    log.write_bytes(b"damaged")
    refusal = run(RECOMMEND, "--user", "7", "--pipeline", "out/custom/pipeline/test", folder=copy).refusal
    assert "changed or damaged" in refusal


@pytest.mark.parametrize(
    ("binding", "named"),
    [
        ("evaluate.ks = (5,)", "evaluate.ks"),
        ("evaluate.parts = ('train',)", "evaluate.parts"),
        ("stages.Settings.clock = 'moon'", "Settings.clock"),
        ("evaluate.lambdas = (2.0,)", "trade_off.lambdas"),
    ],
)
def test_a_bad_binding_is_named(world: Path, tmp_path: Path, binding: str, named: str) -> None:
    done = run(EVALUATE, "pipeline.gin", binding, "--out", str(tmp_path / "out"), folder=world)
    assert named in done.refusal


def test_pages_are_of_pipelines(world: Path) -> None:
    assert "recommend.pipeline" in run(RECOMMEND, "--user", "7", "--html", "page.html", folder=world).refusal
