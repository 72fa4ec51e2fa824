"""Means of logged scalars, kept on the device so that no step waits for them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from genrec.errors import GenrecError


class Means:
    """Sums scalars over steps and remembers the first step whose loss was not finite.

    Args:
        sums: what `sums` gave before a run was stopped.
        device: of the scalars that are added.
    """

    def __init__(self, sums: Mapping[str, float], device: torch.device) -> None:
        self._sums = {name: torch.tensor(value, device=device) for name, value in sums.items()}
        self._bad = torch.tensor(-1, device=device)

    def add(self, values: Mapping[str, Tensor], step: int) -> None:
        """Add one step's scalars (float []), the same names every step; `loss` must be among them."""
        for name, value in values.items():
            scalar = value.detach().float()
            self._sums[name] = self._sums[name] + scalar if name in self._sums else scalar.clone()
        first = (self._bad < 0) & ~torch.isfinite(values["loss"].detach())
        self._bad = torch.where(first, step, self._bad)

    def check(self) -> None:
        """Raise GenrecError if a loss was NaN or infinite; waits for the device."""
        step = int(self._bad)
        if step >= 0:
            raise GenrecError(
                f"the loss is not a finite number at step {step}; lower the learning rate, clip the gradient, or "
                "look for extreme values in the input"
            )

    def sums(self) -> dict[str, float]:
        """The sums so far, exactly; waits for the device."""
        return {name: float(value) for name, value in self._sums.items()}

    def take(self, steps: int) -> dict[str, float]:
        """The means over the last `steps` steps; starts anew."""
        self.check()
        means = {name: value / steps for name, value in self.sums().items()}
        self._sums = {}
        return means
