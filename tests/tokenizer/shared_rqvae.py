"""Some steps of an RQ-VAE in several processes that share its batches."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from small_catalogue import mixture

from genrec.tokenizer.codebooks import Ema
from genrec.tokenizer.estimators import Sinkhorn
from genrec.tokenizer.rqvae import RqVae
from genrec.tokenizer.task import RqVaeTask

STEPS, TIMEOUT = 8, 120.0


def trained_by(size: int, folder: Path) -> None:
    """Train with running means, Sinkhorn balancing and a collaborative loss; each process leaves its weights."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["genrec.tokenizer.task", "safetensors.torch", "torch._dynamo"])
    children = [context.Process(target=_train, args=(rank, size, folder)) for rank in range(size)]
    for child in children:
        child.start()
    for child in children:
        child.join(TIMEOUT)
        child.kill()
        assert child.exitcode == 0


def _train(rank: int, size: int, folder: Path) -> None:
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=size)
    x = mixture(120)
    behaviour = torch.randn(120, 5, generator=torch.Generator().manual_seed(1))
    behaviour[::7] = 0.0
    torch.manual_seed(0)
    model = RqVae(
        12,
        8,
        16,
        3,
        hidden=(32,),
        estimator=Sinkhorn(),
        ema=Ema(),
        reset_every=3,
        collaborative_dim=5,
        alignment_weight=3.0,
    )
    model.start(x, torch.Generator().manual_seed(0))
    task = RqVaeTask(
        model, x, batch_size=60, iterations=STEPS, seed=0, collaborative=behaviour, rank=rank, size=size
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
    for step in range(STEPS):
        task.loss(step)["loss"].backward()
        for parameter in model.parameters():
            if size > 1 and parameter.grad is not None:
                dist.all_reduce(parameter.grad)  # as the training loop sums them
        optimizer.step()
        optimizer.zero_grad()
        task.after_step(step)
    save_file(
        {name: tensor.clone() for name, tensor in model.state_dict().items()}, folder / f"{size}-{rank}"
    )
