"""Tokenizers side by side."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from genrec.evaluation.tokenizer_comparison import (
    Candidate,
    flat_figures,
    levels,
    ranked,
    text_table,
    write_comparison,
)


def quality(n_levels: int, error: float) -> dict[str, float]:
    figures = {"collision_rate_before": 0.1, "collision_rate": 0.0, "largest_group": 4.0}
    for level in range(n_levels):
        figures |= {f"usage/{level}": 1.0 - level / 20, f"perplexity/{level}": 50.0 - level}
        figures |= {f"dead/{level}": float(level), f"gini/{level}": 0.2 + level / 100}
    figures |= {f"error/{depth}": 1 - depth * (1 - error) / n_levels for depth in range(n_levels + 1)}
    return figures | {"reconstruction_error": error, "purity/0": 0.2, "purity/1": 0.4}


def recall(valid: float, test: float | None = None) -> dict[str, float]:
    figures = {"valid/generative/ndcg@10": valid, "valid/generative/recall@10": 2 * valid}
    figures |= {"valid/embedding/ndcg@10": valid + 0.01, "time/train_seconds": 12.0, "train/best_step": 7.0}
    return figures if test is None else figures | {"test/generative/masked/ndcg@10": test}


def unlearned() -> dict[str, float]:
    """What random ids have: no error."""
    return {
        name: value for name, value in quality(3, 0.0).items() if "error" not in name and "purity" not in name
    }


MANY = Candidate("many <b>", "ProductQuantiser 12 x 64", "text", quality(12, 0.25), recall(0.05))
FEW = Candidate("few", "RqKMeans 3 x 64", "text & more", quality(3, 0.3), recall(0.07))
RANDOM = Candidate("random", "RandomIds 3 x 64", "text", unlearned(), recall(0.02))
FAILED = Candidate("collapsed", failure="level 0 of the tokenizer uses 1 of 64 codes")


def test_levels_come_in_order_of_their_number() -> None:
    assert levels(quality(12, 0.25), "dead") == [float(level) for level in range(12)]
    assert levels({}, "dead") == []


def test_the_best_on_validation_comes_first_and_failures_below() -> None:
    assert [one.name for one in ranked([RANDOM, MANY, FAILED, FEW], 10)] == ["few", "many <b>", "random"]
    lines = text_table([RANDOM, MANY, FAILED, FEW], 10).splitlines()
    assert [line.split()[0] for line in lines] == ["tokenizer", "few", "many", "random", "collapsed:"]
    assert "RqKMeans 3 x 64" in lines[1]
    for figure in (
        "90%",
        "48.0",
        "0.22",
        "10.0%",
        "0.0%",
        "4",
        "0.300",
        "0.400",
        "0.1400",
        "0.0700",
        "0.0800",
        "12",
    ):
        assert re.search(rf"(?<!\S){re.escape(figure)}(?!\S)", lines[1]), figure
    assert lines[3].count("–") == 2, "no error, no purity"
    assert "test" not in lines[0]


def test_the_test_part_is_shown_where_it_was_judged() -> None:
    judged = Candidate("few", quality=quality(3, 0.3), recall=recall(0.07, 0.0613))
    header, line = text_table([judged], 10).splitlines()
    assert "test N@10" in header
    assert "0.0613" in line


def test_keys_are_those_of_the_house() -> None:
    judged = Candidate("few", quality={"usage/0": 0.9}, recall=recall(0.07, 0.06))
    assert flat_figures([judged, FAILED]) == {
        "tokenizer/few/usage/0": 0.9,
        "valid/few/masked/ndcg@10": 0.07,
        "valid/few/masked/recall@10": 0.14,
        "valid/few-embedding/masked/ndcg@10": pytest.approx(0.08),
        "time/few/train_seconds": 12.0,
        "train/few/best_step": 7.0,
        "test/few/masked/ndcg@10": 0.06,
    }


def test_files(tmp_path: Path) -> None:
    page = write_comparison(
        tmp_path, [MANY, FEW, RANDOM, FAILED], 10, "Compared", {"Split": "loo", "Decoder": "d.gin"}
    )
    numbers = json.loads((tmp_path / "metrics.json").read_text("utf-8"))
    assert numbers["valid/few/masked/ndcg@10"] == 0.07
    with (tmp_path / "metrics.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["tokenizer"] for row in rows] == ["few", "many <b>", "random"]
    assert rows[0]["valid N@10"] == "0.07"
    assert rows[2]["Error"] == ""
    text = page.read_text("utf-8")
    assert "many &lt;b&gt;" in text
    assert "text &amp; more" in text
    assert "uses 1 of 64 codes" in text
    assert "d.gin" in text
    assert text.count("<svg") == 2
    assert re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?(?!data:|#)[^"')>]+""", text) == []


def test_without_curves_and_failures(tmp_path: Path) -> None:
    text = write_comparison(tmp_path, [RANDOM], 10, "Compared", {}).read_text("utf-8")
    assert "<svg" not in text
    assert "Failed with" not in text
