"""A training job whose batches several processes share, unevenly, and a way to start them."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from genrec.training.job import Job
from genrec.training.runtime import Runtime
from genrec.training.schedules import Cosine
from genrec.training.settings import LoopSettings

SETTINGS = LoopSettings(
    steps=24,
    learning_rate=0.05,
    validate_every=4,
    monitor="fit",
    patience=2,
    checkpoint_every=3,
    log_every=2,
    gradient_clip=1.0,
    schedule=Cosine(warmup=2),
    ema=0.9,
)


class Model(nn.Module):
    """A small network, with a part that few rows need."""

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.usual = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1))
        self.rare = nn.Linear(4, 1)
        self.never = nn.Parameter(torch.ones(2))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.usual(x)
        needs = x[:, 0] > 1.5
        return out.index_add(0, needs.nonzero()[:, 0], self.rare(x[needs])) if needs.any() else out


class SharedTask:
    """Regression on six rows a step, each computed by one of the processes; some processes get none."""

    def __init__(self, runtime: Runtime, dropout: float) -> None:
        self.model: nn.Module = Model(dropout)
        self.processes = runtime.processes

    def loss(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng(step)
        x = torch.from_numpy(rng.normal(size=(6, 4)).astype(np.float32))
        owner = rng.integers(7, size=6) % 4 % self.processes.size
        mine = torch.from_numpy(owner == self.processes.rank)
        share = float(mine.float().mean())
        x = x[mine] if mine.any() else x[:1]
        error = (self.model(x) - x.abs().sum(dim=1, keepdim=True)).square().mean()
        return {"loss": error * share, "share": torch.tensor(share)}

    def validate(self) -> dict[str, float]:
        """Best on the way; every process thinks differently, and what counts is the main one."""
        x = torch.linspace(-2, 2, 400).view(100, 4)
        fit = -abs(float(self.model(x).mean()) - 1.0)
        return {"fit": fit * (1 - 3 * self.processes.rank)}

    def after_step(self, step: int) -> None:
        """Nothing to do."""


def train(folder: Path, dropout: float = 0.0, kill_after: int | None = None) -> None:
    """One process's part of the job; writes `result-<rank>.json` and `weights-<rank>.safetensors`."""
    torch.set_num_threads(1)
    runtime = Runtime(seed=3, cpu=True)
    runtime.seed_everything()
    task, rank = SharedTask(runtime, dropout), runtime.processes.rank
    if kill_after is not None:
        task.after_step = lambda step: step == kill_after and os.kill(os.getpid(), signal.SIGKILL)  # type: ignore
    job = Job(
        folder,
        name="shared",
        identity="i",
        runtime=runtime,
        wandb=False,
        configuration="",
        operative=lambda: "",
    )
    result = job.train(task, torch.optim.AdamW(task.model.parameters()), SETTINGS)
    per_user = np.zeros(5)
    per_user[rank :: runtime.processes.size] = 0.1 * (rank + 1)
    found = {
        "step": result.step,
        "best": result.best_step,
        "value": result.best_value,
        "stopped": result.stopped_early,
        "drawn": torch.rand(3).tolist(),
        "sum": runtime.processes.sum(per_user).tolist(),
    }
    (folder / f"result-{rank}.json").write_text(json.dumps(found))
    save_file(task.model.state_dict(), folder / f"weights-{rank}.safetensors")
    runtime.close()


def side_by_side(size: int, folder: Path, *arguments: object) -> list[int | None]:
    """`train` in several processes of one group, as torchrun starts them; their exit codes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["genrec.training.loop", "torch._dynamo"])  # slow imports, only once
    port = free_port()
    children = [
        context.Process(target=_child, args=(train, rank, size, port, folder, arguments))
        for rank in range(size)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join(120)
    return [child.exitcode for child in children]


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _child(
    target: Callable[..., None], rank: int, size: int, port: int, folder: Path, arguments: tuple[object, ...]
) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    with (folder / f"errors-{rank}.txt").open("w") as errors:
        os.dup2(errors.fileno(), sys.stderr.fileno())
        target(folder, *arguments)
