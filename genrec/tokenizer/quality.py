"""Quality of semantic ids over the whole catalogue, and the alarm when a codebook collapses."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from genrec.data.tables import ItemTable
from genrec.errors import TokenizerCollapse
from genrec.tokenizer.base import Tokenized
from genrec.tokenizer.collisions import collision_rate, group_ids


def usage_counts(codes: NDArray[np.integer], sizes: Sequence[int]) -> list[NDArray[np.int64]]:
    """Items per code, for each level: L arrays [K_l]."""
    return [np.bincount(codes[:, level], minlength=size) for level, size in enumerate(sizes)]


def gini(counts: NDArray[np.integer]) -> float:
    """Gini coefficient of non-negative counts: 0 is even, near 1 is all in one."""
    total = counts.sum()
    if total == 0:
        return 0.0
    ordered = np.sort(counts)
    rank = np.arange(1, len(counts) + 1)
    return float((2 * (rank * ordered).sum() / total - len(counts) - 1) / len(counts))


def perplexity(counts: NDArray[np.integer]) -> float:
    """exp of the entropy of the code distribution: the number of codes in effective use."""
    share = counts[counts > 0] / counts.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def genre_matrix(items: ItemTable) -> NDArray[np.float32]:
    """Unit-length multi-hot genres [N, G]; zero rows for items without genres."""
    exploded = items.frame["genres"].reset_index(drop=True).explode().dropna()
    names, column = np.unique(exploded.to_numpy(dtype=str), return_inverse=True)
    matrix = np.zeros((len(items), max(len(names), 1)), dtype=np.float32)
    matrix[exploded.index.to_numpy(), column] = 1.0
    unit: NDArray[np.float32] = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-12)
    return unit


def purity_by_depth(
    codes: NDArray[np.integer], sizes: Sequence[int], genres: NDArray[np.float32]
) -> list[float]:
    """Mean genre cosine of two items that share a prefix, for prefix depths 0 .. L.

    Depth 0 is any two items: the level that chance reaches. NaN where no two items share a prefix.

    Args:
        genres: unit-length rows [N, G]; zero rows are left out.
    """
    known = np.flatnonzero((genres > 0).any(1))
    purity = []
    for depth in range(codes.shape[1] + 1):
        _, group = np.unique(group_ids(codes[known, :depth], sizes), return_inverse=True)
        n_groups = int(group.max(initial=-1)) + 1
        sums = np.zeros((n_groups, genres.shape[1]))
        np.add.at(sums, group, genres[known])
        n = np.bincount(group, minlength=n_groups)
        pairs = n * (n - 1)
        if not pairs.any():  # no two items share a longer prefix either
            break
        similar = (sums**2).sum(1) - n  # sum over ordered pairs of two different items
        purity.append(float(similar.sum() / pairs.sum()))
    return purity + [float("nan")] * (codes.shape[1] + 1 - len(purity))


def quality(tokenized: Tokenized, genres: NDArray[np.float32]) -> dict[str, float]:
    """All figures, flat: `usage/0`, `perplexity/0`, `dead/0`, `gini/0`, `collision_rate`, `error/1`, `purity/1`, ...

    Usage, perplexity, dead codes and Gini are of the nearest codes where codes are learned, before collision
    handling spreads them. `error/<depth>` is the share of the features' variance that is lost by codes of that depth,
    `reconstruction_error` that of whole ids.

    Args:
        genres: `genre_matrix` of the catalogue.
    """
    learned = tokenized.codes if tokenized.raw is None else tokenized.raw
    n_items, n_levels = len(learned), learned.shape[1]
    sizes = tokenized.sizes[:n_levels]
    figures: dict[str, float] = {}
    distinct = 0
    for level, counts in enumerate(usage_counts(learned, sizes)):
        figures[f"usage/{level}"] = float((counts > 0).mean())
        figures[f"perplexity/{level}"] = perplexity(counts)
        figures[f"dead/{level}"] = float((counts == 0).sum())
        figures[f"gini/{level}"] = gini(counts)
        if distinct < n_items:  # else longer prefixes are distinct, too
            distinct = len(np.unique(group_ids(learned[:, : level + 1], sizes)))
        figures[f"distinct/{level}"] = distinct / max(n_items, 1)
    groups = np.unique(group_ids(learned, sizes), return_counts=True)[1]
    figures["collision_rate_before"] = collision_rate(learned, sizes)
    figures["largest_group"] = float(groups.max(initial=0))
    figures["collision_rate"] = collision_rate(tokenized.codes, tokenized.sizes)
    figures["moved"] = float((tokenized.codes[:, :n_levels] != learned).any(1).sum() / max(n_items, 1))
    figures |= {f"error/{depth}": left for depth, left in enumerate(tokenized.error_by_depth)}
    if tokenized.error_by_depth:
        figures["reconstruction_error"] = tokenized.error_by_depth[-1]
    purity = purity_by_depth(tokenized.codes, tokenized.sizes, genres)
    figures |= {f"purity/{depth}": value for depth, value in enumerate(purity) if np.isfinite(value)}
    return figures


def check_usage(figures: dict[str, float], sizes: Sequence[int], n_items: int, floor: float) -> None:
    """Raise TokenizerCollapse when a level uses fewer codes than `floor` of what the catalogue could fill.

    Items that the levels above tell apart already need no code of their own: only the others count as what a
    level could fill, and a deeper level for which few are left is not judged.

    Args:
        figures: what `quality` returned.
        floor: share in 0..1 of min(codebook size, items).
    """
    separated = 0.0  # distinct prefixes per item
    for level, size in enumerate(sizes):
        used = round(figures[f"usage/{level}"] * size)
        possible = min(size, round(n_items * (1 - separated)))
        separated = figures[f"distinct/{level}"]
        if used < floor * possible and (level == 0 or possible >= floor * size):
            raise TokenizerCollapse(
                f"level {level} of the tokenizer uses {used} of {possible} codes (floor {floor:.0%}): check that "
                "the item features differ between items, train longer, lower the learning rate, use the "
                "rotation trick, take RqKMeans, or take fewer codes where the catalogue is small; "
                "Assignment.min_usage sets the floor"
            )
