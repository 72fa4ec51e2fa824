"""Cosines between the columns of a sparse matrix: the nearest neighbours of a few columns at a time."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrec.recall.products import dense_product
from genrec.topk import tie_ranks

_CELLS = 1 << 22
"""Cosines that are dense at once; some 15 bytes each while the largest are looked for, below 0.1 GB in all."""


class Cosine:
    """Neighbours among the n columns of a matrix; the n x n cosines are never held.

    Args:
        matrix: non-negative, [rows, n].
        shrink: added to the denominator, so that cosines from few common rows count less.
        least: pairs whose columns have a smaller inner product are not neighbours; with a binary matrix it counts
            the rows in common.
    """

    def __init__(self, matrix: sp.csr_array, shrink: float = 0.0, least: float = 0.0) -> None:
        self.n = int(matrix.shape[1])
        self.shrink, self.least = shrink, least
        self._by_row, self._by_column = matrix, sp.csr_array(matrix.T)
        squares = np.bincount(matrix.indices, np.square(matrix.data, dtype=np.float64), minlength=self.n)
        self._norms = torch.from_numpy(np.sqrt(squares).astype(np.float32))
        self._ranks = tie_ranks(self.n).numpy()

    def nearest(self, columns: NDArray[np.integer], k: int, threshold: float = 0.0) -> sp.csr_array:
        """Sparse [len(columns), n]: for each column its largest cosines with others, at most k.

        Args:
            threshold: smaller cosines are left out; those of 0 always are.
        """
        size = max(1, _CELLS // max(self.n, 1))
        starts = range(0, max(len(columns), 1), size)
        blocks = [self._block(columns[start : start + size], min(k, self.n), threshold) for start in starts]
        stacked: sp.csr_array = sp.vstack(blocks, format="csr")
        return stacked

    def _block(self, columns: NDArray[np.integer], k: int, threshold: float) -> sp.csr_array:
        cosine = dense_product(self._by_column[columns], self._by_row)  # [B, n]
        rows = torch.arange(len(columns))
        there = torch.from_numpy(columns.astype(np.int64))
        cosine[rows, there] = 0.0  # a column is not its own neighbour
        if self.least > 0:
            cosine[cosine < self.least] = 0.0
        cosine /= (torch.outer(self._norms[there], self._norms) + self.shrink).clamp_min_(1e-9)
        return self._largest(cosine, k, threshold)

    def _largest(self, cosine: Tensor, k: int, threshold: float) -> sp.csr_array:
        """At most k of each row [B, n], as a sparse matrix; equal ones by the tie rule of `genrec.topk`.

        To sort by value and rank is slow for a whole row, so it is done for what is not below the k-th value.
        """
        last = cosine.topk(k).values[:, -1:]
        row, column = ((cosine >= last.clamp_min(threshold)) & (cosine > 0)).nonzero().int().numpy().T
        value = cosine.numpy()[row, column]
        order = np.lexsort((self._ranks[column], -value, row))
        starts = np.searchsorted(row, np.arange(len(cosine)))  # `row` is ascending, before and after
        kept = order[np.arange(len(row)) - starts[row] < k]
        return sp.csr_array((value[kept], (row[kept], column[kept])), shape=cosine.shape)
