"""Training an RQ-VAE, as a task of the training loop."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from genrec.errors import ConfigError
from genrec.tokenizer.collisions import collision_rate
from genrec.tokenizer.residual import encode, error_by_depth
from genrec.tokenizer.rqvae import RqVae

ROWS_PER_CODE = 8  # rows looked at per code before a code counts as dead


class RqVaeTask:
    """Batches of items in a new random order every pass; dead codes are reset now and then.

    Args:
        model: `RqVae.start` has been called on the same features.
        vectors: item features float32 [N, D].
        batch_size: items per step; at most N are taken.
        iterations: of the whole run; after the last one, codes settle on all items.
        seed: of the order, and of the items that dead codes move to.
        collaborative: vectors to align with, float32 [N, C], zeros where an item has none; None for a model
            without alignment.
        rank: number of this process, from 0.
        size: how many processes share each batch, in equal parts.

    Raises:
        ConfigError: the batch is empty or does not fall into equal parts, or the model aligns and there is nothing
            to align with.
    """

    def __init__(
        self,
        model: RqVae,
        vectors: Tensor,
        *,
        batch_size: int,
        iterations: int,
        seed: int,
        collaborative: Tensor | None = None,
        rank: int = 0,
        size: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ConfigError(f"train.batch_size must be at least 1, got {batch_size}")
        if min(batch_size, len(vectors)) % size:
            raise ConfigError(
                f"train.batch_size ({batch_size}, of {len(vectors)} items) must be a multiple of the {size} processes"
            )
        if (model.contrast is None) != (collaborative is None):
            raise ConfigError("train.collaborative and RqVae.alignment_weight go together; bind both or none")
        self.model: torch.nn.Module = model
        self.plain = model
        self.vectors, self.collaborative = vectors, collaborative
        self.batch_size = min(batch_size, len(vectors))
        self.iterations = iterations
        self.seed, self.rank, self.size = seed, rank, size
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def loss(self, step: int) -> dict[str, Tensor]:
        """This process's part of the losses of a step's batch: means over its items, of which it has 1 / size."""
        epoch, within = divmod(step, len(self.vectors) // self.batch_size)
        if epoch != self._epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.vectors))
            self._epoch, self._order = epoch, torch.from_numpy(order)
        rows = self._order[within * self.batch_size : (within + 1) * self.batch_size]
        losses: dict[str, Tensor] = self.model(*self._batch(rows[self.rank :: self.size]))
        return {name: value / self.size for name, value in losses.items()}

    def _batch(self, rows: Tensor) -> tuple[Tensor, Tensor | None]:
        return self.vectors[rows], None if self.collaborative is None else self.collaborative[rows]

    def after_step(self, step: int) -> None:
        """Reset dead codes when it is time, and settle all at the end; on every process alike."""
        every = self.plain.reset_every
        if step == self.iterations - 1:
            self.plain.settle(self.vectors)
        elif every and (step + 1) % every == 0:
            drawn = int(np.random.default_rng([self.seed, step]).integers(2**63))
            generator = torch.Generator().manual_seed(drawn)
            wanted = ROWS_PER_CODE * max(self.plain.sizes)
            rows = torch.randint(len(self.vectors), (wanted,), generator=generator)
            looked_at = self.vectors[rows] if wanted < len(self.vectors) else self.vectors
            self.plain.reset_dead_codes(looked_at, generator)

    def validate(self) -> dict[str, float]:
        """Figures over the whole catalogue: losses, collisions, usage of each level.

        `quantisation_error` is the share of the latents' variance that the codes leave over. The quantisation
        loss alone says little: nothing ties down the length of latents, and both grow together.
        """
        books = [book.detach() for book in self.plain.codebooks]
        latents = self.plain.latents(self.vectors)
        chosen = encode(latents, books)
        left = error_by_depth(latents, chosen, books, lambda quantised: quantised)[-1]
        codes = chosen.cpu().numpy()
        losses = self.plain(*self._batch(torch.arange(min(16 * self.batch_size, len(self.vectors)))))
        usage = {
            f"usage/{level}": len(np.unique(codes[:, level])) / len(book) for level, book in enumerate(books)
        }
        return {
            **{
                name: float(value)
                for name, value in losses.items()
                if name.startswith(("reconstruction", "alignment"))
            },
            "quantisation_error": left,
            "collision_rate": collision_rate(codes, self.plain.sizes),
            **usage,
        }
