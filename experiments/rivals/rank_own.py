"""genrec's rank models."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from genrec.ranking.examples import Epochs
from genrec.ranking.inputs import InputLayer
from genrec.ranking.losses import Bce
from genrec.ranking.models.base import RankModel
from genrec.ranking.models.deepfm import DeepFm
from genrec.ranking.models.din import Din
from genrec.ranking.task import RankTask
from rivals.contest import Job, millions, optimiser, steps
from rivals.rank_contest import ATTENTION, HIDDEN, RankWorld


def layer(world: RankWorld) -> InputLayer:
    """Without what the others lack."""
    torch.manual_seed(0)
    return InputLayer(world.schema, world.sizes.width, dropout_to_oov=0.0)


def deepfm(world: RankWorld) -> RankModel:
    """As in the paper."""
    return DeepFm(layer(world), hidden=HIDDEN)


def din(world: RankWorld) -> RankModel:
    """As in the paper."""
    return Din(layer(world), hidden=HIDDEN, attention=ATTENTION)


def prepared(world: RankWorld, name: str, make: Callable[[RankWorld], RankModel]) -> list[Job]:
    """Training steps on batches that were made beforehand."""
    model, loss = make(world), Bce()

    def one(number: int) -> Tensor:
        batch, targets = world.batches[number]
        found: Tensor = loss(model(batch), targets)["loss"]
        return found

    losses = [lambda number=number: one(number) for number in range(len(world.batches))]
    return [Job(name, steps(model, losses), world.n_rows, millions(model), own=True)]


def whole(world: RankWorld, name: str, make: Callable[[RankWorld], RankModel]) -> list[Job]:
    """An epoch's steps as `train_ranker.py` does them: rows are drawn, their features taken, the weights updated."""
    model = make(world)
    epochs = Epochs(len(world.examples), world.sizes.rows, seed=0)
    task = RankTask(model, Bce(), world.examples, epochs, dict)
    adam = optimiser(task.model)

    def run() -> None:
        task.model.train()
        for step in range(world.sizes.batches):
            task.loss(step)["loss"].backward()  # type: ignore[no-untyped-call]
            adam.step()
            adam.zero_grad()

    return [Job(name, run, world.sizes.batches * epochs.rows_per_step, own=True)]


SECTIONS = {
    "deepfm": lambda world: prepared(world, "DeepFm", deepfm),
    "din": lambda world: prepared(world, "Din", din),
    "loop": lambda world: [*whole(world, "DeepFm", deepfm), *whole(world, "Din", din)],
}
