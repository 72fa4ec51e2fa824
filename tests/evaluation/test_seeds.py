from __future__ import annotations

import pytest

from genrec.evaluation.seeds import over_seeds, seeds_table

RUNS = [
    {
        "test/b/masked/recall@10": 0.1,
        "test/b/masked/ndcg@10": ndcg,
        "test/b/masked/ndcg@10/low": ndcg - 0.01,
        "test/b/masked/ndcg@10/high": ndcg + 0.01,
        "test/a/masked/recall@10": 0.2,
        "test/a/masked/ndcg@10": 0.09,
        "test/a/masked/ndcg@10/low": 0.08,
        "test/a/masked/ndcg@10/high": 0.1,
        f"only/{ndcg}": 1.0,
    }
    for ndcg in (0.04, 0.06)
]


def test_mean_and_deviation_of_what_all_runs_have() -> None:
    found = over_seeds(RUNS)
    assert found["test/b/masked/ndcg@10"] == pytest.approx(0.05)
    assert found["test/b/masked/ndcg@10/std"] == pytest.approx(0.02 / 2**0.5)
    assert found["test/b/masked/ndcg@10/low"] == pytest.approx(0.04)
    assert "test/b/masked/ndcg@10/low/std" not in found
    assert not any(name.startswith("only") for name in found)


def test_one_seed_has_no_deviation() -> None:
    assert over_seeds(RUNS[:1])["test/b/masked/ndcg@10/std"] == 0.0


def test_the_table_ranks_methods_and_leaves_out_what_was_not_judged() -> None:
    table = seeds_table(over_seeds(RUNS), 10)
    assert "not masked" not in table
    head, first, second = table.splitlines()
    assert "history masked" in head
    assert first.split() == ["a", "0.2000", "±", "0.0000", "0.0900", "±", "0.0000", "0.0800-0.1000"]
    assert second.split() == ["b", "0.1000", "±", "0.0000", "0.0500", "±", "0.0141", "0.0400-0.0600"]
