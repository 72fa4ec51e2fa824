"""The processes of one run, as `torchrun` starts them: who they are, and what they tell each other."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn


class Processes:
    """Sums over the processes of a run, and copies from the main one; with one process, nothing is to be done.

    Gradients are summed in one message after the backward pass. Unlike `DistributedDataParallel` this needs no
    wrapper around the model (`torch.compile` and checkpoints see it as it is), a process whose share leaves a
    parameter untouched adds zeros instead of hanging the others, and the losses travel with it.

    Args:
        rank: number of this process, from 0; 0 is the main one, which writes files and talks.
        size: how many there are.
        device: where messages are kept, which the backend prescribes.
    """

    def __init__(self, rank: int = 0, size: int = 1, device: torch.device | None = None) -> None:
        self.rank, self.size, self.device = rank, size, device or torch.device("cpu")

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The sum over the processes of arrays of one shape; each gets it."""
        if self.size == 1:
            return values
        message = torch.from_numpy(values).to(self.device, copy=True)
        dist.all_reduce(message)
        return message.cpu().numpy()

    def sum_gradients(self, parameters: Iterable[Tensor], losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sum gradients in place, and the losses (float [], the same names everywhere), which are returned.

        A parameter without a gradient on any process stays without, so that the optimizer leaves it out.
        """
        if self.size == 1:
            return dict(losses)
        learned = [p for p in parameters if p.requires_grad]
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in learned]
        parts += [value.detach().float() for value in losses.values()]
        parts.append(torch.tensor([p.grad is not None for p in learned], device=self.device))
        message = torch.cat([part.reshape(-1).float() for part in parts])
        dist.all_reduce(message)
        sums = torch.split(message, [part.numel() for part in parts])
        missing = any(p.grad is None for p in learned)  # rare; asking the others costs a wait for the device
        used = sums[-1].tolist() if missing else [1.0] * len(learned)
        for p, part, uses in zip(learned, sums, used, strict=False):
            p.grad = part.view_as(p).to(p.dtype) if uses else None
        return {name: part[0] for name, part in zip(losses, sums[len(learned) :], strict=False)}

    def from_main(self, figures: Mapping[str, float]) -> dict[str, float]:
        """The main process's figures, under the same names everywhere, so that all decide alike."""
        if self.size == 1:
            return dict(figures)
        message = torch.tensor(list(figures.values()), dtype=torch.float64, device=self.device)
        dist.broadcast(message, src=0)
        return dict(zip(figures, message.tolist(), strict=True))

    def start_alike(self, model: nn.Module) -> None:
        """Copy the main process's parameters and buffers."""
        if self.size > 1:
            for tensor in (*model.parameters(), *model.buffers()):
                dist.broadcast(tensor.detach(), src=0)

    def draw_apart(self, seed: int, step: int) -> None:
        """Let the other processes than the main one draw random numbers of their own in a step.

        Their generators start anew from (seed, step, rank), so that a checkpoint need not keep them.
        """
        if self.rank > 0:
            seed_generators(int(np.random.SeedSequence([seed, step, self.rank]).generate_state(1)[0]))


def seed_generators(seed: int) -> None:
    """Seed every global generator: Python's, numpy's legacy one, torch's on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries still draw from it
    torch.manual_seed(seed)
