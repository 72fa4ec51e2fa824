"""A training job that takes milliseconds, and can be told to kill itself at a given moment."""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from genrec.training.checkpoint import Checkpoints
from genrec.training.loop import resume_step, run
from genrec.training.runtime import Runtime
from genrec.training.schedules import Cosine
from genrec.training.settings import LoopResult, LoopSettings
from genrec.training.trackers import Tracker, Trackers, open_trackers


class SmallTask:
    """Regression with dropout, whose every part draws random numbers and could disturb the others."""

    def __init__(self) -> None:
        self.model: nn.Module = nn.Sequential(
            nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1)
        )

    def loss(self, step: int) -> dict[str, Tensor]:
        x = torch.randn(16, 4)
        error = (self.model(x) - x.sum(dim=1, keepdim=True)).square().mean()
        return {"loss": error, "mean": x.mean()}

    def validate(self) -> dict[str, float]:
        x = torch.randn(int(torch.randint(3, 40, ())), 4)
        return {"fit": -float((self.model(x) - x.sum(dim=1, keepdim=True)).square().mean())}

    def after_step(self, step: int) -> None:
        """Like the reset of a dead code: a random row becomes random."""
        if step % 3 == 0:
            layer = next(m for m in self.model.modules() if isinstance(m, nn.Linear))
            layer.weight.data[int(torch.randint(8, ()))] = torch.randn(4)


SETTINGS = LoopSettings(
    steps=10,
    learning_rate=0.05,
    validate_every=4,
    monitor="fit",
    patience=5,
    checkpoint_every=3,
    log_every=2,
    gradient_clip=1.0,
    schedule=Cosine(warmup=2),
)


def train(
    folder: Path, task: SmallTask, settings: LoopSettings = SETTINGS, trackers: Tracker | None = None
) -> LoopResult:
    """Train `task` in this process."""
    runtime = Runtime(seed=3, cpu=True)
    runtime.seed_everything()
    optimizer = torch.optim.AdamW(task.model.parameters())
    return run(
        task,
        optimizer,
        settings,
        runtime=runtime,
        checkpoints=Checkpoints(folder),
        trackers=Trackers() if trackers is None else trackers,
        progress_bar=False,
        identity="small",
    )


SHORT = dataclasses.replace(SETTINGS, steps=7, validate_every=3, checkpoint_every=2, ema=0.8)


def train_until_killed(folder: Path, moment: int | None) -> None:
    """Train from the start or the checkpoint; at the `moment`-th event SIGKILL this process.

    Events: each batch, each validation, each update of the weights, and each time a file that was written aside
    is about to be renamed.
    """
    torch.set_num_threads(1)
    left = -1 if moment is None else moment

    def event(name: str) -> None:
        nonlocal left
        if name in {"os.rename", "loss", "validate", "after_step"}:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    class Mortal(SmallTask):
        def loss(self, step: int) -> dict[str, Tensor]:
            event("loss")
            return super().loss(step)

        def validate(self) -> dict[str, float]:
            event("validate")
            return super().validate()

        def after_step(self, step: int) -> None:
            event("after_step")
            super().after_step(step)

    sys.addaudithook(lambda name, _: event(name))
    torch.manual_seed(5)
    task = Mortal()
    step = resume_step(Checkpoints(folder), "small")
    trackers = open_trackers(folder, wandb=False, resume_step=step)
    train(folder, task, SHORT, trackers)
    trackers.close()
    save_file(task.model.state_dict(), folder / "final.safetensors")
