"""Figures of a batch that is spread over several processes; with one process everything stays as it is."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor


def sum_over_processes(x: Tensor) -> Tensor:
    """The sum of every process's x, in place."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(x)
    return x


def mean_over_processes(x: Tensor) -> Tensor:
    """The mean of every process's x, in place."""
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(x)
        x.div_(dist.get_world_size())
    return x


def rows_of_all_processes(x: Tensor) -> Tensor:
    """Rows of every process below each other: x [B, D] without gradient -> [processes * B, D], own rows first."""
    if not (dist.is_available() and dist.is_initialized()):
        return x
    parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
    dist.all_gather(parts, x.contiguous())
    own = dist.get_rank()
    return torch.cat([x, *(part for rank, part in enumerate(parts) if rank != own)])
