"""Indexes over item vectors: exact inner products, and approximate ones with FAISS."""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray

from genrec.data.histories import Histories
from genrec.errors import ConfigError
from genrec.recall.base import check_k
from genrec.topk import tie_ranks, topk

Found = tuple[NDArray[np.float32], NDArray[np.int32]]
"""(scores [B, k] non-increasing, items [B, k]); -inf and -1 after the last where fewer than k were found."""


class VectorIndex(Protocol):
    """Finds the items with the largest inner product."""

    def build(self, vectors: NDArray[np.float32]) -> Self:
        """Index item vectors [N, D]."""
        ...

    def search(self, queries: NDArray[np.float32], k: int) -> Found:
        """The k best items of each query [B, D]."""
        ...


class ExactIndex:
    """All inner products, in blocks of queries, ties broken as everywhere (see `genrec.topk`).

    Products are summed in double precision and rounded once, so that how queries are batched does not
    change scores.

    Args:
        block: queries at once; memory is 16 x block x N bytes.
    """

    def __init__(self, block: int = 256) -> None:
        if block < 1:
            raise ConfigError(f"ExactIndex.block must be at least 1, got {block}")
        self.block = block

    def build(self, vectors: NDArray[np.float32]) -> Self:
        """Index item vectors [N, D]."""
        self._transposed = torch.from_numpy(vectors.T.astype(np.float64))  # [D, N]
        self._ranks = tie_ranks(len(vectors))
        return self

    def search(self, queries: NDArray[np.float32], k: int) -> Found:
        """The k best items of each query [B, D]."""
        check_k(k)
        kept = min(k, len(self._ranks))
        scores, items = _nothing(len(queries), k)
        for start in range(0, len(queries), self.block):
            rows = slice(start, start + self.block)
            products = torch.from_numpy(queries[rows].astype(np.float64)) @ self._transposed
            best, columns = topk(products.float(), kept, self._ranks)
            scores[rows, :kept], items[rows, :kept] = best.numpy(), columns.int().numpy()
        return scores, items


class FaissIndex:
    """An index of FAISS, by its factory string, with inner product as the metric.

    Built on one thread: graph indexes depend on the order of insertion, which threads would leave to chance.

    Args:
        factory: `Flat`, `IVF64,Flat`, `HNSW32`, ... as FAISS's index factory reads it.
        parameters: search effort as FAISS's parameter space reads it: `nprobe=8`, `efSearch=64`; empty keeps
            the defaults.
    """

    def __init__(self, factory: str = "HNSW32", parameters: str = "") -> None:
        self.factory = factory
        self.parameters = parameters

    def build(self, vectors: NDArray[np.float32]) -> Self:
        """Index item vectors [N, D].

        Raises:
            ConfigError: FAISS does not know the factory string or a parameter, or items are too few.
        """
        import faiss

        threads = faiss.omp_get_max_threads()
        faiss.omp_set_num_threads(1)
        try:
            index = faiss.index_factory(vectors.shape[1], self.factory, faiss.METRIC_INNER_PRODUCT)
            contiguous = np.ascontiguousarray(vectors, dtype=np.float32)
            index.train(contiguous)
            index.add(contiguous)
            if self.parameters:
                space: Any = faiss.ParameterSpace()
                space.set_index_parameters(index, self.parameters)
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ConfigError(
                f"FaissIndex.factory={self.factory!r} with FaissIndex.parameters={self.parameters!r} does "
                f"not work for {len(vectors)} items of width {vectors.shape[1]} ({reason}); try 'Flat'"
            ) from error
        finally:
            faiss.omp_set_num_threads(threads)
        self._index: Any = index
        return self

    def search(self, queries: NDArray[np.float32], k: int) -> Found:
        """The (approximately) k best items of each query [B, D]."""
        check_k(k)
        scores, items = _nothing(len(queries), k)
        kept = min(k, int(self._index.ntotal))
        if len(queries) and kept:
            best, found = self._index.search(np.ascontiguousarray(queries, dtype=np.float32), kept)
            items[:, :kept] = found
            scores[:, :kept] = np.where(found >= 0, best, -np.inf)
        return scores, items


def search_without(
    index: VectorIndex,
    queries: NDArray[np.float32],
    k: int,
    row: NDArray[np.int64],
    item: NDArray[np.integer],
) -> Found:
    """The k best items of each query but for some of its own.

    An index cannot leave items out, so it is asked for more and they are dropped from the answer.

    Args:
        queries: [B, D].
        row: int64 [M], the query for which each of `item` [M] is left out.
    """
    check_k(k)
    longest = int(np.bincount(row).max(initial=0))
    scores, items = index.search(queries, k + longest)
    # An item of a row as one number; sorted search finds the dropped ones without a [B, n_items] mask.
    n_items = 1 + max(int(items.max(initial=0)), int(item.max(initial=0)))
    found = np.arange(len(queries))[:, None] * n_items + items
    drop = np.isin(found, row * n_items + item) | (items < 0)
    order = np.argsort(drop, axis=1, kind="stable")[:, :k]  # kept ones first, in their order
    dropped = np.take_along_axis(drop, order, axis=1)
    return (
        np.where(dropped, np.float32(-np.inf), np.take_along_axis(scores, order, axis=1)),
        np.where(dropped, np.int32(-1), np.take_along_axis(items, order, axis=1)),
    )


def search_unseen(
    index: VectorIndex,
    queries: NDArray[np.float32],
    k: int,
    histories: Histories,
    users: NDArray[np.integer],
) -> Found:
    """The k best items of each query [B, D] that are not in its user's history."""
    return search_without(index, queries, k, *histories.rows(users))


def _nothing(rows: int, k: int) -> Found:
    return np.full((rows, k), -np.inf, dtype=np.float32), np.full((rows, k), -1, dtype=np.int32)
