"""The bench: every recaller under the protocol, and the probes of the report. It joins recall and evaluation."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from copy import copy
from typing import TypeVar

import numpy as np
import torch

from genrec.data.recommendations import Recommendations
from genrec.data.splits import Part, Split
from genrec.data.tables import ItemTable
from genrec.evaluation.comparison import Comparison, compare
from genrec.evaluation.diagnostics import IndexLoss, LevelAccuracy, SearchWidth
from genrec.evaluation.metrics import accuracy
from genrec.evaluation.protocol import EvaluationSet, evaluate, evaluation_set
from genrec.evaluation.tokenizer_quality import TokenizerQuality, readable_figures
from genrec.features.base import ItemFeatures
from genrec.generative.base import GenerativeModel
from genrec.generative.timeline import Timeline
from genrec.recall.base import Recaller, ScoringRecaller
from genrec.recall.generative import EmbeddingRecaller, GenerativeRecaller
from genrec.recall.hybrid import Candidates, HybridRecaller, Weights, grid, ranked
from genrec.recall.probe import Timed, agreement, by_width, level_hits, timed
from genrec.recall.trained import judged_with
from genrec.recall.vector_index import VectorIndex
from genrec.recall.vectors import VectorRecaller
from genrec.tokenizer.quality import genre_matrix, purity_by_depth, usage_counts
from genrec.tokenizer.store import StoredIds

K = 10  # cut-off of headline figures
DENSE = (0.0, 0.25, 0.5, 0.75, 1.0)  # weights of the dense head in the hybrid, tried on validation
MEMORY = (0.0, 0.05, 0.1, 0.2, 0.3, 0.5)  # weights of the hybrid's memory, if it has one
TUNED = 20_000  # validation users by whom weights are chosen
PROBED = 1_000  # users that exact search is shown on
R = TypeVar("R", bound=Recaller)


class Bench:
    """Everything the methods are judged with: one split, one catalogue, one set of cut-offs.

    Args:
        split: train, validation and test.
        items: the catalogue.
        features: of its items, for recallers that use them and for the diversity of lists; None is without.
        ks: cut-offs.
        max_users: a random sample of users; None takes all.
    """

    def __init__(
        self,
        split: Split,
        items: ItemTable,
        features: ItemFeatures | None,
        ks: tuple[int, ...],
        max_users: int | None,
    ) -> None:
        self.split, self.items, self.features, self.ks, self.max_users = split, items, features, ks, max_users
        self.fit_seconds: dict[str, float] = {}

    def cases(self, part: Part, at_most: int | None = None) -> EvaluationSet:
        """Users and targets of a part, or of a random sample of its users."""
        limits = [limit for limit in (self.max_users, at_most) if limit is not None]
        return evaluation_set(self.split, part, min(limits, default=None))

    def fit(self, recaller: R, part: Part) -> R:
        """Fit to what may be known when `part` is judged."""
        judged_with(recaller, self.split, part)
        return recaller.fit(self.split.before(part), self.items, self.features)

    def run(
        self,
        methods: Mapping[str, Recaller],
        part: Part,
        maskings: Sequence[bool],
        reference: str | None = None,
    ) -> Comparison:
        """Fit every method and judge it under every masking.

        Args:
            reference: the method that others are compared with; `generative`, or the first where there is none.
        """
        cases = self.cases(part)
        vectors = None if self.features is None else self.features.vectors
        evaluations = []
        for name, recaller in methods.items():
            started = time.perf_counter()
            self.fit(recaller, part)
            self.fit_seconds[name] = time.perf_counter() - started
            for masked in maskings:
                print(f"{part}: {name}, {'masked' if masked else 'unmasked'}", file=sys.stderr)
                evaluations.append(
                    evaluate(recaller, cases, self.ks, method=name, masked=masked, vectors=vectors)
                )
        usual = "generative" if "generative" in methods else next(iter(methods))
        return compare(evaluations, part, reference=reference or usual)


def ndcg(lists: Recommendations, cases: EvaluationSet) -> float:
    """NDCG at the headline cut-off."""
    return float(accuracy(cases.hits(lists), cases.n_targets, (K,))[f"ndcg@{K}"].mean())


def model_methods(
    model: GenerativeModel, bench: Bench, width: int, memory: ScoringRecaller | None = None
) -> dict[str, Recaller]:
    """The ways in which the model recalls; the weights of hybrids are the best on validation.

    Args:
        memory: what the hybrid consults beside the model; `hybrid-heads` is then the hybrid without it.
    """
    methods: dict[str, Recaller] = {"generative": GenerativeRecaller(model, width=width)}
    if not isinstance(model, Timeline) or model.dense is None:
        return methods
    methods["embedding"] = EmbeddingRecaller(model)
    width = max(width, 2 * K)
    heads = best_weights(HybridRecaller(model, width=width), bench, grid(DENSE, (0.0,)))
    if memory is None:
        return methods | {"hybrid": HybridRecaller(model, weights=heads, width=width)}
    hybrid = HybridRecaller(model, memory=memory, width=width)
    hybrid.weights = best_weights(hybrid, bench, grid(DENSE, MEMORY))
    return methods | {"hybrid": hybrid, "hybrid-heads": HybridRecaller(model, weights=heads, width=width)}


def refitted(methods: Mapping[str, Recaller], model: GenerativeModel, width: int) -> dict[str, Recaller]:
    """The ways in which another model recalls, with the hybrid weights of `methods`: `<name>-refit`."""
    found: dict[str, Recaller] = {"generative-refit": GenerativeRecaller(model, width=width)}
    if isinstance(model, Timeline) and model.dense is not None:
        found["embedding-refit"] = EmbeddingRecaller(model)
        for name, one in methods.items():
            if isinstance(one, HybridRecaller):
                kept = HybridRecaller(
                    model, weights=one.weights, memory=one.memory, width=one.generator.width
                )
                found[f"{name}-refit"] = kept
    return found


def best_weights(hybrid: HybridRecaller, bench: Bench, tried: Sequence[Weights]) -> Weights:
    """The weights with the highest NDCG on validation users; their candidates are generated once."""
    cases = bench.cases("valid", TUNED)
    bench.fit(hybrid, "valid")
    blocks = np.array_split(cases.users, -(-len(cases.users) // hybrid.batch_size))
    with hybrid.model.fixed():
        found = [hybrid.candidates(users, K, True) for users in blocks]
    together = Candidates(torch.cat([one.items for one in found]), torch.cat([one.scores for one in found]))

    def judged(weights: Weights) -> float:
        scores, items = ranked(together, weights, K)
        lists = Recommendations(cases.users, items.cpu().numpy().astype(np.int32), scores.cpu().numpy())
        return ndcg(lists, cases)

    return max(tried, key=judged)


def search_widths(model: GenerativeModel, bench: Bench, widths: Sequence[int]) -> list[SearchWidth]:
    """Exact search, by branch and bound, against beams, on a sample of test users."""
    cases = bench.cases("test", PROBED)
    found = by_width(bench.fit(GenerativeRecaller(model), "test"), cases.users, K, widths)
    exact = found[None].lists
    return [
        SearchWidth(
            width=beam,
            ndcg=ndcg(one.lists, cases),
            found=agreement(one.lists, exact),
            seconds=1000 * one.seconds / len(cases.users),
        )
        for beam, one in found.items()
    ]


def level_accuracy(model: GenerativeModel, bench: Bench) -> list[LevelAccuracy]:
    """Accuracy of the greedy code per level, given a right or a wrong prefix."""
    cases = bench.cases("test")
    hits = level_hits(
        bench.fit(GenerativeRecaller(model), "test"), cases.users[cases.target_rows], cases.target_items
    )
    levels = []
    for level, (correct, right) in enumerate(zip(hits.correct.T, hits.on_track.T, strict=True), start=1):
        n_right, n_wrong = int(right.sum()), int((~right).sum())
        levels.append(
            LevelAccuracy(
                level=level,
                right=float(correct[right].mean()) if n_right else float("nan"),
                n_right=n_right,
                wrong=float(correct[~right].mean()) if n_wrong else None,
                n_wrong=n_wrong,
            )
        )
    return levels


def index_losses(model: GenerativeModel, bench: Bench, indices: Mapping[str, VectorIndex]) -> list[IndexLoss]:
    """Each approximate index of the model's dense head against the exact dot product."""
    if not isinstance(model, Timeline) or model.dense is None or not indices:
        return []
    cases = bench.cases("test")
    exact = timed(bench.fit(EmbeddingRecaller(model), "test"), cases.users, K)
    return [
        index_loss(
            name,
            timed(bench.fit(EmbeddingRecaller(model, index=index), "test"), cases.users, K),
            exact,
            cases,
        )
        for name, index in indices.items()
    ]


def own_index_loss(recaller: object, bench: Bench, part: Part) -> IndexLoss | None:
    """The index of a recaller by vectors, fitted for `part`, against the exact dot product; None for others."""
    if not isinstance(recaller, VectorRecaller) or recaller.index is None:
        return None
    exact, cases = copy(recaller), bench.cases(part)
    exact.index = None
    return index_loss(
        type(recaller.index).__name__, timed(recaller, cases.users, K), timed(exact, cases.users, K), cases
    )


def index_loss(name: str, one: Timed, exact: Timed, cases: EvaluationSet) -> IndexLoss:
    """Lists by an index against exact ones."""
    return IndexLoss(
        name=name,
        ndcg=ndcg(one.lists, cases),
        exact_ndcg=ndcg(exact.lists, cases),
        found=agreement(one.lists, exact.lists),
        seconds=1000 * one.seconds / len(cases.users),
        exact_seconds=1000 * exact.seconds / len(cases.users),
    )


def tokenizer_quality(stored: StoredIds, items: ItemTable) -> TokenizerQuality:
    """What the report says about the semantic ids."""
    ids, genres = stored.ids, genre_matrix(items)
    shuffled = np.random.default_rng(0).permutation(ids.codes)
    return TokenizerQuality(
        name=f"{ids.tokenizer}, codebooks {' x '.join(map(str, ids.sizes))}, features {stored.features.encoder}",
        figures=readable_figures(ids.quality),
        usage=usage_counts(ids.codes, ids.sizes),
        purity={"genre similarity": purity_by_depth(ids.codes, ids.sizes, genres)[1:-1]},
        purity_by_chance={"genre similarity": purity_by_depth(shuffled, ids.sizes, genres)[1:-1]},
    )
