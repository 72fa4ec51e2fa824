"""New descriptions brought into the space of stored ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_catalogue import make_features, mixture

from genrec.errors import DataError
from genrec.features.base import ItemFeatures
from genrec.tokenizer.alignment import align

N, NEW = 200, 40
ROWS = np.sort(np.random.default_rng(0).permutation(N + NEW)[:N])
OTHERS = np.setdiff1d(np.arange(N + NEW), ROWS)
WHOLE = mixture(N + NEW)


def features(
    vectors: torch.Tensor, parts: tuple[tuple[str, int], ...] = (("a", 5), ("b", 7))
) -> ItemFeatures:
    return replace(make_features(vectors), present=vectors.any(1).numpy(), parts=parts)


def turn(width: int, seed: int) -> torch.Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(width, width, generator=g))[0]


def test_the_same_description_stays_as_it_is() -> None:
    done = align(features(WHOLE[ROWS]), features(WHOLE), ROWS)
    assert np.array_equal(done.features.vectors, WHOLE.numpy())
    assert done.fit == 1.0


def test_blocks_that_were_turned_are_turned_back() -> None:
    turned = torch.cat([WHOLE[:, :5] @ turn(5, 1) + 2, 3 * WHOLE[:, 5:] @ turn(7, 2)], dim=1)
    done = align(features(WHOLE[ROWS]), features(turned), ROWS)
    assert np.array_equal(done.features.vectors[ROWS], WHOLE[ROWS].numpy()), (
        "the very vectors that were stored"
    )
    left = np.square(done.features.vectors[OTHERS] - WHOLE[OTHERS].numpy()).sum()
    assert left < 0.01 * np.square(WHOLE[OTHERS].numpy() - WHOLE.mean(0).numpy()).sum()
    assert done.fit > 0.99


def test_a_description_of_something_else_does_not_fit() -> None:
    done = align(features(WHOLE[ROWS]), features(mixture(N + NEW, seed=7)), ROWS)
    assert done.fit < 0.1


def test_items_without_a_block_stay_without_it() -> None:
    old, fresh = WHOLE.clone(), torch.cat([WHOLE[:, :5] @ turn(5, 1) + 2, WHOLE[:, 5:]], dim=1)
    for one in (old, fresh):
        one[OTHERS[:9], :5] = 0
        one[OTHERS[3]] = 0
        one[ROWS[4]] = 0
    done = align(features(old[ROWS]), features(fresh), ROWS)
    assert not done.features.vectors[OTHERS[:9], :5].any()
    assert done.features.vectors[OTHERS[0], 5:].any()
    assert not done.features.present[[OTHERS[3], ROWS[4]]].any()
    assert done.fit > 0.99


def test_other_blocks_are_refused() -> None:
    with pytest.raises(
        DataError, match=r"stored item features are 5 a \+ 7 b, but .* are 12 a; use the features"
    ):
        align(features(WHOLE[ROWS]), features(WHOLE, (("a", 12),)), ROWS)


def test_nothing_known_of_the_old_items() -> None:
    done = align(features(torch.zeros(N, 12)), features(WHOLE), ROWS)
    assert np.array_equal(done.features.vectors[OTHERS], WHOLE[OTHERS].numpy())
