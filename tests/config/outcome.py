"""What a script did, for tests that run one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What a script did."""

    code: int
    out: str
    error: str

    @property
    def facts(self) -> dict[str, Any]:
        """What the script printed."""
        assert self.code == 0, self.error
        facts: dict[str, Any] = json.loads(self.out)
        return facts


Run = Callable[..., Outcome]
