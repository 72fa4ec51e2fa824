"""`torch-rechub`: its DeepFM and DIN, and its data loader."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_rechub.basic.features import SequenceFeature, SparseFeature
from torch_rechub.models.ranking import DIN, DeepFM
from torch_rechub.utils.data import DataGenerator

from rivals.contest import Job, millions, optimiser, steps
from rivals.rank_contest import ATTENTION, HIDDEN, RankWorld, without_batch_norm

PAD = 0
IDS = ("user", "item", "year", "hour", "weekday")


def features(world: RankWorld, pooling: str = "mean") -> dict[str, Any]:
    """The schema in its words; the history shares the candidate's table."""
    width = world.sizes.width
    found: dict[str, Any] = {name: SparseFeature(name, world.size(name), width) for name in IDS}
    found["genres"] = SequenceFeature("genres", world.size("genres"), width, padding_idx=PAD)
    found["history"] = SequenceFeature(
        "history", world.size("item"), width, pooling=pooling, shared_with="item", padding_idx=PAD
    )
    return found


def params(hidden: tuple[int, ...] = HIDDEN, activation: str = "relu") -> dict[str, Any]:
    """Of its MLP."""
    return {"dims": list(hidden), "activation": activation, "dropout": 0.0}


def deepfm(world: RankWorld) -> nn.Module:
    """All features in both halves."""
    torch.manual_seed(0)
    known = list(features(world).values())
    model: nn.Module = DeepFM(known, known, params())
    return model


def din(world: RankWorld, activation: str = "dice") -> nn.Module:
    """Attention over the history, everything else beside it."""
    torch.manual_seed(0)
    known = features(world, "concat")
    others = [known[name] for name in ("user", "year", "hour", "weekday", "genres")]
    attention = {"dims": list(ATTENTION), "activation": activation}
    mlp = {"dims": list(HIDDEN), "dropout": 0.0}
    model: nn.Module = DIN(others, [known["history"]], [known["item"]], mlp, attention)
    return model


def prepared(world: RankWorld, name: str, make: Callable[[RankWorld], nn.Module]) -> list[Job]:
    """Training steps on batches that were made beforehand, with its batch normalisation and without."""

    def job(name: str, model: nn.Module) -> Job:
        def one(number: int) -> Tensor:
            batch, targets = world.batches[number]
            return functional.binary_cross_entropy(model(batch), targets.labels)

        losses = [lambda number=number: one(number) for number in range(len(world.batches))]
        return Job(name, steps(model, losses), world.n_rows, millions(model))

    return [
        job(f"torch-rechub {name}", make(world)),
        job(f"torch-rechub {name}, no BN", without_batch_norm(make(world))),
    ]


def whole(world: RankWorld, name: str, make: Callable[[RankWorld], nn.Module]) -> list[Job]:
    """Steps with its data loader, as its trainer does them."""
    kept = world.examples.kept
    assert kept is not None
    n = world.sizes.rows * world.sizes.batches
    columns = {key: column[:n].numpy() for key, column in kept.items() if not key.endswith(".mask")}
    labels = world.examples.labels[:n]
    generator = DataGenerator(columns, labels)
    loader = generator.generate_dataloader(columns, labels, columns, labels, batch_size=world.sizes.rows)[0]
    model = make(world)
    adam = optimiser(model)

    def run() -> None:
        model.train()
        for batch, wanted in loader:
            functional.binary_cross_entropy(model(batch), wanted.float()).backward()  # type: ignore[no-untyped-call]
            adam.step()
            adam.zero_grad()

    return [Job(f"torch-rechub {name}", run, len(labels))]


SECTIONS = {
    "deepfm": lambda world: prepared(world, "DeepFM", deepfm),
    "din": lambda world: prepared(world, "DIN", din),
    "loop": lambda world: [*whole(world, "DeepFM", deepfm), *whole(world, "DIN", din)],
}
