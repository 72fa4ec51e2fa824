from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genrec.data.recommendations import Recommendations
from genrec.errors import ConfigError
from genrec.evaluation.comparison import Comparison, compare, flat_metrics, write_metrics, write_table
from genrec.evaluation.protocol import Evaluation
from genrec.evaluation.significance import bootstrap, paired_bootstrap


def test_intervals_are_those_of_the_bootstrap(comparison: Comparison) -> None:
    ours, ease = comparison.get("generative", True), comparison.get("ease", True)
    assert ours is not None
    assert ease is not None
    own = comparison.intervals["ease", True]["ndcg@10"]
    alone = bootstrap(ease.per_user["ndcg@10"], n=200)
    assert (own.mean, own.low, own.high) == pytest.approx((alone.mean, alone.low, alone.high))
    apart = comparison.differences["ease", True]["ndcg@10"]
    paired = paired_bootstrap(ease.per_user["ndcg@10"], ours.per_user["ndcg@10"], n=200)
    assert (apart.mean, apart.low, apart.high) == pytest.approx((paired.mean, paired.low, paired.high))
    assert ("generative", True) not in comparison.differences


def test_order_of_evaluations_is_kept(comparison: Comparison) -> None:
    assert comparison.methods == ("popularity", "generative", "embedding", "ease")
    assert comparison.maskings == (True, False)
    assert comparison.ks == (5, 10)
    assert comparison.get("nobody", True) is None


def test_keys_of_the_flat_file(comparison: Comparison, tmp_path: Path) -> None:
    flat = flat_metrics(comparison)
    for masking in ("masked", "unmasked"):
        for method in comparison.methods:
            where = f"test/{method}/{masking}"
            assert (
                flat[f"{where}/recall@10/low"]
                <= flat[f"{where}/recall@10"]
                <= flat[f"{where}/recall@10/high"]
            )
            assert flat[f"{where}/invalid"] == 0
            assert flat[f"time/{where}/users_per_second"] > 0
    assert "test/ease/masked/ndcg@10/minus_generative/low" in flat
    path = write_metrics(tmp_path, flat | {"tokenizer/undefined": float("nan")})
    read = json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert set(read) == set(flat)
    assert all(type(value) is float for value in read.values())


def test_the_table_has_a_row_per_method_and_masking(comparison: Comparison, tmp_path: Path) -> None:
    table = pd.read_csv(write_table(tmp_path, [comparison]))
    assert list(zip(table.method, table.masking, strict=True)) == [
        (e.method, e.masking) for e in comparison.evaluations
    ]
    assert table["ndcg@10"][0] == pytest.approx(comparison.evaluations[0].summary["ndcg@10"], rel=1e-5)
    assert {"part", "coverage@5", "users_per_second"} <= set(table.columns)


def test_what_cannot_be_compared_is_refused(comparison: Comparison) -> None:
    evaluations = comparison.evaluations
    with pytest.raises(ConfigError, match="twice"):
        compare([*evaluations, evaluations[0]], "test")
    with pytest.raises(ConfigError, match=r"compare\.reference is 'tiger'"):
        compare(evaluations, "test", reference="tiger")
    with pytest.raises(ConfigError, match=r"compare\.reference"):
        compare([], "test")
    first = evaluations[1]
    other = Evaluation("other", first.masked, shifted(first), first.per_user, first.summary, 1.0)
    with pytest.raises(ValueError, match="different users"):
        compare([first, other], "test")


def shifted(e: Evaluation) -> Recommendations:
    lists = e.recommendations
    return Recommendations(lists.users + np.int32(1), lists.items, lists.scores)
