"""Residual quantisation and RQ-k-means."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from small_catalogue import mixture

from genrec.errors import ConfigError
from genrec.tokenizer.collisions import DeduplicationCode, UniqueAssignment
from genrec.tokenizer.residual import decode, encode, error_by_depth, fit_codebooks
from genrec.tokenizer.rqkmeans import RqKMeans


def test_encode_takes_the_nearest_of_what_is_left(generator: torch.Generator) -> None:
    x = torch.randn(40, 5, generator=generator)
    books = [torch.randn(k, 5, generator=generator) / (level + 1) for level, k in enumerate((7, 4, 9))]
    codes = encode(x, books)
    for row, vector in enumerate(x):
        left = vector
        for level, book in enumerate(books):
            distances = [float((left - code).square().sum()) for code in book]
            assert distances[codes[row, level]] == pytest.approx(min(distances))
            left = left - book[codes[row, level]]


def test_decode_sums_the_code_vectors_and_passes_over_further_codes() -> None:
    books = [torch.tensor([[1.0, 0.0], [2.0, 0.0]]), torch.tensor([[0.0, 10.0], [0.0, 20.0]])]
    codes = torch.tensor([[0, 1, 5], [1, 0, 6]])
    assert decode(codes, books).tolist() == [[1.0, 20.0], [2.0, 10.0]]


def test_a_sum_of_far_apart_codes_is_found_again(generator: torch.Generator) -> None:
    books = [scale * torch.randn(8, 6, generator=generator) for scale in (1000.0, 10.0, 0.1)]
    codes = torch.stack([torch.randint(8, (50,), generator=generator) for _ in books], dim=1)
    assert torch.equal(encode(decode(codes, books), books), codes)


def test_error_falls_with_every_level_of_fitted_codebooks(generator: torch.Generator) -> None:
    x = mixture(600)
    books = fit_codebooks(x, (16, 16, 16, 16), iterations=20, generator=generator)
    errors = error_by_depth(x, encode(x, books), books, lambda v: v)
    assert errors[0] == 1.0
    assert all(later < earlier for earlier, later in pairwise(errors))


def test_error_is_the_share_of_variance_left() -> None:
    x = torch.tensor([[0.0], [2.0]])
    books = [torch.tensor([[0.5], [1.5]])]
    assert error_by_depth(x, encode(x, books), books, lambda v: v) == (1.0, pytest.approx(0.25))


def test_as_many_codes_as_items_leave_no_error(generator: torch.Generator) -> None:
    x = mixture(20)
    books = fit_codebooks(x, (20, 4), iterations=5, generator=generator)
    codes = encode(x, books)
    assert len(codes[:, 0].unique()) == 20
    assert error_by_depth(x, codes, books, lambda v: v)[-1] < 1e-10


def test_rq_kmeans_tokenizes_the_same_way_twice() -> None:
    x = mixture(300)
    one, two = (RqKMeans(16, 3, seed=3).tokenize(x, UniqueAssignment()) for _ in range(2))
    assert np.array_equal(one.codes, two.codes)
    assert one.sizes == (16, 16, 16)
    assert one.codes.dtype == np.int32
    assert one.raw is not None
    assert len(np.unique(one.codes, axis=0)) == 300
    assert one.error_by_depth[-1] < 0.2 < one.error_by_depth[0]


def test_rq_kmeans_weights_give_the_raw_codes_again() -> None:
    x = mixture(200)
    tokenizer = RqKMeans(8, 2)
    tokenized = tokenizer.tokenize(x, DeduplicationCode())
    books = [tokenizer.weights()[f"codebooks.{level}"] for level in range(2)]
    assert tokenized.raw is not None
    assert np.array_equal(encode(x, books).numpy(), tokenized.raw)
    assert np.array_equal(tokenized.codes[:, :2], tokenized.raw)


@pytest.mark.parametrize(
    ("name", "value"), [("codebook_size", 1), ("n_levels", 0), ("iterations", -1), ("codebook_size", -5)]
)
def test_rq_kmeans_names_the_wrong_argument(name: str, value: int) -> None:
    with pytest.raises(ConfigError, match=rf"RqKMeans\.{name} .* got {value}"):
        RqKMeans(**{name: value})
