"""Which items users have taken, looked up for a whole batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genrec.data.histories import Histories


class Taken(nn.Module):
    """Histories as a lookup of (user, item) pairs on the model's device.

    Args:
        histories: of all users.
    """

    offsets: Tensor
    items: Tensor

    def __init__(self, histories: Histories) -> None:
        super().__init__()
        self.n_items = histories.n_items
        self.register_buffer("offsets", torch.from_numpy(histories.offsets), persistent=False)
        self.register_buffer("items", torch.from_numpy(histories.items.astype("int64")), persistent=False)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Whether a user of users int64 [B] has taken an item of items int64 [C]: bool [B, C]."""
        starts = self.offsets[users]
        lengths = self.offsets[users + 1] - starts
        row = torch.repeat_interleave(torch.arange(len(users), device=users.device), lengths)
        shift = starts - (
            lengths.cumsum(0) - lengths
        )  # from a place in the flat list to one in the histories
        flat = torch.arange(len(row), device=users.device) + torch.repeat_interleave(shift, lengths)
        asked, place = torch.unique(items, return_inverse=True)
        width = len(asked) + 1  # the last column is for what nobody asks about
        column = items.new_full((self.n_items,), len(asked))
        column[asked] = torch.arange(len(asked), device=items.device)
        table = torch.zeros(len(users) * width, dtype=torch.bool, device=users.device)
        table[row * width + column[self.items[flat]]] = True
        # a sixth of the time of indexing columns
        return table.view(-1, width).gather(1, place.expand(len(users), -1))
