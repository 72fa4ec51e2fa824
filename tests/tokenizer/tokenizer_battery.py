"""What every tokenizer must do; a test class inherits it and says how its tokenizer is made."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import pytest
import torch
from small_catalogue import mixture
from torch import Tensor

from genrec.errors import ArtifactError, ConfigError
from genrec.tokenizer.base import Tokenized, Tokenizer
from genrec.tokenizer.collisions import UniqueAssignment

RULE = UniqueAssignment()
N, K, LEVELS = 300, 8, 3


class TokenizerBattery(ABC):
    """`make` gives a tokenizer that is ready for `tokenize`; what needs training before is trained on `x`."""

    learned = True

    @abstractmethod
    def make(self, x: Tensor, k: int = K, levels: int = LEVELS) -> Tokenizer: ...

    def check(self, made: Tokenized, n: int, k: int = K, levels: int = LEVELS) -> None:
        assert made.codes.dtype == np.int32
        assert made.codes.shape == (n, levels)
        assert made.sizes == (k,) * levels
        assert len(np.unique(made.codes, axis=0)) == n
        assert made.codes.min() >= 0
        assert made.codes.max() < k
        assert (made.raw is not None) == self.learned
        assert len(made.error_by_depth) == (levels + 1 if self.learned else 0)

    def test_ids_are_distinct_and_in_range(self) -> None:
        x = mixture(N)
        self.check(self.make(x).tokenize(x, RULE), N)

    def test_tokenizing_twice_is_the_same(self) -> None:
        x = mixture(N)
        tokenizer = self.make(x)
        first = tokenizer.tokenize(x, RULE)
        before = {name: tensor.clone() for name, tensor in tokenizer.weights().items()}
        again, anew = tokenizer.tokenize(x, RULE), self.make(x).tokenize(x, RULE)
        assert np.array_equal(first.codes, again.codes)
        assert np.array_equal(first.codes, anew.codes)
        assert first.error_by_depth == again.error_by_depth == anew.error_by_depth
        assert all(torch.equal(tensor, before[name]) for name, tensor in tokenizer.weights().items())

    def test_the_features_stay_as_they_were(self) -> None:
        x = mixture(N)
        before = x.clone()
        tokenizer = self.make(x)
        tokenizer.tokenize(x, RULE)
        tokenizer.space(x).nearest()
        assert torch.equal(x, before)

    def test_a_catalogue_that_fills_every_leaf(self) -> None:
        x = mixture(64)
        self.check(self.make(x, 4, 3).tokenize(x, RULE), 64, 4)

    def test_more_items_than_leaves_are_refused(self) -> None:
        x = mixture(65)
        tokenizer = self.make(x, 4, 3)
        with pytest.raises(ConfigError, match=r"65 items do not fit into .*; raise"):
            tokenizer.tokenize(x, RULE)

    @pytest.mark.parametrize("distinct", [1, 2, 20])
    def test_items_with_the_same_features(self, distinct: int) -> None:
        x = mixture(distinct).repeat(N // distinct + 1, 1)[:N]
        self.check(self.make(x).tokenize(x, RULE), N)

    @pytest.mark.parametrize("n", [1, 2, 7])
    def test_fewer_items_than_codes(self, n: int) -> None:
        x = mixture(n)
        self.check(self.make(x).tokenize(x, RULE), n)

    def test_stored_weights_give_the_same_places(self) -> None:
        x = mixture(N)
        tokenizer, other = self.make(x), self.make(mixture(N, seed=5))
        tokenizer.tokenize(x, RULE)
        new = mixture(50, seed=9)
        raw = tokenizer.space(new).nearest()
        other.load({name: tensor.clone() for name, tensor in tokenizer.weights().items()})
        assert np.array_equal(other.space(new).nearest(), raw)
        if self.learned:
            assert np.array_equal(raw[:7], tokenizer.space(new[:7]).nearest()), "others do not matter"

    def test_weights_of_another_size_are_refused(self) -> None:
        x = mixture(N)
        tokenizer = self.make(x)
        tokenizer.tokenize(x, RULE)
        other = self.make(x, 16)
        if self.learned:
            with pytest.raises(
                ArtifactError, match="the codebook size and the number of levels that it was made"
            ):
                other.load(tokenizer.weights())

    def test_the_nearest_codes_cost_least(self) -> None:
        x = mixture(N)
        tokenizer = self.make(x)
        tokenizer.tokenize(x, RULE)
        space, rows = tokenizer.space(x), np.arange(N)[::3]
        raw = space.nearest()
        assert space.sizes == tokenizer.sizes
        for level in range(LEVELS):
            cost = space.costs(level, rows, raw[rows])
            assert cost.shape == (len(rows), K)
            assert np.isfinite(cost).all()
            if self.learned:
                own = cost[np.arange(len(rows)), raw[rows, level]]
                assert own == pytest.approx(cost.min(1), abs=1e-3)

    def test_new_items_leave_old_ids_alone(self) -> None:
        x, new = mixture(N), mixture(60, seed=3)
        new[:30] = x[:30]  # their ids are taken
        tokenizer = self.make(x)
        old = tokenizer.tokenize(x, RULE).codes
        space = tokenizer.space(new)
        raw = space.nearest()
        added, sizes = RULE(space, raw, old)
        again, _ = RULE(tokenizer.space(new), raw, old)
        assert sizes == tokenizer.sizes
        assert np.array_equal(added, again)
        assert len(np.unique(np.concatenate([old, added]), axis=0)) == N + 60
        assert added.min() >= 0
        assert added.max() < K
        if self.learned:
            kept = (added[:30, 0] == raw[:30, 0]).mean()  # prefixes may be full
            assert kept > 2 / K, "alike items stay near each other, twice as often as by chance"

    def test_new_items_until_nothing_is_free(self) -> None:
        x = mixture(60)
        tokenizer = self.make(x, 4, 3)
        old = tokenizer.tokenize(x, RULE).codes
        space = tokenizer.space(mixture(4, seed=1))
        added, _ = RULE(space, space.nearest(), old)
        assert len(np.unique(np.concatenate([old, added]), axis=0)) == 64
        space = tokenizer.space(mixture(5, seed=1))
        with pytest.raises(ConfigError, match="65 items do not fit"):
            RULE(space, space.nearest(), old)
