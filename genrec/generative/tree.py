"""The prefix tree of all valid semantic ids, as flat int32 arrays.

A node of depth d is a distinct prefix of d codes; nodes of one depth are numbered in the order of their
prefixes, so the children of a node are a range of the next depth. The root is node 0 of depth 0; the nodes of
depth L are the leaves, one per item. Should two items share an id (after collision handling none do) each
still has a leaf, with the same code, and search cannot tell them apart but for the tie rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from genrec.errors import DataError

DENSE_ENTRIES = 1 << 20  # a level gets a child table while nodes x codes stays below this: 4 MB


@dataclass(frozen=True)
class CodeTree:
    """Tree over N items with L levels.

    Attributes:
        sizes: codebook size K_l of each level.
        child_start: L tensors int32 [n_d + 1]; children of node i of depth d are
            `child_start[d][i]:child_start[d][i + 1]` of depth d + 1.
        child_code: L tensors int32 [n_{d+1}]; the code that leads to each node of depth d + 1.
        child_table: for the first levels, int32 [n_d, K_d]: child by code or -1; None where too large.
        leaf_item: int32 [N]; item of each leaf.
        item_path: int32 [N, L]; node of depth 1 .. L of each item.
        leaf_count: L tensors int32 [n_{d+1}]; items below each node of depth d + 1.
        fanout: most children of any node of depth 0 .. L - 1.
    """

    sizes: tuple[int, ...]
    child_start: tuple[Tensor, ...]
    child_code: tuple[Tensor, ...]
    child_table: tuple[Tensor | None, ...]
    leaf_item: Tensor
    item_path: Tensor
    leaf_count: tuple[Tensor, ...]
    fanout: tuple[int, ...]

    @classmethod
    def of(cls, codes: NDArray[np.integer], sizes: tuple[int, ...]) -> Self:
        """Build from codes [N, L].

        Raises:
            DataError: no items, codes outside their codebooks, or codes too long for a 63-bit key.
        """
        _check(codes, sizes)
        n_items, n_levels = codes.shape
        key = np.zeros(n_items, dtype=np.int64)
        for level, size in enumerate(sizes):
            key = key * size + codes[:, level]
        order = np.argsort(key, kind="stable")
        key = key[order]

        starts, child_codes, tables, counts, fanout = [], [], [], [], []
        path = np.empty((n_items, n_levels), dtype=np.int32)
        parent_of_row = np.zeros(n_items, dtype=np.int32)  # node of depth d of each sorted item
        n_parents = 1
        for level in range(n_levels):
            new = np.ones(n_items, dtype=bool)
            if level < n_levels - 1:
                prefix = key // prod(sizes[level + 1 :])
                new[1:] = prefix[1:] != prefix[:-1]
            first = np.flatnonzero(new).astype(np.int32)  # first sorted item of each node of depth level + 1
            node_of_row = (np.cumsum(new) - 1).astype(np.int32)
            parents = parent_of_row[first]
            children = np.bincount(parents, minlength=n_parents)
            starts.append(np.concatenate([[0], np.cumsum(children)]).astype(np.int32))
            code = codes[order[first], level].astype(np.int32)
            child_codes.append(code)
            tables.append(_child_table(parents, code, n_parents, sizes[level]))
            counts.append(np.diff(np.append(first, n_items)).astype(np.int32))
            fanout.append(int(children.max()))
            path[order, level] = node_of_row
            parent_of_row, n_parents = node_of_row, len(first)
        return cls(
            sizes=tuple(sizes),
            child_start=tuple(map(torch.from_numpy, starts)),
            child_code=tuple(map(torch.from_numpy, child_codes)),
            child_table=tuple(None if table is None else torch.from_numpy(table) for table in tables),
            leaf_item=torch.from_numpy(order.astype(np.int32)),
            item_path=torch.from_numpy(path),
            leaf_count=tuple(map(torch.from_numpy, counts)),
            fanout=tuple(fanout),
        )

    @property
    def n_items(self) -> int:
        """N."""
        return len(self.leaf_item)

    @property
    def n_levels(self) -> int:
        """L."""
        return len(self.sizes)

    def n_nodes(self, depth: int) -> int:
        """Number of nodes of a depth, 1 for the root's."""
        return 1 if depth == 0 else len(self.child_code[depth - 1])

    @property
    def nbytes(self) -> int:
        """Memory of all arrays."""
        tables = [table for table in self.child_table if table is not None]
        tensors = [
            *self.child_start,
            *self.child_code,
            *tables,
            self.leaf_item,
            self.item_path,
            *self.leaf_count,
        ]
        return sum(tensor.nbytes for tensor in tensors)

    def children(self, depth: int, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Children of nodes [...] of a depth.

        Returns:
            (child int64 [..., F], exists bool [..., F]) with F the depth's fanout; the width is the same for every
            call, and where a child does not exist its index is 0.
        """
        bounds = self.child_start[depth]
        first = bounds[nodes].long()
        child = first[..., None] + torch.arange(self.fanout[depth], device=nodes.device)
        exists = child < bounds[nodes + 1].long()[..., None]
        return torch.where(exists, child, 0), exists

    def valid_codes(self, depth: int, nodes: Tensor) -> Tensor:
        """Which codes continue each node: nodes int64 [...] of a depth -> bool [..., K]."""
        table = self.child_table[depth]
        if table is not None:
            return table[nodes] >= 0
        child, exists = self.children(depth, nodes)
        code = torch.where(exists, self.child_code[depth][child].long(), self.sizes[depth])
        valid = torch.zeros(*nodes.shape, self.sizes[depth] + 1, dtype=torch.bool, device=nodes.device)
        return valid.scatter_(-1, code, True)[..., :-1]  # the last column took the children that do not exist

    def map(self, change: Callable[[Tensor], Tensor]) -> CodeTree:
        """The same tree with every tensor changed, for instance moved to a device."""
        return CodeTree(
            sizes=self.sizes,
            child_start=tuple(map(change, self.child_start)),
            child_code=tuple(map(change, self.child_code)),
            child_table=tuple(None if table is None else change(table) for table in self.child_table),
            leaf_item=change(self.leaf_item),
            item_path=change(self.item_path),
            leaf_count=tuple(map(change, self.leaf_count)),
            fanout=self.fanout,
        )


def _check(codes: NDArray[np.integer], sizes: tuple[int, ...]) -> None:
    if codes.ndim != 2 or codes.shape[1] != len(sizes) or not codes.size:
        raise DataError(f"a tree needs codes of shape [items, {len(sizes)}], got {list(codes.shape)}")
    if prod(sizes) >= 2**63:
        raise DataError(f"ids of codebooks {sizes} do not fit into 63 bits; use fewer or smaller codebooks")
    if codes.min() < 0 or (codes >= np.array(sizes)).any():
        raise DataError(f"codes lie outside their codebooks of sizes {sizes}; tokenize again")


def _child_table(
    parents: NDArray[np.int32], code: NDArray[np.int32], n_parents: int, size: int
) -> NDArray[np.int32] | None:
    """Child by (parent, code), -1 where there is none; None where the table would be too large."""
    if n_parents * size > DENSE_ENTRIES:
        return None
    table = np.full((n_parents, size), -1, dtype=np.int32)
    table[parents, code] = np.arange(len(code), dtype=np.int32)
    return table
