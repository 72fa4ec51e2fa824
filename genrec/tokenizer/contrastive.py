"""Collaborative signal as a loss: items that are consumed alike get code vectors that are alike.

Source: Wang et al. 2024, "Learnable item tokenization for generative recommendation" (LETTER), §3.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genrec.errors import ConfigError
from genrec.tokenizer.processes import rows_of_all_processes


class Contrast(nn.Module):
    """Contrasts an item's quantised vector with the collaborative vectors of the batch.

    Of all items in the batch, the one whose collaborative vector is nearest should be the item itself. Both sides
    have unit length here, and a linear map carries one to the width of the other, so that any collaborative
    embedding fits any latent space.

    Args:
        embed_dim: width d of quantised vectors.
        width: width C of collaborative vectors.
        temperature: of the softmax over cosines.
    """

    def __init__(self, embed_dim: int, width: int, temperature: float) -> None:
        super().__init__()
        if not temperature > 0:
            raise ConfigError(f"RqVae.alignment_temperature must be above 0, got {temperature}")
        self.head = nn.Linear(embed_dim, width, bias=False)
        self.temperature = temperature

    def forward(self, quantised: Tensor, collaborative: Tensor) -> Tensor:
        """Sum of cross-entropies over rows with a collaborative vector, by B.

        Args:
            quantised: [B, d].
            collaborative: [B, C]; rows of zeros have none, and are neither pulled nor pushed away from.
        """
        own = F.normalize(collaborative, dim=1)
        all_rows = rows_of_all_processes(own)  # [B or more, C], own rows first
        logits = F.normalize(self.head(quantised), dim=1) @ all_rows.T / self.temperature
        logits = logits.float().masked_fill(~all_rows.any(1), torch.finfo(torch.float32).min)
        rows = torch.arange(len(own), device=own.device)
        target = torch.where(own.any(1), rows, -100)  # cross_entropy ignores -100
        return F.cross_entropy(logits, target, reduction="sum") / len(own)
