"""The comparison and the recommendation script, after both trainers, on the small world."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
from scripts_in_child import run
from tiny_world import make_world, payload

RECALL = (
    "evaluate.dataset_folder = 'data'",
    "evaluate.ks = (5, 10)",
    "evaluate.width = 20",
    "evaluate.widths = (10, 20)",
    "ivf/vector_index.FaissIndex.factory = 'IVF4,Flat'",
)
LONGER = ("train.iterations = 400", "train.learning_rate = 0.005")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_world(tmp_path_factory.mktemp("world"))
    control = "out/custom/tokenizer-random"
    for script, *arguments in (
        ("train_rqvae.py", "kmeans.gin"),
        ("train_decoder.py", "decoder.gin", *LONGER),
        ("train_rqvae.py", "kmeans.gin", "configs/model/random_ids.gin", "--out", control),
        (
            "train_decoder.py",
            "decoder.gin",
            f"train.semantic_ids_path = '{control}'",
            "--out",
            "out/custom/decoder-random",
        ),
    ):
        done = run(script, *arguments, folder=folder)
        assert done.code == 0, done.err
    return folder


@pytest.fixture(scope="module")
def metrics(trained: Path) -> dict[str, float]:
    done = run("experiments/evaluate_recall.py", "configs/recall_custom.gin", *RECALL, folder=trained)
    assert done.code == 0, done.err
    assert "report: out/custom/recall/report.html" in done.out
    found: dict[str, float] = json.loads((trained / "out/custom/recall/metrics.json").read_text("utf-8"))
    return found


def test_metrics_are_flat_numbers_of_every_method(metrics: dict[str, float]) -> None:
    assert all(isinstance(value, float) for value in metrics.values())
    methods = (
        "generative",
        "embedding",
        "hybrid",
        "random-ids",
        "popularity",
        "recent-popularity",
        "itemknn",
        "ease",
    )
    for method in methods:
        for masking in ("masked", "unmasked"):
            for metric in (
                "recall",
                "ndcg",
                "hitrate",
                "precision",
                "f1",
                "mrr",
                "coverage",
                "gini",
                "novelty",
            ):
                assert f"test/{method}/{masking}/{metric}@10" in metrics
            assert metrics[f"test/{method}/{masking}/invalid"] == 0
            low, high = (metrics[f"test/{method}/{masking}/ndcg@10/{end}"] for end in ("low", "high"))
            assert low <= metrics[f"test/{method}/{masking}/ndcg@10"] <= high
        assert f"valid/{method}/masked/ndcg@10" in metrics
    assert metrics["tokenizer/collision_rate"] == 0


def test_the_model_has_learned_what_popularity_cannot_know(metrics: dict[str, float]) -> None:
    generated = metrics["test/generative/masked/ndcg@10"]
    assert generated > 2 * metrics["test/popularity/masked/ndcg@10"]


def test_the_widest_beam_finds_what_exact_search_finds(metrics: dict[str, float]) -> None:
    assert metrics["search/20/found"] >= metrics["search/10/found"]
    assert metrics["search/exact/found"] == 1


def test_the_report_needs_no_network(metrics: dict[str, float], trained: Path) -> None:
    links: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            links.extend(value for name, value in attrs if name in ("src", "href") and value)

    text = (trained / "out/custom/recall/report.html").read_text("utf-8")
    Links().feed(text)
    assert links
    assert all(link.startswith(("#", "data:")) for link in links)
    assert len(metrics) > 100


def test_the_table_has_every_method(metrics: dict[str, float], trained: Path) -> None:
    table = pd.read_csv(trained / "out/custom/recall/metrics.csv")
    test = table[(table["part"] == "test") & (table["masking"] == "masked")].set_index("method")
    assert test.loc["generative", "ndcg@10"] == pytest.approx(
        metrics["test/generative/masked/ndcg@10"], rel=1e-4
    )


def test_the_same_command_gives_the_same_figures(metrics: dict[str, float], trained: Path) -> None:
    again = run(
        "experiments/evaluate_recall.py",
        "configs/recall_custom.gin",
        *RECALL,
        "--out",
        "again",
        folder=trained,
    )
    assert again.code == 0, again.err
    found = json.loads((trained / "again/metrics.json").read_text("utf-8"))
    timed = ("time/", "memory/", "search/", "index/")
    assert {k: v for k, v in found.items() if not k.startswith(timed)} == {
        k: v for k, v in metrics.items() if not k.startswith(timed)
    }


def test_a_split_that_leaks_is_refused(trained: Path) -> None:
    other = ("import genrec.data.splits as splits", "evaluate.splitter = @splits.RandomSplit()")
    refused = run(
        "experiments/evaluate_recall.py",
        "configs/recall_custom.gin",
        *RECALL,
        *other,
        folder=trained,
    )
    assert "was made from split" in refused.refusal


def test_recommend_prints_history_and_titles(trained: Path) -> None:
    done = run(
        "experiments/recommend.py",
        "--user",
        "7",
        "--k",
        "3",
        *("recommend.dataset = 'custom'", "recommend.dataset_folder = 'data'"),
        folder=trained,
    )
    assert done.code == 0, done.err
    assert done.out.count("tale ") == 12 + 3
    assert "<" in done.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--user", "nobody"), "user nobody is not in custom"),
        (("--user", "7", "--k", "-3"), "k, the length of the list, must be at least 1, got -3"),
        (("--user", "7", "--method", "magic"), "this model has generative, embedding"),
    ],
)
def test_recommend_refuses_in_one_sentence(trained: Path, arguments: tuple[str, ...], said: str) -> None:
    data = ("recommend.dataset = 'custom'", "recommend.dataset_folder = 'data'")
    assert said in run("experiments/recommend.py", *arguments, *data, folder=trained).refusal


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        ("evaluate.ks = (5, 20)", "evaluate.ks must hold 10"),
        ("evaluate.ks = (10, -5)", "-5"),
        ("evaluate.widths = (1, 20)", "evaluate.widths must be at least 10"),
        ("evaluate.max_users = 0", "max_users"),
        ("evaluate.decoder_path = 'nowhere'", "no generative_model artifact in nowhere"),
        ("evaluate.semantic_ids_path = 'out/custom/tokenizer-random'", "was made from semantic_ids"),
        ("evaluate.decoder_path = 'out/custom/tokenizer'", "holds a semantic_ids artifact"),
    ],
)
def test_evaluate_refuses_in_one_sentence(trained: Path, binding: str, said: str) -> None:
    before = payload(trained / "out/custom/decoder")
    refused = run(
        "experiments/evaluate_recall.py",
        "configs/recall_custom.gin",
        *RECALL,
        binding,
        "--out",
        "bad",
        folder=trained,
    )
    assert said in refused.refusal
    assert not (trained / "bad" / "metrics.json").exists()
    assert payload(trained / "out/custom/decoder") == before
