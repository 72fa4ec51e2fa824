"""Metrics of ranked lists, vectorised over users.

A hit is the exact item. Accuracy metrics are per user, so that they can be resampled in pairs
(`genrec.evaluation.significance`); what describes a whole system (coverage, Gini, novelty, diversity) is
one number. NDCG is that of Järvelin & Kekäläinen 2002 with binary gain; novelty and diversity are those of
Castells, Hurley & Vargas 2022, "Novelty and Diversity in Recommender Systems".
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from genrec.errors import ConfigError

ACCURACY = ("recall", "ndcg", "hitrate", "precision", "f1", "mrr")
"""Names of the per-user metrics, in the order of the tables."""

BEYOND = ("coverage", "gini", "novelty", "ild")
"""Names of the metrics of a whole system."""

_BLOCK = 4096  # users whose summed vectors are held at once: 4096 × 1024 float64 is 32 MB


def check_ks(ks: Sequence[int]) -> tuple[int, ...]:
    """The cut-offs, ascending and distinct; ConfigError unless all are positive whole numbers."""
    bad = [k for k in ks if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1]
    if bad or not len(ks):
        raise ConfigError(
            f"evaluate.ks must be positive whole numbers such as (5, 10, 20), got {tuple(ks)!r}"
        )
    return tuple(sorted({int(k) for k in ks}))


def hits(
    items: NDArray[np.integer],
    target_offsets: NDArray[np.int64],
    target_items: NDArray[np.integer],
    n_items: int,
) -> NDArray[np.bool_]:
    """Which recommended items are targets of their user.

    Args:
        items: [U, k], -1 where there is none.
        target_offsets: [U + 1]; row u's targets are `target_items[target_offsets[u]:target_offsets[u + 1]]`.
        target_items: [M], in any order within a row.
        n_items: size of the catalogue.

    Returns:
        bool [U, k].
    """
    if not len(target_items):
        return np.zeros(items.shape, dtype=np.bool_)
    row = np.repeat(np.arange(len(items), dtype=np.int64), np.diff(target_offsets))
    wanted = np.sort(row * n_items + target_items)
    keys = np.arange(len(items), dtype=np.int64)[:, None] * n_items + items
    place = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
    found: NDArray[np.bool_] = (wanted[place] == keys) & (items >= 0)
    return found


def accuracy(
    hit: NDArray[np.bool_], n_relevant: NDArray[np.integer], ks: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    """Per-user accuracy at every cut-off.

    With h hits in the first k and R relevant items: recall = h / R, precision = h / k, f1 their harmonic
    mean, hitrate = [h > 0], mrr = 1 / position of the first hit within k (0 if none), ndcg = DCG over the DCG
    of min(k, R) hits at the top. A list shorter than k counts as if filled with misses.

    Args:
        hit: bool [U, width].
        n_relevant: [U], at least 1.
        ks: cut-offs; a k above `width` counts the missing columns as misses.

    Returns:
        `{"recall@5": float64 [U], "ndcg@5": ..., ...}`, names from `ACCURACY`.
    """
    ks = check_ks(ks)
    if np.any(n_relevant < 1):
        raise ValueError("accuracy is undefined for a user without targets; leave such users out")
    depth = max(ks[-1], hit.shape[1])
    gain = np.zeros((len(hit), depth))
    gain[:, : hit.shape[1]] = hit
    discount = 1.0 / np.log2(np.arange(2, depth + 2))
    counts = np.cumsum(gain, axis=1)  # [U, depth]
    dcg = np.cumsum(gain * discount, axis=1)
    ideal = np.cumsum(discount)
    first = np.where(gain.any(axis=1), gain.argmax(axis=1), depth)  # [U], 0-based
    found: dict[str, NDArray[np.float64]] = {}
    for k in ks:
        h = counts[:, k - 1]
        found[f"recall@{k}"] = h / n_relevant
        found[f"ndcg@{k}"] = dcg[:, k - 1] / ideal[np.minimum(k, n_relevant) - 1]
        found[f"hitrate@{k}"] = (h > 0).astype(np.float64)
        found[f"precision@{k}"] = h / k
        found[f"f1@{k}"] = 2 * h / (k + n_relevant)  # 2PR / (P + R) with h cancelled, so h = 0 needs no case
        found[f"mrr@{k}"] = np.where(first < k, 1.0 / (first + 1), 0.0)
    return found


def exposure(items: NDArray[np.integer], n_items: int) -> NDArray[np.int64]:
    """How often each item of the catalogue is recommended: int64 [n_items]; -1 is skipped."""
    return np.bincount(items[items >= 0], minlength=n_items)


def coverage(items: NDArray[np.integer], n_items: int) -> float:
    """Fraction of the catalogue that is recommended to anyone."""
    return float(np.count_nonzero(exposure(items, n_items)) / n_items)


def gini(items: NDArray[np.integer], n_items: int) -> float:
    """Gini index of how often items are recommended, over the whole catalogue.

    0 where every item is shown equally often, (N - 1) / N where one item takes all; NaN if nothing is shown.
    """
    counts = np.sort(exposure(items, n_items)).astype(np.float64)
    total = counts.sum()
    if not total:
        return float("nan")
    weights = 2 * np.arange(1, n_items + 1) - n_items - 1
    return float(weights @ counts / (n_items * total))


def novelty(items: NDArray[np.integer], item_counts: NDArray[np.int64]) -> float:
    """Mean self-information of what is recommended, in bits: -log2 p(item) over all places of all lists.

    p is an item's share of the training events, with one event added to each item so that cold items are
    finite. NaN if nothing is recommended.
    """
    share = (item_counts + 1) / (item_counts.sum() + len(item_counts))
    shown = items[items >= 0]
    return float(-np.log2(share)[shown].mean()) if len(shown) else float("nan")


def diversity(items: NDArray[np.integer], vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Intra-list diversity per user: mean of 1 - cosine over all pairs of the list, float64 [U].

    Items whose vector is zero (features absent) are left out; NaN where fewer than two remain. The sum over
    pairs comes from the length of the summed unit vectors, |Σv|² = n + Σ cos over i ≠ j: no pair is formed.

    Args:
        items: [U, k], -1 where there is none.
        vectors: [N, D] item features.
    """
    norms = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit = np.divide(vectors, norms, out=np.zeros(vectors.shape), where=norms > 0)
    counted = (items >= 0) & (norms[:, 0] > 0)[np.maximum(items, 0)]
    n = counted.sum(axis=1)
    offsets = np.concatenate([[0], np.cumsum(n)])
    lists = sp.csr_array((np.ones(offsets[-1]), items[counted], offsets), shape=(len(items), len(vectors)))
    squared = np.zeros(len(items))
    for start in range(0, len(items), _BLOCK):
        total = lists[start : start + _BLOCK] @ unit  # [block, D]
        squared[start : start + _BLOCK] = np.square(total).sum(axis=1)
    pairs = n * (n - 1)
    similarity: NDArray[np.float64] = np.divide(
        squared - n, pairs, out=np.full(len(items), np.nan), where=pairs > 0
    )
    return 1.0 - similarity


def beyond_accuracy(
    items: NDArray[np.integer],
    item_counts: NDArray[np.int64],
    ks: Sequence[int],
    vectors: NDArray[np.floating] | None = None,
) -> dict[str, float]:
    """Coverage, Gini, novelty and, with item vectors, intra-list diversity at every cut-off.

    Args:
        items: [U, k] recommended items, -1 where there is none.
        item_counts: [N] training events per item.
        ks: cut-offs.
        vectors: [N, D] item features, or None to leave `ild` out.
    """
    found: dict[str, float] = {}
    for k in check_ks(ks):
        head = items[:, :k]
        found[f"coverage@{k}"] = coverage(head, len(item_counts))
        found[f"gini@{k}"] = gini(head, len(item_counts))
        found[f"novelty@{k}"] = novelty(head, item_counts)
        if vectors is not None:
            spread = diversity(head, vectors)
            defined = spread[~np.isnan(spread)]
            found[f"ild@{k}"] = float(defined.mean()) if len(defined) else float("nan")
    return found
