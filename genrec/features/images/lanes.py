"""Batches through a network, several at a time on a CPU."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from genrec.features.images.loader import Batch
from genrec.features.images.network import ImageNetwork


def encoded_batches(
    network: ImageNetwork, batches: Iterable[Batch]
) -> Generator[tuple[Batch, Tensor], None, None]:
    """Each batch with its vectors float32 [B, D], in order.

    On a CPU as many batches as torch has threads are computed side by side, each by one thread: threads that share a
    batch wait for each other at every layer, and for the processes that decode. The vectors are the same to the bit
    with any number of threads.
    """
    threads = torch.get_num_threads()
    lanes = threads if network.device.type == "cpu" else 1
    waiting: deque[tuple[Batch, Future[Tensor]]] = deque()
    try:
        with ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for batch in batches:
                waiting.append((batch, pool.submit(network.features, batch.squares)))
                if len(waiting) > lanes:
                    first, vectors = waiting.popleft()
                    yield first, vectors.result()
            for first, vectors in waiting:
                yield first, vectors.result()
    finally:
        torch.set_num_threads(threads)  # what is set in one thread becomes the choice of threads to come
