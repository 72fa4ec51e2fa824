"""The comparison without a decoder: recallers made now, and recallers that were stored."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from scripts_in_child import Outcome, run
from tiny_world import make_world

SCRIPT = "experiments/evaluate_recall.py"
DATA = ("configs/data/custom.gin", "evaluate.dataset_folder = 'data'", "evaluate.ks = (5, 10)")
ALONE = ("configs/recall_custom.gin", *DATA[1:], "evaluate.generative = False")
STORED = (*DATA[:1], "configs/model/stored.gin", *DATA[1:])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stored recallers: EASE and popularity."""
    folder = make_world(tmp_path_factory.mktemp("world"))
    for name in ("ease", "popularity"):
        done = run(
            "experiments/train_recall.py",
            "--model",
            name,
            "configs/data/custom.gin",
            "train.dataset_folder = 'data'",
            "train.ks = (5, 10)",
            folder=folder,
        )
        assert done.code == 0, done.err
    return folder


def compared(folder: Path, *arguments: str) -> Outcome:
    return run(SCRIPT, *arguments, folder=folder)


def figures(path: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads(path.read_text("utf-8"))
    return found


def sections(page: str) -> list[str]:
    """The sections of a report, none of them empty."""
    found = re.findall(r'<section id="[^"]*">\s*<h2>(.*?)</h2>(.*?)</section>', page, re.DOTALL)
    assert all(re.search(r"<(table|figure|p|div class=\"tile)", body) for _, body in found)
    return [title for title, _ in found]


def test_classics_alone_make_a_report_without_empty_sections(world: Path) -> None:
    done = compared(world, *ALONE)
    assert done.code == 0, done.err
    assert "report: out/custom/compare/report.html" in done.out
    page = (world / "out/custom/compare/report.html").read_text("utf-8")
    titles = sections(page)
    assert "All methods" in titles
    assert "Latency and recall" in titles
    assert not {
        "Exact search against beams",
        "Accuracy by level",
        "Index against exact dot product",
        "Tokenizer quality",
        "Overlap of hits",
    } & set(titles)
    assert "Semantic ids" not in page
    assert "generative" not in page
    assert "Diversity</th>" not in page
    found = figures(world / "out/custom/compare/metrics.json")
    assert {name.split("/")[1] for name in found if name.startswith("test/")} == {
        "popularity",
        "recent-popularity",
        "itemknn",
        "ease",
        "itemknn-recency",
        "ease-recency",
    }
    assert not [name for name in found if name.startswith(("tokenizer/", "search/", "levels/", "index/"))]
    assert "test/ease/masked/ndcg@10/minus_popularity" in found


def test_an_encoder_gives_diversity_and_a_reference_is_a_choice(world: Path) -> None:
    encoder = ("import genrec.features.metadata as metadata", "evaluate.features = @metadata.Genres()")
    done = compared(world, *ALONE, *encoder, "evaluate.reference = 'ease'", "--out", "genres")
    assert done.code == 0, done.err
    found = figures(world / "genres/metrics.json")
    assert "test/ease/masked/ild@10" in found
    assert "test/popularity/masked/ndcg@10/minus_ease" in found
    assert "test/ease/masked/ndcg@10/minus_ease" not in found


def test_stored_recallers_have_the_figures_of_their_training(world: Path) -> None:
    done = compared(world, *STORED, "evaluate.stored = ('popularity', 'ease')", "--out", "stored")
    assert done.code == 0, done.err
    found = figures(world / "stored/metrics.json")
    for name in ("popularity", "ease"):
        trained = figures(world / f"out/custom/recall-{name}/metrics.json")
        for key in (
            f"valid/{name}/masked/ndcg@10",
            f"test/{name}/masked/ndcg@10",
            f"test/{name}/unmasked/recall@5",
        ):
            assert found[key] == pytest.approx(trained[key])


def test_stored_recallers_can_be_merged(world: Path) -> None:
    channels = (
        "import genrec.recall.merged as merged",
        "import genrec.recall.fusion as fusion",
        "import genrec.recall.stored as stored",
        "e/stored.Stored.folder = 'out/custom/recall-ease'",
        "p/stored.Stored.folder = 'out/custom/recall-popularity'",
        "merged.Merged.recallers = {'ease': @e/stored.Stored(), 'popularity': @p/stored.Stored()}",
        "merged.Merged.how = @fusion.Quota()",
        "fusion.Quota.shares = {'ease': 3, 'popularity': 1}",
        "evaluate.recallers = {'merged': @merged.Merged()}",
    )
    done = compared(world, *STORED, "evaluate.stored = ('ease',)", *channels, "--out", "merged")
    assert done.code == 0, done.err
    found = figures(world / "merged/metrics.json")
    assert 0 < found["test/merged/masked/recall@10"] < 1
    assert found["test/merged/masked/invalid"] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((*ALONE, "evaluate.recallers = {}"), "say what to compare"),
        ((*ALONE, "evaluate.decoder_path = 'x'"), "evaluate.generative is False, but x is bound"),
        ((*ALONE, "evaluate.reference = 'magic'"), "evaluate.reference is 'magic'; choose one of popularity"),
        ((*ALONE, "evaluate.stored = ('ease',)"), "name a method twice"),
        (
            STORED,
            "no recaller artifact in out/custom/recall-itemcf/valid; run `python experiments/train_recall.py",
        ),
        (("configs/recall_custom.gin", *DATA[1:]), "no semantic_ids artifact in out/custom/tokenizer"),
    ],
)
def test_a_comparison_is_refused_in_one_sentence(world: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in compared(world, *arguments, "--out", "bad").refusal
    assert not (world / "bad").exists()
