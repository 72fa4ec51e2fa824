"""Recallers that are trained by gradient descent, with the project's training loop."""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from genrec.data.tables import Interactions, ItemTable
from genrec.errors import ConfigError
from genrec.features.base import ItemFeatures
from genrec.recall.vector_index import VectorIndex
from genrec.recall.vectors import VectorRecaller
from genrec.training.checkpoint import Checkpoints
from genrec.training.loop import run
from genrec.training.recipe import Recipe
from genrec.training.runtime import Runtime
from genrec.training.trackers import Tracker, Trackers


@dataclass(frozen=True)
class Training:
    """How a recaller's network is trained.

    Attributes:
        epochs: passes over the training events; chosen on validation, for `fit` sees none.
        learning_rate: peak.
        recipe: optimiser, schedule, clipping.
        runtime: device, seed, threads.
    """

    epochs: int = 20
    learning_rate: float = 1e-3
    recipe: Recipe = field(default_factory=Recipe)
    runtime: Runtime = field(default_factory=Runtime)

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise ConfigError(f"Training.epochs must be at least 1, got {self.epochs}")
        if not self.learning_rate > 0:
            raise ConfigError(f"Training.learning_rate must be above 0, got {self.learning_rate}")


class Record(NamedTuple):
    """Where a run of training is kept while it goes on.

    Attributes:
        checkpoints: from which an interrupted run goes on.
        identity: hash of configuration and inputs; a checkpoint of another run is refused.
        trackers: hear the losses.
    """

    checkpoints: Checkpoints
    identity: str
    trackers: Tracker


class Lesson(nn.Module):
    """What a recaller trains: a network together with its batches.

    Parameters and persistent buffers are what a checkpoint keeps; a batch depends on the step and the global
    generators only.
    """

    steps_per_epoch: int

    def loss(self, step: int) -> Tensor:
        """Scalar loss of the batch of a step."""
        raise NotImplementedError

    def vectors(self) -> tuple[Tensor, Tensor]:
        """Vectors of all users [n_users, D] and all items [N, D]; called in eval mode, without gradients."""
        raise NotImplementedError


class NeuralRecaller(VectorRecaller):
    """Base of trained recallers: a subclass implements `_lesson`.

    Args:
        training: epochs, learning rate, optimiser, device.
        index: finds items instead of the exact product.
        batch_size: users scored at once.

    Attributes:
        weights: of the network, by name.
        record: set it before `fit` to keep checkpoints and losses.
    """

    learned: ClassVar[tuple[str, ...]] = (*VectorRecaller.learned, "weights")
    weights: dict[str, Tensor]
    record: Record | None = None

    def __init__(
        self, *, training: Training | None = None, index: VectorIndex | None = None, batch_size: int = 256
    ) -> None:
        super().__init__(index=index, batch_size=batch_size)
        self.training = training or Training()

    @abstractmethod
    def _lesson(self, train: Interactions, items: ItemTable, features: ItemFeatures | None) -> Lesson:
        """The untrained network and its batches."""

    def _learn(
        self, train: Interactions, items: ItemTable, features: ItemFeatures | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        training, runtime = self.training, self.training.runtime
        runtime.seed_everything()
        lesson = self._lesson(train, items, features)
        task = _Task(lesson)
        steps = training.epochs * lesson.steps_per_epoch
        settings = training.recipe.settings(
            iterations=steps,
            learning_rate=training.learning_rate,
            epoch=steps if self.record is None else lesson.steps_per_epoch,  # a checkpoint each
        )
        with tempfile.TemporaryDirectory() as folder:
            record = self.record or Record(Checkpoints(Path(folder)), "", Trackers())
            run(
                task,
                training.recipe.optimizer(lesson, training.learning_rate),
                settings,
                runtime=runtime,
                checkpoints=record.checkpoints,
                trackers=record.trackers,
                progress_bar=self.record is not None,
                identity=record.identity,
            )
        lesson.eval()
        with torch.no_grad():
            users, items_ = lesson.vectors()
        self.weights = {name: value.detach().cpu().clone() for name, value in lesson.state_dict().items()}
        return users.detach().float().cpu().numpy(), items_.detach().float().cpu().numpy()


class _Task:
    """A lesson as a task of the loop."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.model: nn.Module = lesson

    def loss(self, step: int) -> dict[str, Tensor]:
        return {"loss": self.lesson.loss(step)}

    def validate(self) -> dict[str, float]:
        return {}

    def after_step(self, step: int) -> None:
        pass
