from __future__ import annotations

from statistics import mean, stdev

import pytest

from genrec.evaluation.content_comparison import (
    content_section,
    flat_figures,
    interval,
    rows,
    text_table,
)
from genrec.evaluation.page import Cell, Table

NDCG, COLD = "test/generative/masked/ndcg@10", "test/generative/masked/cold/recall@10"
RUNS = {
    "text": [{NDCG: 0.10, COLD: 0.0, "tokenizer/purity/1": 0.5}, {NDCG: 0.20, COLD: 0.2, "tokenizer/purity/1": 0.5}],
    "all": [{NDCG: 0.12, COLD: 0.1}, {NDCG: 0.22, COLD: 0.1}],
    "noise": [{NDCG: 0.12}, {NDCG: 0.18}],
}  # fmt: skip


def test_intervals_are_those_of_students_law() -> None:
    values = [0.1, 0.4, 0.3]
    assert interval(values) == pytest.approx((mean(values), 4.302653 * stdev(values) / 3**0.5))
    assert interval([0.3]) == (0.3, 0.0)


def test_differences_are_taken_seed_by_seed() -> None:
    flat = flat_figures(RUNS, "text")
    key = f"all/{NDCG}/minus_text"
    assert flat[key] == pytest.approx(0.02)
    assert flat[f"{key}/low"] == pytest.approx(0.02), "both seeds agree, though they are far apart"
    assert flat[f"all/{NDCG}/low"] < 0.1
    assert flat[f"noise/{NDCG}/minus_text/low"] < 0 < flat[f"noise/{NDCG}/minus_text/high"]
    assert f"noise/{COLD}" not in flat
    assert f"text/{NDCG}/minus_text" not in flat


def test_the_table_has_every_variant_and_colours_what_is_sure() -> None:
    flat = flat_figures(RUNS, "text")
    text, all_, noise = rows(flat, list(RUNS), "text")
    assert text[2].startswith("0.1500 ± ")
    assert (text[5], text[6]) == ("-", "0.500")
    assert all_[5] == "+0.0200 ± 0.0000"
    assert noise[4] == "-"
    table = content_section(flat, list(RUNS), "text").blocks[0]
    assert isinstance(table, Table)
    assert [isinstance(row[5], Cell) and row[5].tone for row in table.rows] == [False, "good", False]
    lines = text_table(flat, list(RUNS), "text").splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("ids made from")
