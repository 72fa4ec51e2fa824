"""The prefix tree of all valid semantic ids, as flat int32 arrays.

A node of depth d is a distinct prefix of d codes; nodes of one depth are numbered in the order of their
prefixes, so the children of a node are a range of the next depth. The root is node 0 of depth 0; the nodes of
depth L are the leaves, one per item. Should two items share an id (after collision handling none do) each
still has a leaf, with the same code, and search cannot tell them apart but for the tie rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from genrec.errors import DataError
from genrec.tokenizer.collisions import group_ids

DENSE_ENTRIES = 1 << 20  # a level gets a child table while nodes x codes stays below this: 4 MB


@dataclass(frozen=True)
class CodeTree:
    """Tree over N items with L levels.

    Attributes:
        sizes: codebook size K_l of each level.
        child_start: L tensors int32 [n_d + 1]; children of node i of depth d are
            `child_start[d][i]:child_start[d][i + 1]` of depth d + 1.
        padded_code: L tensors int32 [n_{d+1} + F_d]; the code that leads to each node of depth d + 1, and
            zeros, so that F_d codes can be read from any node on.
        child_table: for the first levels, int32 [n_d, K_d]: child by code or -1; None where too large.
        leaf_item: int32 [N]; item of each leaf.
        item_path: int32 [N, L]; node of depth 1 .. L of each item; its columns are contiguous.
        leaf_count: L tensors int32 [n_{d+1}]; items below each node of depth d + 1.
        fanout: most children of any node of depth 0 .. L - 1.
        shared_ids: whether any two items have the same id.
    """

    sizes: tuple[int, ...]
    child_start: tuple[Tensor, ...]
    padded_code: tuple[Tensor, ...]
    child_table: tuple[Tensor | None, ...]
    leaf_item: Tensor
    item_path: Tensor
    leaf_count: tuple[Tensor, ...]
    fanout: tuple[int, ...]
    shared_ids: bool

    @classmethod
    def of(cls, codes: NDArray[np.integer], sizes: tuple[int, ...]) -> Self:
        """Build from codes [N, L], of any number of levels.

        Raises:
            DataError: no items, or codes outside their codebooks.
        """
        _check(codes, sizes)
        n_items, n_levels = codes.shape
        order = _order(group_ids(codes, sizes))
        starts, padded, tables, counts, fanout = [], [], [], [], []
        path = np.empty((n_levels, n_items), dtype=np.int32)
        node, code = np.empty((2, n_items), dtype=np.int32)  # of the items in the tree's order
        new = np.zeros(n_items, dtype=bool)  # whether a sorted item has another prefix than the one before it
        new[0] = True
        heads = np.zeros(1, dtype=np.int32)  # first sorted item of each node of depth `level`
        shared_ids = False
        for level in range(n_levels):
            np.take(codes[:, level].astype(np.int32, copy=False), order, out=code, mode="clip")
            new[1:] |= code[1:] != code[:-1]
            if level == n_levels - 1:
                shared_ids = not new.all()
                new[:] = True  # a leaf for every item
            np.cumsum(new, out=node)
            node -= 1
            start = np.append(node[heads], node[-1] + 1).astype(np.int32)
            heads = np.flatnonzero(new).astype(np.int32)
            width = int(np.diff(start).max())
            starts.append(start)
            padded.append(np.concatenate([code[heads], np.zeros(width, dtype=np.int32)]))
            tables.append(_child_table(start, code[heads], sizes[level]))
            counts.append(np.diff(heads, append=np.int32(n_items)))
            fanout.append(width)
            path[level][order] = node
        return cls(
            sizes=tuple(sizes),
            child_start=tuple(map(torch.from_numpy, starts)),
            padded_code=tuple(map(torch.from_numpy, padded)),
            child_table=tuple(None if table is None else torch.from_numpy(table) for table in tables),
            leaf_item=torch.from_numpy(order.astype(np.int32)),
            item_path=torch.from_numpy(path).T,
            leaf_count=tuple(map(torch.from_numpy, counts)),
            fanout=tuple(fanout),
            shared_ids=shared_ids,
        )

    @cached_property
    def child_code(self) -> tuple[Tensor, ...]:
        """L tensors int32 [n_{d+1}]: the code that leads to each node of depth d + 1."""
        return tuple(
            code[: len(code) - width] for code, width in zip(self.padded_code, self.fanout, strict=True)
        )

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.leaf_item)

    @property
    def n_levels(self) -> int:
        """L."""
        return len(self.sizes)

    def codes(self) -> Tensor:
        """The ids it was built from: int64 [N, L]."""
        levels = [code[self.item_path[:, level].long()] for level, code in enumerate(self.child_code)]
        return torch.stack(levels, dim=1).long()

    def n_nodes(self, depth: int) -> int:
        """Number of nodes of a depth, 1 for the root's."""
        return 1 if depth == 0 else len(self.leaf_count[depth - 1])

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        tables = [table for table in self.child_table if table is not None]
        tensors = [
            *self.child_start,
            *self.padded_code,
            *tables,
            self.leaf_item,
            self.item_path,
            *self.leaf_count,
        ]
        return sum(tensor.nbytes for tensor in tensors)

    def is_complete(self, depth: int) -> bool:
        """Whether every node of a depth has a child for every code (and so in the order of codes)."""
        return self.n_nodes(depth + 1) == self.n_nodes(depth) * self.sizes[depth] and not (
            self.shared_ids and depth == self.n_levels - 1
        )

    def child_range(self, depth: int, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Children of nodes [...] of a depth: nodes `first` to `stop - 1` of the next, int64 [...] each."""
        bounds = self.child_start[depth]
        return bounds[nodes].long(), bounds[nodes + 1].long()

    def missing(self, depth: int, nodes: Tensor) -> Tensor:
        """Where nodes [...] of a depth have fewer children than the depth's fanout F: bool [..., F]."""
        first, stop = self.child_range(depth, nodes)
        return torch.arange(self.fanout[depth], device=nodes.device) >= (stop - first)[..., None]

    def child_codes(self, depth: int, nodes: Tensor) -> Tensor:
        """Codes of the children of nodes int64 [...] of a depth: int32 [..., F], anything where missing."""
        first = self.child_start[depth][nodes]
        runs = self.padded_code[depth].unfold(0, self.fanout[depth], 1)  # a view: F codes from each node on
        return runs.index_select(0, first.flatten()).view(*nodes.shape, -1)

    def children(self, depth: int, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Children of nodes int64 [...] of a depth.

        Returns:
            (child int64 [..., F], exists bool [..., F]) with F the depth's fanout; the width is the same for every
            call, and where a child does not exist its index is 0.
        """
        first, _ = self.child_range(depth, nodes)
        exists = ~self.missing(depth, nodes)
        child = first[..., None] + torch.arange(self.fanout[depth], device=nodes.device)
        return torch.where(exists, child, 0), exists

    def valid_codes(self, depth: int, nodes: Tensor) -> Tensor:
        """Which codes continue each node: nodes int64 [...] of a depth -> bool [..., K]."""
        table = self.child_table[depth]
        if table is not None:
            return table[nodes] >= 0
        code = self.child_codes(depth, nodes).long()
        code = code.masked_fill_(self.missing(depth, nodes), self.sizes[depth])
        valid = torch.zeros(*nodes.shape, self.sizes[depth] + 1, dtype=torch.bool, device=nodes.device)
        return valid.scatter_(-1, code, True)[..., :-1]  # the last column took the children that do not exist

    def real_children(self, depth: int, parents: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Children of nodes int64 [M] of a depth, one after the other, without padding.

        Returns:
            (row int64 [S] in 0 .. M - 1, bounds int64 [M + 1] of each row's run, child int64 [S]).
        """
        first, stop = self.child_range(depth, parents)
        bounds = F.pad((stop - first).cumsum(0), (1, 0))
        row = torch.repeat_interleave(stop - first)
        child = torch.arange(len(row), device=row.device) - bounds[row] + first[row]
        return row, bounds, child

    def map(self, change: Callable[[Tensor], Tensor]) -> CodeTree:
        """The same tree with every tensor changed, for instance moved to a device."""
        return CodeTree(
            sizes=self.sizes,
            child_start=tuple(map(change, self.child_start)),
            padded_code=tuple(map(change, self.padded_code)),
            child_table=tuple(None if table is None else change(table) for table in self.child_table),
            leaf_item=change(self.leaf_item),
            item_path=change(self.item_path),
            leaf_count=tuple(map(change, self.leaf_count)),
            fanout=self.fanout,
            shared_ids=self.shared_ids,
        )


def _check(codes: NDArray[np.integer], sizes: tuple[int, ...]) -> None:
    if codes.ndim != 2 or codes.shape[1] != len(sizes) or not codes.size:
        raise DataError(f"a tree needs codes of shape [items, {len(sizes)}], got {list(codes.shape)}")
    if codes.min() < 0 or (codes >= np.array(sizes)).any():
        raise DataError(f"codes lie outside their codebooks of sizes {sizes}; tokenize again")


def _order(key: NDArray[np.int64]) -> NDArray[np.int64]:
    """Items by ascending key, equal keys by ascending item; the keys are lost."""
    bits = len(key).bit_length()
    if int(key.max()) >= 1 << (63 - bits):
        return np.argsort(key, kind="stable")
    key <<= bits
    key |= np.arange(len(key))  # sorting values is several times faster than sorting indices
    key.sort()
    key &= (1 << bits) - 1
    return key


def _child_table(start: NDArray[np.int32], code: NDArray[np.int32], size: int) -> NDArray[np.int32] | None:
    """Child by (parent, code), -1 where there is none; None where the table would be too large."""
    n_parents = len(start) - 1
    if n_parents * size > DENSE_ENTRIES:
        return None
    table = np.full((n_parents, size), -1, dtype=np.int32)
    table[np.repeat(np.arange(n_parents), np.diff(start)), code] = np.arange(len(code), dtype=np.int32)
    return table
