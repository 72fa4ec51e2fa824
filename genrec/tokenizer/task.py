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
        iterations: of the whole run; the last fifth has no resets, so that every code is trained when it ends.
        seed: of the order.
    """

    def __init__(self, model: RqVae, vectors: Tensor, *, batch_size: int, iterations: int, seed: int) -> None:
        if batch_size < 1:
            raise ConfigError(f"train.batch_size must be at least 1, got {batch_size}")
        self.model: torch.nn.Module = model
        self.plain = model
        self.vectors = vectors
        self.batch_size = min(batch_size, len(vectors))
        self.last_reset = iterations * 4 // 5
        self.seed = seed
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.int64)

    def loss(self, step: int) -> dict[str, Tensor]:
        """Losses of a step's batch."""
        epoch, within = divmod(step, len(self.vectors) // self.batch_size)
        if epoch != self._epoch:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.vectors))
            self._epoch, self._order = epoch, torch.from_numpy(order)
        rows = self._order[within * self.batch_size : (within + 1) * self.batch_size]
        losses: dict[str, Tensor] = self.model(self.vectors[rows])
        return losses

    def after_step(self, step: int) -> None:
        """Reset dead codes when it is time."""
        every = self.plain.reset_every
        if every and (step + 1) % every == 0 and step < self.last_reset:
            wanted = ROWS_PER_CODE * max(self.plain.sizes)
            rows = torch.randint(len(self.vectors), (wanted,), device=self.vectors.device)
            self.plain.reset_dead_codes(self.vectors[rows] if wanted < len(self.vectors) else self.vectors)

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
        losses = self.plain(self.vectors[: 16 * self.batch_size])
        usage = {
            f"usage/{level}": len(np.unique(codes[:, level])) / len(book) for level, book in enumerate(books)
        }
        return {
            "reconstruction": float(losses["reconstruction"]),
            "quantisation_error": left,
            "collision_rate": collision_rate(codes, self.plain.sizes),
            **usage,
        }
