"""Trains a tiny thing.

Only the first paragraph is shown.
"""

from __future__ import annotations

import errno
import json
import sys
from collections.abc import Callable

import tiny_parts as parts

from genrec import config
from genrec.errors import DataError

FAULTS: dict[str, BaseException] = {
    "data": DataError("ratings.csv has no column\n'timestamp'; add it"),
    "disk": OSError(errno.ENOSPC, "No space left on device", "x.npy"),
    "memory": MemoryError("Unable to allocate 9 TiB"),
    "interrupt": KeyboardInterrupt(),
    "bug": IndexError("a bug"),
    "io": OSError(errno.EIO, "Input/output error"),
}


def train(
    *,
    dataset: str,
    encoder: parts.Encoder,
    make: Callable[..., parts.Mlp] | None = None,
    schedule: parts.Schedule | None = None,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    users: list[int] | None = None,
    fault: str | None = None,
    user: int | None = None,
    out: str | None = None,
) -> None:
    """Train.

    Args:
        dataset: its name,
            or its folder.
        user: one 100% raw id.
    """
    if fault is not None:
        raise FAULTS[fault]
    facts = {
        "dataset": dataset,
        "encoder": [type(encoder).__name__, encoder.width, list(getattr(encoder, "hidden", []))],
        "made": None if make is None else list(make(width=9).hidden),
        "schedule": None if schedule is None else [schedule.warmup, schedule.kind],
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "users": users,
        "user": user,
        "out": out,
        "full": config.full_text(),
        "operative": config.operative_text(),
        "hash": config.config_hash(exclude=["out", "wandb_*"]),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    sys.exit(config.main(train, description=__doc__, options={"user": int}))
