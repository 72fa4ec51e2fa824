"""genrec itself."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from genrec.generative.base import GenerativeModel, Window
from genrec.generative.batches import BatchPlan
from genrec.generative.search import beam_search
from genrec.generative.softmax import child_log_probs
from genrec.generative.tiger import Tiger
from genrec.generative.timeline import Timeline
from genrec.generative.tree import CodeTree
from genrec.tokenizer.estimators import RotationTrick, StraightThrough
from genrec.tokenizer.residual import fit_codebooks
from genrec.tokenizer.rqvae import RqVae
from rivals.contest import (
    COMMITMENT,
    DROPOUT,
    FEATURES,
    FEED,
    HEAD_WIDTH,
    HEADS,
    HIDDEN,
    LATENT,
    LAYERS,
    QUANTISERS,
    USER_TOKENS,
    Job,
    World,
    error_left,
    millions,
    steps,
)

K_RETURNED = 10
TIMELINE_HEADS = 4
TIMELINE_BATCHES = 4  # times the batches of the others, because they take less time


def timeline(world: World, layers: int = 2) -> Timeline:
    """Codes in and codes out, as in an encoder-decoder."""
    torch.manual_seed(0)
    return Timeline(
        world.tree,
        embed_dim=world.sizes.width,
        width=world.sizes.width,
        heads=TIMELINE_HEADS,
        layers=layers,
        max_length=world.sizes.history,
        dropout=DROPOUT,
        inputs=("codes",),
        node_keys=False,
        repeat=False,
        dense_weight=0.0,
    )


def whole_timeline(world: World) -> Timeline:
    """With everything that it does by default: item embeddings, vectors of nodes, the dense head."""
    torch.manual_seed(0)
    width = world.sizes.width
    return Timeline(world.tree, embed_dim=width, width=width, max_length=world.sizes.history, negatives=1024)


def tiger(world: World) -> Tiger:
    """The paper's size."""
    torch.manual_seed(0)
    return Tiger(
        world.tree,
        embed_dim=world.sizes.width,
        width=HEADS * HEAD_WIDTH,
        heads=HEADS,
        layers=LAYERS,
        feed_width=FEED,
        max_length=world.sizes.history,
        dropout=DROPOUT,
        user_buckets=USER_TOKENS,
    )


def training(world: World) -> list[Job]:
    """`timeline` in batches by token budget; `tiger` in the batches that T5 gets."""
    sizes = world.sizes
    plan = BatchPlan(world.histories, max_length=sizes.history, tokens=sizes.tokens, rows=256, seed=0)
    count = min(TIMELINE_BATCHES * sizes.batches, plan.steps_per_epoch)
    passes = [plan.batch(step) for step in range(count)]
    targets = sum(int((window.items >= 0).sum() - first.sum()) for window, first in passes)

    def timeline_job(name: str, model: Timeline) -> Job:
        losses = [partial(_loss, model, *batch) for batch in passes]
        note = f"{count} x {targets // count} targets, {millions(model)}"
        return Job(name, steps(model, losses), targets, note, own=name == "timeline")

    def tiger_job(name: str, *, bucketed: bool, count: int) -> Job:
        model, batches = tiger(world), world.batches(bucketed=bucketed, count=count)
        losses = [partial(_loss, model, batch.window, batch.first) for batch in batches]
        work = sum(len(batch.target) for batch in batches)
        note = f"{count} x {work // count} rows, {millions(model)}"
        return Job(name, steps(model, losses), work, note, own=bucketed)

    return [
        timeline_job("timeline", timeline(world)),
        timeline_job("timeline, 4 layers", timeline(world, layers=4)),
        timeline_job("timeline, default", whole_timeline(world)),
        tiger_job("tiger", bucketed=True, count=sizes.batches),
        tiger_job("tiger, random", bucketed=False, count=1),
    ]


def _loss(model: Timeline | Tiger, window: Window, first: Tensor) -> Tensor:
    return model(window, first)["loss"]  # type: ignore[no-any-return]


def generation(world: World) -> list[Job]:
    """Beam search, history encoding included."""

    def job(name: str, model: Timeline | Tiger) -> Job:
        run = partial(_search, model.eval(), world)
        return Job(name, run, world.sizes.requests, millions(model), own=name in {"timeline", "tiger"})

    return [
        job("timeline", timeline(world)),
        job("timeline, default", whole_timeline(world)),
        job("tiger", tiger(world)),
    ]


@torch.inference_mode()
def _search(model: GenerativeModel, world: World) -> tuple[Tensor, Tensor]:
    width = world.sizes.beams
    return beam_search(model.scorer(world.requests), world.tree, width=width, k=min(K_RETURNED, width))


class RandomLogits:
    """Answers with a block of random logits.

    Args:
        tree: of the ids.
        logits: [B, W, K].
    """

    def __init__(self, tree: CodeTree, logits: Tensor) -> None:
        self.tree, self.logits = tree, logits

    def start(self) -> Tensor:
        """Log-probabilities of the root's children."""
        root = torch.zeros(len(self.logits), 1, dtype=torch.int64)
        return self.advance(0, root, root)

    def advance(self, level: int, parent: Tensor, node: Tensor) -> Tensor:
        """Log-probabilities of the children of nodes."""
        return child_log_probs(self.logits[:, : node.shape[1]], self.tree, level, node, over_tree=True)

    def select(self, rows: Tensor) -> RandomLogits:
        """The same for some of the requests."""
        return RandomLogits(self.tree, self.logits[rows])


def walk(world: World) -> list[Job]:
    """Beam search over logits drawn beforehand."""
    scorer = RandomLogits(world.tree, world.logits)
    width = world.sizes.beams

    def run() -> Tensor:
        return beam_search(scorer, world.tree, width=width, k=width)[1]

    return [Job("genrec tree", run, world.sizes.requests, own=True, quality=world.best_score)]


def quantiser(world: World) -> list[Job]:
    """RqVae, straight-through and with the rotation trick."""

    def job(name: str, estimator: StraightThrough | RotationTrick) -> Job:
        torch.manual_seed(0)
        model = RqVae(
            FEATURES,
            LATENT,
            world.sizes.codes,
            QUANTISERS,
            hidden=HIDDEN,
            commitment_weight=COMMITMENT,
            estimator=estimator,
        )
        model.start(world.features, torch.Generator().manual_seed(0))
        x = world.features[: world.sizes.quantised]

        def loss() -> Tensor:
            return model(x)["loss"]  # type: ignore[no-any-return]

        count = world.sizes.quantiser_steps
        return Job(name, steps(model, [loss] * count), count, "learned codebooks", own=True)

    return [job("RqVae", StraightThrough()), job("RqVae, rotation", RotationTrick())]


def kmeans(world: World) -> list[Job]:
    """What RqKMeans does before it settles collisions."""
    sizes = (world.sizes.codes,) * QUANTISERS

    def run() -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        return fit_codebooks(world.vectors, sizes, iterations=world.sizes.iterations, generator=generator)

    quality = partial(error_left, world.vectors)
    return [Job("RqKMeans", run, 1, f"{world.sizes.iterations} iterations", own=True, quality=quality)]


SECTIONS = {
    "training": training,
    "generation": generation,
    "walk": walk,
    "quantiser": quantiser,
    "kmeans": kmeans,
}
